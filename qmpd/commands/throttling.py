"""Limits of devices' I/O: checked and shown, though nothing is slowed down."""

from __future__ import annotations

from qmpd.commands import wording
from qmpd.commands.backends import find
from qmpd.errors import QmpError
from qmpd.options.limits import check, members, of_members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.node import User
    from qmpd.machine import Machine


def block_set_io_throttle(machine: Machine, arguments: dict[str, Any]) -> None:
    """Give a device limits, together with the others of its group, or none.

    Raises:
        QmpError: there is no such device, it is empty, or the limits make no sense together.
    """
    device, name = arguments.get("device"), arguments.get("id")
    user = find(machine, device, name).user
    if user.node is None:
        raise QmpError(wording.NO_MEDIUM)
    limits = of_members(arguments)
    check(limits)
    present = user.limits["group"] if user.limits else device or name
    shown = members(limits, str(arguments.get("group", present)))
    if not shown:
        user.limits = None
        return
    limit(machine, user, shown)


def limit(machine: Machine, user: User, shown: dict[str, int | str]) -> None:
    """Put a backend into the group named in ``shown``; all members have these limits then."""
    user.limits = _of_group(machine, str(shown["group"]))
    user.limits.clear()
    user.limits.update(shown)


def _of_group(machine: Machine, group: str) -> dict[str, int | str]:
    """What the members of a group show, the same object for all of them."""
    for device in machine.devices.values():
        limits = device.user.limits
        if limits and limits["group"] == group:
            return limits
    return {}
