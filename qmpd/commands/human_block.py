"""Commands of the human monitor that change the block layer (observed on QEMU 7.2)."""

from __future__ import annotations

import os

from qmpd.block import wording as block_wording
from qmpd.block.chain import skip_implicit
from qmpd.commands import wording
from qmpd.commands.backends import find
from qmpd.commands.devices import drop_backend
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.block.node import Node, User
    from qmpd.machine import Device, Machine
    from qmpd.options.opts import Opts


def qemu_io(machine: Machine, device: str, command: str, *, by_device: bool = False) -> str:
    """Read or write a node as a guest would; errors of permissions are for the monitor.

    Raises:
        QmpError: there is no such drive, device or node.
    """
    from qmpd.commands.qemu_io import Access, execute, execute_without_medium

    graph = machine.graph
    user: User | None = None
    if by_device:
        user = find(machine, None, device).user
        if user.node is None:
            os.write(1, execute_without_medium(command).encode())
            return ""
    elif device in graph.drives:
        user = graph.drives[device]
    node = graph.lookup(None, device) if user is None else user.node
    if node is None:
        node = graph.lookup(device, None)
    if user is None:  # a backend comes and goes
        drop_backend(machine, node)
    try:
        for monitor in machine.monitors:  # one of them may write to the same place
            if monitor.connection is not None:
                monitor.connection.flush()
        os.write(1, execute(Access(graph, node, user, machine.dispatcher.later), command).encode())
    except QmpError as error:
        return _complaint(error.desc, error.hint, [])
    return ""


def _not_found(device: str) -> str:
    from qmpd.jobs.wording import device_not_found

    return device_not_found(device)


# --- commit ---------------------------------------------------------------------------------


def commit(machine: Machine, device: str) -> str:
    """Copy what drives hold into their backing files, while everything waits, and empty them."""
    from qmpd.jobs.offline_commit import commit_node

    drives = machine.graph.drives
    nodes: list[Node] = []
    if device == "all":
        users = [found.user for found in machine.devices.values()]
        visible = [skip_implicit(user.node) for user in users if user.node is not None]
        nodes = [node for node in visible if node.backing is not None]
    elif device not in drives:
        return f"{_not_found(device)}\n"
    elif (found_node := drives[device].node) is None:
        return f"{block_wording.no_medium(device)}\n"
    else:
        nodes = [skip_implicit(found_node)]
    for node in nodes:
        said, error = commit_node(machine.graph, node)
        if error:
            return _complaint(said, wording.cannot_commit(device, os.strerror(error)), [])
    return ""


def block_resize(machine: Machine, device: str, size: int) -> None:
    """Let a drive's medium have another size."""
    from qmpd.commands import resize

    resize.block_resize(machine, size, device)


# --- drives ---------------------------------------------------------------------------------


def drive_add(machine: Machine, address: str, options: str, *, node: bool = False) -> str:
    """Add a drive that no device has yet, or a node; the address of a slot means nothing."""
    del address
    from qmpd.options import opts
    from qmpd.options.errors import BadOption

    try:
        given = opts.parse(options, "")
    except BadOption as bad:
        return _complaint(bad.text, bad.hint, [*bad.warnings])
    warnings = given.warnings
    try:
        if node:
            return _add_node(machine, given)
        if given.id is not None and given.id in machine.graph.drives:
            return f"{wording.duplicate_drive(given.id)}\n"
        interface = given.get("if") or "ide"
        if interface in _INTERFACES:
            given.items.append(("if", "none"))
        before = set(machine.graph.drives)
        machine.open_drive(given)
    except QmpError as error:
        return _complaint(error.desc, error.hint, warnings)
    said = wording.DRIVE_ADDED
    if interface != "none":
        for name in machine.graph.drives.keys() - before:
            machine.unplug(name)
        said = f"{wording.cannot_hot_add(_INTERFACES[interface])}\n"
    return _complaint("", "", warnings) + said


_INTERFACES = {
    name: number
    for number, name in enumerate(
        ("none", "ide", "scsi", "floppy", "pflash", "mtd", "sd", "virtio", "xen")
    )
}


def _complaint(text: str, hint: str, warnings: list[tuple[str, str]]) -> str:
    lines = [line for pair in [*warnings, (text, hint)] for line in pair if line]
    return "".join(f"{line}\n" for line in lines)


def _add_node(machine: Machine, given: Opts) -> str:
    from qmpd.block.implied import nest, with_driver
    from qmpd.block.opening import open_node

    options = dict(given.items)
    if given.id is not None:
        options["id"] = given.id
    if "node-name" not in options:
        return f"{wording.NEEDS_NODE_NAME}\n"
    definition = {"read-only": "off", **nest(options)}
    node = open_node(machine.graph, with_driver(machine.graph, definition))
    node.monitor_owned = True
    return ""


def drive_del(machine: Machine, device: str) -> str:
    """Take a drive's medium away, and the drive unless a device has it; or delete a node."""
    graph = machine.graph
    if device not in graph.drives:
        if device not in graph.nodes:
            return f"{_not_found(device)}\n"
        from qmpd.commands.blockdev import blockdev_del

        try:
            blockdev_del(machine, device)
        except QmpError as error:
            return f"{error.desc}\n"
        return ""
    found = machine.devices[device]
    node = found.user.node
    reason = node.blocked("drive-del") if node is not None else None
    if node is not None and reason is not None:
        return f"{block_wording.is_busy(node.public_name, reason)}\n"
    if found.path:
        _empty(machine, found)
    else:
        machine.unplug(device)
    return ""


def _empty(machine: Machine, device: Device) -> None:
    """Leave a device without a medium, and without its drive's name."""
    user = device.user
    old = user.name
    machine.graph.drives.pop(old, None)
    user.drive, user.name = False, device.path
    device.io_status = False
    if user.node is not None:
        from qmpd.commands.media import take_out

        take_out(machine, device, user.node)
    machine.devices = {
        (device.path if name == old else name): other for name, other in machine.devices.items()
    }
