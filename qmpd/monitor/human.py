"""A human monitor on a character device: greeting, prompt, echo, one line at a time.

While its client does not read what it has been told, no further key is taken from it
(docs/buffers.md; QEMU's buffer has no bound).
"""

from __future__ import annotations

import os

from qmpd.monitor.connection import is_pollable
from qmpd.monitor.readline import PROMPT, Editor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.errors import QmpError
    from qmpd.machine import Machine
    from qmpd.monitor.chardev import Chardev

_CHUNK = 4096
BACKLOG = 8 << 20
"""Unsent bytes above which no further key is taken: every key echoes its whole line."""
_GREETING = "QEMU {major}.{minor}.{micro} monitor - type 'help' for more information\r\n"


class HumanMonitor:
    """Serves one client after the other.

    Bytes are looked at one at a time, and no further than the end of a line while that is
    executed: what comes behind ``quit`` is not echoed.
    """

    def __init__(self, machine: Machine, chardev: Chardev) -> None:
        self._machine = machine
        self._reactor = machine.scheduler
        self._chardev = chardev
        self._client: tuple[int, int] | None = None
        self._editor = Editor()
        self._keys = b""
        self._taken = 0
        """How many of ``_keys`` have been looked at."""
        self._unsent = bytearray()
        self._busy = False
        self._closed = False
        self._eof = False
        self._reading = False
        self._pollable = True
        self._blocking: list[int] = []

    def start(self) -> None:
        """Serve the client that is there, or wait for one."""
        client = self._chardev.take_client()
        if client is not None:
            self._serve(client)
        elif self._chardev.listening >= 0:
            self._reactor.add_reader(self._chardev.listening, self._accept)
        elif self._chardev.reconnect:
            self._reactor.call_later(self._chardev.reconnect * 1_000_000_000, self._try_again)

    def close(self) -> None:
        """Let the client and the device go."""
        self._closed = True
        self._flush()
        if self._chardev.listening >= 0:
            self._reactor.remove_reader(self._chardev.listening)
        self._chardev.close()
        self._drop()

    def _try_again(self) -> None:
        if not self._closed:
            self.start()

    def _accept(self) -> None:
        client = self._chardev.accept()
        if client is not None:
            self._reactor.remove_reader(self._chardev.listening)
            self._serve(client)

    def _serve(self, client: tuple[int, int]) -> None:
        self._client, self._editor, self._keys, self._taken = client, Editor(), b"", 0
        self._eof = False
        for fd in {*client}:
            if os.get_blocking(fd):
                self._blocking.append(fd)
                os.set_blocking(fd, False)
        self._write(_GREETING.format(**self._machine.version["qemu"]).encode() + PROMPT)
        self._flush()
        self._pollable = is_pollable(client[0])
        self._watch()

    def _watch(self) -> None:
        """Read exactly while everything before has been dealt with."""
        wanted = self._client is not None and not self._eof and self._can_take()
        wanted = wanted and self._taken == len(self._keys)
        if self._client is None or wanted == self._reading:
            return
        self._reading = wanted
        if not self._pollable:
            if wanted:
                self._reactor.call_soon(self._readable)
        elif wanted:
            self._reactor.add_reader(self._client[0], self._readable)
        else:
            self._reactor.remove_reader(self._client[0])

    def _can_take(self) -> bool:
        if self._busy or self._machine.quitting:
            return False
        return len(self._unsent) <= BACKLOG

    def _readable(self) -> None:
        if self._client is None:
            return
        if not self._pollable:
            self._reading = False
        try:
            data = os.read(self._client[0], _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._keys, self._taken = data, 0
        if data:
            self._go_on()
        else:
            self._ended()

    def _ended(self) -> None:
        """Wait for the next client; standard input has none, but its monitor can still talk."""
        if self._client is None:
            return
        self._eof = True
        self._watch()
        if self._client[0] == self._client[1]:
            self._drop()
            if not self._closed:
                self.start()

    def _go_on(self) -> None:
        """Take keys until a line is executed that takes its time."""
        while self._taken < len(self._keys) and self._can_take():
            line = self._editor.feed(self._keys[self._taken])
            self._taken += 1
            self._write(self._editor.echo())
            if line is not None:
                self._execute(line)
        self._flush()
        self._watch()

    def _execute(self, line: bytes) -> None:
        from qmpd.protocol.messages import Request

        self._flush()
        self._busy = True
        text = line.decode("utf-8", "surrogateescape")
        request = Request("human-monitor-command", {"command-line": text})
        self._machine.dispatcher.submit(request, self._done)

    def _done(self, value: Any, error: QmpError | None) -> None:
        self._busy = False
        said = f"Error: {error.desc}\r\n" if error is not None else str(value)
        if self._machine.quitting:
            return
        self._write(said.encode("utf-8", "surrogateescape") + PROMPT)
        self._reactor.call_soon(self._go_on)

    # --- output ------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        self._unsent += data

    def _flush(self) -> None:
        if self._client is None:
            return
        fd = self._client[1]
        try:
            while self._unsent:
                del self._unsent[: os.write(fd, self._unsent)]
        except BlockingIOError:
            self._reactor.add_writer(fd, self._writable)
            return
        except OSError:
            self._unsent.clear()
        self._reactor.remove_writer(fd)

    def _writable(self) -> None:
        self._flush()
        self._go_on()

    def _drop(self) -> None:
        if self._client is None:
            return
        client, self._client = self._client, None
        self._unsent.clear()
        if self._reading and self._pollable:
            self._reactor.remove_reader(client[0])
        self._reading = False
        self._reactor.remove_writer(client[1])
        for fd in self._blocking:
            os.set_blocking(fd, True)
        self._blocking.clear()
        for fd in set(client):
            self._reactor.close_fd(fd)
