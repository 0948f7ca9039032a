"""What all filters have in common: requests pass through to the one node below."""

from __future__ import annotations

from qmpd.block.driver import Driver, Extent, WriteTargets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class PassingDriver(Driver):
    """Sees everything as the filtered node below does, and lets everything through."""

    is_filter = True
    below_name = "file"
    """How the child is called."""
    child_names = frozenset(("file",))
    open_children: tuple[str, ...] = ("file",)

    @property
    def below(self) -> Driver:
        """The driver of the filtered node."""
        return self.node.children[self.below_name].child.driver

    def length(self) -> int:
        """The size of the node below."""
        return self.below.length()

    def size(self) -> int:
        """Its exact size."""
        return self.below.size()

    def pread(self, offset: int, length: int) -> bytes:
        """Read below."""
        self.disturb("read", offset, length)
        return self.below.pread(offset, length)

    def pwrite(self, offset: int, data: bytes | memoryview) -> None:
        """Write below."""
        self.disturb("write", offset, len(data))
        self.below.pwrite(offset, data)
        self.note_own(offset + len(data), len(data))

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True) -> None:
        """Let the node below do it."""
        self.disturb("write", offset, length)
        self.below.write_zeroes(offset, length, unmap=unmap)
        self.note_own(offset + length, length)

    def note_own(self, end: int, length: int = 0) -> None:
        """Bytes up to ``end`` have been written here, and the node below knows."""
        super().note_written(end, length)

    def note_written(self, end: int, length: int = 0) -> None:
        """What is written here is written below."""
        super().note_written(end, length)
        self.below.note_written(end, length)

    def flush(self) -> None:
        """Flush below."""
        self.below.flush()

    @property
    def offloads(self) -> bool:
        """Not where the filter has something to do with each request."""
        return not self.intercepts and super().offloads

    @property
    def frees_zeroes(self) -> bool:
        """As the node below."""
        return self.below.frees_zeroes

    @property
    def resizable(self) -> bool:
        """As the node below."""
        return self.below.resizable

    def truncate(self, size: int) -> None:
        """Resize the node below."""
        self.graph.generation += 1
        self.below.truncate(size)

    def extent(self, offset: int, length: int) -> Extent:
        """What the node below holds."""
        found = self.below.extent(offset, length)
        if not self.offloads:
            found.fd = -1
        return found

    def run_length(self, offset: int, length: int) -> int:
        """As the node below."""
        return self.below.run_length(offset, length)

    def locate(self, offset: int, length: int) -> tuple[int, int] | None:
        """The place that the node below has."""
        return self.below.locate(offset, length) if self.offloads else None

    def write_targets(self, offset: int, length: int) -> WriteTargets | None:
        """The places that the node below has."""
        return self.below.write_targets(offset, length) if self.offloads else None

    def pwrite_compressed(self, offset: int, data: bytes | memoryview) -> None:
        """Write below, compressed."""
        self.disturb("write", offset, len(data))
        self.below.pwrite_compressed(offset, data)
        self.note_own(offset + len(data), len(data))

    def describe(self, info: dict[str, Any]) -> None:
        """What the node below says."""
        self.describe_through(self.below, info)


class SteadyDriver(PassingDriver):
    """A filter that looks at the size of the node below once: what others do there, it misses."""

    _length = 0

    def look_at_length(self) -> None:
        """The node is open: that is its size from now on."""
        self._length = self.below.length()

    def length(self) -> int:
        """The size that the node below had, or what has been written here since."""
        return self._length

    def note_own(self, end: int, length: int = 0) -> None:
        """Bytes up to ``end`` have been written here."""
        super().note_own(end, length)
        self._note_end(end)

    def note_written(self, end: int, length: int = 0) -> None:
        """What is written here is written below."""
        super().note_written(end, length)
        self._note_end(end)

    def _note_end(self, end: int) -> None:
        if end > self._length:
            self._length = (end + 511) & ~511

    def truncate(self, size: int) -> None:
        """Resize the node below, and this one."""
        super().truncate(size)
        self._length = (size + 511) & ~511
