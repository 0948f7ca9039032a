"""Entries and runs of L1 and L2 tables (qcow2 spec, "Cluster mapping")."""

from __future__ import annotations

import sys
from array import array

from qmpd.block.drivers.qcow2.types import COMPRESSED, DATA, UNALLOCATED, ZERO

OFFSET_MASK = 0x00FFFFFFFFFFFE00
COPIED = 1 << 63
COMPRESSED_FLAG = 1 << 62
ZERO_FLAG = 1

_WIDEST = 1 << 14
_SWAP = sys.byteorder == "little"


def decode_table(data: bytes) -> array[int]:
    """Big-endian 64-bit words of the file as an array."""
    table = array("Q", data)
    if _SWAP:
        table.byteswap()
    return table


def encode_table(table: array[int]) -> bytes:
    """The inverse of ``decode_table``."""
    if not _SWAP:
        return table.tobytes()
    swapped = table[:]
    swapped.byteswap()
    return swapped.tobytes()


def zeros(count: int) -> array[int]:
    """A table of ``count`` zero words."""
    return array("Q", bytes(count * 8))


def kind_of(entry: int) -> int:
    """How the cluster of a plain (not extended) L2 entry is served."""
    if entry & COMPRESSED_FLAG:
        return COMPRESSED
    if entry & ZERO_FLAG:
        return ZERO
    return DATA if entry & OFFSET_MASK else UNALLOCATED


def in_place(entry: int) -> bool:
    """Whether a write may reuse the entry's host cluster: it is ours alone."""
    if entry & COMPRESSED_FLAG or not entry & COPIED:
        return False
    return bool(entry & OFFSET_MASK)


def progression(first: int, count: int, step: int) -> array[int]:
    """``count`` words from ``first`` in steps of ``step`` (0: all alike)."""
    if step == 0:
        return array("Q", [first]) * count
    return array("Q", range(first, first + count * step, step))


def run_length(table: array[int], start: int, end: int, step: int) -> int:
    """How many words from ``start`` (before ``end``) continue the progression by ``step``."""
    first = table[start]
    count, width, total = 1, 8, end - start
    while count < total:
        take = min(width, total - count)
        want = progression(first + count * step, take, step)
        at = start + count
        if table[at : at + take] != want:
            return count + _common_prefix(table[at : at + take], want)
        count += take
        width = min(width * 8, _WIDEST)
    return count


def _common_prefix(left: array[int], right: array[int]) -> int:
    low, high = 0, len(left)
    while high - low > 1:
        middle = (low + high) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle
    return low if left[low] != right[low] else low + 1


def compressed_range(entry: int, cluster_bits: int) -> tuple[int, int]:
    """File offset and length in bytes of a compressed cluster's sectors."""
    shift = 62 - (cluster_bits - 8)
    offset = entry & ((1 << shift) - 1)
    sectors = (entry >> shift & ((1 << cluster_bits - 8) - 1)) + 1
    return offset, sectors * 512 - offset % 512


def compressed_entry(offset: int, length: int, cluster_bits: int) -> int:
    """The entry of a cluster of ``length`` compressed bytes at ``offset``."""
    sectors = (offset + length - 1) // 512 - offset // 512
    return COMPRESSED_FLAG | sectors << (62 - (cluster_bits - 8)) | offset


def any_within(tables: set[int], start: int, end: int, size: int) -> bool:
    """Whether one of the ``tables`` (file offsets, ``size`` bytes each) touches the range."""
    first = start // size * size
    if (end - first) // size < len(tables):
        return any(offset in tables for offset in range(first, end, size))
    return any(first <= offset < end for offset in tables)
