"""What a qcow2 image is told and tells: its byte storage, extents, write segments."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    KnownZero = Callable[[int, int], bool]
    """``known_zero(guest_offset, length)``: whether that reads as zeros, as metadata tell."""

    CowRead = Callable[[int, int], bytes]
    """``cow_read(guest_offset, length)``: the guest's present view, backing chain included."""

    class ByteFile(Protocol):
        """What an image sees of its ``file`` child; every method raises ``OSError``."""

        def pread(self, offset: int, length: int) -> bytes:
            """``length`` bytes at ``offset``, zero-padded beyond the end of the file."""

        def pwrite(self, offset: int, data: bytes | memoryview) -> None:
            """Write all of ``data`` at ``offset``, growing the file as needed."""

        def clear(self, offset: int, length: int) -> bool:
            """Let a range read as zeros if that can be done without writing them."""

        def event(self, name: str) -> None:
            """Say what comes next (the names of ``blkdebug``)."""

        def size(self) -> int:
            """Size of the file in bytes."""

        def truncate(self, size: int) -> None:
            """Set the file's size to ``size`` bytes."""

        def discard(self, offset: int, length: int) -> None:
            """Give back the space of a range that nothing refers to, if that is wanted."""

        def flush(self) -> None:
            """Return once everything written is on stable storage (``fdatasync``)."""


UNALLOCATED = 0
DATA = 1
ZERO = 2
COMPRESSED = 3


class Extent:
    """A run of guest bytes that is served in one way.

    ``host_offset`` is the place in the file that belongs to the first byte: always for
    ``DATA``, for ``ZERO`` where the image keeps an allocation, else None.
    """

    __slots__ = ("host_offset", "kind", "length")

    def __init__(self, kind: int, length: int, host_offset: int | None = None) -> None:
        self.kind = kind
        self.length = length
        self.host_offset = host_offset

    def __repr__(self) -> str:
        host = "-" if self.host_offset is None else f"{self.host_offset:#x}"
        return f"Extent(kind={self.kind}, length={self.length}, host_offset={host})"


class Allocation:
    """Host clusters that are to be linked into L2 tables once their data is in place.

    ``guest_offset``, ``host_offset`` and ``length`` are bytes, whole clusters. ``keep`` says
    that the clusters were the guest's already (a zero cluster with an allocation). ``head``
    and ``tail`` are (guest offset, length) of what the write leaves out: to be copied, unless
    it is ``cleared``, zeros that are there already.
    """

    __slots__ = ("cleared", "guest_offset", "head", "host_offset", "keep", "length", "tail")

    def __init__(self, guest_offset: int, host_offset: int, length: int, *, keep: bool) -> None:
        self.guest_offset = guest_offset
        self.host_offset = host_offset
        self.length = length
        self.keep = keep
        self.cleared = False
        self.head = (guest_offset, 0)
        self.tail = (guest_offset + length, 0)


class WriteSegment:
    """Part of a prepared write: ``length`` bytes of the guest go to one run in the file."""

    __slots__ = ("allocations", "cow_read", "guest_offset", "host_offset", "length")

    def __init__(
        self,
        guest_offset: int,
        host_offset: int,
        length: int,
        allocations: list[Allocation],
        cow_read: CowRead,
    ) -> None:
        self.guest_offset = guest_offset
        self.host_offset = host_offset
        self.length = length
        self.allocations = allocations
        self.cow_read = cow_read


class ImageCorruptError(OSError):
    """The image's metadata contradicts itself; becomes EIO and BLOCK_IMAGE_CORRUPTED.

    ``message``, ``offset`` and ``size`` are the event's members (bytes, None: absent);
    ``fatal`` says that a writable image has been marked corrupt and takes no more I/O.
    """

    def __init__(
        self,
        message: str,
        *,
        fatal: bool,
        offset: int | None = None,
        size: int | None = None,
    ) -> None:
        import errno

        super().__init__(errno.EIO, "Input/output error")
        self.message = message
        self.fatal = fatal
        self.offset = offset
        self.size = size
