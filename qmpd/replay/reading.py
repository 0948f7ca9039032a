"""From what people attach to bug reports to a conversation.

Three forms are told apart by what is in the text: libvirt's log (``QEMU_MONITOR_…``),
transcripts of one JSON object a line (``{"dir": …, "msg": …}``, as ``qmpd record`` writes
them), and anything else that has QMP messages at the beginnings of lines, with or without
``->`` and ``<-`` before them. A command line may stand anywhere around it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from qmpd.replay.commandline import find_command_line
from qmpd.replay.messages import (
    EVENT,
    GONE,
    GREETING,
    HANG_UP,
    KINDS,
    REPLY,
    REQUEST,
    Conversation,
    Message,
    classify,
)

_DECODER = json.JSONDecoder(strict=False)
_QUOTED = re.compile(r"^(?:> ?)+", re.MULTILINE)
_LIBVIRT = re.compile(
    r"QEMU_MONITOR_(SEND_MSG|IO_WRITE|IO_PROCESS|RECV_REPLY|RECV_EVENT|CLOSE):"
    r" mon=(\S+)(?: (?:msg|buf|reply|event)=)?"
)
_RECEIVED = {"RECV_REPLY": REPLY, "RECV_EVENT": EVENT}
_LINE = re.compile(r"^[ \t]*(->|<-|[CS]:)?[ \t]*(?=\{)", re.MULTILINE)
_CLOSED = re.compile(
    r"[ \t]*(?:<-)?[ \t]*[\[(<]?(?:connection )?closed[\])>]?[ \t]*", re.IGNORECASE
)
_BLANK = " \t\r\n"


def read(text: str) -> Conversation:
    """Read a conversation; one without messages means that there was none in the text."""
    text = _QUOTED.sub("", text.replace("^M", ""))
    messages = _read_libvirt(text) if "QEMU_MONITOR_" in text else _read_lines(text)
    words, program = find_command_line(text)
    return Conversation(messages, words, program)


def _object_at(text: str, position: int) -> tuple[dict[str, Any], int] | None:
    """The JSON object that begins at a position, and where it ends."""
    if text[position : position + 1] != "{":
        return None
    try:
        value, end = _DECODER.raw_decode(text, position)
    except (ValueError, RecursionError):
        return None
    return value, end


# --- libvirt -------------------------------------------------------------------------------


def _read_libvirt(text: str) -> list[Message]:
    """Read libvirt's log; of several monitors the one that has most to say.

    A request is logged when it is queued and again when it is written, a message from QEMU
    in the input buffer and again by itself: each counts once.
    """
    found: list[tuple[str, Message]] = []
    queued: Counter[str] = Counter()
    parsed = any(match[1] in _RECEIVED for match in _LIBVIRT.finditer(text))
    for match in _LIBVIRT.finditer(text):
        what, monitor = match[1], match[2]
        if what == "CLOSE":
            found.append((monitor, Message(GONE)))
        elif what == "IO_PROCESS":
            bodies = _in_buffer(text, match.end())
            found += [
                (monitor, Message(kind, body))
                for body in bodies
                if (kind := classify(body)) == GREETING or (kind and not parsed)
            ]
        elif (item := _object_at(text, match.end())) is not None:
            body = item[0]
            key = f"{monitor} {json.dumps(body, sort_keys=True)}"
            if what == "SEND_MSG":
                queued[key] += 1
            elif what == "IO_WRITE" and queued[key]:
                queued[key] -= 1
                continue
            kind = _RECEIVED.get(what, REQUEST)
            if kind == REQUEST or classify(body) == kind:
                found.append((monitor, Message(kind, body)))
    counts = Counter(monitor for monitor, message in found if message.kind != GREETING)
    if not counts:
        return []
    chosen = counts.most_common(1)[0][0]
    return [message for monitor, message in found if monitor == chosen]


def _in_buffer(text: str, position: int) -> list[dict[str, Any]]:
    """The whole messages in an input buffer; what is not whole is logged again later."""
    bodies = []
    while (item := _object_at(text, position)) is not None:
        body, end = item
        position = end
        while text[position : position + 1] in tuple(_BLANK):
            position += 1
        if "\n" not in text[end:position]:
            break
        bodies.append(body)
    return bodies


# --- transcripts ---------------------------------------------------------------------------


def _read_lines(text: str) -> list[Message]:
    messages = []
    position = 0
    for line in re.finditer(r".*(?:\n|$)", text):
        if line.start() < position or not line[0]:
            continue  # inside a message of several lines
        if _CLOSED.fullmatch(line[0].rstrip("\r\n")):
            messages.append(Message(GONE))
            continue
        start = _LINE.match(text, line.start())
        item = _object_at(text, start.end()) if start else None
        if start is None or item is None:
            continue
        body, position = item
        message = _transcribed(body) or _spoken(start[1], body)
        if message is not None:
            messages.append(message)
    return messages


def _transcribed(line: dict[str, Any]) -> Message | None:
    """Read a line of ``qmpd record``."""
    kind = line.get("dir")
    if kind not in KINDS:
        return None
    body = line.get("msg")
    raw = line.get("raw", "")
    if kind in {HANG_UP, GONE}:
        return Message(kind)
    if isinstance(body, dict):
        return Message(kind, body) if kind == REQUEST or classify(body) == kind else None
    return Message(kind, {}, str(raw)) if raw and kind == REQUEST else None


def _spoken(arrow: str | None, body: dict[str, Any]) -> Message | None:
    kind = classify(body)
    if not kind and arrow in {"->", "C:"}:
        kind = REQUEST
    return Message(kind, body) if kind else None
