"""``raw``: a disk image without a format, or a window into one."""

from __future__ import annotations

import errno
import os

from qmpd.block import options as opt
from qmpd.block import permissions as p
from qmpd.block import wording
from qmpd.block.driver import Driver, Extent, WriteTargets
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from qmpd.block.node import Edge, Node
    from qmpd.block.options import Flags
    from qmpd.block.transaction import Transaction


class RawDriver(Driver):
    """Passes everything through to ``file``, moved by ``offset`` and cut at ``size``."""

    name = "raw"
    is_format = True
    child_names = frozenset(("file",))
    open_children = ("file",)
    mutable_options = frozenset(("offset", "size"))
    strong_options = ("offset", "size")
    early_sizes = frozenset(("offset", "size"))

    _is_filter: bool | None = None

    def open(self, options: dict[str, Any]) -> None:
        """Check the window.

        Raises:
            QmpError: it does not fit into the file.
        """
        self._offset, self._size = 0, -1
        self._offset, self._size = self._window(options)

    def _window(self, options: dict[str, Any]) -> tuple[int, int]:
        real = self._file.driver.length()
        offset, size = int(options.get("offset", 0)), options.get("size")
        if offset > real:
            raise QmpError(wording.raw_offset_too_big(offset, real))
        if size is not None and real - offset < int(size):
            raise QmpError(wording.raw_window_too_big(offset, int(size), real))
        if size is not None and int(size) % 512:
            raise QmpError(wording.RAW_UNALIGNED)
        return offset, -1 if size is None else int(size)

    @property
    def _file(self) -> Node:
        return self.node.children["file"].child

    def reopen_prepare(
        self, tx: Transaction, options: dict[str, Any], flags: Flags
    ) -> Iterable[str]:
        """Move the window."""
        del flags
        opt.check_sizes(options, self.early_sizes)
        window = self._window(options)

        def switch() -> None:
            self._offset, self._size = window

        tx.on_commit(switch)
        return ("offset", "size")

    def edge_permissions(self, edge: Edge, perm: int, shared: int, flags: Flags) -> tuple[int, int]:
        """A filter's rule without a window; with one, a data parent's.

        Which of the two is decided when the node is opened: a later window changes nothing.
        """
        del edge, flags
        if self._is_filter is None:
            given = self.node.options.effective
            self._is_filter = not given.get("offset") and "size" not in given
        if self._is_filter:
            return p.of_filter(perm, shared)
        wanted, shared = p.of_storage(perm, shared, p.ROLE_DATA, writable=False)
        # A window needs write and resize only if its user does.
        return wanted & ~((p.WRITE | p.RESIZE) & ~perm), shared

    def length(self) -> int:
        """The window's size, or what is left of the file behind ``offset``."""
        if self._size >= 0:
            return self._size
        return (max(self._file.driver.length() - self._offset, 0) + 511) & ~511

    def pread(self, offset: int, length: int) -> bytes:
        """Read from the file, zero-padded behind the end of the window."""
        self.disturb("read", offset, length)
        inside = length
        if self._size >= 0:
            if not length and offset > self._size:  # nothing to pad: the window is asked
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            inside = max(min(length, self._size - offset), 0)
        self._file.driver.debug_event("read_aio")
        data = self._file.driver.pread(offset + self._offset, inside) if inside else b""
        return data if inside == length else data + bytes(length - inside)

    def pwrite(self, offset: int, data: bytes | memoryview) -> None:
        """Write to the file."""
        self.disturb("write", offset, len(data))
        self._check_room(offset + len(data))
        self.note_written(offset + len(data), len(data))
        self._file.driver.debug_event("write_aio")
        self._file.driver.pwrite(offset + self._offset, data)

    def _check_room(self, end: int) -> None:
        if 0 <= self._size < end:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def size(self) -> int:
        """The window, or the rest of the file to the byte."""
        return self._size if self._size >= 0 else max(self._file.driver.size() - self._offset, 0)

    def locate(self, offset: int, length: int) -> tuple[int, int] | None:
        """The file's place, moved by the window's start."""
        if 0 <= self._size < offset + length:
            return None
        return self._file.driver.locate(offset + self._offset, length)

    def passes_to(self, offset: int) -> tuple[Node, int] | None:
        """The file, moved by the window's start."""
        return self._file, offset + self._offset

    def note_written(self, end: int, length: int = 0) -> None:
        """What is written here is written to the file."""
        super().note_written(end, length)
        self._file.driver.note_written(end + self._offset, length)

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True) -> None:
        """Let the file do it."""
        self.disturb("write", offset, length)
        self._check_room(offset + length)
        super().note_written(offset + length, length)
        unmap = unmap and self._file.flags.unmap
        self._file.driver.write_zeroes(offset + self._offset, length, unmap=unmap)

    @property
    def frees_zeroes(self) -> bool:
        """As the file does, whether or not its own options allow it."""
        return self._file.driver.frees_zeroes

    @property
    def resizable(self) -> bool:
        """As the file is, unless the window has a fixed size."""
        return self._size < 0 and self._file.driver.resizable

    def truncate(self, size: int) -> None:
        """Resize the file, unless the window has a fixed size."""
        if self._size >= 0:
            raise OSError(errno.ENOTSUP, wording.FIXED_SIZE)
        self._file.driver.truncate(size + self._offset)

    def extent(self, offset: int, length: int) -> Extent:
        """What the file says."""
        return self._file.driver.extent(offset + self._offset, length)

    def describe(self, info: dict[str, Any]) -> None:
        """What the file says."""
        self.describe_through(self._file.driver, info)

    def write_targets(self, offset: int, length: int) -> WriteTargets | None:
        """The file's places, counted from the window's start."""
        self._check_room(offset + length)
        targets = self._file.driver.write_targets(offset + self._offset, length)
        if targets is not None and self._offset:
            moved = [(at - self._offset, host, size) for at, host, size in targets.segments]
            targets.segments = moved
        return targets
