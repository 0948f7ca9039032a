"""The models of the contract, resolved into QAPI's own notions.

Everything that is generated (visitor tables, introspection, JSON Schema) starts from
these shapes, so that the three cannot disagree about what a model means.
"""

from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from qmpd.schema.models import NAMESPACE
from qmpd.schema.models.kinds import (
    ABSENTABLE,
    Alternate,
    Builtin,
    Choice,
    Feature,
    FlatUnion,
    Struct,
    present_type,
)

_BUILTINS = {str: "str", bool: "bool", float: "number", NoneType: "null", Any: "any"}


@dataclass
class Shape:
    """Any type; ``name`` is QAPI's."""

    name: str


@dataclass
class BuiltinShape(Shape):
    """A type that the schema language is born with."""


@dataclass
class ListShape(Shape):
    """A list of one type."""

    element: Shape


@dataclass
class EnumShape(Shape):
    """A choice of texts."""

    values: list[str]
    doc: str


@dataclass
class AlternateShape(Shape):
    """A value whose JSON type tells what it is."""

    choices: list[Shape]


@dataclass
class Member:
    """One member of an object."""

    name: str
    python_name: str
    shape: Shape
    optional: bool
    features: list[str]
    doc: str


@dataclass
class ObjectShape(Shape):
    """An object, with the members that a tag's value adds."""

    doc: str
    features: list[str]
    members: list[Member] = field(default_factory=list)
    tag: str | None = None
    variants: dict[str, "ObjectShape"] = field(default_factory=dict)
    is_open: bool = False

    def cases(self) -> list[str]:
        """Return a union's cases: those that add members, then the tag's other values."""
        tag = next(member.shape for member in self.members if member.name == self.tag)
        values = tag.values if isinstance(tag, EnumShape) else []
        return [*self.variants, *(value for value in values if value not in self.variants)]


class Resolver:
    """Turns type hints into shapes; asking twice gives the same shape object."""

    def __init__(self) -> None:
        """Begin with no shapes."""
        self._named: dict[str, Shape] = {}

    def shape(self, hint: Any, features: list[str] | None = None) -> Shape:
        """Return the shape of ``hint``; feature marks found on the way go to ``features``."""
        marks: tuple[Any, ...] = ()
        if get_origin(hint) is Annotated:
            hint, *rest = get_args(hint)
            marks = tuple(rest)
        if features is not None:
            features += [mark.name for mark in marks if isinstance(mark, Feature)]
        for mark in marks:
            if isinstance(mark, Builtin):
                return self._once(BuiltinShape(mark.name))
            if isinstance(mark, Alternate):
                return self._alternate(mark.name, hint)
        if get_origin(hint) is list:
            return self._list(get_args(hint)[0])
        if hint in _BUILTINS:
            return self._once(BuiltinShape(_BUILTINS[hint]))
        if issubclass(hint, Choice):
            values = [value.value for value in hint]
            return self._once(EnumShape(hint.__name__, values, _doc(hint)))
        return self.object(hint)

    def object(self, model: type[Struct]) -> ObjectShape:
        """Return the shape of a model."""
        name = model.__name__
        known = self._named.get(name)
        if isinstance(known, ObjectShape):
            return known
        # Entered before its members are resolved, since they may refer to it.
        made = ObjectShape(name, _doc(model), list(model.type_features), is_open=model.is_open)
        self._named[name] = made
        hints = get_type_hints(model, NAMESPACE, NAMESPACE, include_extras=True)
        made.members = [
            self._member(hints[key], key, info.alias or key, info.description or "")
            for key, info in model.model_fields.items()
        ]
        if issubclass(model, FlatUnion):
            made.tag = model.tag
            made.variants = {case: self.object(m) for case, m in model.variants.items()}
        return made

    def _member(self, hint: Any, python_name: str, name: str, doc: str) -> Member:
        features: list[str] = []
        optional = get_origin(hint) is Annotated and ABSENTABLE in get_args(hint)
        if optional:
            hint = present_type(get_args(hint)[0])
        shape = self.shape(hint, features)
        return Member(name, python_name, shape, optional, features, doc)

    def _alternate(self, name: str, hint: Any) -> Shape:
        known = self._named.get(name)
        if known is not None:
            return known
        made = AlternateShape(name, [])
        self._named[name] = made
        choices = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
        made.choices = [self.shape(choice) for choice in choices]
        return made

    def _list(self, element: Any) -> Shape:
        inner = self.shape(element)
        return self._once(ListShape(f"{inner.name}List", inner))

    def _once(self, made: Shape) -> Shape:
        return self._named.setdefault(made.name, made)


def _doc(cls: type) -> str:
    return (cls.__doc__ or "").strip()
