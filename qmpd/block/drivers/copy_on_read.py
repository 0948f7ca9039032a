"""``copy-on-read``: what is read through the node is kept in the image below it."""

from __future__ import annotations

import errno
import os

from qmpd.block import permissions as p
from qmpd.block import wording
from qmpd.block.chain import allocated_above, contains, freeze, next_in_chain, read, skip_filters
from qmpd.block.driver import UNALLOCATED
from qmpd.block.passing import PassingDriver
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.driver import Driver
    from qmpd.block.graph import Graph
    from qmpd.block.node import Edge, Node
    from qmpd.block.options import Flags

_LONGEST = 16 << 20
"""The most that is read and written at once."""


class CopyOnRead(PassingDriver):
    """A filter that lets its child read and keep what a backing file holds.

    With ``bottom`` only what that layer and those above it hold; the links down to it cannot
    be changed meanwhile.
    """

    name = "copy-on-read"
    reopens = False
    intercepts = True
    compresses = True

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self._bottom: Node | None = None
        self._frozen: list[Edge] = []

    def open(self, options: dict[str, Any]) -> None:
        """Find the bottom, and keep the chain down to it as it is.

        Raises:
            QmpError: there is no such node, it is a filter or it is not below.
        """
        name = options.get("bottom")
        if name is None:
            return
        bottom = self.graph.nodes.get(name)
        if bottom is None:
            raise QmpError(wording.no_bottom(name))
        if bottom.driver.is_filter:
            raise QmpError(wording.bottom_is_filter(name))
        self._frozen = freeze(self.node, bottom)
        if not contains(self.node, bottom):  # the original never ends then
            self.close()
            raise QmpError(wording.no_bottom(name))
        self.stop_at(bottom)

    def stop_at(self, bottom: Node) -> None:
        """Copy only what ``bottom`` and the layers above it hold."""
        if bottom is not skip_filters(self.node):  # else it stops nothing (observed on QEMU 7.2)
            self._bottom = bottom

    def close(self) -> None:
        """Let the chain go."""
        frozen, self._frozen = self._frozen, []
        for edge in frozen:
            edge.frozen -= 1

    @property
    def below(self) -> Driver:
        """The driver of the filtered node.

        Raises:
            OSError: its job has dropped it and keeps it only until it is dismissed.
        """
        filtered = self.node.filtered
        if filtered is None:
            raise OSError(errno.ENOMEDIUM, os.strerror(errno.ENOMEDIUM))
        return filtered.driver

    def length(self) -> int:
        """The size of the node below.

        Raises:
            QmpError: there is none any more.
        """
        if self.node.filtered is None:
            raise QmpError(wording.NO_LENGTH)
        return self.below.length()

    def edge_permissions(self, edge: Edge, perm: int, shared: int, flags: Flags) -> tuple[int, int]:
        """What is asked of a filter, and to write what is there anyway."""
        perm, shared = super().edge_permissions(edge, perm, shared, flags)
        return perm | p.WRITE_UNCHANGED, shared

    def pread(self, offset: int, length: int) -> bytes:
        """Read below, and keep there what came from further down."""
        self.disturb("read", offset, length)
        position, end = offset, min(offset + length, self.length())
        while position < end:
            size, copying = self._stretch(position, end - position)
            if copying:
                copy_range(self.below.node, position, size)
            position += size
        return self.below.pread(offset, length)

    def _stretch(self, offset: int, length: int) -> tuple[int, bool]:
        """How much is alike from ``offset`` on, and whether it is to be copied."""
        below = self.below
        found = below.extent(offset, below.run_length(offset, length))
        if found.kind != UNALLOCATED or self._bottom is None:
            return found.length, found.kind == UNALLOCATED
        lower = next_in_chain(skip_filters(below.node))
        if lower is None:
            return found.length, False
        above = next_in_chain(self._bottom)
        layer, _, size = allocated_above(lower, above, offset, found.length)
        return size, layer is not None


def copy_range(node: Node, offset: int, length: int) -> None:
    """Let an image hold a range that it only knew from below, in whole clusters.

    What reads as zeros becomes zeros. Neither statistics nor bitmaps of the image count any of
    it as written.

    Raises:
        OSError: reading or writing failed; what was copied until then stays.
    """
    driver = node.driver
    info: dict[str, Any] = {}
    driver.describe(info)
    cluster = int(info.get("cluster-size", 0)) or 1
    end = min(-(-(offset + length) // cluster) * cluster, driver.length())
    offset -= offset % cluster
    while offset < end:
        found = driver.extent(offset, driver.run_length(offset, min(end - offset, _LONGEST)))
        size = found.length
        if found.kind == UNALLOCATED:
            data = read(node, offset, size)
            driver.fill(offset, size, None if data.count(0) == size else data)
        offset += size
