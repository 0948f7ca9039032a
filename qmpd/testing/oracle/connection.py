"""One client connection to a monitor: lines of bytes, exactly as they came."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_CHUNK = 1 << 16


class Connection:
    """A blocking connection that hands out whole lines, terminators included.

    Args:
        path: the monitor's Unix socket.

    Raises:
        FileNotFoundError, ConnectionRefusedError: nobody listens there (yet).
    """

    def __init__(self, path: Path) -> None:
        """Connect."""
        self._buffer = bytearray()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def read_line(self, timeout: float) -> bytes | None:
        """Return the next line with its terminator, or None when the server has closed.

        Bytes before a close that lack a terminator come as a last, unterminated line.

        Args:
            timeout: seconds to wait for the end of the line.

        Raises:
            TimeoutError: it did not come in time; what came of it is kept for the next call.
        """
        self._socket.settimeout(timeout)
        while (end := self._buffer.find(b"\n")) < 0:
            try:
                data = self._socket.recv(_CHUNK)
            except ConnectionResetError:
                data = b""
            if not data:
                rest = bytes(self._buffer)
                self._buffer.clear()
                return rest or None
            self._buffer += data
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        return line

    def is_silent(self, seconds: float) -> bool:
        """Whether nothing arrives for so many seconds."""
        if self._buffer:
            return False
        self._socket.settimeout(seconds)
        try:
            data = self._socket.recv(_CHUNK)
        except TimeoutError:
            return True
        self._buffer += data
        return False

    def shutdown_write(self) -> None:
        """Half-close: tell the server that nothing more will be sent."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the connection; may be called twice."""
        self._socket.close()
