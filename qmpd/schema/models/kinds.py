"""The building blocks of the contract: how QAPI's notions are written as pydantic models.

A QAPI struct is a :class:`Struct`, a flat union a :class:`FlatUnion`, an enum a
:class:`Choice`, an alternate a union annotated with :class:`Alternate`, an optional member an :data:`Opt`.
Members stand in QEMU's order, since that is the order in which arguments are checked.
"""

from dataclasses import dataclass
from enum import StrEnum
from types import NoneType
from typing import Annotated, Any, ClassVar, Self, TypeVar, Union, get_args

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, model_validator

T = TypeVar("T")

# Every model by its QAPI name. Names are unique over the whole contract, so this
# is also the namespace in which forward references between modules are resolved.
STRUCTS: dict[str, type["Struct"]] = {}


class _Absentable:
    """Marks an optional member: it may be missing, but ``null`` is a type error."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return handler.generate_schema(present_type(source))


def present_type(hint: Any) -> Any:
    """Return what an optional member holds when it is present."""
    return Union[tuple(arg for arg in get_args(hint) if arg is not NoneType)]  # noqa: UP007 - built


@dataclass(frozen=True)
class Feature:
    """A feature flag of introspection, such as ``deprecated``, on a member."""

    name: str


@dataclass(frozen=True)
class Builtin:
    """The QAPI integer type that a Python ``int`` stands for."""

    name: str


@dataclass(frozen=True)
class Alternate:
    """Names an alternate: a member whose JSON type tells which of several types it has."""

    name: str


ABSENTABLE = _Absentable()
Opt = Annotated[T | None, ABSENTABLE]
DEPRECATED = Feature("deprecated")
UNSTABLE = Feature("unstable")

Int = Annotated[int, Builtin("int"), Field(ge=-(2**63), lt=2**63)]
Int32 = Annotated[int, Builtin("int32"), Field(ge=-(2**31), lt=2**31)]
Uint16 = Annotated[int, Builtin("uint16"), Field(ge=0, lt=2**16)]
Uint32 = Annotated[int, Builtin("uint32"), Field(ge=0, lt=2**32)]
Uint64 = Annotated[int, Builtin("uint64"), Field(ge=0, lt=2**64)]
Size = Annotated[int, Builtin("size"), Field(ge=0, lt=2**64)]


def _wire_name(name: str) -> str:
    """Return the member name that a Python field has on the wire."""
    return name.rstrip("_").replace("_", "-")


def _own_name(name: str) -> str:
    return name


class Choice(StrEnum):
    """A QAPI enum. Its values are plain strings wherever they come from."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> Any:
        """Accept a member's text as well as the member, also in strict models."""
        return {**handler(source), "strict": False}


class Struct(BaseModel):
    """A QAPI struct. Dashes replace underscores on the wire unless a class says otherwise."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        populate_by_name=True,
        alias_generator=_wire_name,
        use_attribute_docstrings=True,
        defer_build=True,
    )
    type_features: ClassVar[tuple[str, ...]] = ()
    is_open: ClassVar[bool] = False
    """Whether there may be members that the contract does not know."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_kwargs: Any) -> None:
        """Enter the model into the namespace of forward references."""
        STRUCTS[cls.__name__] = cls


class SnakeStruct(Struct):
    """A struct of QEMU's early days, whose members have underscores on the wire."""

    model_config = ConfigDict(alias_generator=_own_name)


class FlatUnion(Struct):
    """A QAPI union: members common to all, one of which (the tag) selects further ones."""

    model_config = ConfigDict(extra="allow")
    tag: ClassVar[str]
    variants: ClassVar[dict[str, type[Struct]]]

    @model_validator(mode="after")
    def _check_branch(self) -> Self:
        extra = self.model_extra or {}
        self.variants.get(str(getattr(self, self.tag.replace("-", "_"))), Empty).model_validate(
            extra
        )
        return self


class Empty(Struct):
    """No members: the arguments of most queries, the return of most commands."""


SYSTEM = "system"
STORAGE_DAEMON = "storage-daemon"
LAB = "lab"
"""Not a program: what ``--lab`` adds to either."""
BOTH = frozenset({SYSTEM, STORAGE_DAEMON})
SYSTEM_ONLY = frozenset({SYSTEM})


@dataclass(frozen=True)
class Command:
    """One QMP command: what it takes, what it gives, which programs have it."""

    name: str
    arguments: type[Struct] | None = None
    returns: Any = None
    programs: frozenset[str] = BOTH
    allow_oob: bool = False
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class Event:
    """One QMP event and its data."""

    name: str
    data: type[Struct] | None = None
    programs: frozenset[str] = BOTH
    features: tuple[str, ...] = ()
