"""The channel of ``-qtest``: test harnesses wait for it to be connected.

There is no guest whose registers or interrupts could be reached through it; the clock of
virtual time can be read and stepped, everything else is refused in the channel's words.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.monitor.chardev import Chardev
    from qmpd.monitor.reactor import Reactor

_CHUNK = 4096
_LONGEST = 1 << 16
_DEFAULT_STEP = 0


class Qtest:
    """Answers one client after the other, a line for a line."""

    def __init__(self, reactor: Reactor, chardev: Chardev) -> None:
        self._reactor = reactor
        self._chardev = chardev
        self._client: tuple[int, int] | None = None
        self._rest = b""
        self._clock = 0

    def start(self) -> None:
        """Serve the client that is there, or wait for one."""
        client = self._chardev.take_client()
        if client is not None:
            self._serve(client)
        elif self._chardev.listening >= 0:
            self._reactor.add_reader(self._chardev.listening, self._accept)

    def close(self) -> None:
        """Let the client and the channel go."""
        self._drop()
        if self._chardev.listening >= 0:
            self._reactor.remove_reader(self._chardev.listening)
        self._chardev.close()

    def _accept(self) -> None:
        client = self._chardev.accept()
        if client is not None:
            self._reactor.remove_reader(self._chardev.listening)
            self._serve(client)

    def _serve(self, client: tuple[int, int]) -> None:
        self._client, self._rest = client, b""
        os.set_blocking(client[0], False)
        self._reactor.add_reader(client[0], self._readable)

    def _readable(self) -> None:
        if self._client is None:
            return
        try:
            data = os.read(self._client[0], _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, self._rest = (self._rest + data).split(b"\n")
        replies = b"".join(self._answer(line) for line in lines)
        if not data or len(self._rest) > _LONGEST or not self._write(replies):
            self._hang_up()

    def _answer(self, line: bytes) -> bytes:
        words = line.decode(errors="replace").split()
        if not words:
            return b""
        if words[0] in {"clock_step", "clock_set"}:
            number = words[1] if len(words) > 1 else str(_DEFAULT_STEP)
            try:
                value = int(number, 0)
            except ValueError:
                return b"FAIL Malformed number\n"
            self._clock = value if words[0] == "clock_set" else self._clock + value
            return f"OK {self._clock}\n".encode()
        return f"FAIL Unknown command '{words[0]}'\n".encode()

    def _write(self, data: bytes) -> bool:
        try:
            return self._client is None or os.write(self._client[1], data) == len(data)
        except OSError:
            return False

    def _hang_up(self) -> None:
        self._drop()
        if self._chardev.listening >= 0:
            self._reactor.add_reader(self._chardev.listening, self._accept)

    def _drop(self) -> None:
        if self._client is None:
            return
        client, self._client = self._client, None
        self._reactor.remove_reader(client[0])
        for fd in set(client):
            self._reactor.close_fd(fd)
