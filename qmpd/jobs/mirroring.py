"""What of an active layer is dirty, and in which pieces the original copies it.

Dirt is kept in granules. A run of dirty granules is cut where its content changes kind:
whole granules of zeros become zeros in the target, if its clusters allow that; a granule
with something else in it is read through the whole chain and written as data.
"""

from __future__ import annotations

from bisect import bisect_right

from qmpd.block.chain import allocated_above, read
from qmpd.block.driver import DATA
from qmpd.jobs.blockjob import BATCH, CHUNK, Copied, ReadError, failed, offload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from qmpd.block.driver import Extent
    from qmpd.block.node import Node

PIECE = 1 << 20
"""The most that the original reads and writes at once."""

IN_FLIGHT = 16
"""How many pieces the original reads at a time."""

MIN_GRANULARITY, MAX_GRANULARITY = 4096, 65536


def cluster_size(node: Node) -> int:
    """Bytes of a cluster of a format, as far as filters and windows show it; 0 without any."""
    info: dict[str, Any] = {}
    node.driver.describe(info)
    return int(info.get("cluster-size", 0))


def granularity(target: Node) -> int:
    """Bytes that one bit of the dirty bitmap stands for."""
    cluster = cluster_size(target) or MAX_GRANULARITY
    return max(MIN_GRANULARITY, min(cluster, MAX_GRANULARITY))


class DirtyBitmap:
    """What a job still has to copy from a node; sizes in bytes, in whole granules."""

    __slots__ = ("_cursor", "_runs", "closed", "count", "dirtied", "granularity", "recording")

    def __init__(self, granularity: int, *, recording: bool = True) -> None:
        self.granularity = granularity
        self.recording = recording
        """Whether what guests write is dirty."""
        self.count = 0
        """How much is dirty."""
        self.closed = False
        """Whether the job has ended its work: what is written now would be lost."""
        self.dirtied: Callable[[], None] = lambda: None
        """Called when a guest has written something."""
        self._runs: list[tuple[int, int]] = []
        self._cursor = 0

    def start(self, runs: list[tuple[int, int]]) -> None:
        """Begin with these runs, besides what has been written meanwhile."""
        self._runs = merged(runs + self._runs)
        self.count = sum(end - start for start, end in self._runs)

    def mark(self, start: int, end: int) -> None:
        """A range is dirty, all granules of it."""
        granule = self.granularity
        self.start([(start - start % granule, -(-end // granule) * granule)])

    def clear(self, start: int, end: int) -> None:
        """The whole granules within a range are clean."""
        granule = self.granularity
        start, end = -(-start // granule) * granule, end - end % granule
        if start >= end:
            return
        kept = []
        for first, last in self._runs:
            kept += [(first, min(last, start)), (max(first, end), last)]
        self._runs = []
        self.start([run for run in kept if run[0] < run[1]])

    def is_dirty(self, offset: int) -> bool:
        """Whether the granule with a byte in it is to be copied."""
        return any(start <= offset < end for start, end in self._runs)

    def take(self, longest: int) -> tuple[int, int] | None:
        """The next part of a run, which is clean from now on; None if nothing is dirty.

        Behind the last run the first one follows again.
        """
        runs = self._runs
        if not runs:
            return None
        index = bisect_right(runs, (self._cursor, -1))
        if index == len(runs):
            index = 0
        start, end = runs[index]
        stop = min(end, start + longest)
        if stop < end:
            runs[index] = stop, end
        else:
            del runs[index]
        self.count -= stop - start
        self._cursor = stop
        return start, stop

    def describe(self) -> dict[str, Any]:
        """What queries of the node show."""
        return {
            "count": self.count,
            "granularity": self.granularity,
            "recording": self.recording,
            "busy": False,
            "persistent": False,
        }


def bitmaps_of_jobs(node: Node, offset: int) -> Iterator[tuple[DirtyBitmap, int]]:
    """Which jobs copy from a node, or from one that it passes on to, and where ``offset`` is there."""
    place: tuple[Node, int] | None = (node, offset)
    while place is not None:
        node, offset = place
        for bitmap in node.dirty_bitmaps:
            if isinstance(bitmap, DirtyBitmap):
                yield bitmap, offset
        place = node.driver.passes_to(offset)


def note_guest_write(node: Node, offset: int, length: int) -> None:
    """Tell the jobs that copy from there of a write."""
    for bitmap, at in bitmaps_of_jobs(node, offset):
        if bitmap.recording:
            bitmap.mark(at, at + length)
            bitmap.dirtied()


def find_dirty(source: Node, base: Node | None, size: int, granule: int) -> list[tuple[int, int]]:
    """What lies above the base, in whole granules: (start, end) in bytes.

    The last granule counts as a whole even if the image ends within it.
    """
    found: list[tuple[int, int]] = []
    offset = 0
    while offset < size:
        layer, _, length = allocated_above(source, base, offset, size - offset)
        if layer is not None and not layer.driver.is_void:
            end = -(-(offset + length) // granule) * granule
            _add_run(found, offset - offset % granule, end)
        offset += length
    return found


def _add_run(runs: list[tuple[int, int]], start: int, end: int) -> None:
    """Add a run behind the others; one that it touches becomes longer."""
    if runs and start <= runs[-1][1]:
        start, last = runs.pop()
        end = max(end, last)
    runs.append((start, end))


def merged(pieces: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pieces in any order as ascending runs."""
    runs: list[tuple[int, int]] = []
    for start, end in sorted(pieces):
        _add_run(runs, start, end)
    return runs


class DirtyRun:
    """A contiguous dirty run on its way into the target.

    The original reads a piece and looks for the next one before the first is written, while
    zeros need no reading: they are in the target before data that precedes them, and what
    they allocate there comes first.
    """

    __slots__ = ("_careful", "_data", "_granule", "_source", "_target", "_todo", "_unmap", "_whole")

    def __init__(
        self,
        source: Node,
        target: Node,
        offset: int,
        end: int,
        granule: int,
        *,
        unmap: bool = True,
        whole: set[int] | None = None,
    ) -> None:
        self._source = source
        self._target = target
        self._granule = granule
        self._unmap = unmap
        self._whole = whole
        """Clusters of the target that have been written, if it cannot fill up the others."""
        self._todo = [(offset, end)]
        """Ranges that nobody has looked at; the first one is the next."""
        self._data: list[_Piece] = []
        """Pieces of data that are about to be copied."""
        self._careful = source.driver.graph.is_fickle

    @property
    def unfinished(self) -> bool:
        """Whether anything is left to do."""
        return bool(self._todo or self._data)

    def step(self) -> Copied:
        """Copy one piece; sizes are in whole granules.

        Runs on the worker thread. An error is returned, not raised, with the side it is on
        and with the size of the piece that the original would fail to copy.
        """
        while True:
            piece = self._next()
            result = piece.failure or self._copy(piece)
            if not result.error or self._careful:
                result.offset = piece.offset
                return result
            # How much of it fails is seen in the original's pieces.
            self._careful = True
            again = [(each.offset, each.offset + each.size) for each in (piece, *self._data)]
            self._data = []
            self._todo = merged(again + self._todo)

    def _next(self) -> _Piece:
        """The first piece of zeros within the next few, or else the first piece of data."""
        while self._todo and len(self._data) < IN_FLIGHT:
            start, end = self._todo[0]
            piece = self._fill_clusters(self._look(start, end))
            stop = piece.offset + piece.size
            if stop < end:
                self._todo[0] = stop, end
            else:
                del self._todo[0]
            if piece.failure or piece.is_zero:
                return piece
            self._data.append(piece)
        return self._data.pop(0)

    def _look(self, offset: int, end: int) -> _Piece:
        source = self._source
        size = source.driver.length()
        try:
            _, extent, length = allocated_above(
                source, None, offset, min(end, size) - offset, in_steps=True
            )
        except OSError as error:
            length = min(end - offset, PIECE)
            return _Piece(offset, length, failure=failed("read", error, length))
        whole = length - length % self._granule
        if extent is not None and extent.kind == DATA:
            offloads = extent.fd >= 0 and whole
            largest = PIECE if self._careful else BATCH if offloads else CHUNK
            piece = max(min(whole, largest), self._granule)
            return _Piece(offset, piece, extent=extent if offloads else None)
        if whole and _fits(self._target, offset, whole):
            return _Piece(offset, whole, is_zero=True)
        return _Piece(offset, max(min(whole, PIECE if self._careful else CHUNK), self._granule))

    def _fill_clusters(self, piece: _Piece) -> _Piece:
        """A piece of data with all of the clusters that it begins and ends in.

        The target has no backing file yet that would fill up the rest of a new cluster.
        """
        if self._whole is None or piece.is_zero or piece.failure:
            return piece
        cluster = cluster_size(self._target)
        start, end = piece.offset, piece.offset + piece.size
        if {start // cluster, (end - 1) // cluster} <= self._whole:
            return piece
        start -= start % cluster
        end = min(-(-end // cluster) * cluster, self._source.driver.length())
        return _Piece(start, end - start)

    def _copy(self, piece: _Piece) -> Copied:
        offset, size, extent = piece.offset, piece.size, piece.extent
        driver = self._target.driver
        try:
            if piece.is_zero:
                driver.write_zeroes(offset, size, unmap=self._unmap)
                return self._copied(piece, copied=False)
            if extent is not None and offload(self._target, offset, extent, size):
                return self._copied(piece, copied=True)
            inside = min(size, self._source.driver.length() - offset)
            driver.pwrite(offset, _read(self._source, offset, inside))
        except ReadError as error:
            return failed("read", error, size)
        except OSError as error:
            return failed("write", error, size)
        return self._copied(piece, copied=True)

    def _copied(self, piece: _Piece, *, copied: bool) -> Copied:
        if self._whole is not None:
            cluster = cluster_size(self._target)
            end = piece.offset + piece.size
            self._whole.update(range(piece.offset // cluster, -(-end // cluster)))
        return Copied(piece.size, copied=copied)


class _Piece:
    """A part of a run that is copied at once."""

    __slots__ = ("extent", "failure", "is_zero", "offset", "size")

    def __init__(
        self,
        offset: int,
        size: int,
        *,
        extent: Extent | None = None,
        is_zero: bool = False,
        failure: Copied | None = None,
    ) -> None:
        self.offset = offset
        self.size = size
        self.extent = extent
        """Where the data is, if the kernel may copy it."""
        self.is_zero = is_zero
        self.failure = failure


def _fits(target: Node, offset: int, length: int) -> bool:
    cluster = cluster_size(target)
    return not cluster or not (offset % cluster or length % cluster)


def _read(source: Node, offset: int, length: int) -> bytes:
    try:
        return read(source, offset, length)
    except OSError as error:
        raise ReadError(error.errno, error.strerror) from error
