"""External snapshots: an overlay takes the place of a node, which becomes its backing file."""

from __future__ import annotations

from qmpd.block import permissions as p
from qmpd.block.opening import find_reference, open_node
from qmpd.block.overlay import put_on, take_off
from qmpd.block.reopen import set_read_only
from qmpd.commands import wording
from qmpd.commands.actions import Action, run
from qmpd.commands.images import definition_like
from qmpd.errors import QmpError
from qmpd.jobs.blockjob import check_no_blocker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from qmpd.block.graph import Graph
    from qmpd.block.node import Node
    from qmpd.machine import Machine


def blockdev_snapshot(machine: Machine, node: str, overlay: str) -> None:
    """Put an overlay that is open already on a node, which becomes read-only.

    Raises:
        QmpError: nothing has changed then.
    """
    run(machine, [Snapshot(machine.graph, node, overlay)])


def blockdev_snapshot_sync(machine: Machine, arguments: dict[str, Any]) -> None:
    """Make an image with a node as its backing file, and put it on that node.

    Raises:
        QmpError: the graph has not changed then; a file that was made stays.
    """
    run(machine, [SnapshotSync(machine.graph, arguments)])


class Snapshot(Action):
    """``blockdev-snapshot`` as an action."""

    alone = "blockdev-snapshot"

    def __init__(self, graph: Graph, node: str, overlay: str) -> None:
        self.graph = graph
        self._name = node
        self._overlay_name = overlay
        self._node: Node | None = None
        """The node, once it has got its overlay."""
        self._overlay: Node | None = None
        self._end_drain: Callable[[], None] | None = None

    def prepare(self) -> None:
        """Check both nodes in the original's order, and link them.

        Raises:
            QmpError: why not.
        """
        node = self.find_node()
        self._end_drain = self.graph.begin_drain((node,))
        check_no_blocker(node, "external-snapshot")
        if not node.flags.read_only:
            try:
                node.driver.flush()
            except OSError as error:
                raise QmpError(wording.IO_ERROR) from error
        overlay = self._overlay = self.find_overlay(node)
        overlay.references += 1
        _check_overlay(overlay)
        put_on(self.graph, overlay, node)
        self._node = node

    def find_node(self) -> Node:
        """The node that gets an overlay.

        Raises:
            QmpError: there is none.
        """
        return self.graph.lookup(self._name, self._name)

    def find_overlay(self, node: Node) -> Node:
        """The overlay.

        Raises:
            QmpError: there is none.
        """
        del node
        return find_reference(self.graph, self._overlay_name)

    def commit(self) -> None:
        """The node is read-only from now on, unless that is impossible."""
        if self._node is not None:
            try:
                set_read_only(self.graph, self._node, read_only=True)
            except QmpError:
                pass  # the overlay is in place; that the node stays writable is no failure

    def abort(self) -> None:
        """The node's parents use the node again."""
        if self._overlay is not None and self._node is not None:
            take_off(self.graph, self._overlay, self._node)

    def clean(self) -> None:
        """An overlay that nobody holds is closed."""
        if self._overlay is not None:
            self._overlay.references -= 1
            self.graph.collect([self._overlay])
        if self._end_drain is not None:
            self._end_drain()


class SnapshotSync(Snapshot):
    """``blockdev-snapshot-sync`` as an action."""

    alone = "blockdev-snapshot-sync"

    def __init__(self, graph: Graph, arguments: dict[str, Any]) -> None:
        self._device = arguments.get("device")
        self._node_name = arguments.get("node-name")
        self._new_name = arguments.get("snapshot-node-name")
        self._filename = arguments["snapshot-file"]
        self._format = arguments.get("format", "qcow2")
        self._create = arguments.get("mode") != "existing"
        super().__init__(graph, self._node_name or "", self._new_name or "")

    def find_node(self) -> Node:
        """The node that gets an overlay; a drive is named as such.

        Raises:
            QmpError: there is none.
        """
        return self.graph.lookup(self._device, self._node_name)

    def find_overlay(self, node: Node) -> Node:
        """Make the image if there is to be a new one, and open it as the node is open.

        Raises:
            QmpError: its name or its format is of no use, or the image is not.
        """
        name = self._new_name
        if name is None and self._node_name is not None:
            raise QmpError(wording.OVERLAY_NAME_MISSING)
        if name is not None and _is_in_use(self.graph, name):
            raise QmpError(wording.OVERLAY_NAME_IN_USE)
        if self._create:
            from qmpd.block.creation import create_overlay

            create_overlay(self.graph, self._filename, self._format, node)
        self.graph.let_pass()
        read_only = node.flags.read_only
        definition = definition_like(node, self._filename, self._format, name, read_only=read_only)
        return open_node(self.graph, definition)


def _is_in_use(graph: Graph, name: str) -> bool:
    drive = graph.drives.get(name)
    return name in graph.nodes or (drive is not None and drive.node is not None)


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
