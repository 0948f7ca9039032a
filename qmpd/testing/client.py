"""A small QMP client for synchronous tests; see :mod:`qmpd.testing.async_client`."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any, Self

from qmpd.testing.inbox import (
    PATIENCE,
    DaemonGoneError,
    Inbox,
    Message,
    outcome,
    request,
    wire_names,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class Client:
    """A QMP client that blocks: for tests without an event loop."""

    def __init__(self, where: str | socket.socket, within: float = PATIENCE) -> None:
        """Connect to a path, or take a connected socket; negotiate.

        Raises:
            OSError: nobody listens there.
            DaemonGoneError: the server hung up instead of greeting.
        """
        if isinstance(where, str):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self._socket.connect(where)
            except OSError:
                self._socket.close()
                raise
        else:
            self._socket = where
        self.inbox = Inbox()
        self._number = 0
        try:
            self.wait_until(lambda: self.inbox.greeting, "greeting", within)
            self.execute("qmp_capabilities", within=within)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        self.close()

    @property
    def events(self) -> list[Message]:
        """Every event read so far, oldest first; reading happens while waiting."""
        return self.inbox.events

    def execute(
        self,
        command: str,
        arguments: Message | None = None,
        *,
        within: float = PATIENCE,
        **members: Any,
    ) -> Any:
        """Execute a command and return what it returns; see :meth:`AsyncClient.execute`."""
        number = self.send(command, arguments, **members)
        return outcome(command, self.reply(number, within, what=command))

    def send(self, command: str, arguments: Message | None = None, **members: Any) -> int:
        """Send a command without waiting; returns the id that the reply will have."""
        self._number += 1
        line = request(self._number, command, {**(arguments or {}), **wire_names(members)})
        try:
            self._socket.sendall(line)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise DaemonGoneError(f"hung up before {command}") from error
        return self._number

    def reply(self, number: int, within: float = PATIENCE, *, what: str = "reply") -> Message:
        """Wait for the reply to what :meth:`send` sent, whatever it says."""
        return self.wait_until(lambda: self.inbox.take_reply(number), what, within)

    def wait_event(self, name: str, *, within: float = PATIENCE, **data: Any) -> Message:
        """The next event of this name; see :meth:`AsyncClient.wait_event`."""
        wanted = wire_names(data)
        return self.wait_until(lambda: self.inbox.take_event(name, wanted), name, within)

    def wait_until(
        self, found: Callable[[], Message | None], what: str, within: float = PATIENCE
    ) -> Message:
        """Wait until ``found()`` returns a message; see :meth:`AsyncClient.wait_until`."""
        deadline = time.monotonic() + within
        while True:
            message: Message | None = found()
            if message is not None:
                return message
            self._receive(deadline - time.monotonic(), what)

    def wait_closed(self, within: float = PATIENCE) -> None:
        """Wait until the server has hung up."""
        deadline = time.monotonic() + within
        try:
            while True:
                self._receive(deadline - time.monotonic(), "end of the connection")
        except DaemonGoneError:
            return

    def _receive(self, within: float, what: str) -> None:
        if within <= 0:
            raise TimeoutError(f"no {what} in time")
        self._socket.settimeout(within)
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            raise TimeoutError(f"no {what} in time") from None
        except ConnectionResetError:
            data = b""
        finally:
            if self._socket.fileno() >= 0:
                self._socket.settimeout(None)
        if not data:
            raise DaemonGoneError(f"hung up before {what}")
        self.inbox.feed(data)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
