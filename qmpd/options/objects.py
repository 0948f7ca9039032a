"""``-object`` of the system emulator, which reads it in the older option syntax."""

from __future__ import annotations

from qmpd.options import opts, wording
from qmpd.options.errors import BadOption
from qmpd.schema.compiled import OBJECTS
from qmpd.schema.scalars import (
    BOOL,
    ENUM,
    INT,
    KEYVAL,
    LIST,
    NARROW,
    SIZE,
    STR,
    UINT64,
    WRONG,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.options.opts import Opts

_EXPECTED = {
    BOOL: "'on' or 'off'",
    INT: "an int64 value",
    UINT64: "a uint64 value",
    NARROW: "a uint64 value",
    SIZE: "a size value",
    LIST: "a uint64 value or range",
}
# A range such as 0-4294967295 is a way to ask for all memory there is.
_LONGEST_RANGE = 65536


def parse(text: str) -> Opts:
    """Split the text into its parameters. Raises :class:`BadOption`."""
    return opts.parse(text, "qom-type")


def build(given: Opts) -> dict[str, Any]:
    """Return the typed members of the object that the parameters describe, in schema order.

    Lists are given by repeating a parameter or as ranges of numbers; members that are
    objects themselves cannot be given. Raises :class:`BadOption`.
    """
    texts = dict(given.items)
    if given.id is not None:
        texts["id"] = given.id
    made: dict[str, Any] = {}
    members, tag, variants = OBJECTS["ObjectOptions"]
    _visit(members, texts, given, made)
    _visit(variants.get(made[tag], ()), texts, given, made)
    if len(made) < len(texts):
        from qmpd.protocol.glib import first_left

        raise BadOption(wording.invalid_parameter(first_left(texts, made)))
    return made


def _visit(
    members: tuple[Any, ...], texts: dict[str, str], given: Opts, made: dict[str, Any]
) -> None:
    for name, kind, optional, ref in members:
        if name not in texts:
            if not optional:
                raise BadOption(wording.missing(name))
        elif kind == LIST:
            parts = [value for key, value in given.items if key == name]
            made[name] = [number for part in parts for number in _numbers(name, part, *ref)]
        elif kind < LIST:
            made[name] = _convert(name, kind, ref, texts[name])


def _convert(name: str, kind: int, ref: Any, text: str) -> Any:
    value = KEYVAL[kind](text, ref)
    if value is not WRONG:
        return value
    if kind == ENUM:
        raise BadOption(wording.wrong_choice(name, text))
    expected = _EXPECTED.get(kind, "")
    if kind == NARROW and KEYVAL[INT if ref[0] else UINT64](text, None) is not WRONG:
        expected = ref[2]
    raise BadOption(wording.wrong_value(name, expected))


def _numbers(name: str, text: str, kind: int, ref: Any) -> list[Any]:
    if kind == STR:
        return [text]
    first, dash, last = text.partition("-")
    low = KEYVAL[UINT64](first, None)
    high = KEYVAL[UINT64](last, None) if dash else low
    if low is WRONG or high is WRONG or not low <= high < low + _LONGEST_RANGE:
        raise BadOption(wording.wrong_value(name, _EXPECTED[LIST]))
    return [_convert(name, kind, ref, str(number)) for number in range(low, high + 1)]
