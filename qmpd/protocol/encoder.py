"""Values to bytes, exactly as QEMU prints them.

Members of an object come in the order of QEMU's hash table, not in that of insertion;
only ASCII leaves, with escapes in upper case; doubles are printed by ``%.17g``, which
yields ``inf`` and ``nan`` where JSON has no token (all observed on QEMU 7.2).
"""

from __future__ import annotations

from _codecs import register_error
from _json import encode_basestring_ascii
from _operator import itemgetter

from qmpd.protocol.literals import is_character

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

_BUCKETS = 512

# Plans are made for ever new sets of keys if a client makes up ids; then start anew.
_MAX_PLANS = 4096

_MASK32 = 0xFFFFFFFF

_SHORT_ESCAPES = {
    0x08: "\\b",
    0x09: "\\t",
    0x0A: "\\n",
    0x0C: "\\f",
    0x0D: "\\r",
    0x22: '\\"',
    0x5C: "\\\\",
}

_REPLACEMENT = 0xFFFD


def to_bytes(text: str) -> bytes:
    """`text` as QEMU keeps it: modified UTF-8, in which U+0000 is ``C0 80``.

    Bytes that were no UTF-8 come through as they were if the text was decoded with
    ``surrogateescape``, as `os.fsdecode` does.
    """
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        data = text.encode("utf-8", "surrogatepass")
    return data.replace(b"\0", b"\xc0\x80")


def bucket(key: str) -> int:
    """Find the bucket of QEMU's hash table that `key` falls into, 0 to 511."""
    data = to_bytes(key)
    value = 0x238F13AF * len(data)
    for index, byte in enumerate(data):
        value += byte << (5 * index % 24)
    return (1103515243 * (value & _MASK32) + 12345) % _BUCKETS


def hash_order(keys: Iterable[str]) -> list[str]:
    """`keys` in the order QEMU prints them, given in the order of insertion.

    Ascending by bucket; of two in the same bucket, the later one comes first.
    """
    newest_first = list(keys)[::-1]
    return sorted(newest_first, key=bucket)


def encode(value: Any) -> bytes:
    """`value` on one line, without a line end."""
    return encode_text(value).encode("ascii")


def encode_text(value: Any) -> str:
    """`value` on one line, as the ASCII text that `encode` returns as bytes."""
    try:
        return _ENCODERS[type(value)](value)
    except RecursionError:
        return _encode_deep(value)


def encode_pretty(value: Any) -> bytes:
    """`value` over several lines, four spaces a level, LF between lines."""
    return indent(encode(value))


def indent(encoded: bytes) -> bytes:
    """Spread over several lines what `encode` returned."""
    # Output is printable ASCII, which leaves control characters to stand for the two
    # escapes that get in the way of splitting at quotes.
    hidden = encoded.replace(b"\\\\", b"\x01").replace(b'\\"', b"\x02")
    segments = hidden.decode("ascii").split('"')
    depth = 0
    for index in range(0, len(segments), 2):
        segments[index], depth = _indent_structure(segments[index], depth)
    shown = '"'.join(segments).encode("ascii")
    return shown.replace(b"\x02", b'\\"').replace(b"\x01", b"\\\\")


def _indent_structure(text: str, depth: int) -> tuple[str, int]:
    """Indent what stands between two strings."""
    pieces = []
    structure = text.replace(", ", ",")
    for position, character in enumerate(structure):
        if character in "}]":
            depth -= 1
            pieces.append("\n" + "    " * depth)
        pieces.append(character)
        if character in "{[":
            depth += 1
            empty = structure[position + 1 : position + 2] in {"}", "]"}
            pieces.append("" if empty else "\n" + "    " * depth)
        elif character == ",":
            pieces.append("\n" + "    " * depth)
    return "".join(pieces), depth


def encode_string(text: str) -> str:
    """`text` as a string token, in double quotes."""
    if text.isascii() and text.isprintable():
        return encode_basestring_ascii(text)
    if not text.isascii():
        # What is not UTF-8 becomes U+FFFD, one for what QEMU takes for one character.
        text = to_bytes(text).decode("utf-8", "qmpd.replace")
    return f'"{text.translate(_ESCAPES)}"'


class _Escapes(dict[int, str]):
    """Code points to what is printed for them; beyond ASCII they are worked out."""

    def __missing__(self, codepoint: int) -> str:
        if not is_character(codepoint):
            codepoint = _REPLACEMENT
        if codepoint < 0x10000:
            return f"\\u{codepoint:04X}"
        offset = codepoint - 0x10000
        return f"\\u{0xD800 | offset >> 10:04X}\\u{0xDC00 | offset & 0x3FF:04X}"


_ESCAPES = _Escapes({codepoint: chr(codepoint) for codepoint in range(0x20, 0x7F)} | _SHORT_ESCAPES)


def _replace_sequence(error: UnicodeError) -> tuple[str, int]:
    """Pass over one malformed sequence: a lead byte and what continues it.

    The lead byte says how many bytes belong to it, up to six as UTF-8 once had.
    """
    if not isinstance(error, UnicodeDecodeError):
        raise error
    data, start = error.object, error.start
    if data[start : start + 2] == b"\xc0\x80":
        return "\0", start + 2
    length = _SEQUENCE_LENGTHS.get(f"{data[start]:08b}".find("0"), 1)
    end = start + 1
    while end < min(start + length, len(data)) and data[end] & 0xC0 == 0x80:
        end += 1
    return chr(_REPLACEMENT), end


# By the number of one bits that a lead byte begins with.
_SEQUENCE_LENGTHS = {2: 2, 3: 3, 4: 4, 5: 5, 6: 6}

register_error("qmpd.replace", _replace_sequence)


def _encode_dict(value: dict[str, Any]) -> str:
    if not value:
        return "{}"
    keys = tuple(value)
    plan = _plans.get(keys)
    if plan is None:
        plan = _plans[keys] = _make_plan(keys)
    template, pick = plan
    return template % tuple([_ENCODERS[type(member)](member) for member in pick(value)])


_plans: dict[tuple[str, ...], tuple[str, Callable[[Any], Iterable[Any]]]] = {}


def _make_plan(keys: tuple[str, ...]) -> tuple[str, Callable[[Any], Iterable[Any]]]:
    """How to print objects of these keys: a template and what picks its values."""
    if len(_plans) >= _MAX_PLANS:
        _plans.clear()
    ordered = hash_order(keys)
    members = [encode_string(key).replace("%", "%%") + ": %s" for key in ordered]
    pick = itemgetter(*ordered) if len(ordered) > 1 else dict.values
    return "{" + ", ".join(members) + "}", pick


def _encode_list(value: list[Any]) -> str:
    return "[" + ", ".join([_ENCODERS[type(element)](element) for element in value]) + "]"


def _encode_bool(value: bool) -> str:
    return "true" if value else "false"


def _encode_none(_value: None) -> str:
    return "null"


class Verbatim(str):
    """A value that is encoded already: it is printed as it stands."""

    __slots__ = ()


class _Encoders(dict[type, "Callable[[Any], str]"]):
    """Types to encoders; a subclass is encoded as the first base that is known."""

    def __missing__(self, kind: type) -> Callable[[Any], str]:
        for base in kind.__mro__:
            if base in self:
                self[kind] = self[base]
                return self[kind]
        raise TypeError(f"no JSON for {kind.__name__}")


_ENCODERS = _Encoders(
    {
        str: encode_string,
        int: int.__repr__,
        bool: _encode_bool,
        type(None): _encode_none,
        float: "%.17g".__mod__,
        dict: _encode_dict,
        list: _encode_list,
        tuple: _encode_list,
        Verbatim: str.__str__,
    }
)


def _encode_deep(value: Any) -> str:
    """Do the work of `encode_text` for values nested deeper than Python recurses."""
    pieces: list[str] = []
    stack = [_parts(value)]
    while stack:
        for part in stack[-1]:
            if isinstance(part, str):
                pieces.append(part)
            else:
                stack.append(_parts(part))
                break
        else:
            stack.pop()
    return "".join(pieces)


def _parts(value: Any) -> Iterator[Any]:
    """Yield the texts that make up a container, and the containers between them."""
    keys = hash_order(value) if isinstance(value, dict) else range(len(value))
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    yield opening
    separator = ""
    for key in keys:
        yield separator + (encode_string(key) + ": " if isinstance(key, str) else "")
        member = value[key]
        nested = isinstance(member, dict | list | tuple)
        yield member if nested else _ENCODERS[type(member)](member)
        separator = ", "
    yield closing
