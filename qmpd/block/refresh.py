"""Recomputing permissions where the graph has changed, and below as far as it matters."""

from __future__ import annotations

from qmpd.block import permissions as p
from qmpd.block import wording
from qmpd.block.transaction import Transaction
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from qmpd.block.node import Edge, Node
    from qmpd.block.options import Flags

NOT_YET = 0, 0
"""Permissions of an edge that nobody has computed: nothing is shared, unlike any result."""


def refresh(
    tx: Transaction, future: dict[Node, Flags] | None = None, starts: Iterable[Node] = ()
) -> None:
    """Recompute permissions where ``tx`` changed the graph, and below as far as it matters.

    Each node is looked at once, after all its parents; nodes for which nothing has changed
    only if that may make a difference.

    Args:
        tx: what the new edges and descriptors become part of.
        future: the flags that nodes of a reopen are going to have.
        starts: nodes to begin with, besides those that ``tx`` has touched.

    Raises:
        QmpError: a conflict, a writer on a read-only node, an open or a lock that failed.
    """
    tops = {**dict.fromkeys(starts), **tx.touched}
    due = dict(tops)
    if due and next(iter(due)).driver.graph.unsure:
        due = dict.fromkeys(parents_first(tops))
    while len(due) == 1:
        _refresh_node(tx, due.popitem()[0], future, due)
    if not due:
        return
    for node in parents_first(tops):
        if node in due:
            del due[node]
            _refresh_node(tx, node, future, due)


def parents_first(tops: Iterable[Node]) -> list[Node]:
    """The nodes from ``tops`` downwards in the order in which they are looked at.

    It decides which one of several failures is told (observed on QEMU 7.2): what was given
    last comes first, and below a node its oldest child.
    """
    done: dict[Node, None] = {}
    for top in tops:
        path = [(top, _newest_first(top))]
        while path:
            node, children = path[-1]
            if node in done:
                path.pop()
            elif children:
                child = children.pop(0)
                path.append((child, _newest_first(child)))
            else:
                done[node] = None
                path.pop()
    return list(reversed(done))


def _newest_first(node: Node) -> list[Node]:
    return [edge.child for edge in reversed(node.children.values())]


def _refresh_node(
    tx: Transaction, node: Node, future: dict[Node, Flags] | None, due: dict[Node, None]
) -> None:
    """Look at one node; the children for which that changes something become due."""
    flags = node.flags if future is None else future.get(node, node.flags)
    perm, shared = node.cumulative()
    if perm & ~shared:
        _check_parents(node)
    if perm & (p.WRITE | p.WRITE_UNCHANGED):
        _check_writable(node, flags, perm)
    driver = node.driver
    driver.check_permissions(tx, perm, shared, flags)
    for edge in node.children.values():
        new = driver.edge_permissions(edge, perm, shared, flags)
        if edge.child.flags.force_share:
            new = (new[0], p.ALL)
        if new != (edge.perm, edge.shared):
            _set_edge(tx, edge, new)
            due[edge.child] = None


def refresh_loosely(starts: Iterable[Node]) -> None:
    """Refresh after permissions were only dropped: a failure keeps the old state."""
    tx = Transaction()
    tx.touched.update(dict.fromkeys(starts))
    try:
        refresh(tx)
    except QmpError:
        tx.abort()
    else:
        tx.commit()


def _set_edge(tx: Transaction, edge: Edge, new: tuple[int, int]) -> None:
    old = edge.perm, edge.shared
    edge.perm, edge.shared = new

    def undo() -> None:
        edge.perm, edge.shared = old

    tx.on_abort(undo)


def _check_parents(node: Node) -> None:
    for denier in node.parents:
        for needer in node.parents:
            missing = needer.perm & ~denier.shared
            if missing and needer is not denier:
                raise QmpError(
                    wording.permission_conflict(
                        node.name,
                        p.names(missing),
                        needer.parent.describe(),
                        needer.name,
                        denier.parent.describe(),
                        denier.name,
                    )
                )


def _check_writable(node: Node, flags: Flags, perm: int) -> None:
    if flags.read_only:
        if node.flags.read_only:
            raise QmpError(wording.READ_ONLY_NODE)
        raise QmpError(wording.read_only_with_writers(node.name))
    if not perm & p.RESIZE and node.driver.length() % node.driver.request_alignment:
        raise QmpError(wording.UNALIGNED_SIZE)
