"""``-device`` as far as a block layer cares: which node, which permissions, which name."""

from __future__ import annotations

from qmpd.block import permissions as p
from qmpd.block.node import User
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.node import Node
    from qmpd.machine import Machine

_VIRTIO_BLK = ("virtio-blk-device", "/virtio-backend", False, True)
_TYPES: dict[str, tuple[str, str, bool, bool]] = {
    # type: (type that owns the property, suffix of the QOM path, removable, resizable)
    "virtio-blk": _VIRTIO_BLK,
    "virtio-blk-pci": _VIRTIO_BLK,
    "virtio-blk-pci-transitional": _VIRTIO_BLK,
    "virtio-blk-pci-non-transitional": _VIRTIO_BLK,
    "virtio-blk-device": ("virtio-blk-device", "", False, True),
    "scsi-hd": ("scsi-hd", "", False, True),
    "scsi-cd": ("scsi-cd", "", True, False),
    "ide-hd": ("ide-hd", "", False, True),
    "ide-cd": ("ide-cd", "", True, False),
    "nvme": ("nvme", "", False, False),
    "nvme-ns": ("nvme-ns", "", False, False),
    "usb-storage": ("usb-storage", "", False, False),
    "floppy": ("floppy", "", True, False),
    "sd-card": ("sd-card", "", True, False),
}
_BUSES = ("virtio-scsi", "virtio-scsi-pci", "usb-ehci", "ahci")
_READ_ONLY = frozenset(("scsi-cd", "ide-cd"))


def kinds() -> list[str]:
    """The device types that can have a drive, and the buses that some of them sit on."""
    return [*_TYPES, *_BUSES]


class Names:
    """QOM paths: devices without an id are numbered, whatever they are."""

    __slots__ = ("_anonymous",)

    def __init__(self) -> None:
        self._anonymous = 0

    def path(self, device_id: str | None) -> str:
        """The path of the next device."""
        if device_id is not None:
            return f"/machine/peripheral/{device_id}"
        self._anonymous += 1
        return f"/machine/peripheral-anon/device[{self._anonymous - 1}]"


def plug(machine: Machine, names: Names, properties: dict[str, Any]) -> None:
    """Plug in a device; one without a drive means nothing here.

    Raises:
        QmpError: the drive does not exist or cannot be used like this.
    """
    kind = properties["driver"]
    path = properties.get("path") or names.path(properties.get("id"))
    drive = properties.get("drive")
    if drive is None:
        return
    if kind not in _TYPES:
        raise QmpError(f"'{kind}' is not a valid device model name")
    owner, suffix, removable, resizable = _TYPES[kind]
    user = machine.graph.drives.get(drive)
    node = machine.graph.nodes.get(drive) if user is None else user.node
    if node is None and user is None:
        raise QmpError(f"Property '{owner}.drive' can't find value '{drive}'")
    if node is None and not removable:
        raise QmpError("Device needs media, but drive is empty")
    perm, shared = _permissions(kind, node, properties, resizable=resizable)
    # A backend goes by its device's id; that of a part of the device has only a path.
    name = path + suffix if suffix else properties.get("id") or path
    if user is not None:
        machine.plug_drive(drive, name, perm, shared, removable=removable)
    elif node is not None:
        machine.plug(User(name, device=True), node, perm, shared, removable=removable)


def _permissions(
    kind: str, node: Node | None, properties: dict[str, Any], *, resizable: bool
) -> tuple[int, int]:
    perm, shared = p.CONSISTENT_READ, p.CONSISTENT_READ | p.WRITE_UNCHANGED
    writable = node is not None and not (node.flags.read_only and resizable)
    if kind not in _READ_ONLY and writable:
        perm |= p.WRITE
    if resizable:
        shared |= p.RESIZE
    if properties.get("share-rw") in (True, "on", "yes", "true", "y"):
        shared |= p.WRITE
    return perm, shared
