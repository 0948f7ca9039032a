"""Where guest bytes lie: the L1 table, the L2 cache, and extents (qcow2 spec, "Cluster mapping")."""

from __future__ import annotations

import struct

from qmpd.block.drivers.qcow2 import wording
from qmpd.block.drivers.qcow2.cache import TableCache
from qmpd.block.drivers.qcow2.subclusters import INVALID, subcluster_run
from qmpd.block.drivers.qcow2.tables import (
    OFFSET_MASK,
    decode_table,
    encode_table,
    kind_of,
    run_length,
)
from qmpd.block.drivers.qcow2.types import (
    COMPRESSED,
    UNALLOCATED,
    ZERO,
    Extent,
    ImageCorruptError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable

    from qmpd.block.drivers.qcow2.header import Header
    from qmpd.block.drivers.qcow2.types import ByteFile

_CACHE_BYTES = 32 << 20


def _let_pass(offset: int, length: int, kind: str) -> None:
    del offset, length, kind


class Mapping:
    """The L1 table in memory, L2 tables through the cache, and the way from guest to host."""

    __slots__ = (
        "_file",
        "_header",
        "_l2_tables",
        "cache",
        "cluster_bits",
        "guard",
        "l1",
        "l2_bits",
        "table_span",
    )

    def __init__(self, file: ByteFile, header: Header, l1: array[int]) -> None:
        self._file = file
        self._header = header
        self.cluster_bits = header.cluster_bits
        self.l2_bits = header.l2_bits
        self.table_span = 1 << self.cluster_bits + self.l2_bits
        self.l1 = l1
        self.guard: Callable[[int, int, str], None] = _let_pass
        """Called with a place that will be written, and the kind of metadata that may be there."""
        self._l2_tables: set[int] | None = None
        self.cache = TableCache(
            file,
            header.cluster_size,
            decode_table,
            encode_table,
            capacity=_CACHE_BYTES,
            memory_per_table=header.cluster_size,
            events=("l2_load", "l2_update"),
        )

    def l2_offset(self, l1_index: int) -> int:
        """Where an L2 table lies, 0 if there is none; raises ``ImageCorruptError``."""
        offset = self.l1[l1_index] & OFFSET_MASK
        if offset & ((1 << self.cluster_bits) - 1):
            raise ImageCorruptError(wording.l2_table_unaligned(offset, l1_index), fatal=True)
        return offset

    def set_l1(self, l1_index: int, entry: int) -> None:
        """Write one L1 entry to the disk at once; whatever it needs is stable there."""
        self._file.event("l1_update")
        place = self._header.l1_offset + l1_index * 8
        self.guard(place, 8, "active-l1")
        self._file.pwrite(place, struct.pack(">Q", entry))
        self._file.flush()
        if self._l2_tables is not None:
            self._l2_tables.discard(self.l1[l1_index] & OFFSET_MASK)
            if entry:
                self._l2_tables.add(entry & OFFSET_MASK)
        self.l1[l1_index] = entry

    def l2_tables(self) -> set[int]:
        """Where all the active L2 tables lie."""
        if self._l2_tables is None:
            self._l2_tables = {entry & OFFSET_MASK for entry in self.l1 if entry}
        return self._l2_tables

    def map(self, offset: int, length: int) -> Extent:
        """The extent at guest byte ``offset``, merged as far as it goes within ``length``."""
        extent = self._run(offset, length)
        while extent.length < length:
            more = self._run(offset + extent.length, length - extent.length)
            if more.kind != extent.kind:
                break
            if extent.host_offset is None:
                if more.host_offset is not None:
                    break
            elif more.host_offset != extent.host_offset + extent.length:
                break
            extent.length += more.length
        return extent

    def entry_at(self, offset: int) -> int:
        """The (plain) L2 entry of the cluster at guest byte ``offset``; it has a table."""
        l2_offset = self.l2_offset(offset // self.table_span)
        table = self.cache.get(l2_offset)
        words = len(table) >> self.l2_bits
        return table[(offset % self.table_span >> self.cluster_bits) * words]

    def _run(self, offset: int, length: int) -> Extent:
        l1_index, within = divmod(offset, self.table_span)
        if l1_index >= len(self.l1):
            return Extent(UNALLOCATED, length)
        l2_offset = self.l2_offset(l1_index)
        if l2_offset == 0:
            return self._hole(l1_index, within, length)
        length = min(length, self.table_span - within)
        table = self.cache.get(l2_offset)
        if self._header.extended_l2:
            extent = subcluster_run(table, self.cluster_bits, within, length)
            if extent.kind == INVALID:
                sentence = wording.invalid_entry(l2_offset, within >> self.cluster_bits)
                raise ImageCorruptError(sentence, fatal=True)
        else:
            extent = self._plain_run(table, within, length)
        self._verify(extent, l2_offset, within)
        return extent

    def _hole(self, l1_index: int, within: int, length: int) -> Extent:
        tables = min(len(self.l1), l1_index + -(-(within + length) // self.table_span))
        if self.l1[l1_index] != 0:
            tables = l1_index + 1
        count = run_length(self.l1, l1_index, tables, 0)
        return Extent(UNALLOCATED, min(length, count * self.table_span - within))

    def _plain_run(self, table: array[int], within: int, length: int) -> Extent:
        bits = self.cluster_bits
        inside = within & ((1 << bits) - 1)
        index = within >> bits
        end = (within + length + (1 << bits) - 1) >> bits
        entry = table[index]
        kind = kind_of(entry)
        host = entry & OFFSET_MASK
        step = 1 << bits if host else 0
        count = 1 if kind == COMPRESSED else run_length(table, index, end, step)
        length = min(length, (count << bits) - inside)
        if kind == COMPRESSED or not host:
            return Extent(kind, length)
        return Extent(kind, length, host + inside)

    def _verify(self, extent: Extent, l2_offset: int, within: int) -> None:
        index = within >> self.cluster_bits
        if extent.kind == ZERO and self._header.version < 3:
            raise ImageCorruptError(wording.zero_cluster_in_v2(l2_offset, index), fatal=True)
        if extent.host_offset is None:
            return
        mask = (1 << self.cluster_bits) - 1
        host = extent.host_offset - (within & mask)
        if host & mask:
            raise ImageCorruptError(wording.cluster_unaligned(host, l2_offset, index), fatal=True)
