"""What a block driver is, and the registry of those that exist."""

from __future__ import annotations

import errno
import os

from qmpd.block import permissions as p
from qmpd.block import wording
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from qmpd.block.bitmap import NamedBitmap
    from qmpd.block.graph import Graph
    from qmpd.block.node import Edge, Node
    from qmpd.block.options import Flags
    from qmpd.block.transaction import Transaction

# What a stretch of a node's data is, as far as the node itself knows.
UNALLOCATED, DATA, ZERO = 0, 1, 2

COPY_CHUNK = 1 << 20


class Extent:
    """A stretch of equal kind.

    ``fd`` and ``host_offset`` say where the bytes are, if they lie contiguous and
    unchanged in a file; ``fd`` is -1 otherwise.
    """

    __slots__ = ("fd", "host_offset", "kind", "length")

    def __init__(self, kind: int, length: int, fd: int = -1, host_offset: int = 0) -> None:
        self.kind = kind
        self.length = length
        self.fd = fd
        self.host_offset = host_offset


class Driver:
    """One node's behaviour. Methods of I/O may raise OSError, others QmpError.

    I/O is synchronous: a few metadata blocks are read on the event loop, bulk data in
    slices on the worker thread.
    """

    name = ""
    is_filter = False
    is_format = False
    is_protocol = False
    is_leaf = False
    """Whether there is never anything below."""
    supports_backing = False
    borrows_name = False
    """Whether the node is called as its child is, whoever named it."""
    reopens = True
    """Whether its options can be changed."""
    child_names: frozenset[str] = frozenset()
    open_children: tuple[str, ...] = ()
    """The children that must be there before the driver opens."""
    late_children: tuple[str, ...] = ()
    """The children that come after that, before :meth:`ready`."""
    compresses = False
    """Whether it takes what is to be compressed: the format has such clusters, or it passes it on."""
    intercepts = False
    """Whether requests do more here than to pass: nobody may read or write around the node."""
    object_in_use = ""
    """The object that must not be deleted as long as the node is there."""
    is_void = False
    """Whether nothing is said of what it reads as: nobody copies that."""
    is_fickle = False
    """Whether a request may fail once and succeed when it is tried again."""
    ejected = False
    """Whether the image had to be given up while it was open."""
    hides_footprint = False
    """Whether nobody is told of space on disk at and above this node."""
    mutable_options: frozenset[str] = frozenset()
    unrepeatable_options: frozenset[str] = frozenset()
    """Options that count as changed when a reopen gives them again, even the same."""
    early_sizes: frozenset[str] = frozenset()
    """Options that are read as sizes before the driver looks at its children."""
    strong_options: tuple[str, ...] = ()
    request_alignment = 1
    has_footprint = False
    """Whether the size on disk is the driver's own to tell."""
    backing_file = ""
    """What the image's header says, in its own words."""
    backing_format = ""
    highest_written = 0
    """The offset behind the last byte ever written to this node."""
    auto_backing_file = ""
    """The name that the backing node has if it is the one from the header."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.node: Node

    # --- life --------------------------------------------------------------------------

    def open(self, options: dict[str, Any]) -> None:
        """Open the image. Children are attached already; ``options`` are the driver's own."""

    def ready(self, options: dict[str, Any]) -> None:
        """Finish opening: all children but a backing file are there."""

    def close(self) -> None:
        """Write back and let go; the children are still attached."""

    @classmethod
    def parse_filename(cls, name: str) -> dict[str, Any]:
        """The options of a protocol that a file name, its prefix included, stands for.

        Raises:
            QmpError: it is no name for this driver.
        """
        return {"filename": name}

    def forget(self) -> None:
        """The file below is another one now: what is known of the old one counts no more."""

    @staticmethod
    def join_options(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
        """What a reopen makes of ``new`` options where ``old`` ones stay."""
        return {**old, **new}

    def reopen_prepare(
        self, tx: Transaction, options: dict[str, Any], flags: Flags
    ) -> Iterable[str]:
        """Stage new options and flags; returns the names of the options it takes care of."""
        del tx, options, flags
        return ()

    # --- permissions -------------------------------------------------------------------

    def edge_permissions(self, edge: Edge, perm: int, shared: int, flags: Flags) -> tuple[int, int]:
        """What the node asks of a child when that much is asked of itself."""
        if edge.role & p.ROLE_FILTERED:
            return p.of_filter(perm, shared)
        if edge.role & p.ROLE_COW:
            return p.of_backing(perm, shared)
        return p.of_storage(perm, shared, edge.role, writable=not flags.read_only)

    def check_permissions(self, tx: Transaction, perm: int, shared: int, flags: Flags) -> None:
        """Make ready for the permissions: descriptors and locks (file only)."""

    # --- data --------------------------------------------------------------------------

    def length(self) -> int:
        """The node's size in bytes."""
        raise NotImplementedError

    def size(self) -> int:
        """The exact size in bytes, where it is not a number of sectors."""
        return self.length()

    def pread(self, offset: int, length: int) -> bytes:
        """Read ``length`` bytes; beyond the end, and where nothing is, they are zero."""
        raise NotImplementedError

    def pwrite(self, offset: int, data: bytes | memoryview) -> None:
        """Write ``data``; OSError says why not."""
        raise NotImplementedError

    def pwrite_compressed(self, offset: int, data: bytes | memoryview) -> None:
        """Write ``data`` in compressed clusters, if the format has any (``compresses``)."""
        del offset, data
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True) -> None:
        """Make a range read as zeros, without allocating where the format can.

        With ``unmap`` its space is given back. The options of the node itself are not asked
        for that, only those of the node below a raw one (observed on QEMU 7.2).
        """
        del unmap
        chunk = bytes(min(length, COPY_CHUNK))
        end = offset + length
        while offset < end:
            size = min(end - offset, COPY_CHUNK)
            self.pwrite(offset, memoryview(chunk)[:size])
            offset += size

    def fill(self, offset: int, length: int, data: bytes | None) -> None:
        """Hold what the node reads as anyway (zeros without ``data``): nobody counts it as written."""
        highest = self.highest_written
        if data is None:
            self.write_zeroes(offset, length, unmap=False)
        else:
            self.pwrite(offset, data)
        self.highest_written = highest

    def flush(self) -> None:
        """Make everything written so far durable."""
        for edge in self.node.children.values():
            if not edge.role & p.ROLE_COW:
                edge.child.driver.debug_event("flush_to_disk")
                edge.child.driver.flush()

    def debug_event(self, name: str) -> None:
        """The node above tells what it is about to do; only ``blkdebug`` listens."""

    def disturb(self, operation: str, offset: int = 0, length: int = 0) -> None:
        """Let a test's fault strike an operation on this node.

        Raises:
            OSError: as the fault says.
        """
        levers = self.graph.levers
        if levers is not None and levers.faults:
            path = self.exact_filename() if self.is_protocol else ""
            levers.faults.check(operation, self.node.name, path, offset, length)

    @property
    def offloads(self) -> bool:
        """Whether bytes may go around the drivers: not where a fault could strike."""
        levers = self.graph.levers
        return levers is None or not levers.faults

    def passes_to(self, offset: int) -> tuple[Node, int] | None:
        """The node and offset at which a byte of this node is kept, if it has none of its own."""
        below = self.node.filtered
        return None if below is None else (below, offset)

    def note_written(self, end: int, length: int = 0) -> None:
        """Bytes up to ``end`` have been written, by whatever way.

        ``length`` tells how many, unless the driver sees to the node's bitmaps itself.
        """
        self.graph.generation += 1
        self.highest_written = max(self.highest_written, end)
        if length and self.node.dirty_bitmaps:
            from qmpd.block.bitmap import record_write

            record_write(self.node, end - length, length)

    def check_persistent(self, name: bytes, granularity_bits: int) -> None:
        """Find out whether the image has a place for such a bitmap.

        Raises:
            QmpError: it has not.
        """
        del name, granularity_bits
        raise QmpError(wording.no_persistent_bitmaps(self.node.public_name))

    def add_bitmap(
        self, name: bytes, granularity_bits: int, *, enabled: bool, persistent: bool
    ) -> NamedBitmap:
        """Record what is written to the node from now on."""
        from qmpd.block.bitmap import NamedBitmap

        del persistent  # refused before
        bitmap = NamedBitmap(name, granularity_bits, enabled=enabled)
        self.node.dirty_bitmaps.insert(0, bitmap)
        return bitmap

    def unstore_bitmap(self, bitmap: NamedBitmap) -> None:
        """Take a bitmap out of the image, if it is kept there; raises ``OSError``."""

    def forget_bitmap(self, bitmap: NamedBitmap) -> None:
        """Stop recording in a bitmap."""
        self.node.dirty_bitmaps.remove(bitmap)

    @property
    def frees_zeroes(self) -> bool:
        """Whether a range that is to read as zeros can give back its space."""
        return False

    @property
    def resizable(self) -> bool:
        """Whether the size can be changed; if not, a job finds that out before any I/O."""
        return False

    def truncate(self, size: int) -> None:
        """Change the size to ``size`` bytes; most drivers cannot.

        Raises:
            OSError: with the sentence that a client is told.
        """
        del size
        raise OSError(errno.ENOTSUP, wording.CANNOT_RESIZE)

    def make_empty(self) -> bool:
        """Let the backing file show everywhere; False if the image cannot, and keeps its data.

        Raises:
            OSError: the storage failed on the way.
        """
        return False

    def extent(self, offset: int, length: int) -> Extent:
        """The first stretch at ``offset``, at most ``length`` bytes long."""
        del offset
        return Extent(DATA, length)

    def run_length(self, offset: int, length: int) -> int:
        """How much of a range the original looks at in one go, in bytes."""
        del offset
        return length

    def locate(self, offset: int, length: int) -> tuple[int, int] | None:
        """The descriptor and offset at which a range lies, if copying there is allowed."""
        del offset, length
        return None

    def read_own(self, offset: int, length: int) -> bytes:
        """Read a stretch that is not unallocated, without looking at the backing file."""
        return self.pread(offset, length)

    def update_backing(self, backing_file: str | None, backing_format: str) -> None:
        """Write another backing file into the image's header, or none.

        Raises:
            OSError: the image cannot have one, or not that one.
        """
        del backing_file, backing_format
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    def write_targets(self, offset: int, length: int) -> WriteTargets | None:
        """Where bytes for a range may be copied to directly; None if nowhere."""
        del offset, length
        return None

    # --- description -------------------------------------------------------------------

    def named_options(self) -> Iterable[str]:
        """The options that are part of the node's name, in the order for the wire."""
        return self.strong_options

    def exact_filename(self) -> str:
        """The plain name that would recreate this node, if the driver has its own rule."""
        return ""

    def set_auto_backing_file(self, name: str) -> None:
        """Note the name of the backing node that the header led to."""
        self.auto_backing_file = name

    def footprint(self) -> tuple[int, ...]:
        """Which file it is (two numbers), then its allocated blocks and size: those may change."""
        return ()

    def describe(self, info: dict[str, Any]) -> None:
        """Add to an ImageInfo what the driver knows."""

    def describe_through(self, child: Driver, info: dict[str, Any]) -> None:
        """Add what a node that has nothing of its own to tell reports of its child."""
        below: dict[str, Any] = {}
        child.describe(below)
        for key in ("dirty-flag", "cluster-size", "snapshots"):
            if key in below:
                info[key] = below[key]


class WriteTargets:
    """Places in a file that are ready to be filled, and what to do afterwards."""

    __slots__ = ("abort", "fd", "finish", "segments")

    def __init__(
        self,
        fd: int,
        segments: list[tuple[int, int, int]],
        finish: Callable[[], None],
        abort: Callable[[], None],
    ) -> None:
        self.fd = fd
        self.segments = segments
        """(offset in the node, offset in the file, length), ascending."""
        self.finish = finish
        self.abort = abort


_MODULES = {
    "blkdebug": ("qmpd.block.drivers.blkdebug.driver", "BlkdebugDriver"),
    "compress": ("qmpd.block.drivers.compress", "CompressDriver"),
    "copy-on-read": ("qmpd.block.drivers.copy_on_read", "CopyOnRead"),
    "host_device": ("qmpd.block.drivers.file", "HostDeviceDriver"),
    "throttle": ("qmpd.block.drivers.throttle", "ThrottleDriver"),
    "file": ("qmpd.block.drivers.file", "FileDriver"),
    "raw": ("qmpd.block.drivers.raw", "RawDriver"),
    "null-co": ("qmpd.block.drivers.null", "NullCo"),
    "null-aio": ("qmpd.block.drivers.null", "NullAio"),
    "qcow2": ("qmpd.block.drivers.qcow2.driver", "Qcow2Driver"),
}
_loaded: dict[str, type[Driver]] = {}


def driver_class(name: str) -> type[Driver]:
    """The driver called ``name``; its module is imported at the first use.

    Raises:
        QmpError: there is none.
    """
    found = _loaded.get(name)
    if found is None:
        if name not in _MODULES:
            raise QmpError(wording.unknown_driver(name))
        module, attribute = _MODULES[name]
        import importlib

        found = _loaded[name] = getattr(importlib.import_module(module), attribute)
    return found


def driver_names() -> list[str]:
    """The drivers that a definition may name."""
    return list(_MODULES)


def warn(text: str) -> None:
    """Say something that concerns only who started the daemon."""
    from sys import stderr

    stderr.write(f"qmpd: {text}\n")


def strerror(error: OSError) -> str:
    """The text that QEMU prints for an errno."""
    return os.strerror(error.errno) if error.errno else str(error)
