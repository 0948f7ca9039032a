"""What both clients share: requests as lines, lines as replies and events, errors."""

from __future__ import annotations

import json
import os
from typing import Any

Message = dict[str, Any]
"""An event or a reply, as it came over the wire."""

PATIENCE = 10.0
"""Seconds that a client waits unless told otherwise."""


class CommandError(Exception):
    """The server answered with an error.

    Attributes:
        command: what was executed.
        error_class: such as ``GenericError``.
        desc: QEMU's sentence.
    """

    def __init__(self, command: str, error: Message) -> None:
        self.command = command
        self.error_class: str = error["class"]
        self.desc: str = error["desc"]
        super().__init__(f"{command}: {self.desc}")


class DaemonGoneError(ConnectionError):
    """The server hung up; whatever was under way has no answer."""


class Inbox:
    """What came over one connection, without any I/O.

    Attributes:
        greeting: the server's greeting.
        events: every event, oldest first.
        lines: every complete line as bytes, without its line end.
    """

    def __init__(self) -> None:
        self.greeting: Message | None = None
        self.events: list[Message] = []
        self.lines: list[bytes] = []
        self._fresh: list[Message] = []
        self._replies: dict[int, Message] = {}
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take bytes from the wire."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._sort_in(line.rstrip(b"\r"))

    def _sort_in(self, line: bytes) -> None:
        self.lines.append(line)
        message: Message = json.loads(line)
        if "event" in message:
            self.events.append(message)
            self._fresh.append(message)
        elif "QMP" in message:
            self.greeting = message
        else:
            self._replies[message.get("id", -1)] = message

    def take_reply(self, number: int) -> Message | None:
        """The reply to a request, once."""
        return self._replies.pop(number, None)

    def take_event(self, name: str, data: Message) -> Message | None:
        """The first event of this name whose data has these members, once."""
        for event in self._fresh:
            if event["event"] == name and fits(event.get("data", {}), data):
                self._fresh.remove(event)
                return event
        return None


def fits(found: Message, wanted: Message) -> bool:
    """Whether ``found`` has every member of ``wanted``, with the same value."""
    return all(name in found and found[name] == value for name, value in wanted.items())


def wire_names(members: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments with the names of the wire: ``job_id`` is ``job-id``."""
    return {name.replace("_", "-"): value for name, value in members.items()}


def request(number: int, command: str, arguments: Message) -> bytes:
    """One request as a line."""
    message: Message = {"execute": command, "id": number}
    if arguments:
        message["arguments"] = arguments
    return json.dumps(message, default=os.fspath).encode() + b"\n"


def outcome(command: str, reply: Message) -> Any:
    """What a reply returns.

    Raises:
        CommandError: it is an error.
    """
    if "error" in reply:
        raise CommandError(command, reply["error"])
    return reply["return"]
