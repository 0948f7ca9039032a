"""From models to ``query-qmp-schema``: the contract in QEMU's own description language.

Names of types are not part of the contract, so all but the builtin ones are masked with
numbers in the order of their first use; an array is named after its element. All integer
types are shown as ``int`` (QEMU's manual, "QAPI: client JSON protocol introspection").
"""

from typing import Any

from qmpd.schema.models import DEFINITIONS, LAST
from qmpd.schema.models.kinds import LAB, Command, Empty, Event
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

_JSON_TYPES = {
    "str": "string",
    "bool": "boolean",
    "int": "int",
    "number": "number",
    "null": "null",
    "any": "value",
}


_INTEGERS = {"int32", "uint16", "uint32", "uint64", "size"}


class Introspection:
    """Describes one program's commands, events and the types that they use."""

    def __init__(self, program: str, *, lab: bool = False) -> None:
        """Describe ``program``, "system" or "storage-daemon"; with its levers if ``lab``."""
        parts = {program, LAB} if lab else {program}
        self._resolver = Resolver()
        self._empty = self._resolver.object(Empty)
        self._masks: dict[str, str] = {}
        self._used: dict[str, Shape] = {}
        self.entries: list[dict[str, Any]] = [
            self._definition(definition)
            for definition in sorted(DEFINITIONS, key=lambda d: d.name == LAST.get(program))
            if parts & definition.programs
        ]
        described: set[str] = set()
        # Describing a type brings up further types, until no new one is found.
        while left := [name for name in self._used if name not in described]:
            self.entries.extend(self._describe(self._used[name]) for name in left)
            described.update(left)

    def _definition(self, definition: Command | Event) -> dict[str, Any]:
        if isinstance(definition, Event):
            data = self._use(self._resolver.object(definition.data or Empty))
            entry = {"name": definition.name, "meta-type": "event", "arg-type": data}
            return _with_features(entry, definition.features)
        arguments = self._use(self._resolver.object(definition.arguments or Empty))
        returns = self._use(self._resolver.shape(definition.returns or Empty))
        command: dict[str, Any] = {
            "name": definition.name,
            "meta-type": "command",
            "arg-type": arguments,
            "ret-type": returns,
            **({"allow-oob": True} if definition.allow_oob else {}),
        }
        return _with_features(command, definition.features)

    def _use(self, shape: Shape) -> str:
        """Return the name under which a type is shown, and see to it that it is described."""
        if shape.name in _INTEGERS:
            shape = BuiltinShape("int")
        elif isinstance(shape, ListShape) and shape.element.name in _INTEGERS:
            shape = ListShape("intList", BuiltinShape("int"))
        self._used.setdefault(shape.name, shape)
        return self._shown(shape)

    def _shown(self, shape: Shape) -> str:
        if isinstance(shape, BuiltinShape):
            return shape.name
        if isinstance(shape, ListShape):
            return f"[{self._use(shape.element)}]"
        return self._masks.setdefault(shape.name, str(len(self._masks)))

    def _describe(self, shape: Shape) -> dict[str, Any]:
        name = self._shown(shape)
        match shape:
            case ListShape(element=element):
                return {"name": name, "meta-type": "array", "element-type": self._use(element)}
            case EnumShape(values=values):
                members = [{"name": value} for value in values]
                return {"name": name, "meta-type": "enum", "members": members, "values": values}
            case AlternateShape(choices=choices):
                types = [{"type": self._use(choice)} for choice in choices]
                return {"name": name, "meta-type": "alternate", "members": types}
            case ObjectShape():
                return self._describe_object(name, shape)
        return {"name": name, "meta-type": "builtin", "json-type": _JSON_TYPES[shape.name]}

    def _describe_object(self, name: str, shape: ObjectShape) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "name": name,
            "meta-type": "object",
            "members": [self._member(member) for member in shape.members],
        }
        if shape.tag is not None:
            entry["tag"] = shape.tag
            entry["variants"] = [
                {"case": case, "type": self._use(shape.variants.get(case, self._empty))}
                for case in shape.cases()
            ]
        return _with_features(entry, shape.features)

    def _member(self, member: Member) -> dict[str, Any]:
        entry: dict[str, Any] = {"name": member.name, "type": self._use(member.shape)}
        if member.optional:
            entry["default"] = None
        return _with_features(entry, member.features)


def _with_features(entry: dict[str, Any], features: list[str] | tuple[str, ...]) -> dict[str, Any]:
    return {**entry, "features": list(features)} if features else entry
