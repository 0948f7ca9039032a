"""Finding what a command means by ``device`` or ``id``."""

from __future__ import annotations

from qmpd.commands import wording
from qmpd.errors import DeviceNotFound, QmpError
from qmpd.jobs.wording import device_not_found

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.machine import Device, Machine

PERIPHERALS = "/machine/peripheral/"
_NO_DEVICES = frozenset(
    ("", "/", "/machine", "/machine/peripheral", "/machine/peripheral-anon", "/objects")
)
"""What else has a QOM path; an empty one stands for the place where devices are looked for."""


def find(machine: Machine, drive: str | None, name: str | None) -> Device:
    """The drive of that name, or the device of that id or QOM path.

    Raises:
        DeviceNotFound: there is none.
        QmpError: not exactly one is given, or the device has no drive.
    """
    if (drive is None) is (name is None):
        raise QmpError(wording.DEVICE_OR_ID)
    if name is not None:
        return _by_id(machine, name)
    found = machine.devices.get(drive or "")
    if found is None or not found.user.drive:
        raise DeviceNotFound(device_not_found(drive or ""))
    return found


def canonical(name: str) -> str:
    """A QOM path without what may stand between its parts."""
    path = "/".join(part for part in name.split("/") if part)
    return f"/{path}" if name.startswith("/") else path


def check_path(name: str) -> None:
    """Refuse the path of something that is no device.

    Raises:
        QmpError: it is.
    """
    if name in _NO_DEVICES:
        raise QmpError(wording.not_hotpluggable(name))


def _by_id(machine: Machine, name: str) -> Device:
    short = canonical(name).removeprefix(PERIPHERALS)
    for device in machine.devices.values():
        if device.path and device.path.removeprefix(PERIPHERALS) == short:
            return device
    slots = machine.slots
    if slots is not None and (short in slots.plugged or slots.is_anonymous(name)):
        raise QmpError(wording.NO_BACKEND)
    check_path(name)
    raise DeviceNotFound(device_not_found(name))
