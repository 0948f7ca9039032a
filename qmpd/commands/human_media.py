"""Commands of the human monitor that change media (observed on QEMU 7.2)."""

from __future__ import annotations

from qmpd.block import wording as block_wording
from qmpd.commands import media, wording
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.machine import Machine

_MODES = ("retain", "read-only", "read-write")


def eject(machine: Machine, device: str, *, force: bool = False) -> None:
    """Open a drive's tray if it has one, and take the medium out."""
    media.eject(machine, device, force=force)


def change(
    machine: Machine,
    device: str,
    target: str,
    argument: str | None = None,
    mode: str | None = None,
    *,
    force: bool = False,
) -> str:
    """Put another image into a drive; or change the password of VNC, which is not there."""
    if device == "vnc":
        return _change_password(target, argument, mode)
    if mode is not None and mode not in _MODES:
        raise QmpError(block_wording.invalid_choice(mode))
    media.blockdev_change_medium(
        machine, target, device, format=argument, force=force, read_only_mode=mode or "retain"
    )
    return ""


def _change_password(target: str, argument: str | None, mode: str | None) -> str:
    if mode is not None:
        return f"{wording.NO_MODE_FOR_VNC}\n"
    if target not in {"password", "passwd"}:
        return f"{wording.VNC_AND_WHAT}\n"
    if argument is None:
        return f"{wording.CANNOT_PROMPT}\n"
    raise QmpError(wording.VNC_REFUSES)
