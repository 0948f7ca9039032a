"""What a recorded conversation consists of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

GREETING, REQUEST, REPLY, EVENT, HANG_UP, GONE = "G", "C", "R", "E", "H", "X"
"""Kinds of messages, as transcripts spell them: the last two are a client that hangs up, and
a QEMU that does."""
KINDS = frozenset((GREETING, REQUEST, REPLY, EVENT, HANG_UP, GONE))


@dataclass(frozen=True)
class Message:
    """One message, or the end of a connection.

    ``raw`` is the text of what a client sent that was no JSON object.
    """

    kind: str
    body: dict[str, Any] = field(default_factory=dict)
    raw: str = ""

    @property
    def command(self) -> str:
        """The command of a request; empty if it has none."""
        found = self.body.get("execute", self.body.get("exec-oob", ""))
        return found if isinstance(found, str) else ""

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of a request."""
        found = self.body.get("arguments")
        return found if isinstance(found, dict) else {}

    @property
    def data(self) -> dict[str, Any]:
        """The data of an event."""
        found = self.body.get("data")
        return found if isinstance(found, dict) else {}


@dataclass
class Conversation:
    """What a file has: messages in order, and the words behind the program's name, if any."""

    messages: list[Message]
    words: list[str] | None = None
    program: str = ""

    @property
    def requests(self) -> list[Message]:
        """The client's side."""
        return [message for message in self.messages if message.kind == REQUEST]


_TELLING: tuple[tuple[str, str, type], ...] = (
    ("QMP", GREETING, dict),
    ("event", EVENT, str),
    ("return", REPLY, object),
    ("error", REPLY, dict),
    ("execute", REQUEST, object),
    ("exec-oob", REQUEST, object),
)
"""Members that tell what a message is, and of what type they are then."""


def classify(body: dict[str, Any]) -> str:
    """Tell from its members what a message is; empty if it is none."""
    for member, kind, wanted in _TELLING:
        if member in body and isinstance(body[member], wanted):
            return kind
    return ""
