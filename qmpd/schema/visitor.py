"""Checks values against the contract, with QEMU's order of checks and QEMU's sentences.

Members are visited in schema order, each one wholly before the next, unknown members are
found last, and the first fault ends the visit (observed on QEMU 7.2; tests/schema compares
the sentences with the real programs). The walk keeps its own stack, so that JSON nested
to the parser's limit of 1024 levels cannot exhaust the interpreter's.
"""

from __future__ import annotations

from qmpd.errors import QmpError
from qmpd.schema import wording
from qmpd.schema.compiled import ALTERNATES, COMMANDS, OBJECTS, OPEN
from qmpd.schema.scalars import (
    ALTERNATE,
    BOOL,
    ENUM,
    INT,
    JSON,
    KEYVAL,
    LIST,
    NARROW,
    NULL,
    NUMBER,
    SIZE,
    STR,
    UINT64,
    WRONG,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    # Name, what it is, whether it may be absent, and what the kind needs to know.
    Member = tuple[Any, int, bool, Any]
    # An object whose visit waits for that of one of its members: what is still to be
    # visited, tag, variants, the object, what was visited, and the member's name.
    Frame = tuple[Iterator[Member], str | None, Any, dict[Any, Any], dict[Any, Any], Any]


def visit(type_name: str, value: dict[str, Any], *, keyval: bool = False) -> dict[str, Any]:
    """Check an object against the type of that name and return its typed members.

    The result has the members that are present, in schema order, named as on the wire.
    With ``keyval`` all scalars are texts (see ``qmpd.options.keyval``) and are converted.
    Raises :class:`QmpError` at the first fault.
    """
    return _walk(type_name, value, keyval=keyval)


def visit_arguments(command: str, arguments: dict[str, Any] | None) -> dict[str, Any]:
    """Check a command's arguments; the result is as :func:`visit` gives it.

    Raises :class:`QmpError` at the first fault, ``KeyError`` if there is no such command.
    """
    type_name = COMMANDS[command][0]
    if arguments is None:
        arguments = {}
    return _walk(type_name, arguments, keyval=False)


def keywords(command: str, visited: dict[str, Any]) -> dict[str, Any]:
    """Rename visited arguments so that they can be passed to a handler by keyword."""
    names = COMMANDS[command][1]
    return {names[name]: value for name, value in visited.items()}


def _walk(  # noqa: C901 - one loop, since recursion would not survive deep input
    type_name: str, value: dict[str, Any], *, keyval: bool
) -> dict[str, Any]:
    convert = KEYVAL if keyval else JSON
    members, tag, variants = OBJECTS[type_name]
    pending: Iterator[Member] = iter(members)
    out: dict[Any, Any] = {}
    stack: list[Frame] = []
    while True:
        for name, kind, optional, ref in pending:
            if name not in value:
                if optional:
                    continue
                raise QmpError(wording.missing(_path(stack, name, keyval)))
            item = value[name]
            if kind == STR and item.__class__ is str:
                out[name] = item
                continue
            if kind == ALTERNATE:
                kind, ref = _choose(ref, name, item)  # noqa: PLW2901 - it is one of its choices
            if kind < LIST:
                made = convert[kind](item, ref) if not keyval or item.__class__ is str else WRONG
                if made is WRONG:
                    raise QmpError(_mismatch(kind, ref, item, stack, name, keyval=keyval))
                out[name] = made
                continue
            stack.append((pending, tag, variants, value, out, name))
            pending, tag, variants, value = _enter(kind, ref, item, stack, keyval)
            out = {}
            break
        else:
            if tag is not None:
                pending, tag = iter(variants.get(out[tag], ())), None
                continue
            if len(out) != len(value):
                return _with_more(type_name, stack, value, out, keyval=keyval)
            if not stack:
                return out
            pending, tag, variants, value, outer, name = stack.pop()
            outer[name] = list(out.values()) if value[name].__class__ is list else out
            out = outer


def _with_more(
    type_name: str, stack: list[Frame], value: dict[str, Any], out: dict[str, Any], *, keyval: bool
) -> dict[str, Any]:
    """Return what has more members than the contract knows of, if that is allowed."""
    if stack or type_name not in OPEN:
        raise QmpError(_unexpected(stack, value, out, keyval))
    return {**value, **out}


def _choose(alternate: str, name: Any, item: Any) -> tuple[int, Any]:
    """Return what an alternate is in the face of ``item``."""
    choice = ALTERNATES[alternate].get(item.__class__.__name__)
    if choice is None:
        raise QmpError(wording.wrong_type(_bare(name), alternate))
    return choice


def _enter(
    kind: int, ref: Any, item: Any, stack: list[Frame], keyval: bool
) -> tuple[Iterator[Member], str | None, Any, dict[Any, Any]]:
    """Begin the visit of an object, or of a list as if it were an object with numbers for names."""
    if kind == LIST:
        if item.__class__ is not list:
            raise QmpError(wording.wrong_type(_path(stack, None, keyval), "array"))
        element_kind, element_ref = ref
        members = [(i, element_kind, False, element_ref) for i in range(len(item))]
        return iter(members), None, None, dict(enumerate(item))
    if item.__class__ is not dict:
        raise QmpError(wording.wrong_type(_path(stack, None, keyval), "object"))
    members, tag, variants = OBJECTS[ref]
    return iter(members), tag, variants, item


_JSON_TYPES = {
    STR: "string",
    ENUM: "string",
    BOOL: "boolean",
    INT: "integer",
    NUMBER: "number",
    NULL: "null",
}
_SPELLINGS = {BOOL: "'on' or 'off'", SIZE: "size"}


def _mismatch(
    kind: int, ref: Any, item: Any, stack: list[Frame], name: Any, *, keyval: bool
) -> str:
    """Say what is wrong with a single value."""
    path = _path(stack, name, keyval)
    if keyval and item.__class__ is not str:
        return wording.not_a_scalar(path)
    if kind == ENUM and item.__class__ is str:
        return wording.wrong_choice(_bare(name), item)
    if kind == NARROW:
        kind = INT if ref[0] else UINT64
        if (KEYVAL if keyval else JSON)[kind](item, None) is not WRONG:
            return wording.wrong_value(_bare(name), ref[2])
    if keyval:
        return wording.wrong_value(path, _SPELLINGS.get(kind, "integer"))
    if kind in {UINT64, SIZE}:
        return wording.wrong_value(path, "uint64")
    return wording.wrong_type(path, _JSON_TYPES[kind])


def _unexpected(
    stack: list[Frame], value: dict[str, Any], out: dict[str, Any], keyval: bool
) -> str:
    """Name the unknown member that QEMU stumbles over first."""
    from qmpd.protocol.encoder import hash_order
    from qmpd.protocol.glib import first_left

    return wording.unexpected(_path(stack, first_left(hash_order(value), out), keyval))


def _bare(name: Any) -> str:
    return name if name.__class__ is str else "null"


def _path(stack: list[Frame], name: Any, keyval: bool) -> str:
    """Spell a member's path from the root; ``None`` stands for the innermost frame itself."""
    names = [frame[5] for frame in stack]
    if name is not None:
        names.append(name)
    parts = []
    for part in names:
        if part.__class__ is str:
            parts.append(f".{part}")
        else:
            parts.append(f".{part}" if keyval else f"[{part}]")
    return "".join(parts)[1:]
