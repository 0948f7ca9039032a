"""The directory of persistent bitmaps (qcow2 spec, "Bitmaps")."""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmpd.block.drivers.qcow2.types import ByteFile

_IN_USE = 1
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


def read_directory(file: ByteFile, count: int, size: int, offset: int) -> Iterator[Bitmap]:
    """The entries of a directory of ``size`` bytes at ``offset``, as far as they fit."""
    data = file.pread(offset, size)
    position = 0
    for _ in range(count):
        if position + _ENTRY.size > size:
            return
        table_offset, entries, flags, _, _, name, extra = _ENTRY.unpack_from(data, position)
        yield Bitmap(table_offset, entries, flags, offset + position + 12)
        position += -(-(_ENTRY.size + extra + name) // 8) * 8


def mark_in_use(file: ByteFile, count: int, size: int, offset: int) -> None:
    """Declare all persistent bitmaps out of date, on disk: writes do not update them.

    QEMU then shows them as inconsistent instead of trusting them.
    """
    for bitmap in read_directory(file, count, size, offset):
        if not bitmap.flags & _IN_USE:
            file.pwrite(bitmap.flags_offset, struct.pack(">I", bitmap.flags | _IN_USE))
    file.flush()
