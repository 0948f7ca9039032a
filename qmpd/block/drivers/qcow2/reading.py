"""Reading the guest's bytes from one qcow2 image, and noticing that it makes no sense."""

from __future__ import annotations

import struct
from errno import ENOMEDIUM

from qmpd.block.drivers.qcow2.compressed import decompressor
from qmpd.block.drivers.qcow2.facts import Facts
from qmpd.block.drivers.qcow2.header import INCOMPAT_CORRUPT
from qmpd.block.drivers.qcow2.tables import compressed_range
from qmpd.block.drivers.qcow2.types import COMPRESSED, DATA, ImageCorruptError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmpd.block.drivers.qcow2.header import Header
    from qmpd.block.drivers.qcow2.mapping import Mapping
    from qmpd.block.drivers.qcow2.types import ByteFile, Extent

_INCOMPATIBLE_AT = 72


class ReadableImage(Facts):
    """What is needed of an image to read from it. Offsets and lengths are bytes."""

    __slots__ = (
        "_cached_cluster",
        "_decompress",
        "_file",
        "_mapping",
        "_writable",
        "broken",
        "on_corrupt",
    )

    def __init__(self, file: ByteFile, header: Header, mapping: Mapping) -> None:
        super().__init__(header)
        self._file = file
        self._mapping = mapping
        self._decompress = decompressor(header.compression_type)
        self._writable = False
        self.broken = False
        """Whether the image was found corrupt while it could be written: nothing goes any more."""
        self.on_corrupt: Callable[[ImageCorruptError], None] | None = None
        self._cached_cluster: tuple[tuple[int, int], bytes] | None = None

    def map(self, offset: int, length: int) -> Extent:
        """The extent at guest byte ``offset``, at most ``length`` bytes, merged maximally."""
        self._check_alive()
        try:
            return self._mapping.map(offset, length)
        except ImageCorruptError as error:
            raise self._corrupted(error) from None

    def read(self, offset: int, length: int) -> bytes:
        """The image's own guest bytes; what it has not allocated reads as zeros."""
        parts: list[bytes] = []
        position, end = offset, offset + length
        while position < end:
            extent = self.map(position, end - position)
            if extent.kind == DATA and extent.host_offset is not None:
                self._file.event("read_aio")
                parts.append(self._file.pread(extent.host_offset, extent.length))
            elif extent.kind == COMPRESSED:
                parts.append(self._read_compressed(position, extent.length))
            else:
                parts.append(bytes(extent.length))
            position += extent.length
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_compressed(self, offset: int, length: int) -> bytes:
        size = self.cluster_size
        parts: list[bytes] = []
        end = offset + length
        while offset < end:
            inside = offset % size
            take = min(end - offset, size - inside)
            entry = self._mapping.entry_at(offset)
            cluster = self._inflated(*compressed_range(entry, self._header.cluster_bits))
            parts.append(cluster[inside : inside + take])
            offset += take
        return b"".join(parts)

    def _inflated(self, offset: int, length: int) -> bytes:
        key = (offset, length)
        if self._cached_cluster is None or self._cached_cluster[0] != key:
            self._file.event("read_compressed")
            packed = self._file.pread(offset, length)
            self._cached_cluster = (key, self._decompress(packed, self.cluster_size))
        return self._cached_cluster[1]

    # Corruption

    def _check_alive(self) -> None:
        if self.broken:
            raise OSError(ENOMEDIUM, "No medium found")

    def _corrupted(self, error: ImageCorruptError) -> ImageCorruptError:
        """Mark a writable image corrupt; what is read-only only reports."""
        error.fatal = error.fatal and self._writable
        if self.on_corrupt is not None:
            report, self.on_corrupt = self.on_corrupt, None  # QEMU tells once
            report(error)
        if error.fatal:
            self.broken = True
            self._header.incompatible |= INCOMPAT_CORRUPT
            self._file.pwrite(0, self._header.serialise())
            self._file.flush()
        return error

    def _set_incompatible(self, bits: int) -> None:
        self._file.pwrite(_INCOMPATIBLE_AT, struct.pack(">Q", bits))
        self._file.flush()
        self._header.incompatible = bits
