"""Which of several unknown members QEMU names: the first that its hash table yields.

QEMU keeps the members that were not visited yet in one of GLib's hash tables and takes
the first entry when it looks for leftovers. The order is deterministic, so a double that
wants the same sentence walks the same table: string hash of GLib ("g_str_hash"), open
addressing with growing steps, prime moduli (observed with GLib 2.74).
"""

from __future__ import annotations

from qmpd.protocol.encoder import to_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_MIN_SHIFT = 3
_PRIMES = (1, 2, 3, 7, 13, 31, 61, 127, 251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521)
_UNUSED, _TOMBSTONE = 0, 1


def _string_hash(key: str) -> int:
    value = 5381
    for byte in to_bytes(key):
        value = value * 33 + (byte - 256 if byte > 127 else byte)
    value &= 0xFFFFFFFF
    return value if value > _TOMBSTONE else 2


class _Table:
    __slots__ = ("hashes", "keys", "live", "occupied", "shift")

    def __init__(self) -> None:
        self.shift = _MIN_SHIFT
        self.hashes = [_UNUSED] * (1 << self.shift)
        self.keys = [""] * (1 << self.shift)
        self.live = self.occupied = 0

    def _find(self, key: str, hashed: int) -> int:
        mask = (1 << self.shift) - 1
        at = hashed * 11 % (1 << 32) % _PRIMES[self.shift]
        step, tombstone = 0, -1
        while self.hashes[at] != _UNUSED:
            if self.hashes[at] == hashed and self.keys[at] == key:
                return at
            if self.hashes[at] == _TOMBSTONE and tombstone < 0:
                tombstone = at
            step += 1
            at = (at + step) & mask
        return tombstone if tombstone >= 0 else at

    def add(self, key: str) -> None:
        hashed = _string_hash(key)
        at = self._find(key, hashed)
        self.occupied += self.hashes[at] == _UNUSED
        self.live += 1
        self.hashes[at], self.keys[at] = hashed, key
        self._maybe_resize()

    def remove(self, key: str) -> None:
        at = self._find(key, _string_hash(key))
        self.hashes[at] = _TOMBSTONE
        self.live -= 1
        self._maybe_resize()

    def _maybe_resize(self) -> None:
        size = 1 << self.shift
        too_big = size > self.live * 4 and size > 1 << _MIN_SHIFT
        if too_big or size <= self.occupied + self.occupied // 16:
            self._resize(max(int(self.live * 1.333).bit_length(), _MIN_SHIFT))

    def _resize(self, shift: int) -> None:
        """Rehash in place: an entry that lands on another's old place carries on with that one."""
        old, self.shift = 1 << self.shift, shift
        room = max(old, 1 << shift)
        self.hashes += [_UNUSED] * (room - old)
        self.keys += [""] * (room - old)
        placed = [False] * room
        for i in range(old):
            if placed[i]:
                continue
            hashed, self.hashes[i] = self.hashes[i], _UNUSED
            key = self.keys[i]
            while hashed > _TOMBSTONE:
                at = hashed * 11 % (1 << 32) % _PRIMES[shift]
                step = 0
                while placed[at]:
                    step += 1
                    at = (at + step) & ((1 << shift) - 1)
                placed[at] = True
                hashed, self.hashes[at] = self.hashes[at], hashed
                key, self.keys[at] = self.keys[at], key
        del self.hashes[1 << shift :], self.keys[1 << shift :]
        self.occupied = self.live


def first_left(inserted: Iterable[str], visited: Iterable[str]) -> str:
    """Return the name that is found first when ``visited`` are removed from ``inserted``."""
    table = _Table()
    for key in inserted:
        table.add(key)
    for key in visited:
        table.remove(key)
    return next(
        key for key, hashed in zip(table.keys, table.hashes, strict=True) if hashed > _TOMBSTONE
    )
