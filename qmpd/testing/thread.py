"""A daemon in a thread with its own event loop, for tests that have none."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self, TypeVar

from qmpd.testing.client import Client
from qmpd.testing.core import Core
from qmpd.testing.expect import Expecting
from qmpd.testing.levers import Levers

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from typing import Unpack

    from qmpd.testing.images import Chain, Extents, Size
    from qmpd.testing.pulls import Status
    from qmpd.testing.settings import Settings

T = TypeVar("T")


class QmpdThread(Levers, Expecting):
    """A daemon in a thread: ``with QmpdThread() as qmpd``.

    The settings are those of :class:`~qmpd.testing.settings.Settings`.

    Attributes:
        path: the socket for the client under test.
        client: the test's own client, on a monitor that nobody else can see.
    """

    def __init__(self, **settings: Unpack[Settings]) -> None:
        super().__init__()
        self._settings = settings
        self._core: Core | None = None
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread
        self.path = ""
        self.client: Client

    def __enter__(self) -> Self:
        """Start.

        Raises:
            QmpError: a node cannot be defined.
            OptionError: a definition makes no sense.
        """
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End; if nothing has failed so far, :meth:`verify` first."""
        try:
            if kind is None:
                self.verify()
        finally:
            self.close()

    def start(self) -> None:
        """Start the daemon; ``with`` does this."""
        started: Future[Core] = Future()
        self._thread = threading.Thread(
            target=self._live, args=(started,), name="qmpd", daemon=True
        )
        self._thread.start()
        try:
            self._core = started.result()
        except BaseException:
            self._thread.join()
            raise
        self.path = self._core.path
        try:
            self.client = Client(self._core.control)
        except BaseException:
            self._end()
            raise

    def _live(self, started: Future[Core]) -> None:
        loop = asyncio.new_event_loop()
        try:
            self._loop = loop
            try:
                core = Core(self._settings, loop)
            except BaseException as error:  # noqa: BLE001 - raised again where the test is
                started.set_exception(error)
                return
            started.set_result(core)
            loop.run_forever()
            core.close()
        finally:
            loop.close()

    def close(self) -> None:
        """End the daemon; ``with`` does this."""
        if self._core is not None:
            self.client.close()
            self._end()

    def _end(self) -> None:
        self._core = None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @property
    def _running(self) -> Core:
        if self._core is None:
            raise RuntimeError("the daemon does not run")
        return self._core

    def _there(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def verify(self) -> None:
        """Check the expectations so far, and that no job was left behind.

        Raises:
            ExpectationError: says what differs.
        """
        __tracebackhide__ = True
        self.check(*self._there(self._running.look()))

    def connect(self) -> Client:
        """A client on :attr:`path`, which counts as the client under test."""
        return Client(self.path)

    def chain(
        self,
        *names: str,
        size: Size = "64M",
        data: Mapping[str, Extents] | None = None,
        define: bool = True,
    ) -> Chain:
        """Make a chain of qcow2 images and define its nodes; see :meth:`QmpdInLoop.chain`."""
        return self._there(self._running.chain(names, size, data, define=define))

    def pull(self, command: str, arguments: dict[str, Any]) -> Any:
        """Execute a command past all monitors."""
        return self._there(self._running.pull(command, arguments))

    def settle(self) -> None:
        """Wait until every job sleeps, waits for somebody or has ended."""
        self._there(self._running.settle())

    def step(self, job: str, count: int = 1) -> None:
        """Let a stepped job do ``count`` more chunks, and wait until it did."""
        super().step(job, count)
        self.settle()

    def advance(self, ms: int) -> None:
        """Move a stepped clock by milliseconds, and wait at each timer for what it sets off."""
        self._there(self._running.advance(ms))

    def wait_for(self, job: str, status: Status, *, within: float = 10.0) -> None:
        """Wait until ``job`` is in ``status``, or has been."""
        self._there(self._running.wait_for(job, status, within))

    def wait_until_held(
        self, job: str, before: Status | None = None, *, within: float = 10.0
    ) -> None:
        """Wait until a hold has stopped ``job``."""
        self._there(self._running.wait_until_held(job, before, within))

    def wait_until_dead(self, *, within: float = 10.0) -> None:
        """Wait until the daemon has died, or has quit."""
        self._there(self._running.wait_until_dead(within))
