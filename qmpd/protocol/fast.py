"""The short way for what clients send all day: a plain JSON object.

CPython's own JSON scanner reads an object some twenty times as fast as a table in
Python can. Whatever it might understand in another way than QEMU is left to
`parser`: this module either returns the value QEMU would see or nothing.
"""

from __future__ import annotations

from _json import make_scanner

from qmpd.protocol.lexer import MAX_NESTING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Integers of that many characters fit into 64 bits for sure.
_SAFE_INTEGER = 18

_SPACE = " \t\r\n"

# Shorter texts cannot reach a limit of the parser.
_SHORT = MAX_NESTING

# Longer ones might reach another limit than that of nesting.
_LONG = 1 << 20


def _integer(text: str) -> int:
    if len(text) > _SAFE_INTEGER:
        raise ValueError
    return int(text)


def _float(text: str) -> float:
    if text.lstrip("-").startswith(("0e", "0E")):
        raise ValueError  # QEMU has no exponent after a mere 0, see `lexer`
    return float(text)


def _constant(_text: str) -> None:
    raise ValueError  # NaN and Infinity are not QEMU's


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError  # a duplicate key
    return members


class _Settings:
    strict = True
    object_hook = None
    object_pairs_hook = staticmethod(_object)
    parse_float = staticmethod(_float)
    parse_int = staticmethod(_integer)
    parse_constant = staticmethod(_constant)


_scan = make_scanner(_Settings())  # type: ignore[arg-type]  # any object of these attributes


def is_candidate(data: bytes) -> bool:
    """Whether `scan_object` is worth a try on `data`.

    Only text of one meaning goes this way: ASCII without escapes by number. And only
    what may hold a whole object, since a vain attempt costs more than a good one.
    """
    return data.isascii() and b"}" in data and b"\\u" not in data


def scan_object(text: str, start: int) -> tuple[dict[str, Any], int] | None:
    """Read the object that comes next in `text`; return it and where to go on.

    Returns nothing if there is no complete object, or one that needs the exact parser.
    """
    size = len(text)
    while start < size and text[start] in _SPACE:
        start += 1
    if start == size or text[start] != "{":
        return None
    try:
        value, end = _scan(text, start)
    except (StopIteration, ValueError, RecursionError, SystemError):
        # SystemError: Python 3.11 has no exception to raise until `json` is imported.
        return None
    if end - start > _SHORT and _near_limits(text, start, end):
        return None
    while end < size and text[end] in _SPACE:
        end += 1
    return value, end


def _near_limits(text: str, start: int, end: int) -> bool:
    depth = text.count("{", start, end) + text.count("[", start, end)
    return depth > MAX_NESTING or end - start > _LONG
