"""``human-monitor-command``: the few words of the human monitor that harnesses use.

``qemu-io`` reads and writes a node as a guest would, and prints on standard output, as the
original does; the reply holds only what the monitor itself has to say.
"""

from __future__ import annotations

import os

from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmpd.machine import Machine

_ESCAPES = {"n": "\n", "r": "\r", "\\": "\\", "'": "'", '"': '"'}
_TRY = 'Try "help {0}" for more information\r\n'


def human_monitor_command(machine: Machine, command_line: str, cpu_index: int | None = None) -> str:
    """Do what a line says, and return what the human monitor would print.

    Raises:
        QmpError: there is no such processor.
    """
    if cpu_index not in (None, 0):
        raise QmpError("Parameter 'cpu-index' expects a CPU number")
    name, _, rest = command_line.strip().partition(" ")
    if not name:
        return ""
    act = _COMMANDS.get(name)
    if act is None:
        return f"unknown command: '{name}'\r\n"
    return act(machine, rest.lstrip())


def _stop(machine: Machine, _rest: str) -> str:
    from qmpd.commands.control import stop

    stop(machine)
    return ""


def _cont(machine: Machine, _rest: str) -> str:
    from qmpd.commands.control import cont

    cont(machine)
    return ""


def _info(machine: Machine, rest: str) -> str:
    if rest == "status":
        state = machine.run_state
        extra = "" if state in ("running", "paused") else f" ({state})"
        return f"VM status: {'running' if state == 'running' else 'paused'}{extra}\r\n"
    if rest == "version":
        qemu = machine.version["qemu"]
        number = f"{qemu['major']}.{qemu['minor']}.{qemu['micro']}"
        return f"{number}{machine.version['package']}\r\n"
    if rest == "name":
        return f"{machine.name}\r\n" if machine.name else ""
    return f"qmpd does not have 'info {rest}'\r\n"


def _qemu_io(machine: Machine, rest: str) -> str:
    words = rest
    by_device = False
    while words.startswith("-"):
        option, _, words = words.partition(" ")
        by_device = by_device or option == "-d"
        words = words.lstrip()
    device, words = _word(words)
    if not device:
        return "qemu-io: block device name expected\r\n" + _TRY.format("qemu-io")
    line, words = _word(words.lstrip())
    if line is None:
        os.write(1, b"unterminated string\n")
    if line is None or not (line or words):
        return "qemu-io: string expected\r\n" + _TRY.format("qemu-io")
    if words.strip():
        return "qemu-io: extraneous characters at the end of line\r\n" + _TRY.format("qemu-io")
    from qmpd.commands.qemu_io import execute

    graph = machine.graph
    try:
        if by_device:
            found = machine.devices.get(device)
            node = found.user.node if found is not None else None
            if node is None:
                raise QmpError(f"Device '{device}' not found")
        elif device in graph.drives:
            node = graph.lookup(device, None)
        else:
            node = graph.lookup(None, device)
    except QmpError as error:
        return f"Error: {error.desc}\r\n"
    busy = any(job.children for job in machine.jobs.jobs.values())
    os.write(1, execute(graph, node, line, writable=not busy).encode())
    return ""


def _word(text: str) -> tuple[str | None, str]:
    """Take a word, or a text in double quotes; None if that has no end. Also what follows."""
    if not text.startswith('"'):
        word, _, rest = text.partition(" ")
        return word, rest
    taken = []
    position = 1
    while position < len(text) and text[position] != '"':
        if text[position] == "\\" and position + 1 < len(text):
            position += 1
            taken.append(_ESCAPES.get(text[position], ""))
        else:
            taken.append(text[position])
        position += 1
    if position >= len(text):
        return None, ""
    return "".join(taken), text[position + 1 :] or " "


_COMMANDS: dict[str, Callable[[Machine, str], str]] = {
    "cont": _cont,
    "info": _info,
    "qemu-io": _qemu_io,
    "stop": _stop,
}
