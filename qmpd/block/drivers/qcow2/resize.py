"""Growing an image: a longer L1 table, then the new size (observed on QEMU 7.2)."""

from __future__ import annotations

import struct

from qmpd.block.drivers.qcow2 import wording
from qmpd.block.drivers.qcow2.header import MAX_L1_BYTES
from qmpd.block.drivers.qcow2.tables import encode_table, zeros
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.block.drivers.qcow2.header import Header
    from qmpd.block.drivers.qcow2.mapping import Mapping
    from qmpd.block.drivers.qcow2.refcounts import Refcounts
    from qmpd.block.drivers.qcow2.types import ByteFile

_SIZE_AT = 24
_L1_SIZE_AT = 36


def grow_l1(
    file: ByteFile,
    header: Header,
    mapping: Mapping,
    refcounts: Refcounts,
    size: int,
) -> None:
    """Make the L1 table long enough for ``size`` bytes; raises ``QmpError`` or ``OSError``.

    Every step is stable before the next, so that a crash leaves the old or the new table.
    """
    entries = -(-size // mapping.table_span)
    if entries > len(mapping.l1):
        if entries * 8 > MAX_L1_BYTES:
            raise QmpError(wording.L1_GROWTH_TOO_LARGE)
        _move_l1(file, header, mapping, refcounts, entries)


def set_size(file: ByteFile, header: Header, size: int) -> None:
    """Put the new virtual size, in bytes, into the header on disk."""
    _write_sync(file, _SIZE_AT, struct.pack(">Q", size))
    header.size = size


def _move_l1(
    file: ByteFile,
    header: Header,
    mapping: Mapping,
    refcounts: Refcounts,
    entries: int,
) -> None:
    bits = header.cluster_bits
    table = mapping.l1 + zeros(entries - len(mapping.l1))
    clusters = (entries * 8 + (1 << bits) - 1) >> bits
    offset = refcounts.allocate(clusters)
    refcounts.cache.flush()
    _write_sync(file, offset, encode_table(table))
    _write_sync(file, _L1_SIZE_AT, struct.pack(">IQ", entries, offset))
    old_offset, old_bytes = header.l1_offset, len(mapping.l1) * 8
    mapping.l1 = table
    header.l1_offset, header.l1_entries = offset, entries
    if old_bytes:
        refcounts.free(old_offset, old_bytes)


def _write_sync(file: ByteFile, offset: int, data: bytes) -> None:
    file.pwrite(offset, data)
    file.flush()
