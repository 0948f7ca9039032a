"""Committing the active layer: a mirror into the base, then a pivot when asked to.

What guests write meanwhile (``qemu-io`` of the human monitor) becomes dirty and is copied too,
as long as the work lasts; then the job holds its nodes still.
"""

from __future__ import annotations

import errno

from qmpd.block import permissions as p
from qmpd.block.chain import next_in_chain, skip_filters
from qmpd.block.drivers.filters import MirrorTop, insert_filter, remove_filter, replace_node
from qmpd.block.refresh import refresh_loosely
from qmpd.block.reopen import set_read_only
from qmpd.errors import QmpError
from qmpd.jobs import states, wording
from qmpd.jobs.blockjob import CHUNK, BlockJob, Copied, intermediate, unallocated
from qmpd.jobs.job import AFTERWARDS, WAIT, Sleep, Wait, Work
from qmpd.jobs.mirroring import DirtyBitmap, DirtyRun, find_dirty, granularity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from qmpd.block.graph import Graph
    from qmpd.block.node import Node, User
    from qmpd.jobs.job import Run
    from qmpd.jobs.manager import JobManager


BUFFER = 16 << 20
"""Bytes of one contiguous dirty run that are copied before the rate limit is asked."""


class ActiveCommitJob(BlockJob):
    """Copies the active layer into ``base`` and waits, ready, for the pivot."""

    type = "commit"

    def __init__(
        self,
        manager: JobManager,
        graph: Graph,
        job_id: str,
        *,
        device: Node,
        base: Node,
        filter_name: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(manager, graph, job_id, **common)
        self.source = device
        self.base = base
        self.filter_name = filter_name
        self.filter: Node | None = None
        self.filter_driver = MirrorTop(graph)
        self._bitmap: DirtyBitmap | None = None
        self.should_complete = False
        self._target: User | None = None
        self._drained = False
        self._idle = False

    # --- start -------------------------------------------------------------------------

    def begin(self) -> None:
        """Set everything up and start, or leave everything as it was.

        Raises:
            QmpError: why not.
        """
        was_read_only = self.base.flags.read_only
        if was_read_only:
            set_read_only(self.graph, self.base, read_only=False)
        try:
            if skip_filters(self.source) is skip_filters(self.base):
                raise QmpError(wording.MIRROR_INTO_ITSELF)
            self._take_hold()
        except QmpError:
            if was_read_only:
                try:
                    set_read_only(self.graph, self.base, read_only=True)
                except QmpError:
                    pass  # the first error counts
            raise
        self.start()

    def _take_hold(self) -> None:
        source, base = self.source, self.base
        self.filter = insert_filter(
            self.graph, self.filter_driver, source, self.filter_name, read_only=False
        )
        created = False
        try:
            self.manager.create(self)
            created = True
            reading = p.CONSISTENT_READ | p.WRITE_UNCHANGED | p.WRITE
            self.add_nodes(("main node", self.filter, p.CONSISTENT_READ, reading))
            self.check_speed()
            self._hold_target(source, base)
        except QmpError:
            flt = self.filter
            flt.references += 1  # dismissing the job must not take it away before its time
            self.unfreeze()
            self._drop_target()
            if created:
                self.manager.forget(self)
            self._stop_filter()
            flt.references -= 1
            remove_filter(self.graph, flt)
            raise

    def _hold_target(self, source: Node, base: Node) -> None:
        perm = p.WRITE
        if base.driver.length() < source.driver.length():
            perm |= p.RESIZE
        shared = p.WRITE_UNCHANGED | p.CONSISTENT_READ | p.WRITE
        self._target = self.backend(base, perm, shared)
        self.add_nodes(
            ("source", source, 0, p.ALL & ~p.RESIZE),
            ("target", base, 0, p.ALL),
            *intermediate(next_in_chain(source), base),
        )
        if self.filter is not None:
            self.freeze(self.filter, base)

    # --- work --------------------------------------------------------------------------

    def run(self) -> Run:
        """Find what to copy, copy it, get ready, and wait."""
        yield from self._mirror(self.source.driver.length())
        if self._bitmap is not None:
            self._bitmap.closed = True
        yield AFTERWARDS  # observed: whatever ended it, the reply to that comes first
        self._drained = True
        self.pause_count += 1

    def _mirror(self, size: int) -> Run:
        bitmap = self._bitmap = DirtyBitmap(granularity(self.base))
        if size:
            self.source.dirty_bitmaps.insert(0, bitmap)
            if self.base.driver.length() < size:
                if not self.base.driver.resizable:
                    self.fail(errno.ENOTSUP)
                    return
                yield Work(lambda: self.base.driver.truncate(size))
        if unallocated(self.source, self.base, 0, size) < size:
            dirty: list[tuple[int, int]] = yield Work(
                lambda: find_dirty(self.source, self.base, size, bitmap.granularity)
            )
            bitmap.start(dirty)
            self.total = bitmap.count
            yield Sleep(0)
            if not (yield from self._copy_dirty(bitmap, size)):
                return
        elif size:
            yield Sleep(0)
        yield from self.hold_before(states.READY)
        if self.must_end():
            return
        self._become_ready()
        bitmap.dirtied = self._dirtied
        while (yield from self._copy_dirty(bitmap, size)):
            if self.should_complete or self.cancel_requested:
                return
            self._idle = True
            yield WAIT
            self._idle = False

    def _dirtied(self) -> None:
        if self._idle:
            self.enter()

    def _copy_dirty(
        self, bitmap: DirtyBitmap, size: int
    ) -> Generator[Sleep | Work | Wait, Any, bool]:
        """Copy until nothing is dirty, then wait for the disk; False if the job has to end."""
        longest = CHUNK if self.manager.stepwise else BUFFER
        copied = False
        while not self.must_end():
            total = self.current + bitmap.count
            run = bitmap.take(longest)
            if run is None:
                break
            copied = True
            self.total = total
            delay = yield from self._copy_run(bitmap, run, size)
            if self.code:
                return False
            # Only after a whole run, and even after the last one (observed on QEMU 7.2).
            yield Sleep(delay)
        if copied and not self.must_end():
            self.total = self.current
            yield Work(self.base.driver.flush)
        return not self.must_end()

    def _copy_run(
        self, bitmap: DirtyBitmap, run: tuple[int, int], size: int
    ) -> Generator[Sleep | Work | Wait, Any, int]:
        """Copy a contiguous dirty run; returns how long the rate limit makes the job sleep.

        The original copies all pieces of a run at once, so one that fails does not stop the
        others; it is dirty again, and every failure is told.
        """
        delay = 0
        free = self.base.flags.unmap and self.base.driver.frees_zeroes
        pieces = DirtyRun(self.source, self.base, *run, bitmap.granularity)
        while pieces.unfinished and not self.must_end():
            result: Copied = yield Work(pieces.step)
            end = result.offset + result.size
            done = result.size - max(end - size, 0)
            if result.error:
                if self.error_action(result.operation, result.error) == "report":
                    self.fail(result.error)
                bitmap.mark(result.offset, end)
            else:
                self.current += done
                self.graph.generation += 1
            cost = done if result.copied or not free else 0
            delay = self.rate.delay(self.manager.scheduler.now(), cost)
        return delay

    def _become_ready(self) -> None:
        self.move(states.READY)
        self.manager.emit("BLOCK_JOB_READY", self.manager.event_data(self))

    # --- verbs -------------------------------------------------------------------------

    def wants_force(self, *, force: bool) -> bool:
        """Before READY, and behind it, every cancellation is one by force."""
        return force or not states.is_ready(self.status)

    def complete(self) -> bool:
        """Pivot as soon as the job is not paused."""
        self.should_complete = True
        if not self.paused:
            self.enter()
        return True

    # --- end ---------------------------------------------------------------------------

    def prepare(self) -> int:
        """Leave the device on the base, or on the source after a soft cancellation."""
        return self._exit(pivot=self.should_complete and not self.cancel_requested)

    def abort(self) -> None:
        """Leave the device where it was."""
        self._exit(pivot=False)

    def _exit(self, *, pivot: bool) -> int:
        flt, self.filter = self.filter, None
        if flt is None:
            return 0
        kept = [each for each in self.source.dirty_bitmaps if each is not self._bitmap]
        self.source.dirty_bitmaps = kept
        code = 0
        self.unfreeze()
        self._drop_target()
        self._stop_filter(flt)
        if pivot:
            if self.source.flags.read_only != self.base.flags.read_only:
                try:
                    set_read_only(self.graph, self.base, read_only=self.source.flags.read_only)
                except QmpError:
                    pass  # observed: the pivot goes on with the base as it is
            try:
                replace_node(self.graph, self.source, self.base)
            except QmpError:
                code = errno.EPERM
        for node in (flt, self.source):
            node.references += 1
        self.remove_nodes()
        flt.references -= 1
        remove_filter(self.graph, flt)
        self.source.references -= 1
        self.graph.collect([self.source])
        if self._drained:
            self._drained = False
            self.pause_count -= 1
        return code

    def _stop_filter(self, flt: Node | None = None) -> None:
        flt = flt or self.filter
        self.filter_driver.stopped = True
        if flt is not None:
            refresh_loosely([flt])

    def _drop_target(self) -> None:
        self.drop_backend(self._target)
        self._target = None
