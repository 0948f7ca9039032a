"""External snapshots: an overlay takes the place of a node, which becomes its backing file."""

from __future__ import annotations

from qmpd.block import permissions as p
from qmpd.block.opening import find_reference
from qmpd.block.overlay import put_on, take_off
from qmpd.block.reopen import set_read_only
from qmpd.commands import wording
from qmpd.commands.transaction import Action, run
from qmpd.errors import QmpError
from qmpd.jobs.blockjob import check_no_blocker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.block.graph import Graph
    from qmpd.block.node import Node
    from qmpd.machine import Machine


def blockdev_snapshot(machine: Machine, node: str, overlay: str) -> None:
    """Put an overlay that is open already on a node, which becomes read-only.

    Raises:
        QmpError: nothing has changed then.
    """
    run(machine, [Snapshot(machine.graph, node, overlay)])


class Snapshot(Action):
    """``blockdev-snapshot`` as an action."""

    def __init__(self, graph: Graph, node: str, overlay: str) -> None:
        self._graph = graph
        self._name = node
        self._overlay_name = overlay
        self._node: Node | None = None
        """The node, once it has got its overlay."""
        self._overlay: Node | None = None

    def prepare(self) -> None:
        """Check both nodes in the original's order, and link them.

        Raises:
            QmpError: why not.
        """
        node = self.find_node()
        self._graph.drain([node])
        check_no_blocker(node, "external-snapshot")
        if not node.flags.read_only:
            try:
                node.driver.flush()
            except OSError as error:
                raise QmpError(wording.IO_ERROR) from error
        overlay = self._overlay = self.find_overlay(node)
        overlay.references += 1
        _check_overlay(overlay)
        put_on(self._graph, overlay, node)
        self._node = node

    def find_node(self) -> Node:
        """The node that gets an overlay.

        Raises:
            QmpError: there is none.
        """
        return self._graph.lookup(self._name, self._name)

    def find_overlay(self, node: Node) -> Node:
        """The overlay.

        Raises:
            QmpError: there is none.
        """
        del node
        return find_reference(self._graph, self._overlay_name)

    def commit(self) -> None:
        """The node is read-only from now on, unless that is impossible."""
        if self._node is not None:
            try:
                set_read_only(self._graph, self._node, read_only=True)
            except QmpError:
                pass  # the overlay is in place; that the node stays writable is no failure

    def abort(self) -> None:
        """The node's parents use the node again."""
        if self._overlay is not None and self._node is not None:
            take_off(self._graph, self._overlay, self._node)

    def clean(self) -> None:
        """An overlay that nobody holds is closed."""
        if self._overlay is not None:
            self._overlay.references -= 1
            self._graph.collect([self._overlay])


def _check_overlay(overlay: Node) -> None:
    perm, _ = overlay.cumulative()
    if perm & p.CONSISTENT_READ:
        raise QmpError(wording.OVERLAY_IN_USE)
    if overlay.driver.is_filter:
        raise QmpError(wording.OVERLAY_IS_FILTER)
    if overlay.backing is not None:
        raise QmpError(wording.OVERLAY_HAS_BACKING)
    if not overlay.driver.supports_backing:
        raise QmpError(wording.OVERLAY_WITHOUT_BACKING)
