"""A QMP client that writes down what is said, and when."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 30.0
"""Seconds without a byte after which the daemon counts as stuck."""


class ConversationError(RuntimeError):
    """The daemon hung up, fell silent, or refused a request."""


@dataclass(frozen=True, slots=True)
class Line:
    """One message: ``sent`` by the client or not, ``seconds`` after the clock's start."""

    seconds: float
    sent: bool
    message: dict[str, Any]


class Client:
    """One conversation.

    Args:
        path: the monitor's socket.
        start: the moment of ``time.monotonic()`` from which ``log`` counts.
    """

    def __init__(self, path: Path, start: float | None = None) -> None:
        self.log: list[Line] = []
        self._start = time.monotonic() if start is None else start
        self._recording = True
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        self._lines.close()
        self._socket.close()

    def read(self) -> dict[str, Any]:
        """Return the next message.

        Raises:
            ConversationError: there is none.
        """
        try:
            text = self._lines.readline()
        except TimeoutError as error:
            raise ConversationError(f"qmpd said nothing for {PATIENCE:.0f} s") from error
        except OSError as error:
            raise ConversationError(f"qmpd hung up: {error.strerror}") from error
        if not text:
            raise ConversationError("qmpd hung up")
        message: dict[str, Any] = json.loads(text)
        self._note(message, sent=False)
        return message

    def _note(self, message: dict[str, Any], *, sent: bool) -> None:
        if self._recording:
            self.log.append(Line(time.monotonic() - self._start, sent, message))

    def execute(self, request: dict[str, Any]) -> Any:
        """Send a request and return what it returns; events on the way are written down.

        Raises:
            ConversationError: it is refused, or nobody answers.
        """
        self._note(request, sent=True)
        text = json.dumps(request, separators=(",", ":"))
        self._socket.sendall(text.encode() + b"\r\n")
        while True:
            answer = self.read()
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise ConversationError(f"{request['execute']}: {answer['error']['desc']}")

    def ask(self, command: str, **arguments: Any) -> Any:
        """Return what a query returns, without a trace in the log."""
        self._recording = False
        try:
            return self.execute({"execute": command, "arguments": arguments})
        finally:
            self._recording = True

    def wait_status(self, status: str) -> None:
        """Read until a job has come to ``status``, unless one has already.

        Raises:
            ConversationError: the daemon hangs up before.
        """
        while status not in self.statuses():
            self.read()

    def statuses(self) -> list[str]:
        """Return the states that jobs have announced so far."""
        return [
            line.message["data"]["status"]
            for line in self.log
            if line.message.get("event") == "JOB_STATUS_CHANGE"
        ]
