"""``-device`` as far as a block layer cares: which node, which permissions, which name."""

from __future__ import annotations

from qmpd.block import permissions as p
from qmpd.block.node import User
from qmpd.errors import QmpError
from qmpd.schema.wording import wrong_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.node import Node
    from qmpd.machine import Device, Machine

FOLLOWS, NEVER, ALWAYS, MISTAKE = range(4)
"""Whether a device writes: as its node may be written, not at all, in any case; or whether a
node that cannot be written is a mistake, with a sentence of its own."""


class Kind:
    """A type of device: how it is named, how it uses its node, what queries tell of it.

    ``owner`` is the type that has the property ``drive``; ``suffix`` is the path of the part
    that does, below the device's own (with ``{id}`` for the device's id or nothing).
    """

    __slots__ = (
        "adapts",
        "io_status",
        "owner",
        "removable",
        "shared",
        "suffix",
        "tray",
        "writes",
    )

    def __init__(
        self,
        owner: str,
        *,
        suffix: str = "",
        shared: int = p.RESIZE,
        writes: int = FOLLOWS,
        removable: bool = False,
        tray: bool = False,
        io_status: bool = True,
        adapts: bool = False,
    ) -> None:
        self.owner = owner
        self.suffix = suffix
        self.shared = shared
        self.writes = writes
        self.removable = removable
        self.tray = tray
        self.io_status = io_status
        self.adapts = adapts


_VIRTIO_BLK = Kind("virtio-blk-device", suffix="/virtio-backend")
_KINDS = {
    "virtio-blk": _VIRTIO_BLK,
    "virtio-blk-pci": _VIRTIO_BLK,
    "virtio-blk-pci-transitional": _VIRTIO_BLK,
    "virtio-blk-pci-non-transitional": _VIRTIO_BLK,
    "virtio-blk-device": Kind("virtio-blk-device"),
    "scsi-hd": Kind("scsi-hd"),
    "scsi-cd": Kind("scsi-cd", shared=0, writes=NEVER, removable=True, tray=True),
    "ide-hd": Kind("ide-hd", writes=ALWAYS),
    "ide-cd": Kind("ide-cd", shared=0, writes=NEVER, removable=True, tray=True),
    "nvme": Kind("nvme", shared=0, io_status=False),
    "nvme-ns": Kind("nvme-ns", shared=0, io_status=False),
    "usb-storage": Kind("usb-storage", suffix="/{id}.0/legacy[0]"),
    "floppy": Kind("floppy", shared=0, removable=True, io_status=False, adapts=True),
    "sd-card": Kind(
        "sd-card", shared=p.RESIZE | p.WRITE, writes=MISTAKE, removable=True, io_status=False
    ),
}
_PCI = ("virtio-blk", "virtio-scsi", "nvme")
_SWITCHES = ("on", "off")
_TEXTS = frozenset(("driver", "id", "bus", "path", "drive", "serial"))
_NUMBERS = {"bootindex": "", "lun": "scsi-", "scsi-id": "scsi-", "channel": "scsi-", "unit": "ide-"}
"""Properties that command lines are full of, and which types of devices have them."""
_SHORT = 4
"""Digits of a number that fits everywhere."""
_NEEDS_DRIVE = ("virtio-blk", "virtio-blk-pci", "scsi-hd", "ide-hd", "usb-storage")
_LOOK_EARLY, _LOOK_LATE = ("scsi-hd", "ide-hd", "usb-storage"), ("virtio-blk-device",)
"""Disks that read their first sector, before or after they have their permissions."""
_GEOMETRY = ("cyls", "heads", "secs")
_BUSES = ("virtio-scsi", "virtio-scsi-pci", "usb-ehci", "ahci")


def kinds() -> list[str]:
    """The device types that can have a drive, and the buses that some of them sit on."""
    return [*_KINDS, *_BUSES]


class Plugged:
    """A device with an id: ``backend`` is the name of what it uses, if it uses anything.

    ``cold_bus`` is the bus that it never leaves while the guest runs, if it sits on such a one.
    """

    __slots__ = ("backend", "cold_bus", "id", "leaving", "needs_guest")

    def __init__(self, device_id: str, cold_bus: str, *, needs_guest: bool) -> None:
        self.id = device_id
        self.cold_bus = cold_bus
        self.backend = ""
        self.needs_guest = needs_guest
        self.leaving = False


class Names:
    """QOM paths: devices without an id are numbered, whatever they are."""

    __slots__ = ("_anonymous", "iothreads", "plugged")

    def __init__(self) -> None:
        self._anonymous = 0
        self.iothreads: dict[str, str] = {}
        """Which thread each SCSI controller runs in; empty for the main one."""
        self.plugged: dict[str, Plugged] = {}

    def is_anonymous(self, path: str) -> bool:
        """Whether there is a device of that path that has no id."""
        stem, bracket, number = path.partition("[")
        taken = (f"{index}]" for index in range(self._anonymous))
        return stem == "/machine/peripheral-anon/device" and bracket == "[" and number in taken

    def path(self, device_id: str | None) -> str:
        """The path of the next device."""
        if device_id is not None:
            return f"/machine/peripheral/{device_id}"
        self._anonymous += 1
        return f"/machine/peripheral-anon/device[{self._anonymous - 1}]"


def texts(properties: dict[str, Any]) -> dict[str, Any]:
    """Properties as a command line has them; what has no value of its own is left out."""
    if all(value.__class__ is str for value in properties.values()):
        return {**properties}
    from qmpd.block.untyped import text_of

    return {
        name: text_of(value)
        for name, value in properties.items()
        if isinstance(value, (str, int, float))
    }


def plug(
    machine: Machine, names: Names, properties: dict[str, Any], *, strict: bool = False
) -> None:
    """Plug in a device; one without a drive means nothing here.

    ``strict``: the properties came as JSON, and no text is taken for a number or a switch.

    Raises:
        QmpError: the drive does not exist or cannot be used like this.
    """
    machine.slots = names
    if not isinstance(properties.get("id", ""), str):
        properties = {key: value for key, value in properties.items() if key != "id"}
    if not all(_is_usual(properties["driver"], *item, strict) for item in properties.items()):
        _check_properties(machine, properties, strict=strict)
    if properties.get("iothread"):
        from qmpd.commands import iothreads

        iothreads.check(machine, properties["iothread"])
    if properties["driver"].startswith("virtio-scsi"):
        names.iothreads[str(properties.get("id"))] = properties.get("iothread", "")
    device = _entered(properties)
    backend = _use_drive(machine, names, properties)
    if device is not None:
        device.backend = backend
        names.plugged[device.id] = device


def _entered(properties: dict[str, Any]) -> Plugged | None:
    name = properties.get("id")
    kind = properties["driver"]
    on_pci = kind in _PCI or kind.endswith(("-pci", "-pci-transitional", "-pci-non-transitional"))
    return None if name is None else Plugged(name, cold_bus(properties), needs_guest=on_pci)


def cold_bus(properties: dict[str, Any]) -> str:
    """The bus of a device that can neither come nor go while the guest runs; empty for others."""
    kind = properties["driver"]
    default = "floppy-bus.0" if kind == "floppy" else "ide.1"
    return str(properties.get("bus", default)) if kind in {"floppy", "ide-hd", "ide-cd"} else ""


def _use_drive(machine: Machine, names: Names, properties: dict[str, Any]) -> str:
    """Let the device use its drive, and return how the backend is called."""
    kind = properties["driver"]
    path = properties.get("path") or names.path(properties.get("id"))
    drive = properties.get("drive")
    if "drive" in properties and not isinstance(drive, str):
        raise QmpError(wrong_type("drive", "string"))
    if not drive:
        return _use_nothing(machine, names, properties, path)
    if kind not in _KINDS:
        raise QmpError(f"'{kind}' is not a valid device model name")
    found = _KINDS[kind]
    user = machine.graph.drives.get(drive)
    node = machine.graph.nodes.get(drive) if user is None else user.node
    if node is None and user is None:
        raise QmpError(f"Property '{found.owner}.drive' can't find value '{drive}'")
    if node is None and not found.removable:
        raise QmpError("Device needs media, but drive is empty")
    # A backend goes by its device's id; that of a part of the device has only a path.
    given = properties.get("id")
    part = found.suffix.replace("{id}", given or "scsi")
    name = path + part if part else given or path
    try:
        device = _use(machine, names, properties, name, user, node)
    except QmpError:
        if user is None:
            drop_backend(machine, node)
        raise
    if properties.get("write-cache") in _SWITCHES:
        device.user.writeback = properties["write-cache"] == "on"
    return device.user.name


def _look_at_disk(
    found: Kind, who: tuple[str, ...], node: Node | None, properties: dict[str, Any]
) -> None:
    """Read the first sector, where a partition table may tell of the geometry.

    Nobody asks what it says; but copies, errors and worse come of it (observed on QEMU 7.2).
    """
    if found.owner not in who or node is None:
        return
    if any(properties.get(name) not in {None, 0, "0"} for name in _GEOMETRY):
        return
    try:
        node.driver.pread(0, min(512, node.driver.length()))
    except (OSError, QmpError):
        return  # then there is no geometry to be had


def _use(
    machine: Machine,
    names: Names,
    properties: dict[str, Any],
    name: str,
    user: User | None,
    node: Node | None,
) -> Device:
    """Let the device use the drive of ``user``, or ``node`` by a backend of its own."""
    kind = properties["driver"]
    found = _KINDS[kind]
    perm, shared = _permissions(found, node, properties)
    own = User(name, device=True)
    _look_at_disk(found, _LOOK_EARLY, node, properties)
    _refuse_busy(machine, names, kind, own, node, perm, shared)
    home = _thread(machine, names, properties, node)
    if user is not None:
        drive = properties["drive"]
        device = machine.plug_drive(drive, name, perm, shared, removable=found.removable)
    elif node is not None:
        device = machine.plug(own, node, perm, shared, removable=found.removable)
    _look_at_disk(found, _LOOK_LATE, node, properties)
    device.tray, device.io_status, device.iothread = found.tray, found.io_status, home
    device.adapts = found.adapts
    return device


def _refuse_busy(
    machine: Machine,
    names: Names,
    kind: str,
    user: User,
    node: Node | None,
    perm: int,
    shared: int,
) -> None:
    """A virtio-scsi controller takes no disk that a job has for itself.

    That the disk would have its permissions comes first (observed on QEMU 7.2).
    """
    if node is None or not node.blockers:
        return
    if not names.iothreads or not kind.startswith("scsi-"):
        return
    from qmpd.block.transaction import Transaction
    from qmpd.jobs.blockjob import check_no_blocker

    tx = Transaction()
    try:
        machine.graph.add_user(tx, user, node, perm, shared)
    finally:
        tx.abort()
    try:
        check_no_blocker(node, "dataplane")
    except QmpError:
        drop_backend(machine, node)  # one of its own, besides the device's
        raise


def drop_backend(machine: Machine, node: Node | None) -> None:
    """Interrupt the jobs above the node of a backend that goes."""
    if node is not None and machine.jobs.jobs:
        from qmpd.jobs.blockjob import drain_for_backend

        drain_for_backend(machine.graph, node)


def _is_usual(kind: str, name: str, value: Any, strict: bool) -> bool:
    """Whether nobody needs to look up what a property may be."""
    if value.__class__ is str:
        if name in _NUMBERS and not strict:
            return kind.startswith(_NUMBERS[name]) and value.isdigit() and len(value) < _SHORT
        if name == "iothread":
            return kind.startswith("virtio-")
        if name == "addr":
            return kind in _PCI and value.strip("0x").isdigit()
        turned = name == "write-cache" or (name == "share-rw" and not strict)
        return name in _TEXTS or (turned and value in _SWITCHES)
    if name in _NUMBERS:
        fits = value.__class__ is int and 0 <= value < 1 << 8
        return strict and fits and kind.startswith(_NUMBERS[name])
    return strict and name == "share-rw" and value.__class__ is bool


def _check_properties(machine: Machine, properties: dict[str, Any], *, strict: bool) -> None:
    if machine.profile is None:  # other releases have other properties
        from qmpd.commands.device_properties import check

        drive = properties.get("drive")
        graph = machine.graph
        found = isinstance(drive, str) and (drive in graph.drives or drive in graph.nodes)
        check(properties, strict=strict, found=found)


def _use_nothing(machine: Machine, names: Names, properties: dict[str, Any], path: str) -> str:
    """Enter a device without a drive, if it is one that can have a medium."""
    kind = properties["driver"]
    if kind in _NEEDS_DRIVE:
        raise QmpError("drive property not set")
    found = _KINDS.get(kind)
    if found is None or not found.removable or found.writes == MISTAKE:
        return ""  # an SD card reader without a drive has no backend either
    name = properties.get("id") or path
    device = machine.plug_empty(User(name, device=True), *_permissions(found, None, properties))
    device.tray, device.io_status, device.adapts = found.tray, found.io_status, found.adapts
    device.iothread = _thread(machine, names, properties, None)
    return name


def _thread(machine: Machine, names: Names, properties: dict[str, Any], node: Node | None) -> str:
    """The thread that the device runs in, empty for the main one."""
    if not any(names.iothreads.values()):
        return ""
    from qmpd.commands import iothreads

    machine.graph.check_joined = lambda parent, child, instead: iothreads.check_joined(
        machine, parent, child, instead
    )
    home = iothreads.of_device(names.iothreads, properties)
    if node is not None:
        iothreads.check_neighbours(machine, node, home)
    return home


def _permissions(kind: Kind, node: Node | None, properties: dict[str, Any]) -> tuple[int, int]:
    read_only = node is not None and node.flags.read_only
    if kind.writes == MISTAKE and read_only:
        raise QmpError("Cannot use read-only drive as SD card")
    perm, shared = p.CONSISTENT_READ, p.CONSISTENT_READ | p.WRITE_UNCHANGED | kind.shared
    if node is not None and kind.writes != NEVER and not (kind.writes == FOLLOWS and read_only):
        perm |= p.WRITE
    if properties.get("share-rw") in (True, "on", "yes", "true", "y"):
        shared |= p.WRITE
    return perm, shared
