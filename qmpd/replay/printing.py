"""Two conversations side by side, for people."""

from __future__ import annotations

import json
import textwrap
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from qmpd.replay.compare import align
from qmpd.replay.messages import EVENT, GONE, GREETING, HANG_UP, REPLY, REQUEST, Message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmpd.replay.compare import Pair

FIRST, DIFFERENT, EQUAL = ">", "~", "|"
"""Marks between the columns: the first difference, a later one, none."""
HEADINGS = ("theirs", "ours")
_BEFORE, _SHOWN = 60, 400
"""Characters of the first difference that are shown: before it, and in all."""
_ENDS = {GONE: "QEMU closes the connection", HANG_UP: "the client closes the connection"}


def side_by_side(theirs: list[Message], ours: list[Message], width: int) -> tuple[list[str], bool]:
    """Draw both, then the first difference in full.

    Returns:
        the lines, and whether the conversations are equal.
    """
    column = max((width - 3) // 2, 20)
    lines = [_row(HEADINGS[0], " ", HEADINGS[1], column).rstrip()]
    first: Pair | None = None
    for pair in align(theirs, ours):
        mark = EQUAL if pair.equal else DIFFERENT if first else FIRST
        if not pair.equal and first is None:
            first = pair
        lines += _rows(_describe(pair.left), mark, _describe(pair.right), column)
    if first is not None:
        lines += ["", "The first difference, as far as it counts:", *_difference(first)]
    return lines, first is None


def _difference(pair: Pair) -> Iterator[str]:
    """What was compared, from shortly before the place where it differs."""
    left, right = pair.left_key[2:], pair.right_key[2:]
    same = sum(1 for _ in takewhile(bool, map(str.__eq__, left, right)))
    start = max(same - _BEFORE, 0)
    for heading, message, text in zip(
        HEADINGS, (pair.left, pair.right), (left, right), strict=True
    ):
        yield f"{heading + ':':8}{_whole(message, text, start)}"


def _rows(left: str, mark: str, right: str, column: int) -> Iterator[str]:
    """One pair of messages: long ones go on below, indented."""
    wrapped = [
        textwrap.wrap(text, column, subsequent_indent="     ", break_on_hyphens=False) or [""]
        for text in (left, right)
    ]
    for number in range(max(map(len, wrapped))):
        cells = [lines[number] if number < len(lines) else "" for lines in wrapped]
        yield _row(cells[0], mark if number == 0 else EQUAL, cells[1], column).rstrip()


def _row(left: str, mark: str, right: str, column: int) -> str:
    return f"{left:{column}} {mark} {right}"


def _describe(message: Message | None) -> str:
    if message is None:
        return ""
    if message.kind == REQUEST:
        return f"-> {message.command or message.raw} {_members(message.arguments)}".rstrip()
    if message.kind == REPLY:
        return f"<- {_reply(message.body)}"
    if message.kind == EVENT:
        return f" * {message.body.get('event')} {_members(message.data)}".rstrip()
    if message.kind == GREETING:
        return f"<- QEMU {_version(message.body['QMP'])}"
    return f"-- {_ENDS[message.kind]}"


def _reply(body: dict[str, Any]) -> str:
    if "return" not in body:
        error = body["error"]
        return f"error {error.get('class')}: {error.get('desc')}"
    value = body["return"]
    if not value:
        return f"return {json.dumps(value)}"
    count = f" of {len(value)}" if isinstance(value, list) else ""
    return f"return {'list' if isinstance(value, list) else 'object'}{count}"


def _members(members: dict[str, Any]) -> str:
    return " ".join(
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in members.items()
    )


def _version(greeting: dict[str, Any]) -> str:
    try:
        found = greeting["version"]["qemu"]
        return f"{found['major']}.{found['minor']}.{found['micro']}"
    except (KeyError, TypeError):
        return "of no version"


def _whole(message: Message | None, text: str, start: int) -> str:
    if message is None:
        return "(nothing)"
    if message.kind in _ENDS:
        return _ENDS[message.kind]
    ahead = "…" if start else ""
    behind = "…" if len(text) > start + _SHOWN else ""
    return f"{ahead}{text[start : start + _SHOWN]}{behind}"
