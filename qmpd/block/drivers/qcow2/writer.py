"""Allocating writes: prepare host clusters, copy on write, link (QEMU's layout and order)."""

from __future__ import annotations

from array import array
from errno import EIO

from qmpd.block.drivers.qcow2 import wording
from qmpd.block.drivers.qcow2.tables import (
    COMPRESSED_FLAG,
    COPIED,
    OFFSET_MASK,
    ZERO_FLAG,
    compressed_entry,
    compressed_range,
    in_place,
    progression,
    run_length,
    zeros,
)
from qmpd.block.drivers.qcow2.types import Allocation, ImageCorruptError, WriteSegment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmpd.block.drivers.qcow2.mapping import Mapping
    from qmpd.block.drivers.qcow2.refcounts import Refcounts
    from qmpd.block.drivers.qcow2.types import ByteFile, CowRead, KnownZero

_LARGEST_SLICE = 1 << 16
_LARGEST_REQUEST = (1 << 31) - 512


class Writer:
    """Turns guest writes into runs of host bytes, and links them when the data is there.

    ``known_zero`` says what of the guest's view needs no copy. ``before_link`` is called
    before clusters are linked; it returns whether refcounts have to be on disk before the
    entries (not so while the image is marked dirty).
    """

    __slots__ = ("_before_link", "_file", "_known_zero", "_mapping", "_refcounts", "_slice")

    words = 1
    """How many words an entry of an L2 table has."""

    def __init__(
        self,
        file: ByteFile,
        mapping: Mapping,
        refcounts: Refcounts,
        before_link: Callable[[], bool],
        known_zero: KnownZero,
    ) -> None:
        self._file = file
        self._mapping = mapping
        self._refcounts = refcounts
        self._before_link = before_link
        self._known_zero = known_zero
        # QEMU looks at an L2 table in slices, and no allocation crosses their borders.
        self._slice = min(_LARGEST_SLICE, 1 << mapping.cluster_bits) // (8 * self.words)

    def prepare(self, offset: int, length: int, cow_read: CowRead) -> list[WriteSegment]:
        """Host runs for a write, allocated but not linked; undone if an allocation fails."""
        segments: list[WriteSegment] = []
        position, end = offset, offset + length
        try:
            while position < end:
                segment = self._segment(position, end - position, cow_read)
                segments.append(segment)
                position += segment.length
        except OSError:
            self.abort(segments)
            raise
        return segments

    def clear(self, segments: list[WriteSegment]) -> None:
        """Spare copying what reads as zeros: the whole range is made so before it is written.

        The end of an allocation is not spared without its beginning (observed on QEMU 7.2).
        """
        for segment in segments:
            for allocation in segment.allocations:
                (first, before), (rest, after) = allocation.head, allocation.tail
                if (before or after) and all(
                    not length or self._known_zero(offset, length)
                    for offset, length in (allocation.head, allocation.tail)
                ):
                    self._file.event("cluster_alloc_space")
                    host = allocation.host_offset + first - allocation.guest_offset
                    allocation.cleared = self._file.clear(host, rest + after - first)

    def commit(self, segments: list[WriteSegment]) -> None:
        """Copy what the segments' clusters keep of their old contents, then link them."""
        for segment in segments:
            for allocation in segment.allocations:
                self._copy(allocation, segment.cow_read)
        for segment in segments:
            for allocation in segment.allocations:
                self._link(allocation)

    def abort(self, segments: list[WriteSegment]) -> None:
        """Give back what ``prepare`` took."""
        for segment in segments:
            for allocation in segment.allocations:
                if not allocation.keep:
                    self._refcounts.free(allocation.host_offset, allocation.length)

    # Preparing

    def _segment(self, offset: int, length: int, cow_read: CowRead) -> WriteSegment:
        """The longest run of host bytes for a write that starts at ``offset``."""
        allocations: list[Allocation] = []
        position, end = offset, offset + length
        host: int | None = None
        while position < end:
            want = None if host is None else host + position - offset
            found = self._kept(position, end - position, want, allocations)
            if found is None:
                found = self._fresh(position, end - position, want, allocations)
            start, taken = found
            if taken == 0:
                break
            host = start if host is None else host
            position += taken
        if host is None:
            raise OSError(EIO, "Input/output error")
        self._set_borders(allocations, offset, position)
        return WriteSegment(offset, host, position - offset, allocations, cow_read)

    def _locate(self, offset: int, length: int) -> tuple[array[int], int, int]:
        """The L2 table of a write, writable, and the entries concerned within one slice."""
        mapping = self._mapping
        bits = mapping.cluster_bits
        l1_index, within = divmod(offset, mapping.table_span)
        table = mapping.cache.get(self.writable_table(l1_index))
        index = within >> bits
        length = min(length, _LARGEST_REQUEST)
        last = (within + length + (1 << bits) - 1) >> bits
        return table, index, min(last, (index // self._slice + 1) * self._slice)

    def _kept(
        self,
        offset: int,
        length: int,
        want: int | None,
        allocations: list[Allocation],
    ) -> tuple[int, int] | None:
        """Clusters that may be written where they are; None if the first is none of them."""
        mapping = self._mapping
        l1_index = offset // mapping.table_span
        if l1_index >= len(mapping.l1):
            raise OSError(EIO, "Input/output error")
        table, index, end = self._locate(offset, length)
        if not in_place(table[index]):
            return None
        bits = mapping.cluster_bits
        inside = offset & ((1 << bits) - 1)
        first = table[index] & OFFSET_MASK
        if first & ((1 << bits) - 1):
            zero = bool(table[index] & ZERO_FLAG)
            sentence = wording.write_unaligned(first, offset, zero=zero)
            raise ImageCorruptError(sentence, fatal=True)
        if want is not None and want != first + inside:
            return 0, 0
        position = index
        while position < end and in_place(table[position]):
            host = first + ((position - index) << bits)
            if table[position] & OFFSET_MASK != host:
                break
            count = run_length(table, position, end, 1 << bits)
            if table[position] & ZERO_FLAG:
                guest = l1_index * mapping.table_span + (position << bits)
                allocations.append(Allocation(guest, host, count << bits, keep=True))
            position += count
        return first + inside, min(length, ((position - index) << bits) - inside)

    def _fresh(
        self,
        offset: int,
        length: int,
        want: int | None,
        allocations: list[Allocation],
    ) -> tuple[int, int]:
        """Newly allocated clusters, continuing ``want`` if that is given."""
        bits = self._mapping.cluster_bits
        inside = offset & ((1 << bits) - 1)
        table, index, end = self._locate(offset, length)
        count = self._count_new(table, index, end)
        if want is None:
            host = self._refcounts.allocate(count)
        else:
            host = want - inside
            count = self._refcounts.allocate_at(host, count)
            if count == 0:
                return 0, 0
        allocations.append(Allocation(offset - inside, host, count << bits, keep=False))
        return host + inside, min(length, (count << bits) - inside)

    def _count_new(self, table: array[int], index: int, end: int) -> int:
        """How many clusters from ``index`` on cannot be written where they are."""
        position = index
        while position < end and not in_place(table[position]):
            entry = table[position]
            moving = entry & OFFSET_MASK and not entry & COMPRESSED_FLAG
            step = 1 << self._mapping.cluster_bits if moving else 0
            position += run_length(table, position, end, step)
        return position - index

    def _set_borders(self, allocations: list[Allocation], start: int, end: int) -> None:
        """What the write from ``start`` to ``end`` leaves out of its clusters has to be copied."""
        for allocation in allocations:
            first, last = allocation.guest_offset, allocation.guest_offset + allocation.length
            if start > first:
                allocation.head = (first, start - first)
            if end < last:
                allocation.tail = (end, last - end)

    def writable_table(self, l1_index: int) -> int:
        """Offset of an L2 table that is this L1 entry's alone: allocated or copied if not."""
        mapping, refcounts = self._mapping, self._refcounts
        old = mapping.l2_offset(l1_index)
        if mapping.l1[l1_index] & COPIED and old:
            return old
        new = refcounts.allocate(1)
        if new == 0:
            raise ImageCorruptError(wording.L2_TABLE_AT_ZERO, fatal=True, offset=0)
        try:
            refcounts.guard(new, 1 << mapping.cluster_bits)
            refcounts.cache.flush()
            words = 1 << mapping.cluster_bits - 3
            table = mapping.cache.get(old)[:] if old else zeros(words)
            mapping.cache.add(new, table)
            mapping.cache.flush()
            mapping.set_l1(l1_index, new | COPIED)
        except OSError:
            refcounts.free(new, 1)
            raise
        if old:
            refcounts.free(old, 1 << mapping.cluster_bits)
        return new

    def zero_clusters(
        self, start: int, end: int, *, unmap: bool = False, flag: bool = True
    ) -> None:
        """Let whole clusters from guest byte ``start`` to ``end`` read as zeros.

        With ``unmap`` what they had allocated is freed; compressed data always is. Without
        ``flag`` they are not marked as zeros but forgotten, which needs ``unmap``. Nothing is
        allocated, so that lazy refcounts have no reason to mark the image dirty.
        """
        mapping = self._mapping
        bits = mapping.cluster_bits
        while start < end:
            l1_index, within = divmod(start, mapping.table_span)
            l2_offset = self.writable_table(l1_index)
            stop = min(end, start + mapping.table_span - within)
            index, last = within >> bits, (within + stop - start + (1 << bits) - 1) >> bits
            table = mapping.cache.get(l2_offset)
            old = table[index:last]
            if unmap or not any(old):
                table[index:last] = progression(ZERO_FLAG if flag else 0, len(old), 0)
            else:
                for i, entry in enumerate(old, index):
                    table[i] = ZERO_FLAG | (0 if entry & COMPRESSED_FLAG else entry)
            mapping.cache.mark_dirty(l2_offset)
            self.release(
                old if unmap else array("Q", [entry for entry in old if entry & COMPRESSED_FLAG])
            )
            start = stop

    # Linking

    def _copy(self, allocation: Allocation, cow_read: CowRead) -> None:
        shift = allocation.host_offset - allocation.guest_offset
        for guest, length in (allocation.head, allocation.tail):
            if not length or allocation.cleared:
                continue
            self._file.event("cow_read")
            data = cow_read(guest, length)
            self._file.event("cow_write")
            self._file.pwrite(guest + shift, data)

    def _link(self, allocation: Allocation) -> None:
        mapping = self._mapping
        bits = mapping.cluster_bits
        l1_index, within = divmod(allocation.guest_offset, mapping.table_span)
        l2_offset = self.writable_table(l1_index)
        index, count = within >> bits, allocation.length >> bits
        cache = mapping.cache
        if self._before_link():
            cache.depend_on(self._refcounts.cache)
        cache.needs_data_flush = True
        table = cache.get(l2_offset)
        old = table[index : index + count]
        table[index : index + count] = progression(
            allocation.host_offset | COPIED, count, 1 << bits
        )
        cache.mark_dirty(l2_offset)
        if not allocation.keep and any(old):
            self.release(old)

    def put_compressed(self, offset: int, packed: bytes) -> None:
        """Let the cluster at guest byte ``offset`` be ``packed``.

        Raises:
            OSError: EIO, the cluster has a place of its own already (observed on QEMU 7.2).
        """
        mapping, cache = self._mapping, self._mapping.cache
        bits = mapping.cluster_bits
        l1_index, within = divmod(offset, mapping.table_span)
        l2_offset = self.writable_table(l1_index)
        index = within >> bits
        if cache.get(l2_offset)[index] & ~ZERO_FLAG:
            raise OSError(EIO, "Input/output error")
        host = self._refcounts.allocate_bytes(len(packed))
        self._file.event("write_compressed")
        self._file.pwrite(host, packed)
        if self._before_link():
            cache.depend_on(self._refcounts.cache)
        cache.needs_data_flush = True
        self._file.event("l2_update_compressed")
        cache.get(l2_offset)[index] = compressed_entry(host, len(packed), bits)
        cache.mark_dirty(l2_offset)

    def release(self, entries: array[int]) -> None:
        """Drop the references that (former, plain) L2 entries hold."""
        bits = self._mapping.cluster_bits
        for entry in entries:
            if entry & COMPRESSED_FLAG:
                self._refcounts.free(*compressed_range(entry, bits))
            elif entry & OFFSET_MASK and not entry & OFFSET_MASK & ((1 << bits) - 1):
                self._refcounts.free(entry & OFFSET_MASK, 1 << bits)
