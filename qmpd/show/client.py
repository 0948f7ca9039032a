"""A QMP client for one who watches: it asks, and counts what is announced meanwhile."""

from __future__ import annotations

import json
import socket
import time
from typing import Any, Self

PATIENCE = 2.0
"""Seconds until a silent monitor counts as one that serves somebody else."""
ANSWER = 30.0
"""Seconds until a daemon that does not answer counts as stuck."""
IDENTITY = "qmpd-show"
"""The ``id`` of every request, by which the journal tells this client from others."""


class ShowError(Exception):
    """Why there is nothing to show; the text is one line for people."""


class RefusedError(ShowError):
    """A command was answered with an error."""


class HungUpError(ShowError):
    """The daemon has ended the conversation."""


class Client:
    """One conversation, negotiated.

    Args:
        path: the monitor's socket.
        patience: seconds to wait for the greeting.

    Raises:
        ShowError: nobody is there, or nobody greets, or somebody who does not speak QMP.
    """

    def __init__(self, path: str, patience: float = PATIENCE) -> None:
        self.path = path
        self.events = 0
        """How many events have been heard."""
        self._buffer = b""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._connect(patience)
            self.version = self._greeting(patience)
            self.execute("qmp_capabilities")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _connect(self, patience: float) -> None:
        self._socket.settimeout(patience)
        try:
            self._socket.connect(self.path)
        except TimeoutError as error:
            raise self._busy(patience) from error
        except OSError as error:
            raise ShowError(f"{self.path}: {error.strerror or error}") from error

    def _busy(self, patience: float) -> ShowError:
        return ShowError(
            f"{self.path}: no greeting for {patience:g} s; a monitor serves one client at a"
            " time, and somebody else may have it"
        )

    def _greeting(self, patience: float) -> str:
        message = self._read(patience)
        if message is None:
            raise self._busy(patience)
        try:
            number = message["QMP"]["version"]["qemu"]
            return f"{number['major']}.{number['minor']}.{number['micro']}"
        except (KeyError, TypeError) as error:
            raise self._stranger() from error

    def _stranger(self) -> ShowError:
        return ShowError(f"{self.path}: whoever listens there does not speak QMP")

    def execute(self, command: str, **arguments: Any) -> Any:
        """Return what a command returns.

        Raises:
            RefusedError: it fails.
            ShowError: nobody answers.
        """
        request = {"execute": command, "arguments": arguments, "id": IDENTITY}
        try:
            self._socket.settimeout(ANSWER)
            self._socket.sendall(json.dumps(request).encode() + b"\r\n")
        except OSError as error:
            raise HungUpError(f"{self.path}: the daemon has gone") from error
        while True:
            message = self._read(ANSWER)
            if message is None:
                raise ShowError(f"{self.path}: no answer to {command} for {ANSWER:g} s")
            if "return" in message:
                return message["return"]
            if "error" in message:
                raise RefusedError(f"{command}: {message['error']['desc']}")
            self.events += 1

    def listen(self, seconds: float) -> bool:
        """Wait until an event comes, at most ``seconds``; returns whether one came."""
        if self._read(seconds) is None:
            return False
        self.events += 1
        return True

    def _read(self, seconds: float) -> dict[str, Any] | None:
        """Return the next message, None if there is none in time."""
        end = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = end - time.monotonic()
            if left <= 0:
                return None
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(1 << 18)
            except TimeoutError:
                return None
            except OSError:
                data = b""
            if not data:
                raise HungUpError(f"{self.path}: the daemon has gone")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            message = json.loads(line)
        except ValueError as error:
            raise self._stranger() from error
        if not isinstance(message, dict):
            raise self._stranger()
        return message
