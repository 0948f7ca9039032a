"""The filters that jobs put above a node, and how they are put there and taken away."""

from __future__ import annotations

from qmpd.block import options as opt
from qmpd.block import permissions as p
from qmpd.block import wording
from qmpd.block.driver import UNALLOCATED, Extent
from qmpd.block.node import Node
from qmpd.block.passing import PassingDriver
from qmpd.block.refresh import refresh
from qmpd.block.transaction import Transaction
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from qmpd.block.driver import Driver
    from qmpd.block.graph import Graph
    from qmpd.block.node import Edge, Parent
    from qmpd.block.options import Flags


class JobFilter(PassingDriver):
    """A filter that cannot be opened by a user."""

    borrows_name = True
    reopens = False
    below_name = "backing"
    child_names = frozenset()
    open_children = ()

    def extent(self, offset: int, length: int) -> Extent:
        """Nothing is held here."""
        del offset
        return Extent(UNALLOCATED, length)


class CommitTop(JobFilter):
    """Above the top of an intermediate commit: asks for nothing, allows everything.

    So the nodes above keep reading while consistent reads are taken away below.
    """

    name = "commit_top"

    def edge_permissions(self, edge: Edge, perm: int, shared: int, flags: Flags) -> tuple[int, int]:
        """Nothing is needed."""
        del edge, perm, shared, flags
        return 0, p.ALL


class MirrorTop(JobFilter):
    """Above a node while it is copied; writes pass through."""

    name = "mirror_top"
    is_commit = False
    """Whether the copy goes into a node below."""
    stopped = False
    copy: Callable[[int, int, bytes | memoryview | None], None] | None = None
    """Told of what has been written, zeros without data, if that is copied at once."""

    def pwrite(self, offset: int, data: bytes | memoryview) -> None:
        """Write below, and tell."""
        super().pwrite(offset, data)
        if self.copy is not None:
            self.copy(offset, len(data), data)

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True) -> None:
        """Let the node below do it, and tell; no space is given back (observed on QEMU 7.2)."""
        del unmap
        super().write_zeroes(offset, length, unmap=False)
        if self.copy is not None:
            self.copy(offset, length, None)

    def edge_permissions(self, edge: Edge, perm: int, shared: int, flags: Flags) -> tuple[int, int]:
        """What the device needs, except consistent reads, which a commit cannot promise."""
        if self.stopped:
            return 0, p.ALL
        if not self.is_commit:
            return super().edge_permissions(edge, perm, shared, flags)
        return perm & ~p.CONSISTENT_READ, shared | p.WRITE


def insert_filter(
    graph: Graph, driver: JobFilter, above: Node, name: str | None, *, read_only: bool
) -> Node:
    """Put a filter between ``above`` and all its parents except jobs.

    Raises:
        QmpError: the name is malformed or taken, or a parent's link is frozen.
    """
    node = _new_node(graph, driver, name, read_only=read_only)
    with Transaction() as tx:
        graph.add(node)
        tx.on_abort(lambda: graph.forget(node))
        moving = [edge for edge in above.parents if edge.parent.kind != "block-job"]
        graph.attach(tx, node, above, "backing", p.ROLE_FILTERED | p.ROLE_PRIMARY)
        for edge in moving:
            _move(graph, tx, edge, node)
        refresh(tx)
    return node


def insert_node(graph: Graph, driver: Driver, above: Node, name: str | None) -> Node:
    """Put a node that a user could have made between ``above`` and all its parents except jobs.

    Raises:
        QmpError: as for :func:`insert_filter`.
    """
    node = _new_node(graph, driver, name, read_only=False)
    with Transaction() as tx:
        graph.add(node)
        tx.on_abort(lambda: graph.forget(node))
        graph.attach(tx, node, above, "file", p.ROLE_FILTERED | p.ROLE_PRIMARY)
        refresh(tx)
    try:
        replace_node(graph, above, node, keep=(node,))
    except QmpError:
        _drop_child(graph, node)
        raise
    return node


def _new_node(graph: Graph, driver: Driver, name: str | None, *, read_only: bool) -> Node:
    if name is None:
        node_name = graph.generate_name()
    else:
        graph.check_name(name)
        node_name = name
    effective = {opt.READ_ONLY: read_only}
    node = Node(node_name, driver, opt.Options({}, effective), opt.Flags(effective))
    node.implicit = name is None
    driver.node = node
    return node


def _move(graph: Graph, tx: Transaction, edge: Edge, child: Node) -> None:
    if edge.frozen:
        raise QmpError(wording.cannot_move_link(edge.name, edge.child.name))
    graph.retarget(tx, edge, child)


def replace_node(graph: Graph, old: Node, new: Node, *, keep: Collection[Parent] = ()) -> None:
    """Let all parents of ``old`` use ``new`` instead, except jobs and those of ``keep``.

    Raises:
        QmpError: a link is frozen or the permissions conflict.
    """
    with Transaction() as tx:
        for edge in list(old.parents):
            if edge.parent.kind != "block-job" and edge.parent not in keep:
                _move(graph, tx, edge, new)
        refresh(tx)


def remove_filter(graph: Graph, node: Node) -> None:
    """Take a filter out again: its parents use the node below."""
    below = node.children["backing"].child
    replace_node(graph, node, below, keep=(node,))
    graph.collect([node])


def remove_node(graph: Graph, node: Node) -> None:
    """Take a node of :func:`insert_node` out again; what still holds it holds an empty one."""
    replace_node(graph, node, node.children["file"].child, keep=(node,))
    _drop_child(graph, node)


def _drop_child(graph: Graph, node: Node) -> None:
    edge = node.children["file"]
    graph.detach_loosely(edge)
    graph.collect([node, edge.child])
