"""Counting references and comparing them with the refcounts; repair of a dirty image."""

from __future__ import annotations

from array import array

from qmpd.block.drivers.qcow2.header import MAX_L1_BYTES
from qmpd.block.drivers.qcow2.snapshots import read_snapshots
from qmpd.block.drivers.qcow2.tables import (
    COMPRESSED_FLAG,
    COPIED,
    OFFSET_MASK,
    compressed_range,
    decode_table,
)
from qmpd.block.drivers.qcow2.types import ImageCorruptError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmpd.block.drivers.qcow2.header import Header
    from qmpd.block.drivers.qcow2.mapping import Mapping
    from qmpd.block.drivers.qcow2.refcounts import Refcounts
    from qmpd.block.drivers.qcow2.types import ByteFile


class Counts:
    """What a check found: clusters with too low and too high a refcount, wrong flags."""

    __slots__ = ("corruptions", "leaks")

    def __init__(self, corruptions: int = 0, leaks: int = 0) -> None:
        self.corruptions = corruptions
        self.leaks = leaks


class _References:
    """How often each host cluster is referred to; built by walking all of the metadata."""

    def __init__(
        self,
        file: ByteFile,
        header: Header,
        mapping: Mapping,
        refcounts: Refcounts,
    ) -> None:
        self._file = file
        self._header = header
        self._mapping = mapping
        self._refcounts = refcounts
        self._bits = header.cluster_bits
        self.clusters = -(-file.size() // header.cluster_size)
        self.counts = array("I", bytes(4 * self.clusters))
        self.beyond: dict[int, int] = {}
        self.bad_entries = 0
        self._walk()

    def add(self, offset: int, size: int) -> None:
        """One reference to every cluster that the bytes touch."""
        if size <= 0:
            return
        for index in range(offset >> self._bits, ((offset + size - 1) >> self._bits) + 1):
            if index < self.clusters:
                self.counts[index] += 1
            else:
                self.beyond[index] = self.beyond.get(index, 0) + 1

    def all(self) -> Iterator[tuple[int, int]]:
        """(cluster index, references) of every cluster of the file and those beyond it."""
        yield from enumerate(self.counts)
        yield from sorted(self.beyond.items())

    def _walk(self) -> None:
        header, file = self._header, self._file
        self.add(0, header.cluster_size)
        self._l1(self._mapping.l1, header.l1_offset)
        snapshots, table_size = read_snapshots(header, file)
        for snapshot in snapshots:
            if snapshot.l1_offset >= 1 << 56 or snapshot.l1_entries * 8 > MAX_L1_BYTES:
                self.bad_entries += 1
                continue
            data = file.pread(snapshot.l1_offset, snapshot.l1_entries * 8)
            self._l1(decode_table(data), snapshot.l1_offset)
        self.add(header.snapshots_offset, table_size)
        self.add(
            header.refcount_table_offset,
            header.refcount_table_clusters << self._bits,
        )
        if header.bitmaps is not None:
            self._bitmaps(header.bitmaps[2], header.bitmaps[1])
        for entry in self._refcounts.table:
            if entry:
                self._cluster(entry & ~0x1FF)

    def _cluster(self, offset: int) -> None:
        if offset & (self._header.cluster_size - 1):
            self.bad_entries += 1
        else:
            self.add(offset, self._header.cluster_size)

    def _l1(self, l1: array[int], offset: int) -> None:
        self.add(offset, len(l1) * 8)
        for entry in l1:
            l2_offset = entry & OFFSET_MASK
            if l2_offset == 0:
                continue
            self._cluster(l2_offset)
            if not l2_offset & (self._header.cluster_size - 1):
                self._l2(self._mapping.cache.get(l2_offset))

    def _l2(self, table: array[int]) -> None:
        entries = table[::2] if self._header.extended_l2 else table
        for entry in entries:
            if entry & COMPRESSED_FLAG:
                if entry & COPIED:
                    self.bad_entries += 1
                self.add(*compressed_range(entry, self._bits))
            elif entry & OFFSET_MASK:
                self._cluster(entry & OFFSET_MASK)

    def _bitmaps(self, offset: int, size: int) -> None:
        from qmpd.block.drivers.qcow2.bitmaps import read_directory

        self.add(offset, size)
        for bitmap in read_directory(self._file, self._header):
            if bitmap.table_offset >= 1 << 56 or bitmap.table_entries * 8 > MAX_L1_BYTES:
                self.bad_entries += 1
                continue
            self.add(bitmap.table_offset, bitmap.table_entries * 8)
            table = decode_table(self._file.pread(bitmap.table_offset, bitmap.table_entries * 8))
            for entry in table:
                if entry & OFFSET_MASK:
                    self._cluster(entry & OFFSET_MASK)


def check_image(file: ByteFile, header: Header, mapping: Mapping, refcounts: Refcounts) -> Counts:
    """Compare refcounts and COPIED flags with the references found; changes nothing."""
    references = _References(file, header, mapping, refcounts)
    counts = Counts(corruptions=references.bad_entries)
    for index, expected in references.all():
        actual = _refcount(refcounts, index)
        if actual is None or actual < expected:
            counts.corruptions += 1
        elif actual > expected:
            counts.leaks += 1
    counts.corruptions += sum(1 for _ in _wrong_flags(header, mapping, refcounts))
    return counts


def _refcount(refcounts: Refcounts, index: int) -> int | None:
    try:
        return refcounts.get(index)
    except ImageCorruptError:
        return None


def _wrong_flags(
    header: Header,
    mapping: Mapping,
    refcounts: Refcounts,
) -> Iterator[tuple[int, int | None, int]]:
    """(L1 index, L2 word or None for the L1 entry itself, right entry) of wrong COPIED flags."""
    bits = header.cluster_bits
    step = 2 if header.extended_l2 else 1
    for l1_index, l1_entry in enumerate(mapping.l1):
        l2_offset = l1_entry & OFFSET_MASK
        if l2_offset == 0 or l2_offset & (header.cluster_size - 1):
            continue
        right = _flagged(l1_entry, refcounts, bits)
        if right != l1_entry:
            yield l1_index, None, right
        for word, entry in enumerate(mapping.cache.get(l2_offset)[::step]):
            if entry & OFFSET_MASK and not entry & COMPRESSED_FLAG:
                right = _flagged(entry, refcounts, bits)
                if right != entry:
                    yield l1_index, word * step, right


def _flagged(entry: int, refcounts: Refcounts, bits: int) -> int:
    copied = _refcount(refcounts, (entry & OFFSET_MASK) >> bits) == 1
    return entry | COPIED if copied else entry & ~COPIED


def repair(file: ByteFile, header: Header, mapping: Mapping, refcounts: Refcounts) -> None:
    """Make refcounts and COPIED flags agree with the references, and write that back.

    For images whose refcount structure is sound but out of date (the dirty bit); raises
    ``OSError`` if it is not.
    """
    references = _References(file, header, mapping, refcounts)
    # New refcount blocks go behind everything that is referred to, counted or not.
    end = max(references.clusters, *references.beyond, 0) + 1
    refcounts.free_index = end
    for index, expected in references.all():
        refcounts.set(index, expected)
    for index in refcounts.used_from(references.clusters):
        if index < end and index not in references.beyond:
            refcounts.set(index, 0)
    refcounts.free_index = 0
    refcounts.cache.flush()
    for l1_index, word, right in list(_wrong_flags(header, mapping, refcounts)):
        if word is None:
            mapping.set_l1(l1_index, right)
        else:
            offset = mapping.l2_offset(l1_index)
            mapping.cache.get(offset)[word] = right
            mapping.cache.mark_dirty(offset)
    mapping.cache.flush()
