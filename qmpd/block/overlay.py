"""Putting a node above another one, so that whoever used that one uses the new one."""

from __future__ import annotations

from qmpd.block import permissions as p
from qmpd.block.refresh import refresh
from qmpd.block.transaction import Transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.block.graph import Graph
    from qmpd.block.node import Edge, Node, Parent


def put_on(graph: Graph, overlay: Node, node: Node) -> None:
    """Make ``node`` the backing file of ``overlay``, and ``overlay`` what its parents use.

    Jobs stay where they are, and so does what lies below the overlay itself.

    Raises:
        QmpError: a cycle, a frozen link or a conflict of permissions; nothing has changed then.
    """
    with Transaction() as tx:
        below = everything_below(overlay)
        moving = [edge for edge in node.parents if _moves(edge) and edge.parent not in below]
        graph.attach(tx, overlay, node, "backing", p.ROLE_COW)
        for edge in moving:
            graph.retarget(tx, edge, overlay)
        refresh(tx)


def set_backing(graph: Graph, node: Node, backing: Node | None) -> None:
    """Let ``node`` have another backing file, or none.

    Raises:
        QmpError: a cycle, a frozen link or a conflict of permissions; nothing has changed then.
    """
    edge = node.children.get("backing")
    with Transaction() as tx:
        if edge is not None and backing is not None:
            graph.retarget(tx, edge, backing)
        elif edge is not None:
            graph.detach(tx, edge)
        elif backing is not None:
            graph.attach(tx, node, backing, "backing", p.ROLE_COW)
        refresh(tx)


def take_off(graph: Graph, overlay: Node, node: Node) -> None:
    """Take back :func:`put_on`."""
    with Transaction() as tx:
        graph.detach(tx, overlay.children["backing"])
        for edge in [edge for edge in overlay.parents if _moves(edge)]:
            graph.retarget(tx, edge, node)
        refresh(tx)


def _moves(edge: Edge) -> bool:
    return edge.parent.kind != "block-job"


def everything_below(node: Node) -> set[Parent]:
    """The node and all that it is made of."""
    found: set[Parent] = {node}
    work = [node]
    while work:
        for edge in work.pop().children.values():
            if edge.child not in found:
                found.add(edge.child)
                work.append(edge.child)
    return found
