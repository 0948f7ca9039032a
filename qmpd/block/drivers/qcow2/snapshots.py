"""The snapshot table, as far as refcounts depend on it (qcow2 spec, "Snapshots")."""

from __future__ import annotations

import struct
from errno import EIO

from qmpd.block.drivers.qcow2 import wording
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.block.drivers.qcow2.header import Header
    from qmpd.block.drivers.qcow2.types import ByteFile

_ENTRY = struct.Struct(">QIHHIIQII")
_MAX_LENGTH = (1 << 63) - (1 << 30)
_MAX_EXTRA_DATA = 1024


class Snapshot:
    """One internal snapshot: where its L1 table is and how many entries it has."""

    __slots__ = ("l1_entries", "l1_offset")

    def __init__(self, l1_offset: int, l1_entries: int) -> None:
        self.l1_offset = l1_offset
        self.l1_entries = l1_entries


def read_snapshots(header: Header, file: ByteFile) -> tuple[list[Snapshot], int]:
    """All snapshots and the table's size in bytes; raises ``QmpError``."""
    position = header.snapshots_offset
    found: list[Snapshot] = []
    for number in range(header.nb_snapshots):
        position = -(-position // 8) * 8
        try:
            if position + _ENTRY.size > _MAX_LENGTH:
                raise OSError(EIO, "Input/output error")
            fields = _ENTRY.unpack(file.pread(position, _ENTRY.size))
        except OSError as error:
            reason = wording.failed(wording.SNAPSHOTS_UNREADABLE, str(error.strerror))
            raise QmpError(reason) from None
        l1_offset, l1_entries, id_size, name_size = fields[:4]
        extra = fields[8]
        if extra > _MAX_EXTRA_DATA:
            raise QmpError(wording.snapshot_extra_data(number))
        position += _ENTRY.size + extra + id_size + name_size
        found.append(Snapshot(l1_offset, l1_entries))
    return found, position - header.snapshots_offset
