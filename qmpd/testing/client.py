"""Two small QMP clients for tests: one that awaits, one that blocks.

They do as they are told and keep everything that they hear; they are meant for the other
end of a test, not for production.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from typing import Any, Self

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


class AsyncClient(asyncio.Protocol):
    """A QMP client in an event loop. It starts no task and no thread."""

    def __init__(self) -> None:
        self.inbox = Inbox()
        self._number = 0
        self._transport: asyncio.Transport | None = None
        self._changed: list[asyncio.Future[None]] = []
        self.closed = False

    @classmethod
    async def connect(cls, where: str | socket.socket) -> AsyncClient:
        """Connect to a path, or take a connected socket; negotiate.

        Raises:
            OSError: nobody listens there.
            DaemonGoneError: the server hung up instead of greeting.
        """
        loop = asyncio.get_running_loop()
        client = cls()
        if isinstance(where, str):
            await loop.create_unix_connection(lambda: client, where)
        else:
            await loop.create_connection(lambda: client, sock=where)
        try:
            await client.wait_until(lambda: client.inbox.greeting, "greeting")
            await client.execute("qmp_capabilities")
        except BaseException:
            await client.close()
            raise
        return client

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up."""
        await self.close()

    @property
    def events(self) -> list[Message]:
        """Every event so far, oldest first."""
        return self.inbox.events

    async def execute(
        self,
        command: str,
        arguments: Message | None = None,
        *,
        within: float = PATIENCE,
        **members: Any,
    ) -> Any:
        """Execute a command and return what it returns.

        Args:
            command: its name.
            arguments: its arguments, with the names of the wire.
            within: seconds to wait for the reply.
            members: more arguments; underscores become dashes.

        Raises:
            CommandError: the reply is an error.
            DaemonGoneError: the server hung up.
            TimeoutError: no reply came in time.
        """
        number = self.send(command, arguments, **members)
        reply = await self.wait_until(lambda: self.inbox.take_reply(number), command, within)
        return outcome(command, reply)

    def send(self, command: str, arguments: Message | None = None, **members: Any) -> int:
        """Send a command without waiting; returns the id that the reply will have."""
        self._number += 1
        line = request(self._number, command, {**(arguments or {}), **wire_names(members)})
        if self._transport is not None:
            self._transport.write(line)
        return self._number

    async def reply(self, number: int, within: float = PATIENCE) -> Message:
        """Wait for the reply to what :meth:`send` sent, whatever it says."""
        return await self.wait_until(
            lambda: self.inbox.take_reply(number), f"reply {number}", within
        )

    async def wait_event(self, name: str, *, within: float = PATIENCE, **data: Any) -> Message:
        """The next event of this name, whose data has these members; also one already heard.

        Each event is returned once.
        """
        wanted = wire_names(data)
        return await self.wait_until(lambda: self.inbox.take_event(name, wanted), name, within)

    async def wait_until(self, found: Any, what: str, within: float = PATIENCE) -> Message:
        """Wait until ``found()`` returns a message.

        Raises:
            DaemonGoneError: the server hung up.
            TimeoutError: it did not in time.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while True:
            message: Message | None = found()
            if message is not None:
                return message
            if self.closed:
                raise DaemonGoneError(f"hung up before {what}")
            await self._change(deadline - loop.time(), what)

    async def _change(self, within: float, what: str) -> None:
        loop = asyncio.get_running_loop()
        changed: asyncio.Future[None] = loop.create_future()
        self._changed.append(changed)

        def give_up() -> None:
            if not changed.done():
                changed.set_exception(TimeoutError(f"no {what} in time"))

        timer = loop.call_later(within, give_up)
        try:
            await changed
        finally:
            timer.cancel()

    async def wait_closed(self, within: float = PATIENCE) -> None:
        """Wait until the server has hung up."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while not self.closed:
            await self._change(deadline - loop.time(), "end of the connection")

    def pause_reading(self) -> None:
        """Read nothing more, as a client that hangs."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._transport is not None:
            self._transport.resume_reading()

    async def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()
            await self.wait_closed()

    # --- asyncio.Protocol --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's are no subclasses

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self.inbox.feed(data)
        self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        del exc
        self.closed = True
        self._transport = None
        self._tell()

    def _tell(self) -> None:
        waiting, self._changed = self._changed, []
        for changed in waiting:
            if not changed.done():
                changed.set_result(None)


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

    def wait_until(self, found: Any, what: str, within: float = PATIENCE) -> Message:
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
