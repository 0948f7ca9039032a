"""Committing a layer that is not the active one (``block-commit`` with a ``top``).

Order of steps at start, finalize, abort and clean-up as observed on QEMU 7.2, with two
intended differences: the base is durable before the overlay's header points to it, and a
header that cannot be written fails the job instead of the process.
"""

from __future__ import annotations

import errno

from qmpd.block import permissions as p
from qmpd.block.chain import skip_filters
from qmpd.block.drained import Drained
from qmpd.block.driver import warn
from qmpd.block.drivers.filters import CommitTop, insert_filter, remove_filter, replace_node
from qmpd.block.filename import filename
from qmpd.block.node import Node
from qmpd.block.reopen import set_read_only
from qmpd.errors import QmpError
from qmpd.jobs import wording
from qmpd.jobs.blockjob import (
    CHUNK,
    BlockJob,
    Copied,
    as_errno,
    copy_step,
    copy_steps,
    intermediate,
    unallocated,
)
from qmpd.jobs.job import Sleep, Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from qmpd.block.graph import Graph
    from qmpd.block.node import User
    from qmpd.jobs.job import Run
    from qmpd.jobs.manager import JobManager


class CommitJob(BlockJob):
    """Copies everything between ``base`` and ``top`` into ``base``, then drops it."""

    type = "commit"

    def __init__(
        self,
        manager: JobManager,
        graph: Graph,
        job_id: str,
        *,
        device: Node,
        top: Node,
        base: Node,
        backing_file: str | None = None,
        filter_name: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(manager, graph, job_id, **common)
        self.device = device
        self.top = top
        self.base = base
        self.backing_file = backing_file
        self.filter_name = filter_name
        self.filter: Node | None = None
        self._writer: User | None = None
        self._reader: User | None = None
        self._base_was_read_only = base.flags.read_only

    # --- start -------------------------------------------------------------------------

    def begin(self) -> None:
        """Set everything up and start, or leave everything as it was.

        Raises:
            QmpError: why not; a job that existed already goes to ``null`` first.
        """
        if skip_filters(self.top) is skip_filters(self.base):
            raise QmpError(wording.SAME_FILES)
        self.manager.create(self)
        try:
            self.add_nodes(("main node", self.device, 0, p.ALL))
            self.check_speed()
            self._take_hold()
        except QmpError:
            self._undo_begin()
            raise
        self.start()

    def _take_hold(self) -> None:
        if self._base_was_read_only:
            set_read_only(self.graph, self.base, read_only=False)
        self.filter = insert_filter(
            self.graph, CommitTop(self.graph), self.top, self.filter_name, read_only=True
        )
        self.add_nodes(*intermediate(self.top, self.base), ("base", self.base, 0, p.ALL))
        self.freeze(self.filter, self.base)
        perm = p.CONSISTENT_READ | p.WRITE
        if self.base.driver.length() < self.top.driver.length():
            perm |= p.RESIZE
        self._writer = self.backend(self.base, perm, p.CONSISTENT_READ | p.WRITE_UNCHANGED)
        self._reader = self.backend(self.top, 0, p.ALL)

    def _undo_begin(self) -> None:
        self.unfreeze()
        self._drop_writer()
        self._drop_reader()
        self._restore_base()
        self.manager.forget(self)
        if self.filter is not None:
            remove_filter(self.graph, self.filter)
            self.filter = None

    # --- work --------------------------------------------------------------------------

    def run(self) -> Run:
        """Grow the base if it is smaller, then copy step by step."""
        self.total = self.top.driver.length()
        if self.base.driver.length() < self.total:
            if not self.base.driver.resizable:
                self.fail(errno.ENOTSUP)
                return
            yield Work(lambda: self.base.driver.truncate(self.total))
        yield from self._copy_all()

    def _copy_all(self) -> Run:
        offset, delay, copied, careful = 0, 0, False, False
        while offset < self.total:
            yield Sleep(delay)
            if self.must_end():
                return
            left = self.total - offset
            small = careful or self._small_steps
            left = min(left, CHUNK) if small else left
            hole = 0  # where looking may fail, only the worker looks
            if not self.graph.is_fickle:
                hole = unallocated(self.top, self.base, offset, left, in_steps=small)
            if hole:
                offset += hole
                self.current = offset
                delay = 0
                continue
            result: Copied = yield Work(self._copy(offset, left, in_steps=small))
            copied = not result.flushed
            offset += result.size
            self.current = offset
            if result.error and not small:
                careful, delay = True, 0  # how far the original comes is seen in small steps
                continue
            if result.error:
                if self.error_action(result.operation, result.error) == "report":
                    self.fail(result.error)
                    return
                delay = 0
                continue
            delay = 0
            if result.copied:
                delay = self.rate.delay(self.manager.scheduler.now(), result.size)
        if copied and self._saves_early:
            yield Work(self.base.driver.flush)

    @property
    def _small_steps(self) -> bool:
        """Whether somebody can see the steps, which are then those of the original."""
        return bool(self.rate.speed) or self.manager.stepwise or self.graph.is_fickle

    @property
    def _saves_early(self) -> bool:
        """Whether nobody sees by errors of its own making that the original would not flush."""
        return not self.graph.is_fickle

    def _copy(self, offset: int, left: int, *, in_steps: bool) -> Callable[[], Copied]:
        if in_steps:
            return lambda: self._copy_step(offset, left)
        return lambda: copy_steps(self, self.top, self.base, offset)

    def _copy_step(self, offset: int, left: int) -> Copied:
        result = copy_step(self.top, self.base, offset, left, in_steps=True)
        if self._saves_early and self.rate.is_used_up_by(result.size):
            # There is time now. Woken with nothing left to do, the job ends before the reply.
            self.base.driver.flush()
            result.flushed = True
        return result

    # --- end ---------------------------------------------------------------------------

    @property
    def nests_updates(self) -> bool:
        """An overlay is reopened below which the base's file follows its permissions."""
        file = self.base.child("file")
        if self.filter is None or file is None or not file.flags.auto_read_only:
            return False
        return any(
            isinstance(edge.parent, Node) and edge.parent.flags.read_only
            for edge in self.filter.parents
            if edge.role & p.ROLE_COW
        )

    def prepare(self) -> int:
        """Switch the overlays to the base, then write it into their headers."""
        self.unfreeze()
        self._drop_writer()
        flt = self.filter
        if flt is None:
            return errno.EIO
        drained = Drained(self.graph, (flt,))
        try:
            return self._drop_layers(flt)
        finally:
            drained.end()

    def _drop_layers(self, flt: Node) -> int:
        text = self.backing_file if self.backing_file is not None else filename(self.base)
        overlays = [
            edge.parent
            for edge in flt.parents
            if isinstance(edge.parent, Node) and edge.role & p.ROLE_COW
        ]
        inherits = self.base.inherits_through(self.top)
        try:
            replace_node(self.graph, flt, self.base)
        except QmpError as error:
            warn(error.desc)
            return errno.EIO
        self.filter = None
        code = 0
        for overlay in reversed(overlays):
            code = self._rewrite_header(overlay, text)
            if code:
                break
        if not code and inherits:
            self.base.inherits_from = self.top.inherits_from
        self.graph.collect([flt])
        return code

    def _rewrite_header(self, overlay: Node, text: str) -> int:
        read_only = overlay.flags.read_only
        if read_only:
            try:
                set_read_only(self.graph, overlay, read_only=False)
            except QmpError as error:
                warn(error.desc)
                return errno.EPERM
        code = 0
        try:
            overlay.driver.update_backing(text, self.base.driver.name)
        except OSError as error:
            code = as_errno(error)
            warn(wording.backing_link(error.strerror or str(error)))
        if read_only:
            self._read_only_again(overlay)
        return code

    def _read_only_again(self, node: Node) -> None:
        try:
            set_read_only(self.graph, node, read_only=True)
        except QmpError:
            pass  # the work is done; that the node stays writable is no failure of it

    def abort(self) -> None:
        """Take the filter out; the chain is as before, what was copied stays copied."""
        self.unfreeze()
        self._drop_writer()
        flt, self.filter = self.filter, None
        if flt is None:
            self.remove_nodes()
            return
        flt.references += 1  # the job may be all that still holds the chain
        self.remove_nodes()
        flt.references -= 1
        remove_filter(self.graph, flt)

    def clean(self) -> None:
        """The base is read-only again if it was, and nobody reads the top any more."""
        self._restore_base()
        self._drop_reader()

    def _restore_base(self) -> None:
        if self._base_was_read_only and not self.base.flags.read_only:
            self._read_only_again(self.base)

    def _drop_writer(self) -> None:
        self.drop_backend(self._writer)
        self._writer = None

    def _drop_reader(self) -> None:
        self.drop_backend(self._reader)
        self._reader = None
