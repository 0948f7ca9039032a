"""A drained section of a part of the graph, from some nodes down, whose links change meanwhile."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from qmpd.block.graph import Graph
    from qmpd.block.node import Edge, Node


class Drained:
    """The section, from its creation to its :meth:`end`."""

    __slots__ = ("_ends", "_graph", "_nodes")

    def __init__(self, graph: Graph, nodes: Collection[Node]) -> None:
        self._graph = graph
        self._nodes = nodes
        self._ends: list[Callable[[], None]] = [graph.begin_drain(_subtree(nodes))]

    def move(self, link: Edge, onto: Node | None) -> None:
        """What was below a link goes on, and what is below it from now on stops.

        A job that is above both does so too (observed on QEMU 7.2).
        """
        ends = [self._graph.begin_drain(_subtree(self._nodes, without=link))]
        self.end()
        if onto is not None:
            ends.append(self._graph.begin_drain(_subtree((onto,))))
        self._ends = ends

    def end(self) -> None:
        """Let all go on."""
        for end in self._ends:
            end()


def _subtree(nodes: Iterable[Node], without: Edge | None = None) -> Iterator[Node]:
    """``nodes`` and everything below them, but for what is only below a link."""
    found = set(nodes)
    work = list(found)
    while work:
        node = work.pop()
        yield node
        for edge in node.children.values():
            if edge is not without and edge.child not in found:
                found.add(edge.child)
                work.append(edge.child)
