"""Commands that plug in and unplug devices, as far as a block layer cares."""

from __future__ import annotations

from qmpd.commands.backends import PERIPHERALS, canonical, check_path
from qmpd.commands.devices import Names, Plugged, cold_bus, drop_backend, plug, texts
from qmpd.errors import DeviceNotFound, QmpError
from qmpd.jobs import wording
from qmpd.options.opts import is_identifier
from qmpd.schema.wording import missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.node import Node
    from qmpd.machine import Machine

_GRACE_NS = 10_000_000
"""How long after it was unplugged a device is told to be gone: readers may still be there."""


def device_add(machine: Machine, arguments: dict[str, Any]) -> None:
    """Plug in a device; whatever its properties are, they are taken for texts.

    Raises:
        QmpError: there is no such type or drive, the id is taken, or the bus is none for that.
    """
    name = arguments.get("id")
    arguments = texts(arguments)
    if "driver" not in arguments:
        raise QmpError(missing("driver"))
    if not isinstance(name, str):
        name = None
        arguments.pop("id", None)
    slots = machine.slots = machine.slots or Names()
    if name is not None and not is_identifier(name):
        raise QmpError("Parameter 'id' expects an identifier")
    _refuse_cold(cold_bus(arguments))
    if name is not None and name in slots.plugged:
        raise QmpError(f"Duplicate device ID '{name}'")
    backends = len(machine.devices)
    plug(machine, slots, arguments)
    if machine.jobs.jobs and len(machine.devices) > backends:
        _drain_backend(machine, next(reversed(machine.devices)))  # it begins with a reset


def device_del(machine: Machine, id: str) -> None:  # noqa: A002 - the argument's wire name
    """Unplug a device; one on a PCI bus goes when the guest agrees, or at a reset.

    Raises:
        DeviceNotFound: there is none of that id.
        QmpError: it is on its way out already, or has to stay.
    """
    slots = machine.slots or Names()
    device = slots.plugged.get(canonical(id).removeprefix(PERIPHERALS))
    if device is None:
        check_path(id)
        raise DeviceNotFound(wording.device_not_found(id))
    _refuse_cold(device.cold_bus)
    if device.leaving:
        raise QmpError(f"Device {device.id} is already in the process of unplug")
    if device.needs_guest:
        device.leaving = True
    else:
        _remove(machine, slots, device)


def _refuse_cold(bus: str) -> None:
    if bus:
        raise QmpError(f"Bus '{bus}' does not support hotplugging")


def system_reset(machine: Machine) -> None:
    """Reset the guest, which lets go of devices that it was asked for."""
    for name, backend in machine.devices.items():
        _drain_backend(machine, name)
        backend.tray_open = False  # nobody is told
    slots = machine.slots
    leaving = [] if slots is None else [each for each in slots.plugged.values() if each.leaving]
    for device in leaving:
        _drain_backend(machine, device.backend)
    machine.emit("RESET", {"guest": False, "reason": "host-qmp-system-reset"})
    if slots is not None:
        for device in leaving:
            _remove(machine, slots, device)


def _remove(machine: Machine, slots: Names, device: Plugged) -> None:
    del slots.plugged[device.id]
    path = PERIPHERALS + device.id
    paths: list[dict[str, Any]] = [{"path": path, "device": device.id}]
    if device.needs_guest:
        paths.insert(0, {"path": path + "/virtio-backend"})
    backend = machine.devices.get(device.backend)
    node = backend.user.node if backend is not None else None
    if backend is not None:
        if not device.needs_guest:
            _drain_backend(machine, device.backend)
        if backend.drive and node is not None:
            _cancel_jobs_on(machine, node)
        machine.unplug(device.backend)

    def tell() -> None:
        drop_backend(machine, node)
        for data in paths:
            machine.emit("DEVICE_DELETED", data)

    machine.scheduler.call_later(_GRACE_NS, lambda: machine.jobs.when_quiet(tell))


def _drain_backend(machine: Machine, name: str) -> None:
    """Requests of a device come to their end."""
    device = machine.devices.get(name)
    node = None if device is None else device.user.node
    if node is not None:
        machine.graph.drain(node)


def _cancel_jobs_on(machine: Machine, node: Node) -> None:
    """A drive goes with its device, and takes the jobs on its node along."""
    for job in list(machine.jobs.jobs.values()):
        if any(edge.child is node for edge in job.children.values()):
            machine.dispatcher.later(lambda job=job: job.cancel(force=False))  # type: ignore[misc]
