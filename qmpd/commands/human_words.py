"""Reading a line of the human monitor: words, switches and sizes (observed on QEMU 7.2)."""

from __future__ import annotations

from qmpd.commands import wording
from qmpd.schema.scalars import KEYVAL, SIZE, WRONG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Parameters = tuple[tuple[str, str], ...]

WORD, DEVICE, FILE, BYTES, REST = "word", "device", "file", "bytes", "rest"
"""Kinds of parameters, besides switches such as ``-v``; ``?`` behind one makes it optional."""

SPACE = " \t\n\v\f\r"
"""What words end at."""
_LONGEST = 1023
"""Bytes of a word; what it has more is left out without a word."""
_ESCAPES = {"n": "\n", "r": "\r", "\\": "\\", "'": "'", '"': '"'}
_EXPECTED = {WORD: "string", DEVICE: "block device name", FILE: "filename"}
_SUFFIXES = "bBkKmMgGtTpPeE"


class Mistake(Exception):  # noqa: N818 - it is something to print
    """A line does not fit its command's parameters; the texts are what is printed."""

    def __init__(self, text: str, printed: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.printed = printed
        """What the original prints on standard output, past the monitor."""


def parse(name: str, text: str, parameters: Parameters) -> dict[str, Any]:
    """Take what a command's parameters want from the text behind its name.

    Raises:
        Mistake: something is missing, wrong, or left over.
    """
    found: dict[str, Any] = {}
    for index, (key, kind) in enumerate(parameters):
        text = text.lstrip(SPACE)
        if kind.startswith("-"):
            if not text.startswith("-"):
                continue
            if text[1:2] == kind[1]:
                found[key] = True
                text = text[2:]
            elif f"-{text[1:2]}" not in [other for _, other in parameters[index:]]:
                raise Mistake(wording.unsupported_switch(name, text[1:2]))
        elif kind == REST:
            found[key], text = text, ""
        elif text or not kind.endswith("?"):
            found[key], text = _take(name, kind.removesuffix("?"), text)
    if text.strip(SPACE):
        raise Mistake(wording.extraneous(name))
    return found


def _take(name: str, kind: str, text: str) -> tuple[Any, str]:
    word, rest, printed = take_word(text)
    if kind == BYTES:
        # A number without a suffix counts mebibytes.
        value = KEYVAL[SIZE](word if (word or "")[-1:] in _SUFFIXES else f"{word}M", None)
        if not word or value is WRONG:
            raise Mistake(wording.INVALID_SIZE)
        return value, rest
    if word is None or not (word or rest):
        raise Mistake(wording.expected(name, _EXPECTED[kind]), printed)
    return word, rest


def take_word(text: str) -> tuple[str | None, str, str]:
    """Take a word, or a text in double quotes; None if that has no end.

    Returns:
        the word, what follows, and what is printed past the monitor.
    """
    if not text.startswith('"'):
        word, rest = split_word(text)
        return _shortened(word), rest[1:], ""
    taken = []
    position = 1
    while position < len(text) and text[position] != '"':
        if text[position] == "\\" and position + 1 < len(text):
            position += 1
            if text[position] not in _ESCAPES:
                return None, "", wording.bad_escape(text[position])
            taken.append(_ESCAPES[text[position]])
        else:
            taken.append(text[position])
        position += 1
    if position >= len(text):
        return None, "", wording.UNTERMINATED
    return _shortened("".join(taken)), text[position + 1 :] or " ", ""


def split_word(text: str) -> tuple[str, str]:
    """The word that a text begins with, and what follows right behind it."""
    end = 0
    while end < len(text) and text[end] not in SPACE:
        end += 1
    return text[:end], text[end:]


def _shortened(word: str) -> str:
    kept = word.encode("utf-8", "surrogateescape")[:_LONGEST]
    return kept.decode("utf-8", "surrogateescape")
