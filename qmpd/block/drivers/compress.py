"""``compress``: a filter that has what is written through it compressed."""

from __future__ import annotations

from qmpd.block import wording
from qmpd.block.passing import PassingDriver
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class CompressDriver(PassingDriver):
    """Asks the format below to compress; a format that cannot is refused."""

    name = "compress"
    reopens = False
    intercepts = True

    def open(self, options: dict[str, Any]) -> None:
        """Look at the node below, and no further (observed on QEMU 7.2).

        Raises:
            QmpError: it takes nothing that is to be compressed.
        """
        del options
        child = self.node.children["file"].child.driver
        if not child.compresses:
            raise QmpError(wording.cannot_compress(child.name))

    def pwrite(self, offset: int, data: bytes | memoryview) -> None:
        """Write whole clusters below, compressed; what is missing of them is read first."""
        self.disturb("write", offset, len(data))
        info: dict[str, Any] = {}
        self.below.describe(info)
        cluster = int(info.get("cluster-size", 1))
        start = offset - offset % cluster
        end = offset + len(data)
        whole = min(-(-end // cluster) * cluster, max(self.length(), end))
        head = self.below.pread(start, offset - start) if offset > start else b""
        tail = self.below.pread(end, whole - end) if whole > end else b""
        self.below.pwrite_compressed(start, b"".join((head, data, tail)) if head or tail else data)
        self.note_own(end, len(data))
