"""One qcow2 image on a byte file: open, map, read, write, resize, close."""

from __future__ import annotations

from errno import EIO

from qmpd.block.drivers.qcow2 import wording
from qmpd.block.drivers.qcow2.header import (
    AUTOCLEAR_KNOWN,
    INCOMPAT_DIRTY,
    check_backing_name,
)
from qmpd.block.drivers.qcow2.mapping import Mapping
from qmpd.block.drivers.qcow2.parsing import (
    HEAD_SIZE,
    Encryption,
    check_encryption,
    check_unsupported,
    parse,
    read_backing_name,
    read_extensions,
)
from qmpd.block.drivers.qcow2.resize import grow_l1, set_size
from qmpd.block.drivers.qcow2.tables import decode_table
from qmpd.block.drivers.qcow2.types import ImageCorruptError
from qmpd.block.drivers.qcow2.writing import WritableImage
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable

    from qmpd.block.drivers.qcow2.bitmaps import Bitmap
    from qmpd.block.drivers.qcow2.check import Counts
    from qmpd.block.drivers.qcow2.header import Header
    from qmpd.block.drivers.qcow2.types import ByteFile, CowRead

_MAX_LENGTH = (1 << 63) - (1 << 30)


def _read_table(file: ByteFile, offset: int, size: int, what: str) -> array[int]:
    """A table that the header points to; raises ``QmpError`` that begins with ``what``."""
    try:
        if offset + size > _MAX_LENGTH:
            raise OSError(EIO, "Input/output error")
        return decode_table(file.pread(offset, size))
    except OSError as error:
        raise QmpError(wording.failed(what, str(error.strerror))) from None


def _read_head(file: ByteFile) -> bytes:
    try:
        return file.pread(0, HEAD_SIZE)
    except OSError as error:
        raise QmpError(wording.failed(wording.HEADER_UNREADABLE, str(error.strerror))) from None


class Image(WritableImage):
    """The format logic of one qcow2 image. Offsets and lengths are bytes.

    Everything is synchronous and for one caller at a time. I/O raises ``OSError``;
    ``ImageCorruptError`` where the metadata makes no sense.
    """

    __slots__ = ()

    @classmethod
    def open(
        cls,
        file: ByteFile,
        *,
        writable: bool,
        lazy_refcounts: bool | None = None,
        encryption: Encryption | None = None,
        check: Callable[[Header], None] | None = None,
        outdated: Callable[[], None] = lambda: None,
    ) -> Image:
        """Open the image in ``file``; raises ``QmpError`` with QEMU's text if it cannot be.

        ``lazy_refcounts`` overrides the image's own flag (the node option of that name), ``check``
        looks at the other options when the header is known, ``outdated`` is told of bitmaps
        that somebody has forgotten to keep. Opened
        writable, a dirty image is repaired and unknown autoclear bits are cleared.
        """
        head = _read_head(file)
        header = parse(file, head, writable=writable)
        l1 = _read_table(file, header.l1_offset, header.l1_entries * 8, wording.L1_UNREADABLE)
        if check is not None:
            check(header)
        if lazy_refcounts and header.version < 3:
            raise QmpError(wording.LAZY_NEEDS_V3)
        encryption = encryption or Encryption()
        check_encryption(header, encryption)
        table_size = header.refcount_table_clusters << header.cluster_bits
        if header.refcount_table_offset + table_size > _MAX_LENGTH:
            reason = "Input/output error"
            raise QmpError(wording.failed(wording.REFCOUNTS_UNREADABLE, reason))
        read_extensions(header, file, head)
        if header.outdated:
            outdated()
        check_unsupported(header, encryption)
        read_backing_name(header, file, head)
        mapping = Mapping(file, header, l1)
        image = cls(file, header, mapping, lazy_refcounts=lazy_refcounts)
        if header.size + 511 >= 1 << 63:
            raise QmpError(wording.TOTAL_SECTORS_TOO_LARGE)
        if header.bitmaps is not None:
            from qmpd.block.drivers.qcow2.bitmaps import load

            image.bitmaps = load(file, header)
        if writable:
            image.clean()
            image.set_writable(True)
        return image

    # Header and life

    def resize(self, size: int, cow_read: CowRead | None = None) -> None:
        """Let the image have ``size`` bytes; raises ``QmpError`` for sizes that are refused.

        ``cow_read`` is to be given where the backing file is longer than the image is now:
        the new part then reads as zeros instead of what the backing file holds there.
        """
        self._check_alive()
        if size % 512:
            raise QmpError(wording.NEW_SIZE_UNALIGNED)
        if self.version < 3 and self.nb_snapshots:
            raise QmpError(wording.V2_SNAPSHOTS_RESIZE)
        for bitmap in self.bitmaps:
            if bitmap.inconsistent:
                raise QmpError(wording.bitmap_inconsistent(bitmap.text()))
        try:
            if size < self.virtual_size:
                self._shrink(size)
            else:
                grow_l1(self._file, self._header, self._mapping, self._refcounts, size)
            if cow_read is not None and size > self.virtual_size:
                self._zero(self.virtual_size, size, cow_read)
        except ImageCorruptError as error:
            raise self._corrupted(error) from None
        set_size(self._file, self._header, size)

    def _shrink(self, size: int) -> None:
        from qmpd.block.drivers.qcow2.shrinking import Shrinker

        def forget(start: int, end: int) -> None:
            self._writer.zero_clusters(start, end, unmap=True, flag=False)

        self._cached_cluster = None
        parts = self._file, self._header, self._mapping, self._refcounts
        shrinker = Shrinker(*parts, forget)
        shrinker.drop_clusters(size)
        shrinker.drop_refcount_blocks()
        shrinker.cut_file()

    def _zero(self, start: int, end: int, cow_read: CowRead) -> None:
        """Hide a longer backing file behind zeros, on disk before the size is."""
        if self.version < 3:
            raise QmpError(wording.ZERO_UNSUPPORTED)
        border = min(-(-start // self.cluster_size) * self.cluster_size, end)
        self._writer.zero_clusters(border, end)
        if border > start:
            self._write(start, bytes(border - start), cow_read)
        self.flush()

    def update_backing(self, backing_file: str | None, backing_format: str) -> None:
        """Rewrite the header with another backing file; None removes it.

        An empty name is written as such: QEMU gives it a place and the length 0. The caller
        flushes if it wants to (QEMU does only where the image becomes read-only again).

        Raises ``OSError``: EINVAL for a name beyond 1023 bytes, ENOSPC if it does not fit.
        """
        name = None
        if backing_file is not None:
            name = backing_file.encode("utf-8", "surrogateescape")
            check_backing_name(name)
        header = self._header
        old = (header.backing_file, header.backing_format)
        header.backing_file = name
        header.backing_format = backing_format.encode()
        try:
            self._file.pwrite(0, header.serialise())
        except OSError:
            header.backing_file, header.backing_format = old
            raise

    def _write_header(self) -> None:
        self._file.pwrite(0, self._header.serialise())
        self._file.flush()

    def set_writable(self, writable: bool) -> None:
        """Follow the node's read-only flag.

        To read-only: flushes and clears the dirty bit. Raises ``QmpError`` for an image that
        cannot be writable, or whose bitmaps cannot be saved. QEMU looks for corruption, and repairs, only when it opens an image.
        """
        if writable == self._writable:
            return
        if writable:
            if self.bitmaps:
                from qmpd.block.drivers.qcow2.saving import mark_in_use

                mark_in_use(self._file, self._header, self.bitmaps)
        else:
            self._settle()
        self._writable = writable

    def clean(self) -> None:
        """Repair a dirty image that is opened for writing, and clear unknown autoclear bits.

        Raises ``QmpError`` if the image is beyond that.
        """
        header = self._header
        if self.corrupt:
            raise QmpError(wording.CORRUPT_NOT_WRITABLE)
        if header.autoclear & ~AUTOCLEAR_KNOWN or header.outdated:
            header.autoclear &= AUTOCLEAR_KNOWN
            header.outdated = False
            self._write_header()
        if self.dirty:
            self._repair()

    def _repair(self) -> None:
        from qmpd.block.drivers.qcow2.check import check_image, repair

        try:
            repair(self._file, self._header, self._mapping, self._refcounts)
            counts = check_image(self._file, self._header, self._mapping, self._refcounts)
        except OSError as error:
            raise QmpError(wording.cannot_repair(str(error.strerror))) from None
        if counts.corruptions:
            raise QmpError(wording.cannot_repair("Input/output error"))
        self.forget_dirt()
        self._write_header()

    def forget_tables(self) -> None:
        """Read L2 tables and refcount blocks again when they are needed; all are on disk."""
        self._cached_cluster = None
        self._mapping.cache.forget()
        if self._known_refcounts is not None:
            self._known_refcounts.cache.forget()

    def forget_dirt(self) -> None:
        """Count the image as clean from now on, whatever its header says."""
        self._header.incompatible &= ~INCOMPAT_DIRTY

    def _settle(self) -> None:
        if self.broken:
            return
        try:
            if self.bitmaps:
                self._save_bitmaps()
        finally:  # they are only about the data
            self._write_everything()

    def _write_everything(self) -> None:
        self._mapping.cache.write_back()
        self._write_back_refcounts()
        self._file.flush()
        if self.dirty:
            self.forget_dirt()
            self._write_header()

    def check_lazy_refcounts(self, wanted: bool | None) -> None:
        """Prepare for another ``lazy_refcounts`` option: without them the image is clean.

        Raises:
            QmpError: the image's version does not know them.
            OSError: it cannot be written back.
        """
        if wanted and self.version < 3:
            raise QmpError(wording.LAZY_NEEDS_V3)
        if self.dirty and self._writable and not self.is_lazy(wanted):
            self._write_everything()

    def _save_bitmaps(self) -> None:
        from qmpd.block.drivers.qcow2.saving import Saver

        saver = Saver(self._file, self._header, self._refcounts, self._flush_tables)
        saver.save(self.bitmaps, self.virtual_size & ~511)

    def listed_bitmaps(self) -> list[Bitmap]:
        """What the file says of its bitmaps now.

        The storage may be another one than at opening: it is looked at again whenever somebody
        asks (observed on QEMU 7.2). Raises ``QmpError``.
        """
        from qmpd.block.drivers.qcow2.bitmaps import read_directory

        return read_directory(self._file, self._header)

    def check_new_bitmap(self, name: bytes, granularity_bits: int) -> None:
        """Raise ``QmpError`` if such a bitmap cannot be kept in the image."""
        from qmpd.block.drivers.qcow2.bitmaps import check_new

        check_new(self._header, name, granularity_bits)

    def remove_bitmap(self, bitmap: Bitmap) -> None:
        """Forget a persistent bitmap, in the file too; raises ``OSError``."""
        rest = [each for each in self.bitmaps if each is not bitmap]
        if bitmap.stored:
            from qmpd.block.drivers.qcow2.saving import Saver

            saver = Saver(self._file, self._header, self._refcounts, self._flush_tables)
            saver.remove(bitmap, rest)
        self.bitmaps = rest

    def _flush_tables(self) -> None:
        self._mapping.cache.flush()
        self._refcounts.cache.flush()

    def close(self) -> None:
        """Flush and clear the dirty bit; the image must not be used any more.

        Raises ``QmpError`` if its bitmaps could not be saved.
        """
        if self._writable:
            self._settle()
            self._writable = False

    def replace(
        self,
        possible: Callable[[Header], bool],
        rewrite: Callable[[ByteFile, Header], None],
        reopen: Callable[[], None],
    ) -> bool:
        """Rewrite the file behind this object's back, which is done for then.

        Returns:
            whether that was possible; nothing has changed otherwise.
        """
        if not possible(self._header):
            return False
        self.close()
        rewrite(self._file, self._header)
        reopen()
        return True

    def check(self) -> Counts:
        """Count corruptions and leaks, as ``qemu-img check`` does."""
        from qmpd.block.drivers.qcow2.check import check_image

        return check_image(self._file, self._header, self._mapping, self._refcounts)
