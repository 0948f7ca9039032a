"""The image locking protocol: open-file-description locks on single bytes.

Byte ``100 + i`` locked means "somebody uses permission *i*", byte ``200 + i`` means
"somebody does not share permission *i*". Locks are always taken shared; a conflict is
found by asking whether an exclusive lock could be had (observed on QEMU 7.2).
"""

from __future__ import annotations

import fcntl
import struct

PERMISSION_BASE = 100
UNSHARED_BASE = 200
BITS = 4

_FLOCK = struct.Struct("hhqqi4x")
_pack = _FLOCK.pack
_fcntl = fcntl.fcntl
_TEMPLATES = {
    (kind, byte): _pack(kind, 0, byte, 1, 0)
    for kind in (fcntl.F_RDLCK, fcntl.F_WRLCK)
    for base in (PERMISSION_BASE, UNSHARED_BASE)
    for byte in range(base, base + BITS)
}
_SPAN = UNSHARED_BASE + BITS - PERMISSION_BASE
"""From the first to the last byte of the protocol, and what lies between, which nobody locks."""
_READ, _UNLOCK, _WRITE = fcntl.F_RDLCK, fcntl.F_UNLCK, fcntl.F_WRLCK
_SET, _GET = fcntl.F_OFD_SETLK, fcntl.F_OFD_GETLK


class LockError(OSError):
    """A byte could not be locked; ``byte`` says which."""

    def __init__(self, number: int, text: str, byte: int) -> None:
        super().__init__(number, text)
        self.byte = byte


def byte_set(used: int, unshared: int) -> int:
    """Fold both bit sets into one mask: used permissions low, unshared ones high."""
    return (used & 15) | ((unshared & 15) << BITS)


def _byte_of(bit: int) -> int:
    return PERMISSION_BASE + bit if bit < BITS else UNSHARED_BASE + bit - BITS


def numbers(mask: int) -> list[int]:
    """The bytes of a mask, as offsets in the file."""
    return [_byte_of(bit) for bit in range(2 * BITS) if mask >> bit & 1]


_known_runs: dict[tuple[int, int], list[bytes]] = {}


def _runs(kind: int, mask: int) -> list[bytes]:
    """What locks or unlocks a mask: one request for all bytes side by side."""
    known = _known_runs.get((kind, mask))
    if known is None:
        runs: list[tuple[int, int]] = []
        for byte in numbers(mask):
            if runs and byte == sum(runs[-1]):
                runs[-1] = runs[-1][0], runs[-1][1] + 1
            else:
                runs.append((byte, 1))
        known = [_pack(kind, 0, *run, 0) for run in runs]
        _known_runs[kind, mask] = known
    return known


_ANY = _pack(_WRITE, 0, PERMISSION_BASE, _SPAN, 0)


def take(fd: int, mask: int) -> None:
    """Lock the bytes of ``mask`` on ``fd``.

    Raises:
        LockError: a byte could not be locked; it is the first of them, and the earlier ones
            stay locked.
    """
    try:
        for run in _runs(_READ, mask):
            _fcntl(fd, _SET, run)
    except OSError:
        _take_bytes(fd, mask)  # which finds out which one it is


def _take_bytes(fd: int, mask: int) -> None:
    for bit in range(2 * BITS):
        if mask >> bit & 1:
            byte = _byte_of(bit)
            try:
                _fcntl(fd, _SET, _TEMPLATES[_READ, byte])
            except OSError as error:
                raise LockError(error.errno or 0, error.strerror or "", byte) from error


def release(fd: int, mask: int) -> None:
    """Unlock the bytes of ``mask`` on ``fd``."""
    for run in _runs(_UNLOCK, mask):
        _fcntl(fd, _SET, run)


def conflict(fd: int, used: int, unshared: int) -> tuple[str, int] | None:
    """Find the first foreign lock that forbids using or not sharing something.

    Returns:
        ``("used", bit)`` when a needed permission is not shared by somebody,
        ``("shared", bit)`` when a permission that is not to be shared is in use.
    """
    if not _is_foreign(fd, _ANY):
        return None  # nobody else has any lock at all
    for bit in range(BITS):
        if used >> bit & 1 and _is_locked(fd, UNSHARED_BASE + bit):
            return "used", bit
    for bit in range(BITS):
        if unshared >> bit & 1 and _is_locked(fd, PERMISSION_BASE + bit):
            return "shared", bit
    return None


def _is_locked(fd: int, byte: int) -> bool:
    return _is_foreign(fd, _TEMPLATES[_WRITE, byte])


def _is_foreign(fd: int, lock: bytes) -> bool:
    reply = _fcntl(fd, _GET, lock)
    return bool(_FLOCK.unpack(reply)[0] != _UNLOCK)
