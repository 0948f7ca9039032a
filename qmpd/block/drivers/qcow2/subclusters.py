"""Extended L2 entries: 32 subclusters a cluster (qcow2 spec, "Extended L2 Entries")."""

from __future__ import annotations

from qmpd.block.drivers.qcow2.tables import COMPRESSED_FLAG, OFFSET_MASK
from qmpd.block.drivers.qcow2.types import COMPRESSED, DATA, UNALLOCATED, ZERO, Extent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array


INVALID = -1
"""A subcluster that is both zero and allocated, or allocated nowhere."""


def _state(entry: int, bitmap: int, subcluster: int) -> int:
    if entry & COMPRESSED_FLAG:
        return COMPRESSED
    allocated = bitmap >> subcluster & 1
    if allocated and (bitmap >> 32 >> subcluster & 1 or not entry & OFFSET_MASK):
        return INVALID
    if bitmap >> 32 >> subcluster & 1:
        return ZERO
    return DATA if allocated else UNALLOCATED


def subcluster_run(table: array[int], cluster_bits: int, within: int, length: int) -> Extent:
    """The extent at byte ``within`` of the table's span: up to the end of one cluster."""
    index, inside = divmod(within, 1 << cluster_bits)
    length = min(length, (1 << cluster_bits) - inside)
    entry, bitmap = table[2 * index], table[2 * index + 1]
    bits = cluster_bits - 5
    first = inside >> bits
    kind = _state(entry, bitmap, first)
    last = first + 1
    while last < 32 and _state(entry, bitmap, last) == kind:
        last += 1
    length = min(length, (last << bits) - inside)
    host = entry & OFFSET_MASK
    if kind in {COMPRESSED, UNALLOCATED, INVALID} or not host:
        return Extent(kind, length)
    return Extent(kind, length, host + inside)
