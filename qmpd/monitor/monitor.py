"""A monitor: where clients connect, one at a time, and what they are told.

A second client may connect while the first one is there; it hears nothing, not even a
greeting, until its turn comes (observed on QEMU 7.2).
"""

from __future__ import annotations

from qmpd.monitor.connection import Connection
from qmpd.protocol.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.commands.dispatch import Dispatcher
    from qmpd.lab.levers import Levers
    from qmpd.monitor.chardev import Chardev
    from qmpd.monitor.reactor import Reactor


class Monitor:
    """One control monitor on one character device."""

    def __init__(
        self,
        reactor: Reactor,
        dispatcher: Dispatcher,
        chardev: Chardev,
        version: dict[str, Any],
        *,
        pretty: bool = False,
    ) -> None:
        self._reactor = reactor
        self._dispatcher = dispatcher
        self.chardev = chardev
        self._session = Session(version, oob=chardev.own_thread, pretty=pretty)
        self.connection: Connection | None = None
        self._closed = False
        self.levers: Levers | None = None
        self.private = False
        """A test's own monitor: nobody tampers with its lines, nor are they in the journal."""

    def start(self) -> None:
        """Take the client that is there already, or wait for one."""
        fds = self.chardev.take_client()
        if fds is not None:
            self._serve(fds)
        else:
            self._listen()

    def _listen(self) -> None:
        if self.chardev.listening >= 0:
            self._reactor.add_reader(self.chardev.listening, self._accept)
        elif self.chardev.reconnect and not self._closed:
            self._reactor.call_later(self.chardev.reconnect * 1_000_000_000, self._try_again)

    def _try_again(self) -> None:
        if not self._closed:
            self.start()

    def _accept(self) -> None:
        fds = self.chardev.accept()
        if fds is not None:
            self._reactor.remove_reader(self.chardev.listening)
            self._serve(fds)

    def _serve(self, fds: tuple[int, int]) -> None:
        self._session.reset()
        self.connection = Connection(
            self._reactor,
            self._session,
            self._dispatcher,
            fds,
            self._client_gone,
            self.levers,
            private=self.private,
        )
        self.connection.start()

    def _client_gone(self) -> None:
        self.connection = None
        self._listen()

    def send_event(self, name: str, data: dict[str, Any] | None, wall: int) -> None:
        """Pass an event on to the client, if there is one."""
        if self.connection is not None:
            self.connection.send_event(name, data, wall)

    def close(self) -> None:
        """Hang up, stop listening and remove the socket."""
        self._closed = True
        if self.chardev.listening >= 0 and self.connection is None:
            self._reactor.remove_reader(self.chardev.listening)
        self.chardev.close()
        if self.connection is not None:
            self.connection.close()
