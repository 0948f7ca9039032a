"""From models to JSON Schema (draft 2020-12), for editors and other languages' clients."""

from typing import Any

from qmpd.schema.shapes import (
    AlternateShape,
    BuiltinShape,
    EnumShape,
    ListShape,
    Member,
    ObjectShape,
    Shape,
)

_BUILTINS: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "bool": {"type": "boolean"},
    "number": {"type": "number"},
    "null": {"type": "null"},
    "any": {},
    "int": {"type": "integer", "minimum": -(1 << 63), "maximum": (1 << 63) - 1},
    "int32": {"type": "integer", "minimum": -(1 << 31), "maximum": (1 << 31) - 1},
    "uint16": {"type": "integer", "minimum": 0, "maximum": (1 << 16) - 1},
    "uint32": {"type": "integer", "minimum": 0, "maximum": (1 << 32) - 1},
    # Negative numbers are taken modulo 2^64.
    "uint64": {"type": "integer", "minimum": -(1 << 63), "maximum": (1 << 64) - 1},
    "size": {"type": "integer", "minimum": -(1 << 63), "maximum": (1 << 64) - 1},
}


class Document:
    """One schema document: a type, and below ``$defs`` the types that it refers to."""

    def __init__(self, title: str, shape: Shape) -> None:
        """Describe ``shape``; ``title`` names what it is the shape of."""
        self._definitions: dict[str, dict[str, Any]] = {}
        whole = self._schema(shape)
        self.content: dict[str, Any] = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": title,
            **whole,
        }
        if self._definitions:
            self.content["$defs"] = dict(sorted(self._definitions.items()))

    def _schema(self, shape: Shape) -> dict[str, Any]:
        match shape:
            case BuiltinShape(name=name):
                return dict(_BUILTINS[name])
            case ListShape(element=element):
                return {"type": "array", "items": self._schema(element)}
            case EnumShape():
                return self._reference(shape.name, {"description": shape.doc, "enum": shape.values})
            case AlternateShape(choices=choices):
                return {"anyOf": [self._schema(choice) for choice in choices]}
            case ObjectShape() if shape.name not in self._definitions:
                # Entered first, since an object may contain its own kind.
                self._definitions[shape.name] = {}
                self._definitions[shape.name].update(self._object(shape))
        return {"$ref": f"#/$defs/{shape.name}"}

    def _reference(self, name: str, definition: dict[str, Any]) -> dict[str, Any]:
        self._definitions[name] = definition
        return {"$ref": f"#/$defs/{name}"}

    def _object(self, shape: ObjectShape) -> dict[str, Any]:
        if shape.tag is None:
            closed = {**self._closed(shape.members), "additionalProperties": shape.is_open}
            return {"description": shape.doc, **closed}
        return {
            "description": shape.doc,
            "oneOf": [self._branch(shape, case) for case in shape.cases()],
        }

    def _branch(self, shape: ObjectShape, case: str) -> dict[str, Any]:
        branch = shape.variants.get(case)
        closed = self._closed([*shape.members, *(branch.members if branch else ())])
        closed["properties"][shape.tag] = {"const": case}
        return {"title": case, "description": branch.doc if branch else "", **closed}

    def _closed(self, members: list[Member]) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {member.name: self._property(member) for member in members},
            "required": [member.name for member in members if not member.optional],
            "additionalProperties": False,
        }

    def _property(self, member: Member) -> dict[str, Any]:
        schema = {**self._schema(member.shape), "description": member.doc}
        if "deprecated" in member.features:
            schema["deprecated"] = True
        return schema
