"""Which writes are kept from hitting metadata, as the options ``overlap-check`` say."""

from __future__ import annotations

from qmpd.block.drivers.qcow2.header import AUTOCLEAR_BITMAPS
from qmpd.block.drivers.qcow2.tables import OFFSET_MASK, any_within, decode_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.drivers.qcow2.header import Header
    from qmpd.block.drivers.qcow2.mapping import Mapping
    from qmpd.block.drivers.qcow2.refcounts import Refcounts
    from qmpd.block.drivers.qcow2.snapshots import Snapshot
    from qmpd.block.drivers.qcow2.types import ByteFile

HEADER, L1, L2 = "main-header", "active-l1", "active-l2"
REFCOUNT_TABLE, REFCOUNT_BLOCK = "refcount-table", "refcount-block"
SNAPSHOTS, OLD_L1, OLD_L2 = "snapshot-table", "inactive-l1", "inactive-l2"
BITMAPS = "bitmap-directory"

_SENTENCES = {
    HEADER: "qcow2_header",
    L1: "active L1 table",
    L2: "active L2 table",
    REFCOUNT_TABLE: "refcount table",
    REFCOUNT_BLOCK: "refcount block",
    SNAPSHOTS: "snapshot table",
    OLD_L1: "inactive L1 table",
    OLD_L2: "inactive L2 table",
    BITMAPS: "bitmap directory",
}
"""What is looked for, in this order, and how it is called."""
_CONSTANT = frozenset((HEADER, L1, REFCOUNT_TABLE, SNAPSHOTS, BITMAPS))
CACHED = _CONSTANT | {L2, REFCOUNT_BLOCK, OLD_L1}
"""What is looked for if nobody says anything else."""
_TEMPLATES = {
    "none": frozenset[str](),
    "constant": _CONSTANT,
    "cached": CACHED,
    "all": CACHED | {OLD_L2},
}


def wanted(options: dict[str, Any]) -> frozenset[str]:
    """What is to be looked for, by a node's options."""
    template = options.get("overlap-check.template") or options.get("overlap-check") or "cached"
    found = set(_TEMPLATES[template])
    for kind in _SENTENCES:
        single = options.get(f"overlap-check.{kind}")
        if single is not None:
            (found.add if single else found.discard)(kind)
    return frozenset(found)


class Metadata:
    """Where an image's metadata lies."""

    __slots__ = ("_file", "_header", "_mapping", "_refcounts", "_snapshots", "_table_size")

    def __init__(
        self,
        file: ByteFile,
        header: Header,
        mapping: Mapping,
        refcounts: Refcounts,
        snapshots: list[Snapshot],
        table_size: int,
    ) -> None:
        self._file = file
        self._header = header
        self._mapping = mapping
        self._refcounts = refcounts
        self._snapshots = snapshots
        self._table_size = table_size

    def hit(self, kinds: frozenset[str], offset: int, length: int) -> str:
        """What of ``kinds`` a write would hit first, as clients are told; or nothing."""
        end = offset + length
        for kind, sentence in _SENTENCES.items():
            if kind in kinds and self._hits(kind, offset, end):
                return sentence
        return ""

    def _hits(self, kind: str, offset: int, end: int) -> bool:
        size = self._header.cluster_size
        if kind == L2:
            return any_within(self._mapping.l2_tables(), offset, end, size)
        if kind == REFCOUNT_BLOCK:
            return any_within(self._refcounts.blocks(), offset, end, size)
        if kind == OLD_L2:
            return any_within(self._old_l2_tables(), offset, end, size)
        return any(first < end and offset < first + size for first, size in self._ranges(kind))

    def _ranges(self, kind: str) -> list[tuple[int, int]]:
        header = self._header
        if kind == SNAPSHOTS:
            return [(header.snapshots_offset, self._table_size)] if self._snapshots else []
        if kind == OLD_L1:
            return [(each.l1_offset, each.l1_entries * 8) for each in self._snapshots]
        if kind == BITMAPS:
            return self._bitmap_directory()
        size = header.refcount_table_clusters << header.cluster_bits
        places = {
            HEADER: (0, header.cluster_size),
            L1: (header.l1_offset, len(self._mapping.l1) * 8),
            REFCOUNT_TABLE: (header.refcount_table_offset, size),
        }
        return [places[kind]]

    def _bitmap_directory(self) -> list[tuple[int, int]]:
        header = self._header
        if not header.autoclear & AUTOCLEAR_BITMAPS:
            return []
        # A header that vouches for bitmaps and has none forbids all writes (seen on QEMU 7.2).
        return [(0, 1 << 64) if header.bitmaps is None else (header.bitmaps[2], header.bitmaps[1])]

    def _old_l2_tables(self) -> set[int]:
        found: set[int] = set()
        for snapshot in self._snapshots:
            table = decode_table(self._file.pread(snapshot.l1_offset, snapshot.l1_entries * 8))
            found |= {entry & OFFSET_MASK for entry in table if entry & OFFSET_MASK}
        return found
