"""The directory of persistent bitmaps (qcow2 spec, "Bitmaps")."""

from __future__ import annotations

import struct
from errno import EIO

from qmpd.block.drivers.qcow2 import wording
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.block.drivers.qcow2.types import ByteFile

_IN_USE = 1
_MAX_LENGTH = (1 << 63) - (1 << 30)
_ENTRY = struct.Struct(">QIIBBHI")


class Bitmap:
    """One directory entry: where its table is, and where its flags stand in the file."""

    __slots__ = ("flags", "flags_offset", "table_entries", "table_offset")

    def __init__(
        self,
        table_offset: int,
        table_entries: int,
        flags: int,
        flags_offset: int,
    ) -> None:
        self.table_offset = table_offset
        self.table_entries = table_entries
        self.flags = flags
        self.flags_offset = flags_offset


def read_directory(file: ByteFile, count: int, size: int, offset: int) -> list[Bitmap]:
    """All entries of the directory of ``size`` bytes; raises ``QmpError`` if it is broken."""
    data = _read(file, offset, size)
    position = 0
    found: list[Bitmap] = []
    while position < size:
        if position + _ENTRY.size > size:
            raise QmpError(wording.BITMAPS_BROKEN)
        table_offset, entries, flags, kind, granularity, name_size, extra = _ENTRY.unpack_from(
            data, position
        )
        start = position + _ENTRY.size + extra
        position = -(-(position + _ENTRY.size + extra + name_size) // 8) * 8
        if position > size:
            raise QmpError(wording.BITMAPS_BROKEN)
        bitmap = Bitmap(table_offset, entries, flags, offset + start - extra - _ENTRY.size + 12)
        name = data[start : start + name_size].decode("utf-8", "replace")
        fits = kind == 1 and 9 <= granularity <= 31 and 0 < name_size <= 1023
        if not fits or not entries or not table_offset or table_offset & 0x1FF:
            raise QmpError(wording.bitmap_constraints(name))
        found.append(bitmap)
    if len(found) != count:
        raise QmpError(wording.BITMAPS_BROKEN)
    return found


def _read(file: ByteFile, offset: int, size: int) -> bytes:
    try:
        if offset + size > _MAX_LENGTH:
            raise OSError(EIO, "Input/output error")
        return file.pread(offset, size)
    except OSError as error:
        raise QmpError(wording.failed(wording.BITMAPS_UNREADABLE, str(error.strerror))) from None


def mark_in_use(file: ByteFile, count: int, size: int, offset: int) -> None:
    """Declare all persistent bitmaps out of date, on disk: writes do not update them.

    QEMU then shows them as inconsistent instead of trusting them.
    """
    for bitmap in read_directory(file, count, size, offset):
        if not bitmap.flags & _IN_USE:
            file.pwrite(bitmap.flags_offset, struct.pack(">I", bitmap.flags | _IN_USE))
    file.flush()
