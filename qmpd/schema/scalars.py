"""Conversion of single values: JSON values as they are, keyval texts by their target type.

Each converter takes the value and the type's parameter (an enum's values, a narrow
integer's limits) and returns the converted value, or ``WRONG``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# What a member can be; the compiled tables hold these numbers.
STR, BOOL, INT, UINT64, SIZE, NARROW, ENUM, NUMBER, NULL, ANY = range(10)
LIST, OBJECT, ALTERNATE = range(10, 13)

INT64_MIN, INT64_MAX, UINT64_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1

WRONG = object()
OUT_OF_RANGE = object()
"""What :func:`c_size` says of a size that is spelled well and needs more than 64 bits."""


def _any(item: Any, _ref: Any) -> Any:
    return item


def _str(item: Any, _ref: Any) -> Any:
    return item if item.__class__ is str else WRONG


def _bool(item: Any, _ref: Any) -> Any:
    return item if item.__class__ is bool else WRONG


def _int(item: Any, _ref: Any) -> Any:
    return item if item.__class__ is int and INT64_MIN <= item <= INT64_MAX else WRONG


def _uint64(item: Any, _ref: Any) -> Any:
    # A negative number is taken modulo 2^64.
    return item & UINT64_MAX if item.__class__ is int and item <= UINT64_MAX else WRONG


def _narrow(item: Any, limits: tuple[int, int, str]) -> Any:
    low, high, _ = limits
    value = _int(item, None) if low else _uint64(item, None)
    return value if value is not WRONG and low <= value <= high else WRONG


def _enum(item: Any, values: tuple[str, ...]) -> Any:
    return item if item in values else WRONG


def _number(item: Any, _ref: Any) -> Any:
    return item if item.__class__ in {int, float} else WRONG


def _null(item: Any, _ref: Any) -> Any:
    return WRONG if item is not None else None


_DIGITS = "0123456789abcdef"
# Longer numbers are out of range anyway, and Python refuses to convert endless ones.
_TOO_LONG = 1000


def c_integer(text: str) -> Any:
    """Read an integer as C's strtoll does with base 0: octal, hexadecimal or decimal."""
    digits = text.lstrip(" \t\n\v\f\r")
    sign = -1 if digits[:1] == "-" else 1
    if digits[:1] in {"+", "-"}:
        digits = digits[1:]
    if digits[:2].lower() == "0x":
        base, digits = 16, digits[2:]
    else:
        base = 8 if digits[:1] == "0" else 10
    if not digits or digits.lower().strip(_DIGITS[:base]):
        return WRONG
    return sign * int(digits.lstrip("0")[:_TOO_LONG] or "0", base)


def _text_int(item: Any, _ref: Any) -> Any:
    value = c_integer(item)
    return value if value is not WRONG and INT64_MIN <= value <= INT64_MAX else WRONG


def _text_uint64(item: Any, _ref: Any) -> Any:
    value = c_integer(item)
    return value & UINT64_MAX if value is not WRONG and abs(value) <= UINT64_MAX else WRONG


def _text_narrow(item: Any, limits: tuple[int, int, str]) -> Any:
    low, high, _ = limits
    value = _text_int(item, None) if low else _text_uint64(item, None)
    return value if value is not WRONG and low <= value <= high else WRONG


_TRUTH = {"on": True, "yes": True, "true": True, "y": True} | dict.fromkeys(
    ("off", "no", "false", "n"), False
)


def _text_bool(item: Any, _ref: Any) -> Any:
    return _TRUTH.get(item, WRONG)


_SUFFIXES = {"b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}


def c_size(text: str) -> Any:
    """Read bytes with an optional suffix; a fraction of a byte is refused."""
    text = text.lstrip(" \t\n\v\f\r").lower()
    digits = text[1:] if text[:1] in {"+", "-"} else text
    base = 16 if digits[:2] == "0x" else 10
    digits = digits[2:] if base == 16 else digits
    whole, rest = _split_digits(digits, base)
    if not whole:
        return WRONG
    number = int(whole.lstrip("0")[:_TOO_LONG] or "0", base)
    if number > UINT64_MAX:
        return WRONG if rest else OUT_OF_RANGE
    fraction = 0
    if base == 10 and rest[:1] == ".":
        part, rest = _split_digits(rest[1:], 10)
        # In 64 bits behind the point, made of a double: too many nines are nothing at all.
        fraction = int(float(f"0.{part}") * 2.0**64) & UINT64_MAX
    shift = _SUFFIXES.get(rest or "b", -1)
    if text[0] == "-" or shift < 0 or (fraction and not shift):
        return WRONG
    size = (number << shift) + ((fraction << shift) + (1 << 63) >> 64)
    return size if size <= UINT64_MAX else OUT_OF_RANGE


def _split_digits(text: str, base: int) -> tuple[str, str]:
    rest = text.lstrip(_DIGITS[:base])
    return text[: len(text) - len(rest)], rest


def _text_size(item: Any, _ref: Any) -> Any:
    size = c_size(item)
    return WRONG if size is OUT_OF_RANGE else size


JSON: tuple[Callable[[Any, Any], Any], ...] = (
    _str, _bool, _int, _uint64, _uint64, _narrow, _enum, _number, _null, _any,
)  # fmt: skip
KEYVAL: tuple[Callable[[Any, Any], Any], ...] = (
    _str, _text_bool, _text_int, _text_uint64, _text_size, _text_narrow, _enum, _number, _null,
    _any,
)  # fmt: skip
