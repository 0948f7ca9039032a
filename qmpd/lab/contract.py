"""The answer to ``query-qmp-schema``, cut to what an older version knew."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    Entry = dict[str, Any]


class Contract:
    """The entries of the schema; they are changed in place."""

    def __init__(self, entries: list[Entry]) -> None:
        self._entries = {entry["name"]: entry for entry in entries}

    # --- commands ----------------------------------------------------------------------

    def drop_commands(self, names: Iterable[str]) -> None:
        """Take commands out."""
        for name in names:
            self._entries.pop(name, None)

    def add_command(self, name: str, *, like: str) -> None:
        """Add a command with the arguments and the return type of another one."""
        self._entries[name] = {**self._entries[like], "name": name}

    # --- members -----------------------------------------------------------------------

    def drop_arguments(self, command: str, members: Iterable[str]) -> None:
        """Take members out of a command's arguments or an event's data.

        ``DRIVER.MEMBER`` is a member of one variant.
        """
        if command in self._entries:
            for member in members:
                entry, name = self._owner(command, member)
                entry["members"] = [m for m in entry["members"] if m["name"] != name]

    def drop_value(self, command: str, member: str, value: str) -> None:
        """Take a value out of the enumeration that a member is of, and the case of that name."""
        entry, name = self._owner(command, member)
        whole = self._entries[self._entries[command]["arg-type"]]
        if whole.get("tag") == name:
            whole["variants"] = [v for v in whole["variants"] if v["case"] != value]
            entry = whole
        for found in entry["members"]:
            if found["name"] == name:
                enum = self._entries[found["type"]]
                enum["values"] = [v for v in enum["values"] if v != value]
                enum["members"] = [m for m in enum["members"] if m["name"] != value]

    def drop_returned(self, command: str, members: Iterable[str]) -> None:
        """Take members out of everything that a command returns."""
        if command in self._entries:
            for entry in self._below(self._entries[command]["ret-type"]):
                _without(entry, frozenset(members))

    def add_value(self, command: str, member: str, value: str) -> None:
        """Add a value to the enumeration that a returned member is a list of."""
        if command not in self._entries:
            return
        for entry in self._below(self._entries[command]["ret-type"]):
            for found in entry.get("members", ()):
                if found["name"] == member:
                    enum = self._entries[self._entries[found["type"]]["element-type"]]
                    enum["values"] = [*enum["values"], value]
                    if "members" in enum:
                        enum["members"] = [*enum["members"], {"name": value}]

    def give_props(self, command: str) -> None:
        """Replace what depends on the type of an object by one open-ended member."""
        entry = self._entries[self._entries[command]["arg-type"]]
        entry["members"] = [
            {"name": "qom-type", "type": "str"},
            {"name": "id", "type": "str"},
            {"name": "props", "type": "any", "default": None},
        ]
        entry.pop("tag", None)
        entry.pop("variants", None)
        self._entries.setdefault("str", _builtin("str", "string"))
        self._entries.setdefault("any", _builtin("any", "value"))

    # --- what the schema tells of itself -----------------------------------------------

    def drop_enum_members(self) -> None:
        """Describe enumerations by their values alone."""
        for entry in self._entries.values():
            if entry["meta-type"] == "enum":
                entry.pop("members", None)
        _without(self._entries[self._info_variant("enum")], frozenset(("members",)))

    def drop_features(self) -> None:
        """Take all features out."""
        for entry in self._entries.values():
            entry.pop("features", None)
            for member in entry.get("members", ()):
                member.pop("features", None)
        for entry in self._below(self._entries["query-qmp-schema"]["ret-type"]):
            _without(entry, frozenset(("features",)))

    def _info_variant(self, case: str) -> str:
        ret = self._entries[self._entries["query-qmp-schema"]["ret-type"]]
        info = self._entries[ret["element-type"]]
        return next(str(v["type"]) for v in info["variants"] if v["case"] == case)

    # --- walking -----------------------------------------------------------------------

    def _owner(self, command: str, member: str) -> tuple[Entry, str]:
        """The object type that has a member, and the member's own name."""
        entry = self._entries[self._entries[command]["arg-type"]]
        driver, dot, name = member.partition(".")
        if not dot:
            return entry, member
        variant = next(v["type"] for v in entry["variants"] if v["case"] == driver)
        return self._entries[variant], name

    def _below(self, start: str) -> Iterator[Entry]:
        """All types that one refers to, with itself."""
        seen = {start}
        work = [start]
        while work:
            entry = self._entries[work.pop()]
            yield entry
            new = set(_references(entry)) - seen
            seen |= new
            work += sorted(new)

    def reachable(self) -> list[Entry]:
        """The entries that are left, without types that nothing refers to any more."""
        used: set[str] = set()
        for name, entry in self._entries.items():
            if entry["meta-type"] in {"command", "event"}:
                used.add(name)
                for kind in _references(entry):
                    if kind not in used:
                        used.update(found["name"] for found in self._below(kind))
        return [entry for name, entry in self._entries.items() if name in used]


def _references(entry: Entry) -> Iterator[str]:
    for key in ("arg-type", "ret-type", "element-type"):
        if key in entry:
            yield entry[key]
    if entry["meta-type"] != "enum":
        for part in (*entry.get("members", ()), *entry.get("variants", ())):
            yield part["type"]


def _without(entry: Entry, names: frozenset[str]) -> None:
    if entry["meta-type"] == "object":
        entry["members"] = [m for m in entry["members"] if m["name"] not in names]


def _builtin(name: str, json_type: str) -> Entry:
    return {"name": name, "meta-type": "builtin", "json-type": json_type}
