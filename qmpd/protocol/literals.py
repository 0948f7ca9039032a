"""Source text of single tokens to Python values.

Strings are *modified* UTF-8: ``C0 80`` stands for U+0000, and neither surrogates nor
noncharacters are characters (observed on QEMU 7.2).
"""

from __future__ import annotations

from qmpd.errors import QmpError
from qmpd.protocol import wording

_KEYWORDS = {b"true": True, b"false": False, b"null": None}

_ESCAPES = {
    b'"': '"',
    b"'": "'",
    b"\\": "\\",
    b"/": "/",
    b"b": "\b",
    b"f": "\f",
    b"n": "\n",
    b"r": "\r",
    b"t": "\t",
}

_HEX = frozenset(b"0123456789abcdefABCDEF")

# An integer of more digits than these is too large for 64 bits, whatever they are.
_MAX_DIGITS = 20


def is_character(codepoint: int) -> bool:
    """Whether Unicode has a character there: no surrogate, no noncharacter."""
    return (
        codepoint <= 0x10FFFF
        and not 0xD800 <= codepoint <= 0xDFFF
        and not 0xFDD0 <= codepoint <= 0xFDEF
        and codepoint & 0xFFFE != 0xFFFE
    )


def keyword(source: bytes) -> bool | None:
    """Evaluate a bare word; raises `QmpError` unless it is one of the three."""
    try:
        return _KEYWORDS[source]
    except KeyError:
        raise QmpError(wording.invalid_keyword(source)) from None


def integer(source: bytes) -> int | float:
    """Make an int64 or else a uint64 or else a double; there is no negative zero."""
    if len(source) <= _MAX_DIGITS:
        value = int(source)
        if -(1 << 63) <= value < 1 << 64:
            return value
    return float(source)


def string(source: bytes) -> str:
    """Evaluate a string token, which `source` holds with its quotes.

    Raises `QmpError` for the first bad escape, bad character or bad UTF-8.
    """
    end = len(source) - 1
    pieces = []
    position = 1
    while (escape := source.find(b"\\", position, end)) >= 0:
        pieces.append(_plain(source[position:escape]))
        text, position = _escape(source, escape)
        pieces.append(text)
    pieces.append(_plain(source[position:end]))
    return "".join(pieces)


def _plain(source: bytes) -> str:
    if source.isascii():
        return source.decode("ascii")
    try:
        text = source.replace(b"\xc0\x80", b"\0").decode("utf-8")
    except UnicodeDecodeError:
        raise QmpError(wording.INVALID_UTF8) from None
    # Noncharacters are not printable either, which spares most texts the slow look.
    if not text.isprintable() and not all(is_character(ord(character)) for character in text):
        raise QmpError(wording.INVALID_UTF8)
    return text


def _escape(source: bytes, position: int) -> tuple[str, int]:
    """Return what the escape at `position` stands for, and where the text goes on."""
    selector = source[position + 1 : position + 2]
    if selector == b"u":
        return _unicode_escape(source, position)
    if selector not in _ESCAPES:
        raise QmpError(wording.INVALID_ESCAPE)
    return _ESCAPES[selector], position + 2


def _unicode_escape(source: bytes, position: int) -> tuple[str, int]:
    codepoint = _hex4(source, position + 2)
    end = position + 6
    if 0xD800 <= codepoint <= 0xDBFF and source[end : end + 2] == b"\\u":
        trail = _hex4(source, end + 2)
        if 0xDC00 <= trail <= 0xDFFF:
            codepoint = 0x10000 + ((codepoint & 0x3FF) << 10) + (trail & 0x3FF)
            end += 6
    if codepoint < 0 or not is_character(codepoint):
        raise QmpError(wording.invalid_character(source[position:end]))
    return chr(codepoint), end


def _hex4(source: bytes, position: int) -> int:
    """Evaluate four hexadecimal digits; -1 if they are not there."""
    digits = source[position : position + 4]
    return int(digits, 16) if len(digits) == 4 and _HEX.issuperset(digits) else -1
