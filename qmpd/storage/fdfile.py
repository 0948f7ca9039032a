"""A descriptor as the byte storage of an image that is being made."""

from __future__ import annotations

import os


class FdFile:
    """Reads and writes at offsets; every method raises OSError. The descriptor is the caller's."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def pread(self, offset: int, length: int) -> bytes:
        """``length`` bytes, zeros beyond the end."""
        data = os.pread(self._fd, length, offset)
        return data + bytes(length - len(data))

    def event(self, name: str) -> None:
        """Nobody listens."""

    def pwrite(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of ``data``."""
        done = 0
        while done < len(data):
            done += os.pwrite(self._fd, data[done:], offset + done)

    def size(self) -> int:
        """Bytes in the file."""
        return os.fstat(self._fd).st_size

    def truncate(self, size: int) -> None:
        """Make the file ``size`` bytes long."""
        os.ftruncate(self._fd, size)

    def clear(self, offset: int, length: int) -> bool:
        """Zeros are written here."""
        del offset, length
        return False

    def discard(self, offset: int, length: int) -> None:
        """Nothing is freed in a new image."""

    def flush(self) -> None:
        """Wait for the disk; RAM is as durable as it gets."""
        os.fdatasync(self._fd)
