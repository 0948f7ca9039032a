"""The arguments of ``qmp_capabilities``, the one command the wire executes itself."""

from __future__ import annotations

from qmpd.errors import QmpError
from qmpd.protocol import wording

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND = "qmp_capabilities"

OOB = "oob"


def read_arguments(arguments: dict[str, Any]) -> list[str]:
    """Read the capabilities a client wants enabled; raises `QmpError` for bad arguments."""
    enable = arguments.get("enable", [])
    if type(enable) is not list:
        raise QmpError(wording.parameter_type("enable", "array"))
    for index, name in enumerate(enable):
        if type(name) is not str:
            raise QmpError(wording.parameter_type(f"enable[{index}]", "string"))
        if name != OOB:
            raise QmpError(wording.parameter_value("null", name))
    if arguments.keys() - {"enable"}:
        from qmpd.protocol.encoder import hash_order
        from qmpd.protocol.glib import first_left

        known = arguments.keys() & {"enable"}
        raise QmpError(wording.parameter_unexpected(first_left(hash_order(arguments), known)))
    return enable
