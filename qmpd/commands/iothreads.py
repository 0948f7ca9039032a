"""Which thread a device's requests run in: those of one image cannot run in two.

Only SCSI disks count, on a controller that has an ``iothread``; virtio-blk moves to its own
when the guest starts, which here it never does (observed on QEMU 7.2).
"""

from __future__ import annotations

from qmpd.block.node import Node, User
from qmpd.errors import DeviceNotFound, QmpError
from qmpd.jobs.wording import device_not_found

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.node import Parent
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
    devices = {device.user: device for device in machine.devices.values() if device.path}
    seen: set[Parent] = set()
    work: list[Parent] = [node]
    while work:
        here = work.pop()
        if here in seen:
            continue
        seen.add(here)
        if here.kind == "block-job" and wanted:
            raise QmpError(_OTHER_THREAD)
        if isinstance(here, User):
            if here in devices and devices[here].iothread != wanted:
                raise QmpError(_OTHER_THREAD)
            continue
        work += [edge.child for edge in here.children.values()]
        if isinstance(here, Node):
            work += [edge.parent for edge in here.parents]
