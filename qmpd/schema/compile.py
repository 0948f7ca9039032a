"""From models to plain tables, so that a start of the program does not pay for pydantic.

QEMU generates its visitors from its schema, too. The generated module holds nothing but
literals, which Python loads from bytecode in well under a millisecond.
"""

import json

from qmpd.schema import scalars
from qmpd.schema.models import COMMANDS, EVENTS, LAST, OPTIONS
from qmpd.schema.models.kinds import SYSTEM, Command, Empty, Event
from qmpd.schema.shapes import (
    AlternateShape,
    BuiltinShape,
    EnumShape,
    ListShape,
    Member,
    ObjectShape,
    Resolver,
    Shape,
)

_SIMPLE = {
    "str": scalars.STR,
    "bool": scalars.BOOL,
    "int": scalars.INT,
    "uint64": scalars.UINT64,
    "size": scalars.SIZE,
    "number": scalars.NUMBER,
    "null": scalars.NULL,
    "any": scalars.ANY,
}
_NARROW = {
    "int32": (-(1 << 31), (1 << 31) - 1, "int32_t"),
    "uint16": (0, (1 << 16) - 1, "uint16_t"),
    "uint32": (0, (1 << 32) - 1, "uint32_t"),
}
# The Python class that a parsed JSON value of each kind has, for alternates.
_CLASSES = {
    scalars.STR: "str",
    scalars.ENUM: "str",
    scalars.BOOL: "bool",
    scalars.INT: "int",
    scalars.NUMBER: "float",
    scalars.NULL: "NoneType",
    scalars.LIST: "list",
    scalars.OBJECT: "dict",
}

_HEADER = '''"""Generated from qmpd.schema.models by `python -m qmpd.schema`; do not edit."""

# fmt: off

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

'''


class Tables:
    """Collects the tables of every type that the commands' arguments reach."""

    def __init__(self) -> None:
        """Begin with empty tables."""
        self.objects: dict[str, object] = {}
        self.alternates: dict[str, object] = {}
        self.open: list[str] = []

    def add_object(self, shape: ObjectShape) -> str:
        """Enter an object type and all that it refers to; return its name."""
        if shape.name not in self.objects:
            self.objects[shape.name] = None
            if shape.is_open:
                self.open.append(shape.name)
            variants = {
                case: self._members(branch.members) for case, branch in shape.variants.items()
            }
            self.objects[shape.name] = (
                self._members(shape.members),
                shape.tag,
                variants if shape.tag else None,
            )
        return shape.name

    def _members(self, members: list[Member]) -> tuple[object, ...]:
        return tuple((m.name, *self._kind(m.shape, m.optional)) for m in members)

    def _kind(self, shape: Shape, optional: bool) -> tuple[int, bool, object]:
        kind, ref = self._reference(shape)
        return kind, optional, ref

    def _reference(self, shape: Shape) -> tuple[int, object]:
        if isinstance(shape, ObjectShape):
            return scalars.OBJECT, self.add_object(shape)
        if isinstance(shape, AlternateShape):
            return scalars.ALTERNATE, self._add_alternate(shape)
        if isinstance(shape, ListShape):
            return scalars.LIST, self._reference(shape.element)
        if isinstance(shape, EnumShape):
            return scalars.ENUM, tuple(shape.values)
        if isinstance(shape, BuiltinShape) and shape.name in _NARROW:
            return scalars.NARROW, _NARROW[shape.name]
        return _SIMPLE[shape.name], None

    def _add_alternate(self, shape: AlternateShape) -> str:
        if shape.name not in self.alternates:
            self.alternates[shape.name] = None
            references = [self._reference(choice) for choice in shape.choices]
            self.alternates[shape.name] = {_CLASSES[kind]: (kind, ref) for kind, ref in references}
        return shape.name


def _arguments(shape: ObjectShape) -> dict[str, str]:
    """Return each argument's name in Python, members of all variants included."""
    everything = [*shape.members, *(m for v in shape.variants.values() for m in v.members)]
    return {m.name: m.name.replace("-", "_") for m in everything}


def _programs(definition: Command | Event) -> tuple[str, ...]:
    return tuple(sorted(definition.programs, key=lambda program: program != SYSTEM))


def _literal(value: object) -> str:
    """Spell a literal with double quotes, as the rest of the house does."""
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, tuple):
        inner = ", ".join(map(_literal, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, dict):
        pairs = (f"{_literal(key)}: {_literal(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    return repr(value)


def compile_contract() -> str:
    """Return the text of the generated module."""
    resolver, tables = Resolver(), Tables()
    commands = {}
    for name, command in COMMANDS.items():
        shape = resolver.object(command.arguments or Empty)
        commands[name] = (
            tables.add_object(shape),
            _arguments(shape),
            _programs(command),
            command.allow_oob,
        )
    for model in OPTIONS:
        tables.add_object(resolver.object(model))
    events = {name: _programs(event) for name, event in EVENTS.items()}
    text = [_HEADER]
    for title, types, table in (
        ("OBJECTS", "Any", tables.objects),
        ("ALTERNATES", "dict[str, tuple[int, Any]]", tables.alternates),
        ("COMMANDS", "tuple[str, dict[str, str], tuple[str, ...], bool]", commands),
        ("EVENTS", "tuple[str, ...]", events),
    ):
        rows = "".join(f"    {_literal(key)}: {_literal(row)},\n" for key, row in table.items())
        text.append(f"{title}: dict[str, {types}] = {{\n{rows}}}\n")
    text.append(f"LAST = {_literal(LAST)}\n")
    text.append(f"OPEN = {_literal(tuple(tables.open))}\n")
    return "".join(text)
