"""The human monitor: its commands as far as qmpd has them.

``human-monitor-command`` and the monitors of ``-monitor`` execute the same lines. What
``qemu-io`` reads and writes is reported on standard output, as in the original; the reply
holds only what the monitor itself has to say.
"""

from __future__ import annotations

import os

from qmpd.block.driver import warn
from qmpd.commands import wording
from qmpd.commands.human_words import (
    BYTES,
    DEVICE,
    FILE,
    REST,
    SPACE,
    WORD,
    Mistake,
    parse,
    split_word,
)  # fmt: skip
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from qmpd.commands.human_words import Parameters
    from qmpd.machine import Machine


class Command:
    """A command: its names, what it takes, and who does it."""

    __slots__ = ("act", "name", "parameters")

    def __init__(self, name: str, parameters: Parameters, act: Callable[..., str | None]) -> None:
        self.name = name
        """As complaints call it, with all its spellings."""
        self.parameters = parameters
        self.act = act


def human_monitor_command(machine: Machine, command_line: str, cpu_index: int | None = None) -> str:
    """Do what a line says, and return what the human monitor would print.

    Raises:
        QmpError: there is no such processor.
    """
    if cpu_index not in (None, 0):
        raise QmpError("Parameter 'cpu-index' expects a CPU number")
    return execute(machine, command_line)


def execute(machine: Machine, line: str) -> str:
    """Do what a line says, and return what is printed, with the monitor's line ends."""
    return _execute(machine, line).replace("\n", "\r\n")


def _execute(machine: Machine, line: str) -> str:
    typed, rest = split_word(line.lstrip(SPACE))
    if not typed:
        return ""
    table = _COMMANDS
    if typed == "info" and rest.strip(SPACE):
        table = _INFO
        typed, rest = split_word(rest.lstrip(SPACE))
    full = f"info {typed}" if table is _INFO else typed
    command = table.get(typed)
    if command is None:
        if full in _lacking():
            return f"{wording.lacking_command(full)}\n"
        # All the line up to here, as it was typed.
        return f"{wording.unknown_command(line[: len(line) - len(rest)])}\n"
    try:
        arguments = parse(command.name, rest, command.parameters)
        return command.act(machine, **arguments) or ""
    except QmpError as error:
        hint = f"{error.hint}\n" if error.hint else ""
        return f"Error: {error.desc}\n{hint}"
    except Mistake as mistake:
        os.write(1, mistake.printed.encode())
        said = f"{mistake.text}\n" if mistake.text else ""
        return f"{said}{wording.try_help(full)}\n"


def _lacking() -> set[str]:
    from qmpd.commands.human_lacking import LACKING

    return LACKING


# --- the guest ------------------------------------------------------------------------------


def _stop(machine: Machine) -> None:
    from qmpd.commands.control import stop

    stop(machine)


def _cont(machine: Machine) -> None:
    from qmpd.commands.control import cont

    cont(machine)


def _quit(machine: Machine) -> None:
    machine.quit("host-qmp-quit")


def _system_reset(machine: Machine) -> None:
    from qmpd.commands.hotplug import system_reset

    system_reset(machine)


def _info_status(machine: Machine) -> str:
    state = machine.run_state
    extra = "" if state in ("running", "paused") else f" ({state})"
    return f"VM status: {'running' if state == 'running' else 'paused'}{extra}\n"


def _info_version(machine: Machine) -> str:
    qemu = machine.version["qemu"]
    number = f"{qemu['major']}.{qemu['minor']}.{qemu['micro']}"
    return f"{number}{machine.version['package']}\n"


def _info_name(machine: Machine) -> str:
    return f"{machine.name}\n" if machine.name else ""


def _device_add(machine: Machine, device: str) -> None:
    from qmpd.commands.hotplug import device_add
    from qmpd.options import opts
    from qmpd.options.errors import BadOption
    from qmpd.schema.wording import missing

    try:
        given = opts.parse(device, "driver")
    except BadOption as bad:
        warn(bad.text)  # before the original knows that it is the monitor's
        raise Mistake("") from None
    properties: dict[str, Any] = dict(given.items)
    if "driver" not in properties:
        raise QmpError(missing("driver"))
    if given.id is not None:
        properties["id"] = given.id
    device_add(machine, properties)


def _device_del(machine: Machine, device: str) -> None:
    from qmpd.commands.hotplug import device_del

    device_del(machine, device)


# --- the block layer ------------------------------------------------------------------------


def _block(function: str) -> Callable[..., str | None]:
    def act(machine: Machine, **arguments: Any) -> str | None:
        from qmpd.commands import human_block

        text: str | None = getattr(human_block, function)(machine, **arguments)
        return text

    return act


def _report(function: str) -> Callable[..., str]:
    def act(machine: Machine, **arguments: Any) -> str:
        from qmpd.commands import human_info

        text: str = getattr(human_info, function)(machine, **arguments)
        return text

    return act


def _job(verb: str, *parameters: tuple[str, str]) -> Command:
    def act(machine: Machine, **arguments: Any) -> None:
        from qmpd.commands import jobs

        getattr(jobs, f"block_job_{verb}")(machine, **arguments)

    return Command(f"block_job_{verb}", parameters, act)


def _media(function: str) -> Callable[..., str | None]:
    def act(machine: Machine, **arguments: Any) -> str | None:
        from qmpd.commands import human_media

        text: str | None = getattr(human_media, function)(machine, **arguments)
        return text

    return act


_TARGET = ("device", DEVICE)
_ALL = (
    Command("cont|c", (), _cont),
    Command("stop|s", (), _stop),
    Command("quit|q", (), _quit),
    Command("system_reset", (), _system_reset),
    Command("device_add", (("device", REST),), _device_add),
    Command("device_del", (("device", WORD),), _device_del),
    Command("commit", (_TARGET,), _block("commit")),
    Command(
        "drive_add",
        (("node", "-n"), ("address", WORD), ("options", WORD)),
        _block("drive_add"),
    ),
    Command("drive_del", (_TARGET,), _block("drive_del")),
    Command("block_resize", (_TARGET, ("size", BYTES)), _block("block_resize")),
    Command("eject", (("force", "-f"), _TARGET), _media("eject")),
    Command(
        "change",
        (
            _TARGET,
            ("force", "-f"),
            ("target", FILE),
            ("argument", f"{WORD}?"),
            ("mode", f"{WORD}?"),
        ),
        _media("change"),
    ),
    Command(
        "qemu-io",
        (("by_device", "-d"), _TARGET, ("command", WORD)),
        _block("qemu_io"),
    ),
    _job("cancel", ("force", "-f"), _TARGET),
    _job("pause", _TARGET),
    _job("resume", _TARGET),
    _job("complete", _TARGET),
    _job("set_speed", _TARGET, ("speed", BYTES)),
)
_ALL_INFO = (
    Command("status", (), _info_status),
    Command("version", (), _info_version),
    Command("name", (), _info_name),
    Command(
        "block",
        (("nodes", "-n"), ("verbose", "-v"), ("device", f"{DEVICE}?")),
        _report("block"),
    ),
    Command("block-jobs", (), _report("block_jobs")),
    Command("blockstats", (), _report("blockstats")),
)


def _table(commands: tuple[Command, ...]) -> dict[str, Command]:
    return {name: command for command in commands for name in command.name.split("|")}


_COMMANDS = _table(_ALL)
_INFO = _table(_ALL_INFO)
