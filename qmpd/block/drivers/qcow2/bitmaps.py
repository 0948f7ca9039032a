"""Persistent bitmaps: which parts of the disk were written since a point in time.

The directory and its entries are those of the qcow2 spec, "Bitmaps". While an image is
writable its bitmaps live in memory, and the file calls them in use: whoever finds that flag
at opening knows that they were not saved (observed on QEMU 7.2).
"""

from __future__ import annotations

import struct
from errno import EINVAL, EIO

from qmpd.block.bitmap import NamedBitmap
from qmpd.block.drivers.qcow2 import wording
from qmpd.block.drivers.qcow2.tables import OFFSET_MASK, decode_table
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.block.drivers.qcow2.header import Header
    from qmpd.block.drivers.qcow2.types import ByteFile

IN_USE = 1
AUTO = 2

_MAX_LENGTH = (1 << 63) - (1 << 30)
_MAX_BITS_BYTES = 1 << 29
_MAX_NAME = 1023
_ALL_ONES = 1
_TRACKS_DIRT = 1
_ENTRY = struct.Struct(">QIIBBHI")


class Bitmap(NamedBitmap):
    """A persistent bitmap: its bits, and its directory entry once the file has one.

    A page of bits fills a cluster.
    """

    __slots__ = ("flags", "table_entries", "table_offset")

    persistent = True

    def __init__(
        self,
        name: bytes,
        granularity_bits: int,
        cluster_bits: int,
        *,
        place: tuple[int, int] = (0, 0),
        flags: int = AUTO,
    ) -> None:
        enabled = bool(flags & AUTO)
        super().__init__(name, granularity_bits, enabled=enabled, page_bits=cluster_bits + 3)
        self.table_offset, self.table_entries = place
        self.flags = flags
        """As the file has them: bits of its own may be newer."""
        self.inconsistent = bool(flags & IN_USE)

    @property
    def stored(self) -> bool:
        """Whether the file knows the bitmap."""
        return bool(self.table_offset)

    def entries_for(self, size: int) -> int:
        """How many clusters the bits of a disk of ``size`` bytes fill."""
        return -(-size >> self.granularity_bits + self._page_bits)

    def pack(self) -> bytes:
        """The directory entry."""
        fields = (self.table_offset, self.table_entries, self.flags, _TRACKS_DIRT)
        entry = _ENTRY.pack(*fields, self.granularity_bits, len(self.name), 0) + self.name
        return entry.ljust(-(-len(entry) // 8) * 8, b"\0")

    def load_page(self, number: int, data: bytes, size: int) -> None:
        """Take over the bits of one page; those behind the ``size`` of the disk mean nothing."""
        page = bytearray(data)
        bits = -(-size >> self.granularity_bits) - (number << self._page_bits)
        used = -(-bits >> 3)
        if used <= len(page):
            page[used:] = bytes(len(page) - used)
            page[used - 1] &= 0xFF >> (-bits & 7)
        if any(page):
            self.pages[number] = page
            self._count = None


def check_new(header: Header, name: bytes, granularity_bits: int) -> None:
    """Find out whether a bitmap can be kept in the image.

    Raises:
        QmpError: the format, or QEMU, sets a limit.
    """
    if header.version < 3:
        raise QmpError(wording.BITMAPS_NEED_V3)
    if len(name) > _MAX_NAME:
        raise QmpError(wording.BITMAP_NAME_TOO_LONG)
    if -(-_disk_size(header) >> granularity_bits + 3) > _MAX_BITS_BYTES:
        raise QmpError(wording.BITMAP_TOO_LARGE)


def read_directory(file: ByteFile, header: Header) -> list[Bitmap]:
    """All entries of an image's directory, without bits; raises ``QmpError`` if it is broken."""
    if header.bitmaps is None:
        return []
    count, size, offset = header.bitmaps
    data = _read(file, offset, size)
    position = 0
    found: list[Bitmap] = []
    while position < size:
        if position + _ENTRY.size > size:
            raise QmpError(wording.BITMAPS_BROKEN)
        if len(found) == count:
            raise QmpError(wording.BITMAPS_MORE)
        fields = _ENTRY.unpack_from(data, position)
        *_, name_size, extra = fields
        start = position + _ENTRY.size + extra
        # Its length counts in 32 bits.
        position += -(-((start + name_size - position) & 0xFFFFFFFF) // 8) * 8
        if position > size:
            raise QmpError(wording.BITMAPS_BROKEN)
        if extra:
            raise QmpError(wording.BITMAPS_EXTRA_DATA)
        name = data[start : start + name_size].split(b"\0", 1)[0]
        bitmap = Bitmap(
            name, fields[4], header.cluster_bits, place=(fields[0], fields[1]), flags=fields[2]
        )
        if name_size > _MAX_NAME or not _is_sound(bitmap, fields, header):
            raise QmpError(wording.bitmap_constraints(bitmap.text()))
        found.append(bitmap)
    if len(found) != count:
        raise QmpError(wording.BITMAPS_LESS)
    return found


def _is_sound(bitmap: Bitmap, fields: tuple[int, ...], header: Header) -> bool:
    table_offset, entries, flags, kind, granularity = fields[:5]
    if kind != _TRACKS_DIRT or not 9 <= granularity <= 31 or flags & ~(IN_USE | AUTO):
        return False
    if not entries or not table_offset or table_offset & (header.cluster_size - 1):
        return False
    if entries << header.cluster_bits > _MAX_BITS_BYTES:
        return False
    return bitmap.inconsistent or bitmap.entries_for(_disk_size(header)) <= entries


def _disk_size(header: Header) -> int:
    return header.size & ~511


def _read(file: ByteFile, offset: int, size: int) -> bytes:
    try:
        if offset + size > _MAX_LENGTH:
            raise OSError(EIO, "Input/output error")
        return file.pread(offset, size)
    except OSError as error:
        raise QmpError(wording.failed(wording.BITMAPS_UNREADABLE, str(error.strerror))) from None


def load(file: ByteFile, header: Header) -> list[Bitmap]:
    """The bitmaps of an image that is being opened, with their bits; raises ``QmpError``."""
    bitmaps = read_directory(file, header)
    names: set[bytes] = set()
    for bitmap in bitmaps:
        if not bitmap.inconsistent:
            _load_bits(file, header, bitmap)
        if bitmap.name in names:
            raise QmpError(wording.bitmap_exists(bitmap.text()))
        names.add(bitmap.name)
    return bitmaps


def read_table(file: ByteFile, header: Header, bitmap: Bitmap) -> list[int]:
    """The words of a bitmap's table, one a page; raises ``OSError`` if one makes no sense."""
    if bitmap.table_offset + bitmap.table_entries * 8 > _MAX_LENGTH:
        raise OSError(EIO, "Input/output error")
    table = list(decode_table(file.pread(bitmap.table_offset, bitmap.table_entries * 8)))
    for entry in table:
        offset = entry & OFFSET_MASK
        bad = entry & ~(OFFSET_MASK | _ALL_ONES) or offset & (header.cluster_size - 1)
        if bad or (offset and entry & _ALL_ONES):
            raise OSError(EINVAL, "Invalid argument")
    return table


def _load_bits(file: ByteFile, header: Header, bitmap: Bitmap) -> None:
    size = _disk_size(header)
    try:
        table = read_table(file, header, bitmap)
    except OSError as error:
        what = wording.bitmap_table_unreadable(bitmap.text())
        raise QmpError(wording.failed(what, str(error.strerror))) from None
    try:
        if len(table) != bitmap.entries_for(size):
            raise OSError(EINVAL, "Invalid argument")
        span = header.cluster_size * 8 << bitmap.granularity_bits
        for number, entry in enumerate(table):
            if entry & _ALL_ONES:
                bitmap.record(number * span, min(span, size - number * span))
            elif entry:
                data = file.pread(entry & OFFSET_MASK, header.cluster_size)
                bitmap.load_page(number, data, size)
    except OSError as error:
        what = wording.bitmap_unreadable(bitmap.text())
        raise QmpError(wording.failed(what, str(error.strerror))) from None
