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

    from qmpd.block.node import User
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
    try:
        return _execute(machine, device, line or "", by_device=by_device)
    except QmpError as error:
        return f"Error: {error.desc}\r\n"


def _execute(machine: Machine, device: str, line: str, *, by_device: bool) -> str:
    from qmpd.commands.qemu_io import Access, execute

    graph = machine.graph
    user: User | None = None
    if by_device:
        user = _user_of_device(machine, device)
    elif device in graph.drives:
        user = graph.drives[device]
    node = graph.lookup(None, device) if user is None else user.node
    if node is None:
        node = graph.lookup(device, None)
    if user is None:  # a backend comes and goes
        for _ in range(2):
            graph.drain([node])
    try:
        os.write(1, execute(Access(graph, node, user, machine.dispatcher.later), line).encode())
    except QmpError as error:
        return f"{error.desc}\r\n"
    return ""


def _user_of_device(machine: Machine, name: str) -> User:
    found = machine.devices.get(name)
    if found is not None and found.user.node is not None:
        return found.user
    if any(f"/{name}/" in path for path in machine.devices):
        raise QmpError("Device does not have a block device backend")
    raise QmpError(f"Device '{name}' not found")


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
