"""Making an image empty, so that its backing file shows everywhere.

The image ends up laid out as a new one. On the way it is marked as dirty, and its old L1
table is cleared first: whatever is left after a crash is an empty image whose refcounts are
rebuilt when it is opened.
"""

from __future__ import annotations

from qmpd.block.drivers.qcow2.header import INCOMPAT_DIRTY
from qmpd.block.drivers.qcow2.refblock import BlockCodec
from qmpd.block.drivers.qcow2.tables import encode_table, zeros

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.block.drivers.qcow2.header import Header
    from qmpd.block.drivers.qcow2.types import ByteFile


def can_be_emptied(header: Header) -> bool:
    """Whether nothing but the guest's clusters would have to be kept, and all fits in a block."""
    if header.version < 3 or header.nb_snapshots or header.bitmaps is not None:
        return False
    codec = BlockCodec(header.refcount_order, header.cluster_size)
    return _clusters(header) <= codec.entries and not header.incompatible


def _clusters(header: Header) -> int:
    """Clusters of an empty image: header, two levels of refcounts, the L1 table."""
    return 3 + -(-header.l1_entries * 8 // header.cluster_size)


def make_empty(file: ByteFile, header: Header) -> None:
    """Drop all data of an image that is not open otherwise; raises ``OSError``."""
    size, clusters = header.cluster_size, _clusters(header)
    header.incompatible |= INCOMPAT_DIRTY
    _write_header(file, header)
    file.pwrite(header.l1_offset, bytes(header.l1_entries * 8))
    file.flush()
    codec = BlockCodec(header.refcount_order, size)
    counts = codec.fill(1, clusters) + codec.fill(0, codec.entries - clusters)
    table = zeros(size // 8)
    table[0] = 2 * size
    l1 = bytes((clusters - 3) * size)
    file.pwrite(size, encode_table(table) + codec.encode(counts) + l1)
    header.refcount_table_offset, header.refcount_table_clusters = size, 1
    header.l1_offset = 3 * size
    _write_header(file, header)
    file.truncate(clusters * size)
    header.incompatible &= ~INCOMPAT_DIRTY
    _write_header(file, header)


def _write_header(file: ByteFile, header: Header) -> None:
    file.pwrite(0, header.serialise())
    file.flush()
