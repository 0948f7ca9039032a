"""``copy-on-read``: what is read through the node is kept in the image below it."""

from __future__ import annotations

import errno
import os

from qmpd.block import permissions as p
from qmpd.block import wording
from qmpd.block.chain import read
from qmpd.block.driver import UNALLOCATED, Driver, Extent
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.node import Edge, Node
    from qmpd.block.options import Flags

_LONGEST = 16 << 20
"""The most that is read and written at once."""


class CopyOnRead(Driver):
    """A filter that lets its child read and keep what a backing file holds."""

    name = "copy-on-read"
    is_filter = True
    reopens = False
    child_names = frozenset(("file",))
    open_children = ("file",)

    def _below(self) -> Driver:
        filtered = self.node.filtered
        if filtered is None:  # its job has dropped it and keeps it only until it is dismissed
            raise OSError(errno.ENOMEDIUM, os.strerror(errno.ENOMEDIUM))
        return filtered.driver

    def edge_permissions(self, edge: Edge, perm: int, shared: int, flags: Flags) -> tuple[int, int]:
        """What is asked of a filter, and to write what is there anyway."""
        del edge
        return perm | (0 if flags.read_only else p.WRITE_UNCHANGED), shared

    def length(self) -> int:
        """The size of the node below.

        Raises:
            QmpError: there is none any more.
        """
        if self.node.filtered is None:
            raise QmpError(wording.NO_LENGTH)
        return self._below().length()

    def pread(self, offset: int, length: int) -> bytes:
        """Read below, and keep there what came from further down."""
        below = self._below().node
        copy_range(below, offset, min(length, below.driver.length() - offset))
        return read(below, offset, length)

    def pwrite(self, offset: int, data: bytes | memoryview) -> None:
        """Write below."""
        self.note_written(offset + len(data))
        self._below().pwrite(offset, data)

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True) -> None:
        """Make zeros below."""
        self._below().write_zeroes(offset, length, unmap=unmap)

    def describe(self, info: dict[str, Any]) -> None:
        """What the node below says."""
        self.describe_through(self._below(), info)

    def extent(self, offset: int, length: int) -> Extent:
        """Nothing is held here."""
        del offset
        return Extent(UNALLOCATED, length)


def copy_range(node: Node, offset: int, length: int) -> None:
    """Let an image hold a range that it only knew from below, in whole clusters.

    What reads as zeros becomes zeros. Statistics of the image count none of it as written.

    Raises:
        OSError: reading or writing failed; what was copied until then stays.
    """
    driver = node.driver
    info: dict[str, Any] = {}
    driver.describe(info)
    cluster = int(info.get("cluster-size", 0)) or 1
    end = min(-(-(offset + length) // cluster) * cluster, driver.length())
    offset -= offset % cluster
    highest = driver.highest_written
    while offset < end:
        found = driver.extent(offset, driver.run_length(offset, min(end - offset, _LONGEST)))
        size = found.length
        if found.kind == UNALLOCATED:
            data = read(node, offset, size)
            if data.count(0) == size:
                driver.write_zeroes(offset, size, unmap=False)
            else:
                driver.pwrite(offset, data)
            driver.highest_written = highest
        offset += size
