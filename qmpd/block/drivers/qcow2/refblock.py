"""Refcount blocks in memory: one array item a cluster, whatever the width on disk."""

from __future__ import annotations

import sys
from array import array

_TYPECODES = {3: "B", 4: "H", 5: "I", 6: "Q"}
_SWAP = sys.byteorder == "little"


def _unpacked(order: int) -> list[bytes]:
    """What each byte of the file stands for, below 8 bits: lowest bits come first."""
    bits, mask = 1 << order, (1 << (1 << order)) - 1
    return [bytes(byte >> shift & mask for shift in range(0, 8, bits)) for byte in range(256)]


class BlockCodec:
    """Translates refcount blocks of width ``1 << order`` bits (orders 0..6)."""

    __slots__ = ("_order", "_pack", "_typecode", "_unpack", "entries", "maximum", "memory")

    def __init__(self, order: int, cluster_size: int) -> None:
        self._order = order
        self._typecode = _TYPECODES.get(order, "B")
        self.entries = cluster_size * 8 >> order
        self.maximum = (1 << (1 << order)) - 1
        self.memory = self.entries * array(self._typecode).itemsize
        self._unpack = _unpacked(order) if order < 3 else []
        self._pack = {packed: byte for byte, packed in enumerate(self._unpack)}

    def fill(self, value: int, count: int) -> array[int]:
        """``count`` items of ``value``."""
        return array(self._typecode, [value]) * count

    def decode(self, data: bytes) -> array[int]:
        """A block of the file as an array of refcounts."""
        if self._unpack:
            head = data.rstrip(b"\0")
            block = array("B", b"".join([self._unpack[byte] for byte in head]))
            block.frombytes(bytes(self.entries - len(block)))
            return block
        block = array(self._typecode, data)
        if _SWAP:
            block.byteswap()
        return block

    def encode(self, block: array[int]) -> bytes:
        """The inverse of ``decode``."""
        if self._unpack:
            per_byte = 8 >> self._order
            raw = block.tobytes()
            used = -(-len(raw.rstrip(b"\0")) // per_byte) * per_byte
            pack = self._pack
            head = bytes([pack[raw[i : i + per_byte]] for i in range(0, used, per_byte)])
            return head.ljust(self.entries // per_byte, b"\0")
        if not _SWAP:
            return block.tobytes()
        swapped = block[:]
        swapped.byteswap()
        return swapped.tobytes()
