"""Persistent bitmaps: which parts of the disk were written since a point in time.

The directory and its entries are those of the qcow2 spec, "Bitmaps". While an image is
writable its bitmaps live in memory, and the file calls them in use: whoever finds that flag
at opening knows that they were not saved (observed on QEMU 7.2).
"""

from __future__ import annotations

import struct
from errno import EINVAL, EIO

from qmpd.block.drivers.qcow2 import wording
from qmpd.block.drivers.qcow2.tables import OFFSET_MASK, decode_table
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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


class Bitmap:
    """One bitmap: its directory entry, and the bits by pages of one cluster each.

    A page that is missing is all zeros. ``inconsistent``: the file called it in use when it
    was opened, so that its bits mean nothing.
    """

    __slots__ = (
        "_count",
        "_page_bits",
        "flags",
        "granularity_bits",
        "inconsistent",
        "name",
        "pages",
        "table_entries",
        "table_offset",
    )

    def __init__(self, fields: tuple[int, ...], name: bytes, cluster_bits: int) -> None:
        self.table_offset, self.table_entries, self.flags, _, self.granularity_bits = fields[:5]
        self.name = name
        self.inconsistent = bool(self.flags & IN_USE)
        self.pages: dict[int, bytearray] = {}
        self._page_bits = cluster_bits + 3
        self._count: int | None = 0

    @property
    def recording(self) -> bool:
        """Whether writes are noted in it."""
        return bool(self.flags & AUTO) and not self.inconsistent

    @property
    def granularity(self) -> int:
        """Bytes that one bit stands for."""
        return 1 << self.granularity_bits

    def text(self) -> str:
        """The name as clients see it."""
        return self.name.decode("utf-8", "surrogateescape")

    def entries_for(self, size: int) -> int:
        """How many clusters the bits of a disk of ``size`` bytes fill."""
        return -(-size >> self.granularity_bits + self._page_bits)

    def pack(self) -> bytes:
        """The directory entry."""
        fields = (self.table_offset, self.table_entries, self.flags, _TRACKS_DIRT)
        entry = _ENTRY.pack(*fields, self.granularity_bits, len(self.name), 0) + self.name
        return entry.ljust(-(-len(entry) // 8) * 8, b"\0")

    def record(self, offset: int, length: int) -> None:
        """Note that these bytes of the disk are written."""
        first = offset >> self.granularity_bits
        last = (offset + length - 1) >> self.granularity_bits
        page_bits = self._page_bits
        for number in range(first >> page_bits, (last >> page_bits) + 1):
            start = number << page_bits
            page = self.pages.get(number)
            if page is None:
                page = self.pages[number] = bytearray(1 << page_bits - 3)
            end = min(last, start + (1 << page_bits) - 1)
            _set_bits(page, max(first, start) - start, end - start)
        self._count = None

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

    def describe(self) -> dict[str, Any]:
        """What queries of the node show."""
        if self._count is None:
            ones = (int.from_bytes(page, "big").bit_count() for page in self.pages.values())
            self._count = sum(ones) << self.granularity_bits
        info: dict[str, Any] = {
            "name": self.text(),
            "count": self._count,
            "granularity": self.granularity,
            "recording": self.recording,
            "busy": False,
            "persistent": True,
        }
        if self.inconsistent:
            info["inconsistent"] = True
        return info


def _set_bits(page: bytearray, first: int, last: int) -> None:
    start, end = first >> 3, last >> 3
    head, tail = 0xFF << (first & 7) & 0xFF, (2 << (last & 7)) - 1
    if start == end:
        page[start] |= head & tail
        return
    page[start] |= head
    page[start + 1 : end] = b"\xff" * (end - start - 1)
    page[end] |= tail


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
        position = -(-(start + name_size) // 8) * 8
        if position > size:
            raise QmpError(wording.BITMAPS_BROKEN)
        if extra:
            raise QmpError(wording.BITMAPS_EXTRA_DATA)
        name = data[start : start + name_size].split(b"\0", 1)[0]
        bitmap = Bitmap(fields, name, header.cluster_bits)
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
