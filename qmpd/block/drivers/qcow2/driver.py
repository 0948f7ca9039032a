"""The qcow2 driver: an image's format logic between a node and its children."""

from __future__ import annotations

import errno
import sys

from qmpd.block import wording
from qmpd.block.bitmap import named_bitmaps
from qmpd.block.driver import DATA, UNALLOCATED, ZERO, Driver, Extent, WriteTargets, strerror, warn
from qmpd.block.drivers.qcow2 import cacheopts, overlap, types
from qmpd.block.drivers.qcow2 import wording as qcow2_wording
from qmpd.block.drivers.qcow2.childfile import ChildFile
from qmpd.block.drivers.qcow2.compressed import deflate
from qmpd.block.drivers.qcow2.image import Image
from qmpd.block.drivers.qcow2.keeping import BitmapKeeper
from qmpd.block.drivers.qcow2.parsing import Encryption
from qmpd.block.filename import Names
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from qmpd.block.drivers.qcow2.bitmaps import Bitmap
    from qmpd.block.options import Flags
    from qmpd.block.transaction import Transaction

_OVERLAP = "overlap-check"
_KINDS = {
    types.UNALLOCATED: UNALLOCATED,
    types.DATA: DATA,
    types.ZERO: ZERO,
    types.COMPRESSED: DATA,
}


class Qcow2Driver(BitmapKeeper):
    """One qcow2 image."""

    name = "qcow2"
    is_format = True
    supports_backing = True
    compresses = True
    child_names = frozenset(("file", "backing", "data-file"))
    open_children = ("file",)
    mutable_options = frozenset(
        (
            "lazy-refcounts",
            "pass-discard-request",
            "pass-discard-snapshot",
            "pass-discard-other",
            "overlap-check",
            "overlap-check.template",
            "overlap-check.main-header",
            "overlap-check.active-l1",
            "overlap-check.active-l2",
            "overlap-check.refcount-table",
            "overlap-check.refcount-block",
            "overlap-check.snapshot-table",
            "overlap-check.inactive-l1",
            "overlap-check.inactive-l2",
            "overlap-check.bitmap-directory",
            "cache-size",
            "l2-cache-size",
            "l2-cache-entry-size",
            "refcount-cache-size",
            "cache-clean-interval",
        )
    )

    _written_end = 0

    # --- life --------------------------------------------------------------------------

    def open(self, options: dict[str, Any]) -> None:
        """Read the header.

        Raises:
            QmpError: the image is none, is broken or needs what qmpd lacks.
        """
        try:
            self.image = Image.open(
                ChildFile(self.node),
                writable=not self.node.flags.read_only,
                lazy_refcounts=options.get("lazy-refcounts"),
                encryption=Encryption(
                    options.get("encrypt.format"),
                    options.get("encrypt.key-secret"),
                    secrets=self.graph.objects,
                    no_aes=self.graph.no_aes,
                ),
                check=lambda header: cacheopts.check(options, header.cluster_size, header.size),
                outdated=self._tell_outdated,
            )
        except OSError as error:
            file = self._file.exact_filename()
            raise QmpError(wording.could_not_open(file, strerror(error))) from error
        if any(key.startswith(_OVERLAP) for key in options):
            self.image.overlap_checks = overlap.wanted(options)
        self.image.on_corrupt = self._tell_corruption
        self.image.known_zero = self._known_zero
        self.backing_file = self.auto_backing_file = self.image.backing_file
        self.backing_format = self.image.backing_format
        if self.node.dirty_bitmaps:  # it was open before
            self.image.others = named_bitmaps(self.node)
        if self.image.bitmaps:  # newest first
            self.node.dirty_bitmaps.extend(reversed(self.image.bitmaps))

    def close(self) -> None:
        """Write everything back; an image whose storage fails twice stays as it is."""
        if self.image.dirty and not self.image.writable:
            self._note_vain_write()
        for vain in (False, True):  # observed: it is flushed first, whether that works or not
            try:
                self.image.close()
                break
            except QmpError as error:
                warn(qcow2_wording.lost_bitmaps(self.node.name, error.desc))
                break
            except OSError as error:
                if vain:
                    warn(f"could not write back '{self.node.name}': {strerror(error)}")

    def forget(self) -> None:
        """Only header, L1 and refcount table stay in memory (observed on QEMU 7.2)."""
        self.image.forget_tables()

    def _note_vain_write(self) -> None:
        """The original tries to mark even a read-only image as clean, and counts that."""
        Driver.note_written(self._file, self.image.cluster_size)

    @staticmethod
    def join_options(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
        """New options may replace several old ones that say the same in other words."""
        return cacheopts.join(new, old)

    def reopen_prepare(
        self, tx: Transaction, options: dict[str, Any], flags: Flags
    ) -> Iterable[str]:
        """Write back before write access goes; take note when it comes.

        An image that stays read-only would be marked as clean, too.

        Raises:
            QmpError: the image cannot be written back or marked, or not be written at all.
        """
        image = self.image
        cacheopts.check(options, image.cluster_size, image.virtual_size)
        if "encrypt.format" in options:  # an encrypted image would not be open
            raise QmpError(qcow2_wording.not_encrypted(options["encrypt.format"]))
        lazy = options.get("lazy-refcounts")
        try:
            image.check_lazy_refcounts(lazy)
        except OSError as error:
            raise QmpError(wording.flushing_failed(strerror(error))) from error
        tx.on_commit(lambda: setattr(image, "use_lazy_refcounts", lazy))
        checks = overlap.wanted(options)
        tx.on_commit(lambda: setattr(image, "overlap_checks", checks))
        was_read_only = self.node.flags.read_only
        if flags.read_only and not was_read_only:
            try:
                image.set_writable(False)
            except OSError as error:
                raise QmpError(wording.flushing_failed(strerror(error))) from error
            tx.on_abort(self._writable_again)
        elif flags.read_only and image.dirty:
            image.forget_dirt()
            self._note_vain_write()
            raise QmpError(wording.failed_to_prepare(Names().of(self.node).text))
        elif was_read_only and not flags.read_only:
            tx.on_commit(self._writable_again)
        return self.mutable_options

    def _writable_again(self) -> None:
        try:
            self.image.set_writable(True)
        except (OSError, QmpError) as error:
            # Too late to refuse: every write to the image will fail instead.
            reason = error.desc if isinstance(error, QmpError) else strerror(error)
            warn(qcow2_wording.bitmaps_not_writable(self.node.name, reason))

    def _tell_outdated(self) -> None:
        about = self.graph.about
        sys.stderr.write(f"qmpd: {about}{qcow2_wording.OUTDATED_BITMAPS}")  # without a line's end

    def _tell_corruption(self, error: types.ImageCorruptError) -> None:
        data: dict[str, Any] = {
            "device": self.node.drive_name,
            "node-name": self.node.name,
            "msg": error.message,
        }
        if error.offset is not None:
            data["offset"] = error.offset
        if error.size is not None:
            data["size"] = error.size
        data["fatal"] = error.fatal
        sys.stderr.write(qcow2_wording.corrupt(error.message, fatal=error.fatal))
        self.ejected = error.fatal
        self.graph.generation += 1
        self.graph.tell("BLOCK_IMAGE_CORRUPTED", data)

    # --- data --------------------------------------------------------------------------

    @property
    def _file(self) -> Driver:
        return self.node.children["file"].child.driver

    def length(self) -> int:
        """The virtual size in whole sectors, or more: where a write behind the end has ended."""
        return max(self.image.virtual_size & ~511, self._written_end)

    def note_written(self, end: int, length: int = 0) -> None:
        """A format above may write behind the end, which moves then (observed on QEMU 7.2)."""
        super().note_written(end, length)
        if end > self._written_end:
            self._written_end = (end + 511) & ~511

    def pread(self, offset: int, length: int) -> bytes:
        """Read the guest's view: own clusters, below them the backing chain."""
        from qmpd.block.chain import read

        return read(self.node, offset, length)

    def read_own(self, offset: int, length: int) -> bytes:
        """Read a stretch that :meth:`extent` called data or zero."""
        self.disturb("read", offset, length)
        return self.image.read(offset, length)

    def pwrite(self, offset: int, data: bytes | memoryview) -> None:
        """Write, allocating clusters as needed."""
        self.disturb("write", offset, len(data))
        if not self.ejected:
            self.note_written(offset + len(data))
        self.image.write(offset, data, self.pread)

    def pwrite_compressed(self, offset: int, data: bytes | memoryview) -> None:
        """Write whole clusters, each compressed if that makes it shorter."""
        size = self.image.cluster_size
        for start in range(0, len(data), size):
            cluster = bytes(data[start : start + size])
            packed = None
            if self.image.compression_type == "zlib":
                packed = deflate(cluster.ljust(size, b"\0"))
            if packed is None:
                self.pwrite(offset + start, cluster)
                continue
            self.disturb("write", offset + start, len(cluster))
            self.note_written(offset + start + len(cluster), len(cluster))
            self.image.write_compressed(offset + start, packed)

    @property
    def frees_zeroes(self) -> bool:
        """Version 3 has clusters of zeros."""
        return self.image.version >= 3

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True) -> None:
        """Mark whole clusters as zero, also those with nothing but zeros beside; write the rest."""
        self.note_written(offset + length)
        alone = self.node.backing is None
        image = self.image
        image.record(offset, length)
        unit = image.zero_unit
        start, end = offset, offset + length
        if start % unit and (alone or image.version >= 3):
            start = self._with_unit(start, end)[0]
        if end % unit and (alone or image.version >= 3):
            end = self._with_unit(max(start, end - end % unit), end)[1]
        image.write_zeroes(start, end - start, self.pread, unmap=unmap, alone=alone)

    def _with_unit(self, start: int, end: int) -> tuple[int, int]:
        """Take the rest of a range's first unit in if it holds no data and reads as zeros."""
        from qmpd.block.chain import is_zero

        unit = self.image.zero_unit
        low = start - start % unit
        high = min(low + unit, self.image.virtual_size)
        if self.extent(low, 1).kind == DATA:
            return start, end
        empty = is_zero(self.node, low, start) and is_zero(self.node, min(end, high), high)
        return (low, max(end, high)) if empty else (start, end)

    def _known_zero(self, offset: int, length: int) -> bool:
        from qmpd.block.chain import is_zero_by_metadata

        return is_zero_by_metadata(self.node, offset, length)

    def fill(self, offset: int, length: int, data: bytes | None) -> None:
        """Copy on read changes nothing that a bitmap could tell."""
        self.image.records = False
        try:
            super().fill(offset, length, data)
        finally:
            self.image.records = True

    def flush(self) -> None:
        """Write metadata back in the safe order and wait for the disk."""
        if not self.node.flags.read_only:
            self.disturb("flush")
            self._file.debug_event("flush_to_os")
            self.image.flush()

    @property
    def resizable(self) -> bool:
        """Any image is, or says why not only after a look at it."""
        return True

    def truncate(self, size: int) -> None:
        """Grow the image."""
        self.disturb("truncate", size)
        self.graph.generation += 1
        backing = self.node.backing
        hide = backing is not None and backing.driver.length() > self.image.virtual_size
        try:
            # What a longer backing file holds behind the old end must not show up.
            self.image.resize(size, self.pread if hide else None)
        except QmpError as error:
            raise OSError(errno.ENOTSUP, error.desc) from error
        self._written_end = 0  # the size is what the image says again

    def make_empty(self) -> bool:
        """Lay the image out anew; raises ``OSError``."""
        from qmpd.block.drivers.qcow2 import emptying

        if self.image.bitmaps:
            return False
        return self.image.replace(
            emptying.can_be_emptied,
            emptying.make_empty,
            lambda: self.open(self.node.options.effective),
        )

    def extent(self, offset: int, length: int) -> Extent:
        """What the image itself holds at ``offset``."""
        found = self.image.map(offset, length)
        extent = Extent(_KINDS[found.kind], found.length)
        if found.kind == types.DATA and found.host_offset is not None:
            place = self._file.locate(found.host_offset, found.length)
            if place is not None:
                extent.fd, extent.host_offset = place
        return extent

    def run_length(self, offset: int, length: int) -> int:
        """Up to the end of a slice of an L2 table."""
        cluster = self.image.cluster_size
        entry = 16 if self.image.extended_l2 else 8
        span = min(cluster, 1 << 16) // entry * cluster
        return min(length, span - offset % span)

    def write_targets(self, offset: int, length: int) -> WriteTargets | None:
        """Allocate clusters for a copy that goes around the image."""
        file = self._file
        if file.locate(0, length) is None:
            return None
        segments = self.image.prepare_write(offset, length, self.pread)
        places = []
        fd = -1
        for segment in segments:
            place = file.locate(segment.host_offset, segment.length)
            if place is None:  # the storage changed its mind between two calls
                self.image.abort_write(segments)
                return None
            fd = place[0]
            file.note_written(segment.host_offset + segment.length, segment.length)
            places.append((segment.guest_offset, place[1], segment.length))
        return WriteTargets(
            fd,
            places,
            lambda: self.image.commit_write(segments),
            lambda: self.image.abort_write(segments),
        )

    def update_backing(self, backing_file: str | None, backing_format: str) -> None:
        """Rewrite the header with another backing file, or with none.

        Queries show it even if the header could not be written.

        Raises:
            OSError: EINVAL, the name is too long; ENOSPC, the header cluster is full.
        """
        self.graph.generation += 1
        try:
            self.image.update_backing(backing_file, backing_format)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise
            self._note_backing(backing_file or "", backing_format)
            raise
        self._note_backing(backing_file or "", backing_format)

    def _note_backing(self, backing_file: str, backing_format: str) -> None:
        self.backing_file = self.auto_backing_file = backing_file
        self.backing_format = backing_format

    # --- description -------------------------------------------------------------------

    def describe(self, info: dict[str, Any]) -> None:
        """Cluster size and what is special about the format.

        Raises:
            QmpError: the bitmaps cannot be listed.
        """
        image = self.image
        info["dirty-flag"] = image.dirty
        info["cluster-size"] = image.cluster_size
        if image.snapshots:
            info["snapshots"] = [snapshot.info for snapshot in image.snapshots]
        data: dict[str, Any] = {"compat": "0.10", "refcount-bits": image.refcount_bits}
        if image.version >= 3:
            data = {
                "compat": "1.1",
                "lazy-refcounts": image.lazy_refcounts,
                **({} if image.data_file is None else {"data-file": image.data_file}),
                "corrupt": image.corrupt,
                "extended-l2": image.extended_l2,
                "refcount-bits": image.refcount_bits,
            }
        listed = image.listed_bitmaps() if image.bitmaps else []
        if listed:
            data["bitmaps"] = [_bitmap_info(bitmap) for bitmap in listed]
        data["compression-type"] = image.compression_type
        info["format-specific"] = {"type": "qcow2", "data": data}


def _bitmap_info(bitmap: Bitmap) -> dict[str, Any]:
    """A bitmap as the file has it."""
    names = ((1, "in-use"), (2, "auto"))
    return {
        "name": bitmap.text(),
        "granularity": bitmap.granularity,
        "flags": [name for flag, name in names if bitmap.flags & flag],
    }
