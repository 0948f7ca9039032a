"""Copying a node into another one that takes its place at the end, or does not.

What guests write meanwhile (``qemu-io`` of the human monitor) is copied too, as long as the
work lasts: it becomes dirty, or goes to both sides at once. Then the job holds its nodes still.
Order of steps and of errors as observed on QEMU 7.2.
"""

from __future__ import annotations

import errno

from qmpd.block import permissions as p
from qmpd.block.chain import contains, next_in_chain, skip_filters
from qmpd.block.drivers.filters import MirrorTop, insert_filter, remove_filter, replace_node
from qmpd.block.overlay import everything_below
from qmpd.block.refresh import refresh_loosely
from qmpd.block.reopen import set_read_only
from qmpd.errors import QmpError
from qmpd.jobs import states, wording
from qmpd.jobs.blockjob import CHUNK, BlockJob, Copied, as_errno, intermediate, unallocated
from qmpd.jobs.job import AFTERWARDS, WAIT, Afterwards, Sleep, Wait, Work
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


class Mirror(BlockJob):
    """Copies ``source`` into ``target`` and waits, ready, for what is to happen then."""

    def __init__(
        self,
        manager: JobManager,
        graph: Graph,
        job_id: str,
        *,
        source: Node,
        target: Node,
        base: Node | None,
        filter_name: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(manager, graph, job_id, **common)
        self.source = source
        self.target = target
        self.base = base
        """Only what lies above it is copied."""
        self.is_commit = contains(source, target)
        """Whether the target is below the source."""
        self.filter_name = filter_name
        self.filter: Node | None = None
        self.filter_driver = MirrorTop(graph)
        self.filter_driver.is_commit = self.is_commit
        self.granularity = granularity(target)
        self.buffer = BUFFER
        self.unmap = True
        """Whether zeros give back the target's space."""
        self.writes_both = False
        """Whether what guests write goes to both sides at once."""
        self.should_complete = False
        self.bitmap: DirtyBitmap | None = None
        self._held: User | None = None
        self._drained = False
        self._idle = False
        self.copying: tuple[int, int] | None = None
        """The run that is being copied."""
        self.unflushed = False
        """Whether the target has something that may not be on the disk."""

    # --- start -------------------------------------------------------------------------

    def begin(self) -> None:
        """Set everything up and start, or leave everything as it was.

        Raises:
            QmpError: why not.
        """
        if skip_filters(self.source) is skip_filters(self.target):
            raise QmpError(wording.MIRROR_INTO_ITSELF)
        self._take_hold()
        self.start()

    def _take_hold(self) -> None:
        self.filter = insert_filter(
            self.graph, self.filter_driver, self.source, self.filter_name, read_only=False
        )
        created = False
        try:
            self.manager.create(self)
            created = True
            reading = p.CONSISTENT_READ | p.WRITE_UNCHANGED | p.WRITE
            self.add_nodes(("main node", self.filter, p.CONSISTENT_READ, reading))
            self.check_speed()
            self._held = self.backend(self.target, *self._target_permissions())
            self._hold_nodes()
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

    def _target_permissions(self) -> tuple[int, int]:
        if not self.is_commit:
            if contains(self.source, skip_filters(self.target)):
                raise QmpError(wording.MIRROR_TO_FILTER)
            return p.WRITE, p.WRITE_UNCHANGED
        perm = p.WRITE
        if self.target.driver.length() < self.source.driver.length():
            perm |= p.RESIZE
        return perm, p.WRITE_UNCHANGED | p.CONSISTENT_READ | p.WRITE

    def _hold_nodes(self) -> None:
        source, target = self.source, self.target
        between = intermediate(next_in_chain(source), target) if self.is_commit else ()
        self.add_nodes(
            ("source", source, 0, p.ALL & ~p.RESIZE), ("target", target, 0, p.ALL), *between
        )
        if self.is_commit and self.filter is not None:
            self.freeze(self.filter, target)

    # --- work --------------------------------------------------------------------------

    def run(self) -> Run:
        """Find what to copy, copy it, get ready, and wait."""
        yield from self._mirror(self.source.driver.length())
        if self.bitmap is not None:
            self.bitmap.closed = True
        yield AFTERWARDS  # observed: whatever ended it, the reply to that comes first
        self._drained = True
        self.pause_count += 1

    def _mirror(self, size: int) -> Run:
        bitmap = self.bitmap = DirtyBitmap(self.granularity, recording=not self.writes_both)
        if size:
            self.source.dirty_bitmaps.insert(0, bitmap)
        yield from self._fit_target(size)
        if self.code or not (yield from self._catch_up(bitmap, size)):
            return
        yield from self.hold_before(states.READY)
        if self.must_end():
            return
        self._become_ready()
        bitmap.dirtied = self._dirtied
        while (yield from self._copy_dirty(bitmap, size)):
            if self.should_complete or self.cancel_requested:
                if not (yield from self._flush()) or not bitmap.count:
                    return
                continue
            self._idle = True
            yield WAIT
            self._idle = False

    def _catch_up(
        self, bitmap: DirtyBitmap, size: int
    ) -> Generator[Sleep | Work | Afterwards | Wait, Any, bool]:
        """Copy what there is; False if the job has to end."""
        if not size:
            return True
        yield from self.find_work(bitmap, size)
        if self.code or not (yield from self._copy_dirty(bitmap, size)):
            return False
        return (yield from self._flush())

    def _fit_target(self, size: int) -> Run:
        """A base that is smaller grows; another target has to be as big."""
        length = self.target.driver.length()
        if self.base is not self.target:
            if length != size:
                self.fail(errno.EINVAL, wording.DIFFERENT_SIZES)
        elif length < size:
            if not self.target.driver.resizable:
                self.fail(errno.ENOTSUP)
                return
            yield Work(lambda: self.target.driver.truncate(size))

    def find_work(self, bitmap: DirtyBitmap, size: int) -> Run:
        """Mark what is to be copied at first: everything above the base."""
        if unallocated(self.source, self.base, 0, size) < size:
            dirty: list[tuple[int, int]] = yield Work(
                lambda: find_dirty(self.source, self.base, size, bitmap.granularity)
            )
            bitmap.start(dirty)
            self.total = bitmap.count
        yield Sleep(0)

    def _dirtied(self) -> None:
        if self._idle:
            self.enter()

    def _copy_dirty(
        self, bitmap: DirtyBitmap, size: int
    ) -> Generator[Sleep | Work | Wait, Any, bool]:
        """Copy until nothing is dirty; False if the job has to end."""
        longest = CHUNK if self.manager.stepwise else self.buffer
        copied = False
        while not self.must_end():
            total = self.current + bitmap.count
            run = bitmap.take(longest)
            if run is None:
                break
            copied = self.unflushed = True
            self.total = total
            delay = yield from self._copy_run(bitmap, run, size)
            if self.code:
                return False
            # Only after a whole run, and even after the last one (observed on QEMU 7.2).
            yield Sleep(delay)
        if copied and not self.must_end():
            self.total = self.current
        return not self.must_end()

    def _flush(self) -> Generator[Sleep | Work | Wait, Any, bool]:
        """Wait for the disk, as often as the user wants it; False if the job has to end."""
        while self.unflushed and not self.must_end():
            self.unflushed = False
            try:
                yield Work(self.target.driver.flush)
            except OSError as error:
                self.unflushed = True
                if self.error_action("write", as_errno(error)) == "report":
                    self.fail(as_errno(error))
                    return False
                yield Sleep(0)
        return not self.must_end()

    def _copy_run(
        self, bitmap: DirtyBitmap, run: tuple[int, int], size: int
    ) -> Generator[Sleep | Work | Wait, Any, int]:
        """Copy a contiguous dirty run; returns how long the rate limit makes the job sleep.

        The original copies all pieces of a run at once, so one that fails does not stop the
        others; it is dirty again, and every failure is told.
        """
        delay = 0
        free = self.target.flags.unmap and self.target.driver.frees_zeroes
        pieces = self.pieces_of(run)
        self.copying = run
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
        self.copying = None
        return delay

    def pieces_of(self, run: tuple[int, int]) -> DirtyRun:
        """What a dirty run is cut into."""
        return DirtyRun(self.source, self.target, *run, self.granularity, unmap=self.unmap)

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
        """Leave the device on the target, or on the source after a soft cancellation."""
        return self._exit(pivot=self.should_complete and not self.cancel_requested)

    def abort(self) -> None:
        """Leave the device where it was."""
        self._exit(pivot=None)

    def _exit(self, *, pivot: bool | None) -> int:
        """End it; without ``pivot`` (None) the target is worth nothing."""
        flt, self.filter = self.filter, None
        if flt is None:
            return 0
        kept = [each for each in self.source.dirty_bitmaps if each is not self.bitmap]
        self.source.dirty_bitmaps = kept
        self.unfreeze()
        self._drop_target()
        self._stop_filter(flt)
        code = 0 if pivot is None else self.finish_target()
        if pivot:
            code = self._pivot() or code
        self.let_go()
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

    def finish_target(self) -> int:
        """The target is complete, but not in its place yet; returns 0 or an errno."""
        return 0

    def let_go(self) -> None:
        """Nothing more changes its place."""

    @property
    def replaced(self) -> Node:
        """Whose place the target takes."""
        return self.source

    def _pivot(self) -> int:
        """Let the target take a place in the graph; returns 0 or an errno."""
        replaced, target = self.replaced, self.target
        if replaced.flags.read_only != target.flags.read_only:
            try:
                set_read_only(self.graph, target, read_only=replaced.flags.read_only)
            except QmpError:
                pass  # observed: the pivot goes on with the target as it is
        if not can_replace(self.source, replaced):
            return errno.EPERM
        end_drain = self.graph.begin_drain((target,))
        try:
            replace_node(self.graph, replaced, target, keep=everything_below(target))
        except QmpError:
            return errno.EPERM
        finally:
            end_drain()
        return 0

    def _stop_filter(self, flt: Node | None = None) -> None:
        flt = flt or self.filter
        self.filter_driver.stopped = True
        if flt is not None:
            refresh_loosely([flt])

    def _drop_target(self) -> None:
        self.drop_backend(self._held)
        self._held = None


def can_replace(source: Node, wanted: Node) -> bool:
    """Whether nobody sees a difference if a copy of ``source`` is in the place of ``wanted``."""
    node: Node | None = source
    while node is not None and node is not wanted:
        node = node.filtered
    return node is not None
