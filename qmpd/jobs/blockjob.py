"""What all jobs on block nodes share: edges, blockers, backends, error policy, copying."""

from __future__ import annotations

import errno
import os
from time import monotonic_ns

from qmpd.block import permissions as p
from qmpd.block import wording as block_wording
from qmpd.block.chain import allocated_above, chain, freeze, skip_filters
from qmpd.block.driver import DATA, ZERO
from qmpd.block.node import Blocker, User
from qmpd.block.refresh import refresh
from qmpd.block.transaction import Transaction
from qmpd.errors import QmpError
from qmpd.jobs.job import Job
from qmpd.jobs.turns import give_way

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmpd.block.driver import Extent
    from qmpd.block.graph import Graph
    from qmpd.block.node import Edge, Node
    from qmpd.jobs.manager import JobManager

CHUNK = 512 * 1024
"""Bytes per step when a rate limit or a lever needs steps."""

BATCH = 4 << 20
"""Bytes per step otherwise: long enough to be quick, short enough to stay responsive."""

TURN_NS = 100_000_000
"""How long the worker copies before it tells the loop, while nobody waits for it: each time
costs two wake-ups."""

LOOK_AHEAD = 1 << 34
"""Bytes whose tables are looked at in one go on the loop."""

_NO_SPACE = (errno.ENOSPC,)
_NOTHING: frozenset[str] = frozenset()
_MAIN_ALLOWS = frozenset(("dataplane",))
"""What others may do with the node that a job belongs to: a SCSI disk may come."""


class BlockJob(Job):
    """A job with nodes."""

    def __init__(
        self,
        manager: JobManager,
        graph: Graph,
        job_id: str,
        *,
        speed: int = 0,
        on_error: str = "report",
        auto_finalize: bool = True,
        auto_dismiss: bool = True,
    ) -> None:
        super().__init__(
            manager, job_id, speed=speed, auto_finalize=auto_finalize, auto_dismiss=auto_dismiss
        )
        self.graph = graph
        self.on_error = on_error
        self._edges: list[Edge] = []
        self._blockers: list[tuple[Node, Blocker]] = []
        self._frozen: list[Edge] = []

    # --- nodes -------------------------------------------------------------------------

    def add_nodes(self, *wanted: tuple[str, Node, int, int]) -> None:
        """Take hold of nodes: an edge (name, node, perm, shared), a blocker and a reference.

        Raises:
            QmpError: the permissions conflict with somebody's; then of none of them.
        """
        with Transaction() as tx:
            edges = [
                self.graph.attach(tx, self, node, name, 0, perm, shared)
                for name, node, perm, shared in wanted
            ]
            refresh(tx)
        for edge in edges:
            node = edge.child
            allows = _MAIN_ALLOWS if edge.name == "main node" else _NOTHING
            blocker = Blocker(block_wording.used_by_job(self.type), allows)
            node.blockers = [blocker, *node.blockers]
            node.references += 1
            self._edges.append(edge)
            self._blockers.append((node, blocker))

    def add_nodes_in_turn(self, wanted: list[tuple[str, Node, int, int]]) -> None:
        """Take hold of all these nodes, and complain as if of one after the other.

        Raises:
            QmpError: the permissions conflict with somebody's.
        """
        try:
            self.add_nodes(*wanted)
        except QmpError:
            for one in wanted:
                self.add_nodes(one)

    def remove_nodes(self) -> None:
        """Let go of every node again."""
        nodes = []
        for node, blocker in self._blockers:
            node.blockers = [other for other in node.blockers if other is not blocker]
            node.references -= 1
            nodes.append(node)
        self.graph.detach_loosely(*self._edges)
        self._edges.clear()
        self._blockers.clear()
        self.graph.collect(nodes)

    def free(self) -> None:
        """The job is dismissed: its nodes are free."""
        self.remove_nodes()

    def backend(self, node: Node, perm: int, shared: int) -> User:
        """Put a private backend on a node.

        Raises:
            QmpError: the permissions conflict with somebody's.
        """
        user = User()
        with Transaction() as tx:
            self.graph.add_user(tx, user, node, perm, shared)
        return user

    def drop_backend(self, user: User | None) -> None:
        """Take a private backend away."""
        if user is None:
            return
        self.graph.users.pop(user, None)
        edges = list(user.children.values())
        for edge in edges:
            drain_for_backend(self.graph, edge.child)
        self.graph.detach_loosely(*edges)
        self.graph.collect(edge.child for edge in edges)

    def freeze(self, top: Node, base: Node) -> None:
        """Keep every link from ``top`` down to ``base`` as it is.

        Raises:
            QmpError: somebody else keeps one already.
        """
        self._frozen += freeze(top, base)

    def unfreeze(self) -> None:
        """Let the links go."""
        for edge in self._frozen:
            edge.frozen -= 1
        self._frozen.clear()

    # --- errors ------------------------------------------------------------------------

    def check_speed(self) -> None:
        """Apply the speed that was asked for at the start.

        Raises:
            QmpError: it is negative.
        """
        self.set_speed(self.initial_speed)

    def policy(self, operation: str) -> str:
        """What the user wants to be done about an error of a ``read`` or a ``write``."""
        del operation
        return self.on_error

    def error_action(self, operation: str, code: int) -> str:
        """Decide by the job's policy what an I/O error means, and tell everybody.

        Returns:
            ``report``, ``ignore`` or ``stop``; after ``stop`` the job is paused.
        """
        policy = self.policy(operation)
        action = policy
        if policy in ("auto", "enospc"):
            action = "stop" if code in _NO_SPACE else "report"
        self.manager.emit(
            "BLOCK_JOB_ERROR", {"device": self.id, "operation": operation, "action": action}
        )
        if action == "stop":
            if not self.user_paused:
                self.user_paused = True
                self.pause_count += 1
            if self.io_status == "ok":
                self.io_status = "nospace" if code in _NO_SPACE else "failed"
        return action


def drain_for_backend(graph: Graph, node: Node) -> None:
    """Interrupt the jobs above a node as often as a backend does that goes (QEMU 7.2)."""
    for _ in range(2):
        graph.drain(node)


def intermediate(top: Node | None, base: Node) -> list[tuple[str, Node, int, int]]:
    """What a job that drops the layers from ``top`` to above ``base`` asks of each.

    Nobody may need consistent reads of them, except of filters that show nothing but the base.
    """
    found = []
    shared = p.WRITE | p.WRITE_UNCHANGED
    bottom = skip_filters(base)
    for node in chain(top):
        if node is base:
            break
        if skip_filters(node) is bottom:
            shared |= p.CONSISTENT_READ
        found.append(("intermediate node", node, 0, shared))
    return found


class ReadError(OSError):
    """Copying failed on the reading side."""


def as_errno(error: OSError) -> int:
    """The number of an error, EIO if it has none."""
    return error.errno or errno.EIO


class Copied:
    """What one step did: bytes looked at, and whether any were copied."""

    __slots__ = ("copied", "error", "flushed", "offset", "operation", "size")

    def __init__(self, size: int, *, copied: bool) -> None:
        self.offset = 0
        self.size = size
        self.copied = copied
        self.flushed = False
        self.operation = ""
        self.error = 0


def unallocated(
    top: Node, base: Node | None, offset: int, length: int, *, in_steps: bool = False
) -> int:
    """How many bytes at ``offset`` nothing above ``base`` holds; 0 if something does.

    Runs on the loop: it looks at tables only, so an empty layer costs no trip to the worker
    thread. What cannot be read is left to the worker to complain of.
    """
    try:
        layer, _, size = allocated_above(
            top, base, offset, min(length, LOOK_AHEAD), in_steps=in_steps
        )
    except OSError:
        return 0
    return size if layer is None else 0


def copy_steps(job: Job, top: Node, base: Node, offset: int) -> Copied:
    """Copy what lies above ``base`` from ``offset`` on, to the end or until ``job`` is hurried."""
    end = job.total
    return in_a_row(job, offset, lambda at: copy_step(top, base, at, min(BATCH, end - at)))


def in_a_row(job: Job, offset: int, step: Callable[[int], Copied]) -> Copied:
    """Do step after step from ``offset`` on, to the end or until ``job`` is hurried.

    Runs on the worker thread. An error is that of the step behind the ``size`` bytes.
    """
    start, end, until = offset, job.total, monotonic_ns() + TURN_NS
    while True:
        result = step(offset)
        offset += result.size
        if result.error or offset >= end or job.hurried or monotonic_ns() >= until:
            result.size = offset - start
            return result
        job.current = offset  # for those who ask meanwhile
        give_way()


def copy_step(top: Node, base: Node, offset: int, limit: int, *, in_steps: bool = False) -> Copied:
    """Copy the first stretch at ``offset`` that lies above ``base`` into ``base``.

    Runs on the worker thread. An error is returned, not raised, with the side it is on.
    """
    try:
        layer, extent, size = allocated_above(top, base, offset, limit, in_steps=in_steps)
    except OSError as error:
        return failed("read", error)
    if layer is None or extent is None:
        return Copied(size, copied=False)
    try:
        if extent.kind != DATA or extent.fd < 0 or not offload(base, offset, extent, size):
            size = min(size, CHUNK)
            base.driver.pwrite(offset, _read(layer, extent, offset, size))
    except ReadError as error:
        return failed("read", error)
    except OSError as error:
        return failed("write", error)
    return Copied(size, copied=True)


def _read(layer: Node, extent: Extent, offset: int, size: int) -> bytes:
    if extent.kind == ZERO and not layer.driver.is_filter:
        return bytes(size)
    try:
        return layer.driver.read_own(offset, size)
    except OSError as error:
        raise ReadError(error.errno, error.strerror) from error


def failed(operation: str, error: OSError, size: int = 0) -> Copied:
    """A step that copied nothing; ``size`` is what it would have copied."""
    result = Copied(size, copied=True)
    result.operation = operation
    result.error = as_errno(error)
    return result


def offload(base: Node, offset: int, extent: Extent, size: int) -> bool:
    """Let the kernel copy from file to file; False if that is not possible here."""
    targets = base.driver.write_targets(offset, size)
    if targets is None:
        return False
    try:
        for at, host, length in targets.segments:
            _copy_range(extent.fd, extent.host_offset + at - offset, targets.fd, host, length)
            _start_writing(targets.fd, host, length)
    except OSError:
        targets.abort()
        raise
    targets.finish()
    base.driver.note_written(offset + size, size)
    return True


def _start_writing(fd: int, offset: int, length: int) -> None:
    """Let the kernel begin to write back what was copied: the job's end waits for the disk.

    Linux starts write-back for dirty pages of which it is told that nobody needs them; they
    stay in memory, since they are still to be written.
    """
    try:
        os.posix_fadvise(fd, offset, length, os.POSIX_FADV_DONTNEED)
    except OSError:
        pass  # advice only


_UNABLE = frozenset((errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM))


def _copy_range(source: int, source_at: int, target: int, target_at: int, length: int) -> None:
    done = 0
    while done < length:
        try:
            size = os.copy_file_range(
                source, target, length - done, source_at + done, target_at + done
            )
        except OSError as error:
            if error.errno not in _UNABLE:
                raise
            size = _copy_buffer(source, source_at + done, target, target_at + done, length - done)
        if size == 0:  # the source ends within a cluster: the rest is zero
            os.pwrite(target, bytes(length - done), target_at + done)
            return
        done += size


def _copy_buffer(source: int, source_at: int, target: int, target_at: int, length: int) -> int:
    try:
        data = os.pread(source, min(length, 256 * 1024), source_at)
    except OSError as error:
        raise ReadError(error.errno, error.strerror) from error
    return os.pwrite(target, data, target_at)


def check_no_blocker(node: Node, operation: str) -> None:
    """Refuse an operation that somebody on the node does not allow.

    Raises:
        QmpError: ``Node 'x' is busy: …``.
    """
    reason = node.blocked(operation)
    if reason is not None:
        raise QmpError(block_wording.is_busy(node.public_name, reason))
