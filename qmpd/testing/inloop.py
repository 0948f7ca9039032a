"""A daemon in the event loop of the test that uses it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from qmpd.testing.async_client import AsyncClient
from qmpd.testing.async_levers import AsyncLevers
from qmpd.testing.core import Core
from qmpd.testing.expect import Expecting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from qmpd.machine import Machine
    from qmpd.testing.images import Chain, Extents, Size
    from qmpd.testing.pulls import Status
    from qmpd.testing.settings import Settings


class QmpdInLoop(AsyncLevers, Expecting):
    """A daemon in the running loop: ``async with QmpdInLoop() as qmpd``.

    Starting one takes less than a millisecond; many can live in one loop and share nothing.
    The settings are those of :class:`~qmpd.testing.settings.Settings`.

    Attributes:
        path: the socket for the client under test.
        client: the test's own client, on a monitor that nobody else can see.
        machine: the emulated QEMU, for what has no lever.
    """

    def __init__(self, **settings: Unpack[Settings]) -> None:
        super().__init__()
        self._settings = settings
        self._core: Core | None = None
        self.path = ""
        self.client: AsyncClient
        self.machine: Machine

    async def __aenter__(self) -> Self:
        """Start.

        Raises:
            QmpError: a node cannot be defined.
            OptionError: a definition makes no sense.
        """
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End; if nothing has failed so far, :meth:`verify` first."""
        try:
            if kind is None:
                self.verify()
        finally:
            await self.close()

    async def start(self) -> None:
        """Start the daemon; ``async with`` does this."""
        core = Core(self._settings, asyncio.get_running_loop())
        self._core, self.path, self.machine = core, core.path, core.machine
        try:
            self.client = await AsyncClient.connect(core.control)
        except BaseException:
            core.close()
            raise

    async def close(self) -> None:
        """End the daemon; ``async with`` does this."""
        core, self._core = self._core, None
        if core is not None:
            await self.client.close()
            core.close()
            await asyncio.sleep(0)  # transports of this loop see their ends

    @property
    def _running(self) -> Core:
        if self._core is None:
            raise RuntimeError("the daemon does not run")
        return self._core

    def verify(self) -> None:
        """Check the expectations so far, and that no job was left behind.

        Raises:
            ExpectationError: says what differs.
        """
        __tracebackhide__ = True
        self.check(self._running.entries(), self._running.jobs())

    async def connect(self) -> AsyncClient:
        """A client on :attr:`path`, which counts as the client under test."""
        return await AsyncClient.connect(self.path)

    async def chain(
        self,
        *names: str,
        size: Size = "64M",
        data: Mapping[str, Extents] | None = None,
        define: bool = True,
    ) -> Chain:
        """Make a chain of qcow2 images and define its nodes; see :func:`make_chain`.

        Args:
            names: the node names, from the base up.
            size: of the virtual disk, bytes or text.
            data: what layers hold: (offset, length, byte) each, by name.
            define: False makes only the images.
        """
        return await self._running.chain(names, size, data, define=define)

    async def pull(self, command: str, arguments: dict[str, Any]) -> Any:
        """Execute a command past all monitors."""
        return await self._running.pull(command, arguments)

    async def settle(self) -> None:
        """Wait until every job sleeps, waits for somebody or has ended."""
        await self._running.settle()

    async def step(self, job: str, count: int = 1) -> None:
        """Let a stepped job do ``count`` more chunks, and wait until it did."""
        await super().step(job, count)
        await self.settle()

    async def advance(self, ms: int) -> None:
        """Move a stepped clock by milliseconds, and wait at each timer for what it sets off."""
        await self._running.advance(ms)

    async def wait_for(self, job: str, status: Status, *, within: float = 10.0) -> None:
        """Wait until ``job`` is in ``status``, or has been."""
        await self._running.wait_for(job, status, within)

    async def wait_until_held(
        self, job: str, before: Status | None = None, *, within: float = 10.0
    ) -> None:
        """Wait until a hold has stopped ``job``."""
        await self._running.wait_until_held(job, before, within)

    async def wait_until_dead(self, *, within: float = 10.0) -> None:
        """Wait until the daemon has died, or has quit."""
        await self._running.wait_until_dead(within)
