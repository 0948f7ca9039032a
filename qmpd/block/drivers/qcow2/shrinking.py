"""Making an image smaller: what lies behind the new end is freed, and the file ends earlier.

Clusters go first, then L2 tables, then refcount blocks that count nothing any more. The L1
table stays as long as it was (observed on QEMU 7.2).
"""

from __future__ import annotations

from qmpd.block.drivers.qcow2.tables import COMPRESSED_FLAG, OFFSET_MASK, encode_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmpd.block.drivers.qcow2.header import Header
    from qmpd.block.drivers.qcow2.mapping import Mapping
    from qmpd.block.drivers.qcow2.refcounts import Refcounts
    from qmpd.block.drivers.qcow2.types import ByteFile

    ForgetClusters = Callable[[int, int], None]


class Shrinker:
    """Takes away what an image has behind a new end; raises ``OSError``.

    Args:
        file: where the image is.
        header: the image's.
        mapping: guest clusters to host clusters.
        refcounts: who uses which host cluster.
        forget: lets guest clusters between two bytes be as if they had never been written.
    """

    def __init__(
        self,
        file: ByteFile,
        header: Header,
        mapping: Mapping,
        refcounts: Refcounts,
        forget: ForgetClusters,
    ) -> None:
        self._file = file
        self._header = header
        self._mapping = mapping
        self._refcounts = refcounts
        self._forget = forget

    def drop_clusters(self, size: int) -> None:
        """Free the clusters and the L2 tables behind ``size`` bytes, and give their space back."""
        mapping, old_size = self._mapping, self._header.size
        unit = self._header.cluster_size
        start = -(-size // unit) * unit
        places = self._places(start, old_size)
        if start < old_size:
            self._forget(start, -(-old_size // unit) * unit)
        first = -(-size // mapping.table_span)
        self._file.event("l1_shrink_write_table")
        tables = {index: mapping.l2_offset(index) for index in range(first, len(mapping.l1))}
        for index in reversed([index for index, offset in tables.items() if offset]):
            mapping.set_l1(index, 0)
            self._file.event("l1_shrink_free_l2_clusters")
            self._refcounts.free(tables[index], self._header.cluster_size)
            places.append(tables[index])
        mapping.cache.flush()
        self._refcounts.cache.flush()
        for place in places:
            if not self._refcounts.get(place >> self._header.cluster_bits):
                self._file.discard(place, self._header.cluster_size)

    def _places(self, start: int, end: int) -> list[int]:
        """Where the guest clusters between two bytes are."""
        mapping = self._mapping
        bits = mapping.cluster_bits
        found = []
        for index in range(start // mapping.table_span, -(-end // mapping.table_span)):
            offset = mapping.l2_offset(index) if index < len(mapping.l1) else 0
            if not offset:
                continue
            base = index * mapping.table_span
            at = max(start - base, 0) >> bits
            table = mapping.cache.get(offset)
            words = len(table) >> mapping.l2_bits
            entries = table[at * words :: words]
            found += [
                entry & OFFSET_MASK
                for entry in entries
                if entry & OFFSET_MASK and not entry & COMPRESSED_FLAG
            ]
        return found

    def drop_refcount_blocks(self) -> None:
        """Free the refcount blocks that count nothing but at most themselves."""
        refcounts, bits = self._refcounts, self._header.cluster_bits
        unused: dict[int, int] = {}
        for index in range(len(refcounts.table)):
            offset = refcounts.block_offset(index)
            if not offset:
                continue
            counts = refcounts.cache.get(offset)
            own, at = divmod(offset >> bits, refcounts.per_block)
            used = len(counts) - counts.count(0)
            if used == int(own == index and bool(counts[at])):
                unused[index] = offset
        if not unused:
            return
        own_only = {
            offset
            for index, offset in unused.items()
            if (offset >> bits) // refcounts.per_block == index
        }
        refcounts.forget_blocks(unused)
        self._file.pwrite(self._header.refcount_table_offset, encode_table(refcounts.table))
        self._file.flush()
        for offset in unused.values():
            if offset not in own_only:
                refcounts.free(offset, self._header.cluster_size)
            self._file.discard(offset, self._header.cluster_size)
        refcounts.cache.flush()

    def cut_file(self) -> None:
        """Let the file end behind the last cluster that is used."""
        bits = self._header.cluster_bits
        size = self._file.size()
        last = (size - 1) >> bits
        while last > 0 and not self._refcounts.get(last):
            last -= 1
        if (last + 1) << bits < size:
            self._file.truncate((last + 1) << bits)
