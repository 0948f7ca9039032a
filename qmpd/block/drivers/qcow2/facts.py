"""What an image's header says about it, in the terms of query-named-block-nodes."""

from __future__ import annotations

from qmpd.block.drivers.qcow2.header import (
    COMPAT_LAZY_REFCOUNTS,
    INCOMPAT_CORRUPT,
    INCOMPAT_DIRTY,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.block.drivers.qcow2.header import Header


class Facts:
    """Read-only properties of an image; sizes are bytes."""

    __slots__ = ("_header",)

    def __init__(self, header: Header) -> None:
        self._header = header

    @property
    def virtual_size(self) -> int:
        """The guest's disk size in bytes."""
        return self._header.size

    @property
    def cluster_size(self) -> int:
        """Bytes a cluster."""
        return self._header.cluster_size

    @property
    def version(self) -> int:
        """2 (compat 0.10) or 3 (compat 1.1)."""
        return self._header.version

    @property
    def backing_file(self) -> str:
        """The backing file's name in the header, empty if there is none."""
        return self._header.backing_file_text()

    @property
    def backing_format(self) -> str:
        """The backing file's format in the header, empty if unknown."""
        return self._header.backing_format.decode("utf-8", "surrogateescape")

    @property
    def data_file(self) -> str | None:
        """What the header calls the external data file, None if it does not speak of one."""
        name = self._header.data_file
        return None if name is None else name.split(b"\0")[0].decode("utf-8", "surrogateescape")

    @property
    def compression_type(self) -> str:
        """``zlib`` or ``zstd``."""
        return "zstd" if self._header.compression_type else "zlib"

    @property
    def lazy_refcounts(self) -> bool:
        """The header's flag, whatever the node's option says."""
        return bool(self._header.compatible & COMPAT_LAZY_REFCOUNTS)

    @property
    def refcount_bits(self) -> int:
        """Width of a refcount."""
        return 1 << self._header.refcount_order

    @property
    def corrupt(self) -> bool:
        """Whether the image is marked corrupt."""
        return bool(self._header.incompatible & INCOMPAT_CORRUPT)

    @property
    def dirty(self) -> bool:
        """Whether the refcounts on disk may be out of date."""
        return bool(self._header.incompatible & INCOMPAT_DIRTY)

    @property
    def extended_l2(self) -> bool:
        """Whether clusters have subclusters."""
        return self._header.extended_l2

    @property
    def nb_snapshots(self) -> int:
        """Number of internal snapshots."""
        return self._header.nb_snapshots
