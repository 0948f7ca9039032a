"""Limits of throttle groups: checked as the original does, though nothing is slowed down."""

from __future__ import annotations

from qmpd.errors import QmpError
from qmpd.options.limits import PREFIX, check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_LENGTH = "-max-length"
_LONGEST = (1 << 32) - 1
_MASK = (1 << 64) - 1
_NEGATIVE = "Property values cannot be negative"
_RANGE = f"range [0, {_LONGEST}]"


def limits_of(arguments: Mapping[str, Any]) -> dict[str, int]:
    """The limits that ``object-add`` is given, as options of a drive would be called.

    Negative numbers in ``limits`` count as large ones (observed on QEMU 7.2).

    Raises:
        QmpError: those in ``limits`` make no sense together, or a single one does not.
    """
    found: dict[str, int] = {}
    for name, value in arguments.get("limits", {}).items():
        if name.endswith(_LENGTH) and value > _LONGEST:
            raise QmpError(f"{name} value must be in the {_RANGE}")
        found[f"{PREFIX}{name}"] = value & _MASK
    check(found)
    for name, value in arguments.items():
        if not name.startswith("x-"):
            continue
        if value < 0:
            raise QmpError(_NEGATIVE)
        if name.endswith(_LENGTH) and value > _LONGEST:
            raise QmpError(f"{name} value must be in the{_RANGE}")  # the blank is missing there
        found[f"{PREFIX}{name[2:]}"] = value
    return found
