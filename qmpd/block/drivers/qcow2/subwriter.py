"""Writing to clusters with subclusters (qcow2 spec, "Extended L2 Entries").

The second word of an entry says of each of 32 subclusters whether it is allocated or reads as
zeros. A write allocates whole clusters, but copies only what the touched subclusters lack
(which that is was found out by comparing files with QEMU 7.2).
"""

from __future__ import annotations

from qmpd.block.drivers.qcow2 import wording
from qmpd.block.drivers.qcow2.tables import (
    COMPRESSED_FLAG,
    COPIED,
    OFFSET_MASK,
    in_place,
    run_length,
)
from qmpd.block.drivers.qcow2.types import Allocation, ImageCorruptError
from qmpd.block.drivers.qcow2.writer import Writer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array

_COUNT = 32
_ALL_ZEROES = 0xFFFFFFFF << _COUNT
_ALL_ALLOCATED = 0xFFFFFFFF


def _bits(first: int, last: int) -> int:
    """One bit for each subcluster from ``first`` to before ``last``."""
    return (1 << last) - (1 << first)


class SubclusterWriter(Writer):
    """A writer for images with extended L2 entries."""

    __slots__ = ()

    words = 2

    @property
    def _sub_bits(self) -> int:
        return self._mapping.cluster_bits - 5

    def _kept(
        self,
        offset: int,
        length: int,
        want: int | None,
        allocations: list[Allocation],
    ) -> tuple[int, int] | None:
        table, index, end = self._locate(offset, length)
        entries = table[2 * index : 2 * end : 2]
        if not in_place(entries[0]):
            return None
        bits = self._mapping.cluster_bits
        inside = offset & ((1 << bits) - 1)
        first = entries[0] & OFFSET_MASK
        if first & ((1 << bits) - 1):
            sentence = wording.write_unaligned(first, offset, zero=False)
            raise ImageCorruptError(sentence, fatal=True)
        if want is not None and want != first + inside:
            return 0, 0
        count = run_length(entries, 0, end - index, 1 << bits)
        taken = min(length, (count << bits) - inside)
        if not self._all_allocated(table, index, inside, taken):
            guest = offset - inside
            allocations.append(Allocation(guest, first, count << bits, keep=True))
        return first + inside, taken

    def _all_allocated(self, table: array[int], index: int, inside: int, length: int) -> bool:
        """Whether a write touches no subcluster but those that are allocated."""
        first, last = inside >> self._sub_bits, (inside + length - 1) >> self._sub_bits
        for cluster in range(last // _COUNT + 1):
            low = max(first - cluster * _COUNT, 0)
            high = min(last + 1 - cluster * _COUNT, _COUNT)
            wanted = _bits(low, high)
            if table[2 * (index + cluster) + 1] & wanted != wanted:
                return False
        return True

    def _count_new(self, table: array[int], index: int, end: int) -> int:
        position = index
        while position < end and not in_place(table[2 * position]):
            position += 1
        return position - index

    def _set_borders(self, allocations: list[Allocation], start: int, end: int) -> None:
        for allocation in allocations:
            first, last = allocation.guest_offset, allocation.guest_offset + allocation.length
            allocation.head, allocation.tail = (first, 0), (last, 0)
            if start > first:
                begin = first + self._copied_from(allocation, start - first)
                allocation.head = (begin, start - begin)
            if end < last:
                cluster = (end - 1 - first) >> self._mapping.cluster_bits
                border = first + (cluster << self._mapping.cluster_bits)
                stop = border + self._copied_to(allocation, border, end - border)
                allocation.tail = (end, stop - end)

    def _entry(self, guest: int) -> tuple[int, int]:
        """Both words of the entry for the cluster at a guest offset, as it is at present."""
        mapping = self._mapping
        l1_index, within = divmod(guest, mapping.table_span)
        table = mapping.cache.get(self.writable_table(l1_index))
        index = within >> mapping.cluster_bits
        return table[2 * index], table[2 * index + 1]

    def _copied_from(self, allocation: Allocation, inside: int) -> int:
        """From which byte of its cluster on a write that starts at ``inside`` has to copy."""
        entry, bitmap = self._entry(allocation.guest_offset)
        sub = inside >> self._sub_bits
        if allocation.keep:
            return inside if bitmap >> sub & 1 else sub << self._sub_bits
        if entry & COMPRESSED_FLAG:
            return 0
        allocated = bitmap & _ALL_ALLOCATED
        if entry & OFFSET_MASK and allocated:
            sub = min(sub, (allocated & -allocated).bit_length() - 1)
        return sub << self._sub_bits

    def _copied_to(self, allocation: Allocation, guest: int, inside: int) -> int:
        """Up to which byte of its cluster a write that ends at ``inside`` has to copy."""
        entry, bitmap = self._entry(guest)
        sub = (inside - 1) >> self._sub_bits
        if allocation.keep and bitmap >> sub & 1:
            return inside
        if not allocation.keep and entry & COMPRESSED_FLAG:
            return 1 << self._mapping.cluster_bits
        if not allocation.keep and entry & OFFSET_MASK:
            sub = max(sub, (bitmap & _ALL_ALLOCATED).bit_length() - 1)
        return (sub + 1) << self._sub_bits

    def _link(self, allocation: Allocation) -> None:
        mapping = self._mapping
        bits = mapping.cluster_bits
        l1_index, within = divmod(allocation.guest_offset, mapping.table_span)
        l2_offset = self.writable_table(l1_index)
        index, count = within >> bits, allocation.length >> bits
        if self._before_link():
            mapping.cache.depend_on(self._refcounts.cache)
        mapping.cache.needs_data_flush = True
        table = mapping.cache.get(l2_offset)
        old = table[2 * index : 2 * (index + count) : 2]
        first = allocation.head[0] - allocation.guest_offset >> self._sub_bits
        tail, length = allocation.tail
        last = (tail + length - 1 - allocation.guest_offset) >> self._sub_bits
        for number in range(count):
            at = 2 * (index + number)
            low = max(first - number * _COUNT, 0)
            high = min(last + 1 - number * _COUNT, _COUNT)
            if low >= _COUNT or high <= 0:
                continue
            written = _bits(low, high)
            bitmap = 0 if old[number] & COMPRESSED_FLAG else table[at + 1]
            table[at] = (allocation.host_offset + (number << bits)) | COPIED
            table[at + 1] = (bitmap | written) & ~(written << _COUNT)
        mapping.cache.mark_dirty(l2_offset)
        if not allocation.keep and any(old):
            self.release(old)

    def zero_clusters(
        self, start: int, end: int, *, unmap: bool = False, flag: bool = True
    ) -> None:
        """Let whole subclusters from guest byte ``start`` to ``end`` read as zeros.

        Without ``flag`` whole clusters are forgotten.
        """
        size = 1 << self._mapping.cluster_bits
        while start < end:
            border = min(end, start // size * size + size)
            self._zero(start, border - start, unmap=unmap, flag=flag)
            start = border

    def _zero(self, start: int, length: int, *, unmap: bool, flag: bool) -> None:
        """The same within one cluster."""
        mapping = self._mapping
        l1_index, within = divmod(start, mapping.table_span)
        l2_offset = self.writable_table(l1_index)
        at = 2 * (within >> mapping.cluster_bits)
        if self._before_link():
            mapping.cache.depend_on(self._refcounts.cache)
        table = mapping.cache.get(l2_offset)
        old = table[at : at + 1]
        if length == 1 << mapping.cluster_bits:
            drop = unmap or bool(old[0] & COMPRESSED_FLAG)
            table[at], table[at + 1] = 0 if drop else old[0], _ALL_ZEROES if flag else 0
        else:
            drop = False
            first = (start & ((1 << mapping.cluster_bits) - 1)) >> self._sub_bits
            zeroed = _bits(first, first + (length >> self._sub_bits))
            table[at + 1] = (table[at + 1] & ~zeroed) | zeroed << _COUNT
        mapping.cache.mark_dirty(l2_offset)
        if drop:
            self.release(old)
