"""Writing persistent bitmaps back, and marking them in use (order observed on QEMU 7.2)."""

from __future__ import annotations

from array import array

from qmpd.block.drivers.qcow2.bitmaps import (
    AUTO,
    IN_USE,
    Bitmap,
    read_directory,
    read_table,
)
from qmpd.block.drivers.qcow2.header import AUTOCLEAR_BITMAPS
from qmpd.block.drivers.qcow2.tables import OFFSET_MASK, encode_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmpd.block.drivers.qcow2.header import Header
    from qmpd.block.drivers.qcow2.refcounts import Refcounts
    from qmpd.block.drivers.qcow2.types import ByteFile


def mark_in_use(file: ByteFile, header: Header, bitmaps: list[Bitmap]) -> None:
    """Say in the file that the bitmaps are in memory now, before the first write.

    For as long as the directory is being overwritten the header does not vouch for it.

    Raises:
        QmpError: the file is not the one that the bitmaps were loaded from.
        OSError: it cannot be written.
    """
    stored = [bitmap for bitmap in bitmaps if bitmap.stored]
    if header.bitmaps is None or all(bitmap.flags & IN_USE for bitmap in stored):
        return
    read_directory(file, header)
    header.autoclear &= ~AUTOCLEAR_BITMAPS
    _write_header(file, header)
    for bitmap in stored:
        bitmap.flags |= IN_USE
    file.pwrite(header.bitmaps[2], b"".join(bitmap.pack() for bitmap in stored))
    file.flush()
    header.autoclear |= AUTOCLEAR_BITMAPS
    _write_header(file, header)


def _write_header(file: ByteFile, header: Header) -> None:
    file.pwrite(0, header.serialise())
    file.flush()


class Saver:
    """Writes the bits that are in memory to new places, then lets the header point there.

    A failure leaves the old directory, in which the bitmaps are in use.
    """

    __slots__ = ("_file", "_flush_metadata", "_header", "_refcounts", "_taken")

    def __init__(
        self,
        file: ByteFile,
        header: Header,
        refcounts: Refcounts,
        flush_metadata: Callable[[], None],
    ) -> None:
        self._file = file
        self._header = header
        self._refcounts = refcounts
        self._flush_metadata = flush_metadata
        self._taken: list[tuple[int, int]] = []

    def save(self, bitmaps: list[Bitmap], size: int) -> None:
        """Store the bitmaps of a disk of ``size`` bytes.

        Those that are new to the file follow the others, the newest first.

        Raises:
            QmpError: there is no sound directory where the old one should be.
            OSError: the new one cannot be written.
        """
        new = [bitmap for bitmap in bitmaps if not bitmap.stored]
        bitmaps[:] = [bitmap for bitmap in bitmaps if bitmap.stored] + new[::-1]
        sound = [bitmap for bitmap in bitmaps if not bitmap.inconsistent]
        if not sound:
            return
        read_directory(self._file, self._header)
        old = [(each, each.table_offset, each.table_entries, each.flags) for each in sound]
        before = self._header.bitmaps
        try:
            bits = [offset for bitmap in sound for offset in self._places(bitmap)]
            for bitmap in sound:
                self._save_bits(bitmap, size)
                bitmap.flags = AUTO if bitmap.enabled else 0
            self._save_directory(bitmaps)
        except OSError:
            for bitmap, *entry in old:
                bitmap.table_offset, bitmap.table_entries, bitmap.flags = entry
            for place in self._taken:
                self._refcounts.free(*place)
            raise
        if before is not None:
            self._refcounts.free(before[2], before[1])
        for offset in bits:
            self._free_bits(offset)
        for _, offset, count, _ in old:
            if offset:
                self._refcounts.free(offset, count * 8)

    def remove(self, bitmap: Bitmap, rest: list[Bitmap]) -> None:
        """Forget a bitmap that the file has; ``rest`` are the others.

        Raises:
            QmpError: there is no sound directory where it should be.
            OSError: the file cannot be written.
        """
        before = self._header.bitmaps
        if before is None:
            return
        read_directory(self._file, self._header)
        bits = self._places(bitmap)
        stored = [each for each in rest if each.stored]
        if stored:
            self._save_directory(stored)
        else:
            self._header.bitmaps = None
            self._header.autoclear &= ~AUTOCLEAR_BITMAPS
            try:
                _write_header(self._file, self._header)
            except OSError:
                self._header.bitmaps = before
                self._header.autoclear |= AUTOCLEAR_BITMAPS
                raise
        self._refcounts.free(before[2], before[1])
        for offset in bits:
            self._free_bits(offset)
        self._refcounts.free(bitmap.table_offset, bitmap.table_entries * 8)
        bitmap.table_offset = bitmap.table_entries = 0

    def _free_bits(self, offset: int) -> None:
        """The space of what tells about the guest's writes is given back (observed on QEMU 7.2)."""
        size = self._header.cluster_size
        self._refcounts.free(offset, size)
        if not self._refcounts.get(offset // size):
            self._file.discard(offset, size)

    def _places(self, bitmap: Bitmap) -> list[int]:
        """Where the file has a bitmap's bits at present."""
        if not bitmap.stored:
            return []
        table = read_table(self._file, self._header, bitmap)
        return [entry & OFFSET_MASK for entry in table if entry & OFFSET_MASK]

    def _allocate(self, length: int) -> int:
        count = -(-length // self._header.cluster_size)
        offset = self._refcounts.allocate(count)
        self._taken.append((offset, count * self._header.cluster_size))
        self._refcounts.guard(offset, length)
        return offset

    def _save_bits(self, bitmap: Bitmap, size: int) -> None:
        table = array("Q", bytes(8 * bitmap.entries_for(size)))
        for number in sorted(bitmap.pages):
            table[number] = self._allocate(self._header.cluster_size)
            self._file.pwrite(table[number], memoryview(bitmap.pages[number]))
        bitmap.table_offset = self._allocate(len(table) * 8)
        bitmap.table_entries = len(table)
        self._file.pwrite(bitmap.table_offset, encode_table(table))

    def _save_directory(self, bitmaps: list[Bitmap]) -> None:
        header = self._header
        data = b"".join(bitmap.pack() for bitmap in bitmaps)
        offset = self._allocate(len(data))
        self._file.pwrite(offset, data)
        self._flush_metadata()
        old = header.bitmaps, header.autoclear
        header.bitmaps = (len(bitmaps), len(data), offset)
        header.autoclear |= AUTOCLEAR_BITMAPS
        try:
            _write_header(self._file, header)
        except OSError:
            header.bitmaps, header.autoclear = old
            raise
