"""Making a range of a file read as zeros without writing them."""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 0x01, 0x02, 0x10
_UNABLE = frozenset((errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL))

_call: Callable[[int, int, int, int], int] | None = None


def make(fd: int, offset: int, length: int, *, unmap: bool) -> bool:
    """Let the file system make a range zero; False if it cannot.

    Args:
        fd: of the file.
        offset: where the range starts.
        length: how long it is.
        unmap: whether the space may be given back; otherwise it stays reserved.

    Raises:
        OSError: it could, but failed.
    """
    if not unmap and offset >= os.fstat(fd).st_size:
        os.posix_fallocate(fd, offset, length)
        return True
    if unmap and _fallocate(fd, PUNCH_HOLE | KEEP_SIZE, offset, length):
        return True
    return _fallocate(fd, ZERO_RANGE, offset, length)


def _fallocate(fd: int, mode: int, offset: int, length: int) -> bool:
    import ctypes

    if _load()(fd, mode, offset, length) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNABLE:
        return False
    raise OSError(code, os.strerror(code))


def _load() -> Callable[[int, int, int, int], int]:
    global _call  # noqa: PLW0603 - found once, and only if somebody needs it
    if _call is None:
        import ctypes

        function = ctypes.CDLL(None, use_errno=True).fallocate
        function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        _call = function
    return _call
