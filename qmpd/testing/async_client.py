"""A small QMP client for asynchronous tests.

It does as it is told and keeps everything that it hears; it is meant for the other end of
a test, not for production.
"""

from __future__ import annotations

import asyncio
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
    import socket
    from collections.abc import Callable


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

    async def wait_until(
        self, found: Callable[[], Message | None], what: str, within: float = PATIENCE
    ) -> Message:
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
