"""One client of one monitor: bytes from and to descriptors.

Requests are taken one at a time, a limited number per round of the event loop. While the
client does not read its replies, no further request is taken from it. Events that nobody
reads pile up to :data:`EVENT_LIMIT` bytes; then the client is disconnected, since it can
no longer be told the truth (docs/divergences.md: QEMU's buffer has no bound).
"""

from __future__ import annotations

import os
from _stat import S_ISSOCK

from qmpd.commands.dispatch import Encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from qmpd.commands.dispatch import Dispatcher
    from qmpd.errors import QmpError
    from qmpd.lab.levers import Levers
    from qmpd.monitor.reactor import Reactor
    from qmpd.monitor.tampering import Tamper
    from qmpd.protocol.messages import Request
    from qmpd.protocol.session import Session

READ_SIZE = 65536
PIECES = 64
"""Lines that are handed to the kernel at once."""
REPLY_BACKLOG = 262144
"""Unsent bytes above which no further request is taken."""
EVENT_LIMIT = 8 << 20
"""Unsent bytes above which an event disconnects the client."""
ROUND = 16
"""Requests per round of the loop."""
KNOWN = 256
"""Requests with fixed answers that count as one."""
OOB_QUEUE = 8
"""In-band requests that may wait while out-of-band ones are read."""


class Connection:
    """A client, from its greeting to its end."""

    def __init__(
        self,
        reactor: Reactor,
        session: Session,
        dispatcher: Dispatcher,
        fds: tuple[int, int],
        closed: Callable[[], None],
        levers: Levers | None = None,
        *,
        private: bool = False,
    ) -> None:
        self._reactor = reactor
        self._session = session
        self._dispatcher = dispatcher
        self._read_fd, self._write_fd = fds
        self._closed = closed
        self._out: list[bytes | memoryview] = []
        self._unsent = 0
        """Bytes in ``_out``."""
        self._events_unsent = 0
        self._waiting = False
        self._queue: list[Request] = []
        self._processing = False
        self._reading = False
        self._writing = False
        self._eof = False
        self._scheduled = False
        self._flushing = False
        self.open = True
        self._pollable = True
        self._made_nonblocking: list[int] = []
        """Standard input belongs to others, too: it is given back as it was."""
        self._tamper: Tamper | None = None
        self._number = 0
        if levers is not None:
            from qmpd.monitor.tampering import Tamper

            self._number = levers.number_client()
            self._tamper = Tamper(reactor, levers, self._number, self._write, self._hang_up)
            self._tamper.spared = private
        self._levers = levers

    def start(self) -> None:
        """Greet and listen."""
        self._pollable = is_pollable(self._read_fd)
        for fd in {self._read_fd, self._write_fd}:
            if os.get_blocking(fd):
                self._made_nonblocking.append(fd)
                os.set_blocking(fd, False)
        if self._levers is not None:
            self._levers.journal.add("connect", client=self._number)
        self._send("greeting", "", self._session.greeting())
        self.flush()
        self._watch()

    # --- input -------------------------------------------------------------------------

    def _watch(self) -> None:
        """Read exactly while there is room for what may come."""
        wanted = not self._eof and not self._scheduled and self._can_take()
        if wanted != self._reading:
            self._reading = wanted
            if not self._pollable:
                if wanted:
                    self._reactor.call_soon(self._readable)
            elif wanted:
                self._reactor.add_reader(self._read_fd, self._readable)
            else:
                self._reactor.remove_reader(self._read_fd)

    def _can_take(self) -> bool:
        if not self.open or self._unsent > REPLY_BACKLOG or self._dispatcher.machine.quitting:
            return False
        return not self._waiting or (self._session.oob_enabled and len(self._queue) < OOB_QUEUE)

    def _readable(self) -> None:
        if not self._pollable:
            if not self._reading or not self.open:
                return
            self._reading = False
        try:
            data = os.read(self._read_fd, READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        if data:
            self._session.receive_data(data)
        else:
            self._eof = True
        self._process()

    def _process(self) -> None:
        """Take requests until there are none, or it is somebody else's turn."""
        self._scheduled = False
        if not self.open or self._processing:
            return
        self._processing = True
        exhausted = False
        for _ in range(ROUND):
            if not self._can_take():
                break
            if not self._take():
                exhausted = True
                break
        else:
            self._scheduled = True
            self._reactor.call_soon(self._process)
        self._processing = False
        self.flush()
        if self._closed_meanwhile():
            return
        if self._eof and exhausted and not self._waiting:
            self._finish()
            return
        if not exhausted and not self._scheduled and self._can_take():
            # It stopped for a long reply, which is gone already.
            self._scheduled = True
            self._reactor.call_soon(self._process)
        self._watch()

    def _closed_meanwhile(self) -> bool:
        return not self.open

    def _take(self) -> bool:
        """Deal with what comes next; False if there is nothing."""
        if not self._waiting:
            if self._queue:
                self._submit(self._queue.pop(0))
                return True
            if self._tamper is None:
                self._put(self._session.answer_known(KNOWN))
        item = self._session.next_item()
        if item is None:
            return False
        if isinstance(item, bytes):
            self._send("reply", "", item)
        elif item.oob or not self._waiting:
            self._submit(item)
        else:
            self._queue.append(item)
        return True

    def _submit(self, request: Request) -> None:
        if not request.oob:
            self._waiting = True

        def done(value: Any, error: QmpError | None) -> None:
            if not request.oob:
                self._waiting = False
            if not self.open:
                return
            if error is not None:
                line = self._session.error(request, error)
            elif value.__class__ is Encoded:
                line = self._session.reply_encoded(request, value.data, fixed=value.fixed)
            else:
                line = self._session.reply(request, value)
            self._send("reply", request.command, line, request)
            if not self._processing:
                self._process()

        if self._levers is not None:
            self._note_request(request, self._levers)
        self._dispatcher.submit(request, done)

    def _note_request(self, request: Request, levers: Levers) -> None:
        if request.command.startswith("x-qmpd-"):
            if self._tamper is not None:
                self._tamper.spared = True
            levers.note_pull(request.command, request.arguments)
        else:
            levers.journal.add(
                "request",
                client=self._number,
                command=request.command,
                arguments=request.arguments,
                id=request.id,
            )

    # --- output ------------------------------------------------------------------------

    def send_event(self, name: str, data: dict[str, Any] | None, wall: int) -> None:
        """Tell the client of an event at ``wall`` ns since the epoch, if it negotiated."""
        if not self.open:
            return
        line = self._session.event(name, data, wall // 1_000_000_000, wall % 1_000_000_000 // 1000)
        if line is None:
            return
        self._events_unsent = self._events_unsent + len(line) if self._unsent else 0
        if self._events_unsent > EVENT_LIMIT:
            self.close()
            return
        self._send("event", name, line)
        if not self._processing and not self._flushing:
            # Events come in bursts; one write, and one wake-up of the client, does for all.
            self._flushing = True
            self._reactor.call_soon(self._flush_events)

    def _flush_events(self) -> None:
        self._flushing = False
        self.flush()

    def _send(self, kind: str, name: str, line: bytes, request: Request | None = None) -> None:
        """Put a line into the output, past a test's tampering if there is a lab."""
        if self._tamper is None:
            self._put(line)
            return
        identity = b""
        if request is not None and request.has_id:
            from qmpd.protocol.encoder import encode

            identity = encode(request.id)
        self._tamper.send(kind, name, line, identity)

    def _write(self, data: bytes) -> None:
        if self.open:
            self._put(data)
            if not self._processing:
                self.flush()

    def _put(self, data: bytes) -> None:
        if data:
            self._out.append(data)
            self._unsent += len(data)

    def _hang_up(self) -> None:
        self.flush()
        self.close()

    def flush(self) -> None:
        """Send as much as the descriptor takes."""
        out = self._out
        while out and self.open:
            try:
                sent = os.writev(self._write_fd, out[:PIECES])
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                self.close()
                return
            self._unsent -= sent
            while sent:
                size = len(out[0])
                if sent < size:
                    out[0] = memoryview(out[0])[sent:]
                    break
                sent -= size
                del out[0]
        if self.open and bool(out) != self._writing:
            self._writing = bool(out)
            if out:
                self._reactor.add_writer(self._write_fd, self._writable)
            else:
                self._reactor.remove_writer(self._write_fd)

    def _writable(self) -> None:
        self.flush()
        if not self._out:
            self._process()

    def _finish(self) -> None:
        if not self._out:
            self.close()

    def close(self) -> None:
        """Hang up and give the monitor back; what was not sent is lost."""
        if not self.open:
            return
        self.open = False
        if self._levers is not None:
            self._levers.journal.add("disconnect", client=self._number)
        if self._reading and self._pollable:
            self._reactor.remove_reader(self._read_fd)
        for fd in self._made_nonblocking:
            os.set_blocking(fd, True)
        if self._writing:
            self._reactor.remove_writer(self._write_fd)
        for fd in {self._read_fd, self._write_fd}:
            self._reactor.close_fd(fd)
        self._closed()


def is_pollable(fd: int) -> bool:
    """Whether the kernel can tell when there is something to read; of files it cannot."""
    if S_ISSOCK(os.fstat(fd).st_mode):
        return True
    from select import epoll

    with epoll() as probe:
        try:
            probe.register(fd)
        except PermissionError:
            return False
    return True
