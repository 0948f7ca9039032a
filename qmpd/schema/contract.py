"""What commands and events the program that is played has, and how it describes them."""

from __future__ import annotations

from qmpd.schema.compiled import COMMANDS, EVENTS, LAST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def command_names(program: str) -> list[str]:
    """List a program's commands as ``query-commands`` does: the last registered first.

    ``program`` is "system" or "storage-daemon".
    """
    last = LAST.get(program)
    names = [name for name, entry in COMMANDS.items() if program in entry[2] and name != last]
    return [*([last] if last else []), *reversed(names)]


def has_command(name: str, program: str) -> bool:
    """Tell whether the program has the command."""
    entry = COMMANDS.get(name)
    return entry is not None and program in entry[2]


def allows_oob(name: str) -> bool:
    """Tell whether a command may be run out of band; ``KeyError`` if there is none."""
    return COMMANDS[name][3]


def has_event(name: str, program: str) -> bool:
    """Tell whether the program can emit the event."""
    return program in EVENTS.get(name, ())


def introspection(program: str) -> list[dict[str, Any]]:
    """Return what ``query-qmp-schema`` returns for the program.

    The description is read from the package's data each time; it is asked for once in a
    client's life.
    """
    import json
    from pathlib import Path

    text = Path(__file__).with_name("qmp-schema.json").read_text("utf-8")
    described: list[dict[str, Any]] = json.loads(text)[program]
    return described
