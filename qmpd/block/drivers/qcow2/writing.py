"""Writing the guest's bytes to one qcow2 image: allocation, zeros, and what must not be hit."""

from __future__ import annotations

from qmpd.block.drivers.qcow2 import wording
from qmpd.block.drivers.qcow2.header import INCOMPAT_DIRTY
from qmpd.block.drivers.qcow2.overlap import CACHED, Metadata
from qmpd.block.drivers.qcow2.reading import ReadableImage
from qmpd.block.drivers.qcow2.refcounts import Refcounts
from qmpd.block.drivers.qcow2.snapshots import read_snapshots
from qmpd.block.drivers.qcow2.tables import decode_table
from qmpd.block.drivers.qcow2.types import ImageCorruptError
from qmpd.block.drivers.qcow2.writer import Writer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.block.bitmap import NamedBitmap
    from qmpd.block.drivers.qcow2.bitmaps import Bitmap
    from qmpd.block.drivers.qcow2.header import Header
    from qmpd.block.drivers.qcow2.mapping import Mapping
    from qmpd.block.drivers.qcow2.types import ByteFile, CowRead, KnownZero, WriteSegment

_ZERO_CHUNK = 1 << 20


def _nothing_known(offset: int, length: int) -> bool:
    del offset, length
    return False


class WritableImage(ReadableImage):
    """What is needed of an image to write to it. Offsets and lengths are bytes."""

    __slots__ = (
        "_known_metadata",
        "_known_refcounts",
        "_known_writer",
        "_snapshot_table_size",
        "bitmaps",
        "known_zero",
        "others",
        "overlap_checks",
        "records",
        "snapshots",
        "use_lazy_refcounts",
    )

    def __init__(
        self,
        file: ByteFile,
        header: Header,
        mapping: Mapping,
        *,
        lazy_refcounts: bool | None = None,
    ) -> None:
        super().__init__(file, header, mapping)
        mapping.guard = self._guard
        self._known_refcounts: Refcounts | None = None
        self._known_writer: Writer | None = None
        self.use_lazy_refcounts = lazy_refcounts
        self.overlap_checks = CACHED
        self.snapshots, self._snapshot_table_size = read_snapshots(header, file)
        self._known_metadata: Metadata | None = None
        self.bitmaps: list[Bitmap] = []
        """Persistent ones: those of the file in its order, then the new ones."""
        self.others: list[NamedBitmap] = []
        """What else records writes."""
        self.records = True
        self.known_zero: KnownZero = _nothing_known

    # Most images are only read: what allocates is made when it is needed.

    @property
    def _refcounts(self) -> Refcounts:
        if self._known_refcounts is None:
            file, header = self._file, self._header
            size = header.refcount_table_clusters << header.cluster_bits
            self._known_refcounts = Refcounts(
                file,
                header,
                self._mapping.cache,
                lambda: decode_table(file.pread(header.refcount_table_offset, size)),
            )
            self._known_refcounts.guard = self._guard
        return self._known_refcounts

    @property
    def _writer(self) -> Writer:
        if self._known_writer is None:
            kind = Writer
            if self.extended_l2:
                from qmpd.block.drivers.qcow2.subwriter import SubclusterWriter

                kind = SubclusterWriter
            self._known_writer = kind(
                self._file,
                self._mapping,
                self._refcounts,
                self._before_link,
                self.known_zero,
            )
        return self._known_writer

    @property
    def _metadata(self) -> Metadata:
        if self._known_metadata is None:
            self._known_metadata = Metadata(
                self._file,
                self._header,
                self._mapping,
                self._refcounts,
                self.snapshots,
                self._snapshot_table_size,
            )
        return self._known_metadata

    def _write_back_refcounts(self) -> None:
        if self._known_refcounts is not None:
            self._known_refcounts.cache.write_back()

    @property
    def writable(self) -> bool:
        """Whether the image was opened, or made, writable."""
        return self._writable

    # Writing

    def write(self, offset: int, data: bytes | memoryview, cow_read: CowRead) -> None:
        """Write ``data`` at guest byte ``offset``; see ``prepare_write`` for ``cow_read``."""
        self.record(offset, len(data))
        self._write(offset, data, cow_read)

    def _write(self, offset: int, data: bytes | memoryview, cow_read: CowRead) -> None:
        segments = self._prepare(offset, len(data), cow_read)
        view = memoryview(data)
        try:
            for segment in segments:
                start = segment.guest_offset - offset
                self._file.event("write_aio")
                self._file.pwrite(segment.host_offset, view[start : start + segment.length])
        except OSError:
            self.abort_write(segments)
            raise
        self.commit_write(segments)

    def write_compressed(self, offset: int, packed: bytes) -> None:
        """Let the whole cluster at guest byte ``offset`` be ``packed``; raises ``OSError``."""
        self._check_alive()
        self._cached_cluster = None
        try:
            self._writer.put_compressed(offset, packed)
        except ImageCorruptError as error:
            raise self._corrupted(error) from None

    def prepare_write(self, offset: int, length: int, cow_read: CowRead) -> list[WriteSegment]:
        """Allocate for a write and say where in the file its bytes belong; links nothing.

        ``cow_read(guest_offset, length)`` is called from ``commit_write`` and returns the
        guest's old view (backing chain included) of what the write leaves out of a cluster.
        Follow up with ``commit_write`` or ``abort_write``.
        """
        self.record(offset, length)
        return self._prepare(offset, length, cow_read)

    def record(self, offset: int, length: int) -> None:
        """Note in the bitmaps that bytes of the disk are about to be written."""
        if self.records and (self.bitmaps or self.others):
            for bitmap in (*self.bitmaps, *self.others):
                if bitmap.recording:
                    bitmap.record(offset, length)

    def _prepare(self, offset: int, length: int, cow_read: CowRead) -> list[WriteSegment]:
        self._check_alive()
        self._cached_cluster = None
        try:
            segments = self._writer.prepare(offset, length, self._clipped(cow_read))
            for segment in segments:
                self._guard(segment.host_offset, segment.length)
        except ImageCorruptError as error:
            raise self._corrupted(error) from None
        try:
            self._writer.clear(segments)
        except OSError:
            self.abort_write(segments)
            raise
        return segments

    def _clipped(self, cow_read: CowRead) -> CowRead:
        """Keep ``cow_read`` from asking for what lies beyond the end of the guest's disk."""
        size = self._header.size

        def read(offset: int, length: int) -> bytes:
            inside = max(0, min(length, size - offset))
            data = cow_read(offset, inside) if inside else b""
            return data if inside == length else data + bytes(length - inside)

        return read

    def commit_write(self, segments: list[WriteSegment]) -> None:
        """Link prepared clusters; their data is in the file (not necessarily flushed)."""
        self._check_alive()
        try:
            self._writer.commit(segments)
        except ImageCorruptError as error:
            raise self._corrupted(error) from None

    @property
    def zero_unit(self) -> int:
        """Bytes that can be marked as zeros: a cluster, or a subcluster."""
        return self.cluster_size >> 5 if self.extended_l2 else self.cluster_size

    def write_zeroes(
        self,
        offset: int,
        length: int,
        cow_read: CowRead,
        *,
        unmap: bool = True,
        alone: bool = False,
    ) -> None:
        """Make a guest range read as zeros; whole clusters need no data.

        Version 2 has no clusters of zeros, but if the image has no backing file (``alone``),
        what is not allocated reads so too. What is recorded is up to the caller.
        """
        size = self.zero_unit
        start = -(-offset // size) * size
        end = offset + length  # a cluster that the disk ends in is a whole one
        stop = (-(-end // size) if end >= self.virtual_size else end // size) * size
        able = self.version >= 3 or alone
        if not able or start >= stop:
            start = stop = offset + length
        self._write_zero_bytes(offset, start - offset, cow_read)
        if stop > start:
            self._check_alive()
            self._cached_cluster = None
            try:
                has_flag = self.version >= 3
                self._writer.zero_clusters(start, stop, unmap=unmap or not has_flag, flag=has_flag)
            except ImageCorruptError as error:
                raise self._corrupted(error) from None
        self._write_zero_bytes(stop, offset + length - stop, cow_read)

    def _write_zero_bytes(self, offset: int, length: int, cow_read: CowRead) -> None:
        end = offset + length
        while offset < end:
            take = min(end - offset, _ZERO_CHUNK)
            self._write(offset, bytes(take), cow_read)
            offset += take

    def abort_write(self, segments: list[WriteSegment]) -> None:
        """Give back what ``prepare_write`` allocated."""
        self._writer.abort(segments)

    def flush(self) -> None:
        """Make all data and metadata stable, in an order that survives a crash anywhere."""
        self._check_alive()
        self._mapping.cache.write_back()
        if not self.dirty:
            self._write_back_refcounts()
        self._file.event("flush_to_disk")
        self._file.flush()

    def is_lazy(self, option: bool | None) -> bool:
        """Whether refcounts may be late: the option says so, or else the image."""
        return self.lazy_refcounts if option is None else option

    def _before_link(self) -> bool:
        if self.is_lazy(self.use_lazy_refcounts) and not self.dirty:
            self._set_incompatible(self._header.incompatible | INCOMPAT_DIRTY)
        return not self.dirty

    # Corruption

    def _guard(self, offset: int, length: int, own: str = "") -> None:
        """Raise ``ImageCorruptError`` if a write there would destroy known metadata."""
        found = self._metadata.hit(self.overlap_checks - {own}, offset, length)
        if found:
            sentence = wording.overlap(found)
            raise ImageCorruptError(sentence, fatal=True, offset=offset, size=length)
