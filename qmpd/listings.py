"""What ``-machine help`` and its like print: harnesses look there before they start anything.

Only what qmpd can play is listed; of what it ignores anyway there is nothing to choose.
"""

from __future__ import annotations

from qmpd.block.driver import driver_names
from qmpd.commands.devices import kinds
from qmpd.options import known

_MACHINES = """\
Supported machines are:
pc                   Standard PC (i440FX + PIIX, 1996) (alias of pc-i440fx-7.2)
pc-i440fx-7.2        Standard PC (i440FX + PIIX, 1996) (default)
q35                  Standard PC (Q35 + ICH9, 2009) (alias of pc-q35-7.2)
pc-q35-7.2           Standard PC (Q35 + ICH9, 2009)
none                 empty machine"""

_ACCELERATORS = """\
Accelerators supported in QEMU binary:
qtest"""

_TEXTS = {"machine": _MACHINES, "M": _MACHINES, "accel": _ACCELERATORS}


def listing(kind: str) -> str:
    """Return what an option of this kind prints instead of starting."""
    if kind == known.DRIVE:
        return _formats()
    if kind == known.DEVICE:
        return _devices()
    return _TEXTS.get(kind, "")


def _formats() -> str:
    return f"Supported formats: {' '.join(sorted(driver_names()))}"


def _devices() -> str:
    return "\n".join(["Storage devices:", *(f'name "{name}"' for name in kinds())])
