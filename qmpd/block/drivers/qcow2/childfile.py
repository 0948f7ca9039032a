"""The node's ``file`` child, as the format logic wants to see it."""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.block.driver import Driver
    from qmpd.block.node import Node


class ChildFile:
    """The node's ``file`` child as the byte storage of an image."""

    __slots__ = ("_node",)

    def __init__(self, node: Node) -> None:
        self._node = node

    @property
    def driver(self) -> Driver:
        """The driver of the child, which a reopen may change."""
        return self._node.children["file"].child.driver

    def pread(self, offset: int, length: int) -> bytes:
        """Read; an offset that no file has is an I/O error."""
        try:
            return self.driver.pread(offset, length)
        except OverflowError:  # tables can say anything
            raise OSError(errno.EIO, os.strerror(errno.EIO)) from None

    def pwrite(self, offset: int, data: bytes | memoryview) -> None:
        """Write; an offset that no file has is an I/O error."""
        try:
            self.driver.pwrite(offset, data)
        except OverflowError:
            raise OSError(errno.EIO, os.strerror(errno.EIO)) from None

    def clear(self, offset: int, length: int) -> bool:
        """Make zeros without giving space back; False where that takes writing them."""
        driver = self.driver
        if not driver.frees_zeroes:
            return False
        driver.write_zeroes(offset, length, unmap=False)
        return True

    def event(self, name: str) -> None:
        """Tell a ``blkdebug`` below what is going on."""
        self.driver.debug_event(name)

    def size(self) -> int:
        """The exact size in bytes."""
        return self.driver.size()

    def truncate(self, size: int) -> None:
        """Set the size in bytes."""
        self.driver.truncate(size)

    def discard(self, offset: int, length: int) -> None:
        """Give space back if the child's options allow it."""
        child = self._node.children["file"].child
        length = min(length, child.driver.size() - offset)
        if length > 0 and child.flags.unmap and child.driver.frees_zeroes:
            child.driver.write_zeroes(offset, length)

    def flush(self) -> None:
        """Have everything on disk."""
        self.driver.flush()
