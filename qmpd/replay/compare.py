"""When two conversations count as equal.

What cannot be the same is left out: times, generated names, versions, progress in bytes
(the images here are empty). Of replies that describe nodes and jobs only the members in
:data:`PICKED` count, and of replies to other queries only that there is one; errors count
with class and text.
"""

from __future__ import annotations

import json
import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from qmpd.replay.messages import EVENT, GREETING, REPLY, REQUEST, Message

if TYPE_CHECKING:
    from collections.abc import Iterator

    Side = tuple[Message | None, str]

WHOLE = frozenset(("query-status", "query-name"))
"""Queries whose replies count as they are."""
PICKED: dict[str, tuple[str, ...]] = {
    "query-jobs": ("id", "type", "status", "error"),
    "query-block-jobs": (
        "device",
        "type",
        "status",
        "speed",
        "paused",
        "ready",
        "io-status",
        "auto-finalize",
        "auto-dismiss",
        "error",
    ),
    "query-named-block-nodes": ("node-name", "drv", "ro"),
}
"""Queries that return lists: the members of their elements that count."""
PROGRESS = frozenset(("len", "offset"))
"""Members of events that depend on the images."""

_GENERATED = re.compile(r"#block[0-9]+")


class Keys:
    """Turns the messages of one side, in order, into texts that are equal if they count so."""

    def __init__(self) -> None:
        self._commands: dict[str, str] = {}
        self._anonymous: list[str] = []

    def of(self, message: Message) -> str:
        """The text for the next message."""
        return f"{message.kind} {_GENERATED.sub('#block', self._text(message))}"

    def _text(self, message: Message) -> str:
        if message.kind == REQUEST:
            self._note(message)
            return message.raw or _canonical(message.body)
        if message.kind == REPLY:
            return _canonical(self._reply(message.body))
        if message.kind == EVENT:
            return event_text(message)
        if message.kind == GREETING:
            return _canonical(message.body["QMP"].get("capabilities", []))
        return ""

    def _note(self, request: Message) -> None:
        if "id" in request.body:
            self._commands[_canonical(request.body["id"])] = request.command
        else:
            self._anonymous.append(request.command)

    def _reply(self, body: dict[str, Any]) -> dict[str, Any]:
        if "id" in body:
            command = self._commands.pop(_canonical(body["id"]), "")
        else:
            command = self._anonymous.pop(0) if self._anonymous else ""
        if "return" not in body:
            return body
        return {**body, "return": _picked(command, body["return"])}


def event_text(event: Message) -> str:
    """What counts of an event."""
    data = {key: value for key, value in event.data.items() if key not in PROGRESS}
    if event.data.keys() >= PROGRESS:
        data["at-the-end"] = event.data["len"] == event.data["offset"]
    return _GENERATED.sub("#block", _canonical({"event": event.body.get("event"), "data": data}))


def _picked(command: str, value: Any) -> Any:
    if command in WHOLE or not value:
        return value
    if command in PICKED and isinstance(value, list):
        return [
            {key: entry[key] for key in PICKED[command] if key in entry}
            for entry in value
            if isinstance(entry, dict)
        ]
    return type(value).__name__


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


_DRAINS = {("paused", "running"), ("standby", "ready")}


def without_drains(messages: list[Message]) -> list[Message]:
    """Leave out that a job stopped and went on at once: what drains inside QEMU look like."""
    found: list[Message] = []
    for message in messages:
        if found and _is_drain(found[-1], message):
            found.pop()
        else:
            found.append(message)
    return found


def _is_drain(before: Message, after: Message) -> bool:
    if any(m.body.get("event") != "JOB_STATUS_CHANGE" for m in (before, after)):
        return False
    same_job = before.data.get("id") == after.data.get("id")
    return same_job and (before.data.get("status"), after.data.get("status")) in _DRAINS


class Pair:
    """A message of either side, or None, with the texts that were compared."""

    def __init__(self, left: Side, right: Side, *, equal: bool) -> None:
        self.left, self.left_key = left
        self.right, self.right_key = right
        self.equal = equal


def align(theirs: list[Message], ours: list[Message]) -> Iterator[Pair]:
    """Put equal messages side by side."""
    left, right = _keyed(theirs), _keyed(ours)
    matcher = SequenceMatcher(
        None, [key for _, key in left], [key for _, key in right], autojunk=False
    )
    for tag, a, b, c, d in matcher.get_opcodes():
        for offset in range(max(b - a, d - c)):
            yield Pair(
                left[a + offset] if a + offset < b else _NOBODY,
                right[c + offset] if c + offset < d else _NOBODY,
                equal=tag == "equal",
            )


_NOBODY: Side = (None, "")


def _keyed(messages: list[Message]) -> list[Side]:
    keys = Keys()
    return [(message, keys.of(message)) for message in messages]
