"""Pulling the layers below a node into it (``block-stream``), after which it needs them no more.

Order of steps at start, finalize and abort as observed on QEMU 7.2.
"""

from __future__ import annotations

import errno
from itertools import takewhile

from qmpd.block import permissions as p
from qmpd.block.chain import chain, next_in_chain, next_link, skip_filters
from qmpd.block.drained import Drained
from qmpd.block.driver import UNALLOCATED, warn
from qmpd.block.drivers.copy_on_read import CopyOnRead, copy_range
from qmpd.block.drivers.filters import insert_node, remove_node
from qmpd.block.filename import filename
from qmpd.block.refresh import refresh
from qmpd.block.reopen import set_read_only
from qmpd.block.transaction import Transaction
from qmpd.errors import QmpError
from qmpd.jobs import wording
from qmpd.jobs.blockjob import (
    CHUNK,
    LOOK_AHEAD,
    BlockJob,
    Copied,
    as_errno,
    failed,
    in_a_row,
)
from qmpd.jobs.job import Sleep, Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from qmpd.block.graph import Graph
    from qmpd.block.node import Node, User
    from qmpd.jobs.job import Run
    from qmpd.jobs.manager import JobManager


class StreamJob(BlockJob):
    """Copies what the layers from below ``device`` down to ``above_base`` hold into ``device``."""

    type = "stream"

    def __init__(
        self,
        manager: JobManager,
        graph: Graph,
        job_id: str,
        *,
        device: Node,
        above_base: Node,
        backing_file: str | None = None,
        filter_name: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(manager, graph, job_id, **common)
        self.device = device
        self.target = skip_filters(device)
        self.above_base = above_base
        """The lowest node that is streamed."""
        self.backing_file = backing_file
        self.filter_name = filter_name
        self.filter: Node | None = None
        self._driver: User | None = None
        self._was_read_only = device.flags.read_only

    # --- start -------------------------------------------------------------------------

    def begin(self) -> None:
        """Set everything up and start, or leave everything as it was.

        Raises:
            QmpError: why not; a job that existed already goes to ``null`` first.
        """
        self._refuse_passing_nodes()
        created = False
        try:
            if self._was_read_only:
                set_read_only(self.graph, self.device, read_only=False)
            self._insert_filter()
            self.manager.create(self)
            created = True
            self._take_hold()
        except QmpError:
            self.unfreeze()
            self._drop_driver()
            if self.filter is not None:
                self.filter.references += 1  # until its turn comes
            if created:
                self.manager.forget(self)
            if self.filter is not None:
                self.filter.references -= 1
            self._remove_filter()
            self._restore_device()
            raise
        self.start()

    def _refuse_passing_nodes(self) -> None:
        """A commit takes its filter away when it likes: no link to that can be kept.

        Raises:
            QmpError: there is one between the device and the base.
        """
        for node in takewhile(lambda node: node is not self.above_base, chain(self.device)):
            link = next_link(node)
            if link is not None and link.child.driver.borrows_name:
                raise QmpError(wording.cannot_freeze(link.name, link.child.name))

    def _insert_filter(self) -> None:
        driver = CopyOnRead(self.graph)
        try:
            self.filter = insert_node(self.graph, driver, self.device, self.filter_name)
            self.freeze(self.filter, self.above_base)
        except QmpError as error:
            raise QmpError(wording.could_not_create_node(error.desc)) from None
        driver.stop_at(self._lowest_image())
        self._drain()

    def _lowest_image(self) -> Node:
        """The last node down to ``above_base`` that is no filter."""
        images = [node for node in chain(self.device) if not node.driver.is_filter]
        below = set(chain(next_in_chain(self.above_base)))
        return [node for node in images if node not in below][-1]

    def _take_hold(self) -> None:
        flt = self.filter
        if flt is None:
            raise RuntimeError("a stream holds its nodes before it has a filter")
        self.add_nodes(("main node", flt, 0, p.ALL))
        self.check_speed()
        quiet = p.CONSISTENT_READ | p.WRITE_UNCHANGED
        self._driver = self.backend(flt, p.CONSISTENT_READ, quiet | p.WRITE)
        self.add_nodes(("active node", self.device, 0, quiet | p.WRITE))
        base = next_in_chain(self.above_base)
        between = takewhile(lambda node: node is not base, chain(next_in_chain(self.device)))
        self.add_nodes_in_turn([("intermediate node", node, 0, quiet) for node in between])

    # --- work --------------------------------------------------------------------------

    def run(self) -> Run:
        """Copy step by step what is not in the target yet."""
        if self.target.backing is None or self.target is self._lowest_image():
            return
        self.total = self.target.driver.length()
        delay, careful, unsaved = 0, False, False
        while self.current < self.total:
            yield Sleep(delay)
            if self.must_end():
                return
            delay = 0
            small = careful or self._small_steps
            left = self.total - self.current
            left = min(left, CHUNK) if small else left
            # What lies below the lowest streamed layer may change meanwhile.
            place = _Stretch(self.target, next_in_chain(self.above_base), self.current, left)
            hole = place.held_or_empty()
            if hole:
                self.current += hole
                continue
            start = self.current
            result: Copied = yield Work(self._copy(place, in_steps=small))
            self.current = start + result.size
            unsaved = not result.flushed
            if result.error and not small:
                careful = True  # how far the original comes is seen in small steps
            elif result.error:
                if not self._goes_on_after(result, left):
                    return
            elif result.copied:
                delay = self.rate.delay(self.manager.scheduler.now(), result.size)
        if unsaved and self._saves_early:  # before the header lets go of what was copied
            yield Work(self.target.driver.flush)

    @property
    def _saves_early(self) -> bool:
        """Whether nobody sees by errors of its own making that the original would not flush."""
        return not self.graph.is_fickle

    def _copy(self, place: _Stretch, *, in_steps: bool) -> Callable[[], Copied]:
        if in_steps:
            return lambda: self._copy_step(place)
        return lambda: in_a_row(self, place.offset, place.copy_from)

    def _copy_step(self, place: _Stretch) -> Copied:
        result = place.copy_step()
        if result.copied and self._saves_early and self.rate.is_used_up_by(result.size):
            # There is time now. Woken with nothing left to do, the job ends before the reply.
            self.target.driver.flush()
            result.flushed = True
        return result

    def _goes_on_after(self, failure: Copied, left: int) -> bool:
        """Whether the job does not end at once: it tries again, or goes on and fails later."""
        action = self.error_action(failure.operation, failure.error)
        if action != "stop":
            self.fail(failure.error)
            self.current += min(left, CHUNK) if action == "ignore" else 0
        return action != "report"

    @property
    def _small_steps(self) -> bool:
        """Whether somebody can see the steps, which are then those of the original."""
        return bool(self.rate.speed) or self.manager.stepwise or self.graph.is_fickle

    # --- end ---------------------------------------------------------------------------

    def prepare(self) -> int:
        """Let the target do without the streamed layers, then say so in its header."""
        self.unfreeze()
        base = next_in_chain(self.above_base)
        below = None if base is None else skip_filters(base)
        self._remove_filter()
        drains = Drained(self.graph, (self.above_base,))
        try:
            return self._leave(base, below, drains)
        finally:
            drains.end()

    def _leave(self, base: Node | None, below: Node | None, drains: Drained) -> int:
        if self.target.backing is None:
            return 0
        text, base_format = None, ""
        if below is not None:
            text = self.backing_file if self.backing_file is not None else filename(below)
            base_format = below.driver.name
        try:
            self._set_backing(base, drains)
        except QmpError as error:
            warn(error.desc)
            return errno.EPERM
        try:
            self.target.driver.update_backing(text, base_format)
        except OSError as error:
            warn(wording.backing_link(error.strerror or str(error)))
            return as_errno(error)
        return 0

    def _set_backing(self, base: Node | None, drains: Drained) -> None:
        edge = self.target.children["backing"]
        old = edge.child
        drains.move(edge, base)
        with Transaction() as tx:
            if base is None:
                self.graph.detach(tx, edge)
            else:
                self.graph.retarget(tx, edge, base)
            tx.touched.pop(old, None)  # what it needed of others stays until the job lets go
            refresh(tx)
        if base is not None and base.inherits_through(self.target):
            base.inherits_from = self.target
        self.graph.collect([old])

    def abort(self) -> None:
        """The chain is as before, what was copied stays copied."""
        self.unfreeze()
        self._remove_filter()

    def clean(self) -> None:
        """The target is read-only again if it was."""
        self._drop_driver()
        self._restore_device()

    def _remove_filter(self) -> None:
        flt, self.filter = self.filter, None
        if flt is not None:
            self._drain()
            remove_node(self.graph, flt)

    def _restore_device(self) -> None:
        if self._was_read_only and not self.device.flags.read_only:
            try:
                set_read_only(self.graph, self.device, read_only=True)
            except QmpError:
                pass  # the work is done; that the node stays writable is no failure of it

    def _drain(self) -> None:
        self.graph.drain(self.device)

    def _drop_driver(self) -> None:
        self.drop_backend(self._driver)
        self._driver = None


class _Stretch:
    """What lies at an offset between a target and a base, and how it gets into the target."""

    __slots__ = ("base", "end", "offset", "target")

    def __init__(self, target: Node, base: Node | None, offset: int, length: int) -> None:
        self.target = target
        self.base = base
        self.offset = offset
        self.end = offset + length

    def held_or_empty(self) -> int:
        """How many bytes need no copying; 0 if some do.

        Runs on the loop, which looks at tables only; what cannot be read is left to the worker.
        """
        try:
            layer, length = self._find(self.end - self.offset)
        except OSError:
            return 0
        return length if layer is None or layer is self.target else 0

    def copy_from(self, offset: int) -> Copied:
        """The same as :meth:`copy_step` from another ``offset`` on."""
        self.offset = offset
        return self.copy_step()

    def copy_step(self) -> Copied:
        """Copy what the original would copy at once; runs on the worker thread."""
        try:
            layer, size = self._find(min(CHUNK, self.end - self.offset), in_steps=True)
            if layer is None or layer is self.target:
                return Copied(size, copied=False)
            copy_range(self.target, self.offset, size)
        except OSError as error:
            return failed("read", error)
        return Copied(size, copied=True)

    def _find(self, limit: int, *, in_steps: bool = False) -> tuple[Node | None, int]:
        """Who holds the first bytes: a layer, or nobody above the base; and how many bytes.

        Not what :func:`~qmpd.block.chain.allocated_above` says: a file counts as held from end
        to end, and behind the end of the layer next to the target nothing is left to copy.
        """
        length = min(limit, LOOK_AHEAD)
        below = next_in_chain(self.target)
        second = None if below is None else skip_filters(below)
        for layer in chain(self.target):
            if layer is self.base:
                break
            driver = layer.driver
            if driver.is_filter:
                continue
            size = driver.length()
            if self.offset >= size:
                return (None, limit) if layer is second else (layer, length)
            length = min(length, size - self.offset)
            if not driver.supports_backing:
                return layer, length
            if in_steps:
                length = driver.run_length(self.offset, length)
            extent = driver.extent(self.offset, length)
            length = min(length, extent.length)
            if extent.kind != UNALLOCATED:
                return layer, length
        return None, length
