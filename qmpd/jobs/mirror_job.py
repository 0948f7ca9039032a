"""Mirroring a node into another one that is there already (``blockdev-mirror``)."""

from __future__ import annotations

import errno

from qmpd.block.chain import skip_filters
from qmpd.block.driver import warn
from qmpd.block.node import Blocker
from qmpd.block.opening import open_backing
from qmpd.block.overlay import set_backing
from qmpd.errors import QmpError
from qmpd.jobs import wording
from qmpd.jobs.blockjob import as_errno
from qmpd.jobs.job import Sleep, Work
from qmpd.jobs.mirror import Mirror
from qmpd.jobs.mirroring import DirtyRun, cluster_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from qmpd.block.graph import Graph
    from qmpd.block.node import Node
    from qmpd.jobs.job import Run
    from qmpd.jobs.manager import JobManager
    from qmpd.jobs.mirroring import DirtyBitmap

KEEP, SHARE, OPEN = "keep", "share", "open"
"""What lies below the target at the end: what it has, what the source has, or what its header says."""

_ZEROES = 1 << 30
"""Bytes of a target that become zeros in one go."""


class MirrorJob(Mirror):
    """Copies ``source``, or what lies above ``base`` there, into ``target``."""

    type = "mirror"

    def __init__(
        self,
        manager: JobManager,
        graph: Graph,
        job_id: str,
        *,
        only_new: bool,
        zero_target: bool,
        granularity: int,
        buffer: int,
        unmap: bool,
        writes_both: bool,
        replaces: str | None,
        on_target_error: str,
        backing: str = KEEP,
        **common: Any,
    ) -> None:
        super().__init__(manager, graph, job_id, **common)
        self._only_new = only_new
        """Whether just what guests write from now on is copied."""
        self._zero_target = zero_target
        """Whether the target may have content that has to go."""
        self.granularity = granularity or self.granularity
        self.buffer = buffer or self.buffer
        self.unmap = unmap
        self.writes_both = writes_both
        self._replaces = replaces
        self._replaced: Node | None = None
        self._blocker = Blocker(wording.REPLACEMENT_IN_USE, frozenset())
        self._on_target_error = on_target_error
        self._backing = backing
        self._whole: set[int] | None = None

    def begin(self) -> None:
        """Set everything up and start, or leave everything as it was.

        Raises:
            QmpError: why not.
        """
        if self.buffer < 0:
            raise QmpError(wording.BUFFER_SIZE)
        self.buffer = -(-self.buffer // self.granularity) * self.granularity
        if self.writes_both:
            self.filter_driver.copy = self._write_both
        super().begin()

    def policy(self, operation: str) -> str:
        """Each side has its own."""
        return self.on_error if operation == "read" else self._on_target_error

    # --- work --------------------------------------------------------------------------

    def find_work(self, bitmap: DirtyBitmap, size: int) -> Run:
        """Mark all, what is above the base, or nothing; the target begins empty if it has to."""
        target = self.target
        cluster = cluster_size(target)
        if target.driver.backing_file and target.backing is None and self.granularity < cluster:
            self._whole = set()
            self.buffer = max(self.buffer, cluster)
        if self._only_new:
            return
        is_void = skip_filters(self.source).driver.is_void
        if self._zero_target:
            if not (target.flags.unmap and target.driver.frees_zeroes):
                if is_void:  # the target keeps what it has, and that counts as done
                    self.total = self.current = size
                    return
                bitmap.mark(0, size)
                self.total = bitmap.count
                yield Sleep(0)
                return
            yield from self._zero(bitmap, size)
            if self.code or self.must_end():
                return
        if not is_void:
            yield from super().find_work(bitmap, size)

    def _zero(self, bitmap: DirtyBitmap, size: int) -> Run:
        """Nothing of the target's old content stays; its progress is not told."""
        for offset in range(0, size, _ZEROES):
            length = min(_ZEROES, size - offset)
            try:
                yield Work(self._zeroing(offset, length))
            except OSError as error:
                code = as_errno(error)
                bitmap.mark(offset, offset + length)
                if self.error_action("write", code) == "report":
                    self.fail(code)
            if self.must_end():
                return
        self.unflushed = True

    def _zeroing(self, offset: int, length: int) -> Callable[[], None]:
        return lambda: self.target.driver.write_zeroes(offset, length, unmap=self.unmap)

    def pieces_of(self, run: tuple[int, int]) -> DirtyRun:
        """Whole clusters, if the target cannot fill them up."""
        return DirtyRun(
            self.source, self.target, *run, self.granularity, unmap=self.unmap, whole=self._whole
        )

    # --- what guests write ---------------------------------------------------------------

    def _write_both(self, offset: int, length: int, data: bytes | memoryview | None) -> None:
        """A guest has written ``data``, or zeros: so does the job.

        Granules that are to be copied anyway are left out where they are written in part.
        """
        bitmap = self.bitmap
        if bitmap is None or bitmap.closed or self.code or self.must_end():
            return
        granule, start, end = self.granularity, offset, offset + length
        if start % granule and bitmap.is_dirty(start):
            start += granule - start % granule
        if end % granule and start < end and bitmap.is_dirty(end - 1):
            end -= end % granule
        if start >= end:
            return
        bitmap.clear(start, end)
        self.total += end - start
        try:
            if data is None:
                self.target.driver.write_zeroes(start, end - start, unmap=False)
            else:
                self.target.driver.pwrite(start, memoryview(data)[start - offset : end - offset])
            self.current += end - start
        except OSError as error:
            bitmap.mark(start, end)
            if self.error_action("write", as_errno(error)) == "report":
                self.fail(as_errno(error))
                self.enter()
        copying = self.copying
        if copying is not None and start < copying[1] and copying[0] < end:
            bitmap.mark(start, end)  # what is on its way may be older

    # --- end ---------------------------------------------------------------------------

    def complete(self) -> bool:
        """Let the target take its place as soon as the job is not paused.

        Raises:
            QmpError: that place is no longer there.
        """
        if self._replaces is not None and self._replaced is None:
            node = self.graph.nodes.get(self._replaces)
            if node is None:
                raise QmpError(wording.replacement_gone(self._replaces))
            node.blockers = [self._blocker, *node.blockers]
            node.references += 1
            self._replaced = node
        return super().complete()

    def finish_target(self) -> int:
        """Give the target its backing file; returns 0 or an errno."""
        image = skip_filters(self.target)
        try:
            if self._backing == OPEN:
                open_backing(self.graph, image)
            elif self._backing == SHARE:
                below = self.source if self._only_new else self.base
                if image.backing is not below:
                    set_backing(self.graph, image, below)
        except QmpError as error:
            warn(error.desc)
            return errno.EINVAL if self._backing == OPEN else errno.EPERM
        return 0

    @property
    def replaced(self) -> Node:
        """The node that the user wants to be replaced, or the source."""
        return self._replaced or self.source

    def let_go(self) -> None:
        """The node that is or was to be replaced is free."""
        node, self._replaced = self._replaced, None
        if node is not None:
            node.blockers = [each for each in node.blockers if each is not self._blocker]
            node.references -= 1
            self.graph.collect([node])
