"""User-created objects: qmpd keeps their names and types; of their properties it checks the types."""

from __future__ import annotations

from qmpd.errors import QmpError
from qmpd.options.limits import check
from qmpd.options.opts import is_identifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.machine import Machine

_NOWHERE = frozenset(
    (
        "authz-listfile",
        "authz-pam",
        "cryptodev-backend-lkcf",
        "memory-backend-epc",
        "pef-guest",
        "s390-pv-guest",
    )
)
"""Types of which the schema knows, but neither program (as Debian builds them)."""
_FOR_GUESTS = frozenset(
    (
        "cryptodev-backend",
        "cryptodev-backend-builtin",
        "cryptodev-vhost-user",
        "dbus-vmstate",
        "input-linux",
        "memory-backend-file",
        "memory-backend-memfd",
        "memory-backend-ram",
        "rng-builtin",
        "rng-egd",
        "rng-random",
        "sev-guest",
    )
)
"""Types that the storage daemon lacks, too."""


def object_add(machine: Machine, arguments: dict[str, Any]) -> None:
    """Make a user-created object; qmpd keeps its name and type only.

    Raises:
        QmpError: the id is none or taken, the program has no such type, or limits make no sense.
    """
    kind, name = arguments["qom-type"], arguments["id"]
    if not is_identifier(name):
        raise QmpError("Parameter 'id' expects an identifier")
    if kind in _NOWHERE or (kind in _FOR_GUESTS and machine.program == "storage-daemon"):
        raise QmpError(f"invalid object type: {kind}")
    limits: dict[str, int] = {}
    if kind == "throttle-group" and "props" not in arguments:
        from qmpd.commands.throttle_groups import limits_of

        limits = limits_of(arguments)
    if name in machine.objects:
        raise QmpError(f"attempt to add duplicate property '{name}' to object (type 'container')")
    if kind == "secret" and "props" not in arguments:  # which older QEMUs did not look into
        _check_secret(arguments)
    if limits:
        check(limits)
    machine.objects[name] = kind


def _check_secret(arguments: dict[str, Any]) -> None:
    given = ("file" in arguments) + ("data" in arguments)
    if given == 0:
        raise QmpError("Either 'file' or 'data' must be provided")
    if given == 2:
        raise QmpError("'file' and 'data' are mutually exclusive")


def object_del(machine: Machine, id: str) -> None:  # noqa: A002 - the argument's wire name
    """Remove a user-created object.

    Raises:
        QmpError: there is none of that id, or a node uses it.
    """
    if id not in machine.objects:
        raise QmpError(f"object '{id}' not found")
    if machine.objects[id] == "throttle-group":
        _refuse_use(machine, id)
    del machine.objects[id]


def _refuse_use(machine: Machine, name: str) -> None:
    for node in machine.graph.nodes.values():
        if node.driver.object_in_use == name:
            raise QmpError(f"object '{name}' is in use, can not be deleted")
