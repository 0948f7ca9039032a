"""Commands that define, change and delete nodes."""

from __future__ import annotations

from qmpd.block import wording
from qmpd.block.node import Node, User
from qmpd.block.opening import add_node
from qmpd.block.reopen import ReopenQueue
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.machine import Machine


def blockdev_add(machine: Machine, arguments: dict[str, Any]) -> None:
    """Open a node and what is inline in its definition.

    Raises:
        QmpError: with nothing left behind.
    """
    add_node(machine.graph, arguments)


def blockdev_del(machine: Machine, node_name: str) -> None:
    """Close a node that nobody uses.

    Raises:
        QmpError: somebody does, or it is not the monitor's (checked in this order).
    """
    node = machine.graph.find(node_name)
    if any(isinstance(edge.parent, User) for edge in node.parents):
        raise QmpError(wording.in_use(node_name))
    reason = node.blocked("drive-del")
    if reason is not None:
        raise QmpError(wording.is_busy(node.public_name, reason))
    if not node.monitor_owned:
        raise QmpError(wording.not_monitor_owned(node_name))
    if node.references or any(isinstance(edge.parent, Node) for edge in node.parents):
        raise QmpError(wording.device_in_use(node_name))
    node.monitor_owned = False
    machine.graph.collect([node])


def blockdev_reopen(machine: Machine, options: list[dict[str, Any]]) -> None:
    """Give nodes new options, all or none of them.

    An empty list aborts the original; here it does nothing.

    Raises:
        QmpError: nothing has changed then.
    """
    queue = ReopenQueue(machine.graph)
    try:
        for given in options:
            if "node-name" not in given:
                raise QmpError(wording.NODE_NAME_NOT_SPECIFIED)
            queue.add(machine.graph.find(given["node-name"]), given, keep_old=False)
    except QmpError:
        queue.drain()  # what comes before the mistake was drained already
        raise
    queue.run()


def x_blockdev_reopen(machine: Machine, arguments: dict[str, Any]) -> None:
    """The same as it was from 4.0 to 6.0: one node, without a list around its options.

    Raises:
        QmpError: nothing has changed then.
    """
    blockdev_reopen(machine, [arguments])
