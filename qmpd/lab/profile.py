"""Which QEMU a machine plays.

A profile is a name, a version and the rows of :mod:`qmpd.lab.differences` that hold for
it. A machine without a profile plays QEMU 7.2 and does not even import this module.
"""

from __future__ import annotations

from qmpd.errors import QmpError
from qmpd.lab import differences as d

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

DEFAULT = "7.2"
_VERSIONS = {
    # name: the version that clients are told, and the version whose rows hold
    "3.1": ("3.1.0", "3.1"),
    # What came into the tree between 3.1 and 4.0 counts as being there.
    "founding": ("3.1.50", "4.0"),
    "4.0": ("4.0.0", "4.0"),
    "7.2.0": ("7.2.0", "7.2.0"),
    DEFAULT: ("7.2.22", "7.2.22"),
}
NAMES = tuple(_VERSIONS)

_DEFINITIONS = frozenset(("blockdev-add", "blockdev-reopen", "x-blockdev-reopen"))
_REOPEN = "x-blockdev-reopen"
_GRAPH = "x-debug-query-block-graph"
_UNSHARED = "intermediate node"


class Profile:
    """One QEMU that can be played.

    Raises:
        QmpError: nobody knows one of that name; the text lists those that are known.
    """

    def __init__(self, name: str) -> None:
        if name not in _VERSIONS:
            raise QmpError(f"unknown profile '{name}' (known are {', '.join(NAMES)})")
        told, played = _VERSIONS[name]
        self.name = name
        major, minor, micro = d.version(told)
        self.version: dict[str, Any] = {
            "qemu": {"major": major, "minor": minor, "micro": micro},
            "package": "",
        }
        self.rows = [row for row in d.ROWS if row.holds(d.version(played), name)]
        """The differences that hold."""
        self.lacking = [row for row in d.ROWS if row not in self.rows]
        """Those that do not: what is not there yet, or not any more."""
        self.commands = frozenset(self._missing(d.COMMAND))
        """Commands that do not exist."""
        self._arguments = _by_command(self._missing(d.ARGUMENT))
        self._values = {
            (command, *choice.split("="))
            for command, choice in (s.split(" ", 1) for s in self._missing(d.VALUE))
        }
        self._replies = _by_command(self._missing(d.REPLY))
        self._events = _by_command(self._missing(d.EVENT))
        flags = {row.subject for row in self.rows if row.kind == d.BEHAVIOUR}
        self.object_props = "object_props" in flags
        self.static_auto_read_only = "static_auto_read_only" in flags
        self.nested_update_aborts = "nested_update_aborts" in flags
        self.graph_mod = "graph_mod" in flags
        self.reply_first = "reply_first" in flags

    def _missing(self, kind: str) -> list[str]:
        return [row.subject for row in self.lacking if row.kind == kind]

    # --- arguments ---------------------------------------------------------------------

    def visit(self, command: str, arguments: dict[str, Any] | None) -> dict[str, Any]:
        """Check a command's arguments as this version did.

        What did not exist yet is left out of the check and complained of last, as unknown
        members are.

        Raises:
            QmpError: the first fault.
        """
        from qmpd.schema.visitor import visit, visit_arguments

        arguments = arguments or {}
        if command in _DEFINITIONS:
            visited = (
                visit("BlockdevOptions", arguments)
                if command == _REOPEN
                else visit_arguments(command, arguments)
            )
            self.check_definition(arguments)
            return visited
        if command == "object-add" and self.object_props:
            arguments = _flat_object(arguments)
        hidden = self._arguments.get(command, frozenset()).intersection(arguments)
        known = {key: value for key, value in arguments.items() if key not in hidden}
        visited = visit_arguments(command, known)
        for name, value in known.items():
            if isinstance(value, str):
                self._check_value(command, name, value)
        for name in arguments:
            if name in hidden:
                raise QmpError(_unexpected(name))
        return visited

    def check_definition(self, definition: dict[str, Any]) -> None:
        """Refuse a node's definition that has what did not exist yet.

        Raises:
            QmpError: what it is.
        """
        hidden = self._arguments.get("blockdev-add", frozenset())
        work: list[tuple[str, Any]] = [("", definition)]
        while work:
            path, here = work.pop()
            if isinstance(here, list):
                work += [(f"{path}[{i}]", item) for i, item in enumerate(here)]
            if not isinstance(here, dict):
                continue
            driver = here.get("driver")
            for key, value in here.items():
                name = f"{path}.{key}"
                if f"{driver}.{key}" in hidden:
                    raise QmpError(_unexpected(name[1:]))
                if isinstance(value, str):
                    self._check_value("blockdev-add", f"{driver}.{key}", value)
                work.append((name, value))

    def _check_value(self, command: str, member: str, value: str) -> None:
        if (command, member, value) in self._values:
            name = member.rpartition(".")[2]
            raise QmpError(f"Parameter '{name}' does not accept value '{value}'")

    # --- replies and events ------------------------------------------------------------

    def reply(self, command: str, value: Any) -> None:
        """Change a command's value into what this version would have returned."""
        hidden = self._replies.get(command)
        if hidden:
            _drop(value, hidden)
        elif command == _GRAPH and self.graph_mod:
            for edge in value["edges"]:
                if edge["name"] != _UNSHARED:
                    edge["shared-perm"].insert(0, "graph-mod")

    def event(self, name: str, data: dict[str, Any]) -> dict[str, Any]:
        """What this version would have told."""
        hidden = self._events.get(name, frozenset())
        return {key: value for key, value in data.items() if key not in hidden}

    def schema(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The contract as this version told it."""
        from qmpd.lab.contract import Contract

        contract = Contract(entries)
        contract.drop_commands(self.commands)
        if _REOPEN not in self.commands:
            contract.add_command(_REOPEN, like="blockdev-add")
        for command, members in self._arguments.items():
            contract.drop_arguments(command, members)
        for command, member, value in sorted(self._values):
            contract.drop_value(command, member, value)
        for command, members in self._replies.items():
            contract.drop_returned(command, members)
        for event, members in self._events.items():
            contract.drop_arguments(event, members)
        missing = self._missing(d.SCHEMA)
        if "members of enumerations" in missing:
            contract.drop_enum_members()
        if "features" in missing:
            contract.drop_features()
        if self.graph_mod:
            contract.add_value(_GRAPH, "shared-perm", "graph-mod")
        if self.object_props:
            contract.give_props("object-add")
        return contract.reachable()


def find(name: str | None) -> Profile | None:
    """The profile of that name; None for what qmpd plays anyway.

    Raises:
        QmpError: nobody knows it.
    """
    return None if name in (None, DEFAULT) else Profile(name or "")


def _by_command(subjects: Iterable[str]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for subject in subjects:
        command, _, member = subject.partition(" ")
        found[command] = found.get(command, frozenset()) | {member}
    return found


def _flat_object(arguments: dict[str, Any]) -> dict[str, Any]:
    """Bring an ``object-add`` with ``props`` into today's form."""
    for name in arguments:
        if name not in {"qom-type", "id", "props"}:
            raise QmpError(_unexpected(name))
    props = arguments.get("props", {})
    if not isinstance(props, dict):
        raise QmpError("Invalid parameter type for 'props', expected: dict")
    return {**props, **{key: arguments[key] for key in arguments if key != "props"}}


def _drop(value: Any, hidden: frozenset[str]) -> None:
    """Take members out wherever they are; what is encoded already is taken apart for that."""
    from json import loads

    from qmpd.protocol.encoder import Verbatim

    work = [value]
    while work:
        here = work.pop()
        if isinstance(here, list):
            work += here
        elif isinstance(here, dict):
            for key in hidden.intersection(here):
                del here[key]
            for key, item in here.items():
                if item.__class__ is Verbatim:
                    here[key] = loads(item)
            work += here.values()


def _unexpected(path: str) -> str:
    return f"Parameter '{path}' is unexpected"
