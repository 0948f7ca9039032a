"""Which thread a device's requests run in: those of one image cannot run in two.

Only SCSI disks count, on a controller that has an ``iothread``; virtio-blk moves to its own
when the guest starts, which here it never does (observed on QEMU 7.2).
"""

from __future__ import annotations

from qmpd.block.node import Node, User
from qmpd.commands import wording
from qmpd.errors import DeviceNotFound, QmpError
from qmpd.jobs.wording import device_not_found

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.node import Edge, Parent
    from qmpd.machine import Machine

_OTHER_THREAD = "Cannot change iothread of active block backend"


def check(machine: Machine, name: Any) -> None:
    """Check that a thread exists.

    Raises:
        DeviceNotFound: it does not.
    """
    if machine.objects.get(str(name)) != "iothread":
        raise DeviceNotFound(device_not_found(str(name)))


def of_device(controllers: dict[str, str], properties: dict[str, Any]) -> str:
    """The thread of a device, empty for the main one; without ``bus`` the newest controller's."""
    if not controllers or not properties["driver"].startswith("scsi-"):
        return ""
    bus = properties.get("bus")
    if bus is None:
        return list(controllers.values())[-1]
    return controllers.get(str(bus).rpartition(".")[0], "")


def check_neighbours(machine: Machine, node: Node, wanted: str) -> None:
    """Check that the devices on a node, and on all it is connected to, are in one thread.

    Raises:
        QmpError: one of them is in another.
    """
    connected = _connected(node)
    if wanted and any(here.kind == "block-job" for here in connected):
        raise QmpError(_OTHER_THREAD)
    if _homes(machine, connected) - {wanted}:
        raise QmpError(_OTHER_THREAD)


def check_joined(machine: Machine, parent: Node, child: Node, instead: Edge | None) -> None:
    """Check that two parts of the graph can run in one thread, which they are to do from now on.

    Args:
        machine: the machine.
        parent: the node that gets a child.
        child: the new child.
        instead: the edge that led elsewhere so far, and counts no more.

    Raises:
        QmpError: both have devices, and not in the same one.
    """
    homes = _homes(machine, _connected(parent, instead))
    if homes and _homes(machine, _connected(child, instead)) - homes:
        raise QmpError(_OTHER_THREAD)


def _homes(machine: Machine, connected: set[Parent]) -> set[str]:
    """The threads of the devices among these."""
    devices = [device for device in machine.devices.values() if device.path]
    return {device.iothread for device in devices if device.user in connected}


def _connected(node: Node, without: Edge | None = None) -> set[Parent]:
    """All that requests to the node have to do with."""
    seen: set[Parent] = set()
    work: list[Parent] = [node]
    while work:
        here = work.pop()
        if here in seen:
            continue
        seen.add(here)
        if not isinstance(here, User):
            work += [edge.child for edge in here.children.values() if edge is not without]
        if isinstance(here, Node):
            work += [edge.parent for edge in here.parents if edge is not without]
    return seen


def set_iothread(
    machine: Machine, node_name: str, iothread: str | None, *, force: bool = False
) -> None:
    """Let a node's requests run in a thread, or in the main one if it is None.

    Nothing can be seen of it: a device that comes to the node takes it along.

    Raises:
        QmpError: there is no such node or thread, or somebody uses the node.
    """
    node = machine.graph.find(node_name)
    if not force and any(isinstance(edge.parent, User) for edge in node.parents):
        raise QmpError(wording.in_use_by_backend(node_name))
    if iothread is not None and machine.objects.get(iothread) != "iothread":
        raise QmpError(wording.no_iothread(iothread))
    if machine.jobs.jobs:
        machine.graph.drain(node)
    if _homes(machine, _connected(node)) - {iothread or ""}:
        raise QmpError(_OTHER_THREAD)
