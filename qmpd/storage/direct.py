"""Files that are open with O_DIRECT: past the cache, in whole blocks, from aligned memory."""

from __future__ import annotations

import errno
import mmap
import os

_BLOCK = 4096
"""What is aligned to this suits every file system."""
_TRIED = 512, 1024, 2048


def alignment(fd: int) -> int:
    """To what requests have to be aligned, as trying it out tells (observed on QEMU 7.2).

    A descriptor that can read a single byte tells nothing, and is not trusted.
    """
    with mmap.mmap(-1, _BLOCK) as buffer, memoryview(buffer) as view:
        for size in (1, *_TRIED):
            if _can_read(fd, view[:size]):
                return size if size > 1 else _BLOCK
    return _BLOCK


def _can_read(fd: int, buffer: memoryview) -> bool:
    with buffer:
        try:
            os.preadv(fd, [buffer], 0)
        except OSError as error:
            return error.errno != errno.EINVAL
    return True


def read(fd: int, offset: int, length: int) -> bytes:
    """Read up to ``length`` bytes; fewer are what is left of the file."""
    if not length:
        return b""
    start = offset & -_BLOCK
    end = (offset + length + _BLOCK - 1) & -_BLOCK
    with mmap.mmap(-1, end - start) as buffer:
        got = os.preadv(fd, [buffer], start)
        return buffer[offset - start : min(got, offset - start + length)]


def write(fd: int, offset: int, data: bytes | memoryview) -> None:
    """Write all of ``data``, with what stands around it in its blocks; a file ends where it ends."""
    length = len(data)
    start = offset & -_BLOCK
    end = (offset + length + _BLOCK - 1) & -_BLOCK
    size = os.fstat(fd).st_size
    with mmap.mmap(-1, end - start) as buffer:
        if start != offset or end != offset + length:
            os.preadv(fd, [buffer], start)
        buffer[offset - start : offset - start + length] = bytes(data)
        done = 0
        with memoryview(buffer) as view:
            while done < end - start:
                done += os.pwritev(fd, [view[done:]], start + done)
    if end > max(size, offset + length):
        os.ftruncate(fd, max(size, offset + length))
