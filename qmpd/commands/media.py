"""Commands that open and close trays, and take media out of drives and put them in."""

from __future__ import annotations

from qmpd.block import permissions as p
from qmpd.block import wording as block_wording
from qmpd.block.node import User
from qmpd.block.options import READ_ONLY, Flags
from qmpd.block.refresh import refresh
from qmpd.block.transaction import Transaction
from qmpd.commands import wording
from qmpd.commands.backends import find
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.block.node import Node
    from qmpd.machine import Device, Machine


def eject(
    machine: Machine,
    device: str | None = None,
    id: str | None = None,  # noqa: A002 - the argument's wire name
    *,
    force: bool = False,
) -> None:
    """Open a device's tray if it has one, and take the medium out.

    Raises:
        QmpError: there is no such device, it holds its medium fast, or the medium is in use.
    """
    blockdev_open_tray(machine, device, id, force=force)
    _remove(machine, find(machine, device, id), device or id or "")


def blockdev_open_tray(
    machine: Machine,
    device: str | None = None,
    id: str | None = None,  # noqa: A002 - the argument's wire name
    *,
    force: bool = False,
) -> None:
    """Open a device's tray; one without a tray has nothing to open.

    There is no guest who could have locked it: ``force`` makes no difference.

    Raises:
        QmpError: there is no such device, or it holds its medium fast.
    """
    del force
    found = find(machine, device, id)
    if not found.removable:
        raise QmpError(wording.not_removable(device or id or ""))
    _move_tray(machine, found, opens=True)


def blockdev_close_tray(
    machine: Machine,
    device: str | None = None,
    id: str | None = None,  # noqa: A002 - the argument's wire name
) -> None:
    """Close a device's tray.

    Raises:
        QmpError: there is no such device, or it holds its medium fast.
    """
    found = find(machine, device, id)
    if not found.removable:
        raise QmpError(wording.not_removable(device or id or ""))
    _move_tray(machine, found, opens=False)


def _move_tray(machine: Machine, device: Device, *, opens: bool) -> None:
    if not (device.tray and device.path) or device.tray_open is opens:
        return
    device.tray_open = opens
    machine.emit(
        "DEVICE_TRAY_MOVED", {"device": device.drive, "id": device.path, "tray-open": opens}
    )


def blockdev_remove_medium(
    machine: Machine,
    id: str,  # noqa: A002 - the argument's wire name
) -> None:
    """Take the medium out of a device whose tray is open.

    Raises:
        QmpError: it cannot be taken out.
    """
    _remove(machine, find(machine, None, id), id)


def _remove(machine: Machine, device: Device, name: str) -> None:
    if not device.removable:
        raise QmpError(wording.not_removable(name))
    if device.tray and device.path and not device.tray_open:
        raise QmpError(wording.tray_closed(name))
    node = device.user.node
    if node is None:
        return
    reason = node.blocked("eject")
    if reason is not None:
        raise QmpError(block_wording.is_busy(node.public_name, reason))
    take_out(machine, device, node)


def take_out(machine: Machine, device: Device, node: Node) -> None:
    """Let a device go of its medium, and remember what that was like for the next one."""
    machine.graph.drain(node)
    (edge,) = device.user.children.values()
    device.last = node.flags
    device.asks = edge.perm, edge.shared
    machine.graph.detach_loosely(edge)
    machine.graph.collect([node])


def blockdev_insert_medium(
    machine: Machine,
    id: str,  # noqa: A002 - the argument's wire name
    node_name: str,
) -> None:
    """Put a node that nobody uses into a device whose tray is open.

    Raises:
        QmpError: it cannot be put there.
    """
    device = find(machine, None, id)
    node = machine.graph.nodes.get(node_name)
    if node is None:
        raise QmpError(wording.node_not_found(node_name))
    if any(isinstance(edge.parent, User) for edge in node.parents):
        raise QmpError(wording.already_in_use(node_name))
    _insert(machine, device, node)


def _insert(machine: Machine, device: Device, node: Node) -> None:
    if not device.removable:
        raise QmpError(wording.NOT_REMOVABLE)
    if device.tray and device.path and not device.tray_open:
        raise QmpError(wording.TRAY_CLOSED)
    if device.user.node is not None:
        raise QmpError(wording.HAS_MEDIUM)
    if machine.slots is not None and any(machine.slots.iothreads.values()):
        from qmpd.commands import iothreads

        iothreads.check_neighbours(machine, node, device.iothread)
    perm, shared = device.asks
    if device.adapts:
        perm = p.CONSISTENT_READ | (0 if node.flags.read_only else p.WRITE)
    try:
        with Transaction() as tx:
            machine.graph.attach(tx, device.user, node, "root", 0, perm, shared)
            refresh(tx)
    except QmpError:
        if device.adapts:  # it had the medium in already when it asked for permissions
            device.last = node.flags
        raise


def blockdev_change_medium(
    machine: Machine,
    filename: str,
    device: str | None = None,
    id: str | None = None,  # noqa: A002 - the argument's wire name
    format: str | None = None,  # noqa: A002 - the argument's wire name
    *,
    force: bool = False,
    read_only_mode: str = "retain",
) -> None:
    """Open an image, and put it into a device in place of what is there.

    Raises:
        QmpError: nothing has changed then, unless it is the image that does not fit.
    """
    from qmpd.block.byname import open_image

    found = find(machine, device, id)
    flags = _flags_like_last(found)
    if read_only_mode != "retain":
        flags.read_only = read_only_mode == "read-only"
    medium = open_image(machine.graph, filename, format, flags)
    try:
        blockdev_open_tray(machine, device, id, force=force)
        _remove(machine, found, device or id or "")
        _insert(machine, found, medium)
    finally:
        machine.graph.collect([medium])
    _move_tray(machine, found, opens=False)


def _flags_like_last(device: Device) -> Flags:
    """The flags that the next medium is opened with."""
    flags = Flags({READ_ONLY: True})
    last = device.last if device.user.node is None else device.user.node.flags
    if last is not None:
        flags.read_only, flags.direct = last.read_only, last.direct
        flags.no_flush, flags.unmap = last.no_flush, last.unmap
        if last.detect_zeroes != "off":
            flags.detect_zeroes = "on"
    return flags
