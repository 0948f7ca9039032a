"""A machine in an event loop, with the levers in reach: what two kinds of daemon share."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Any

from qmpd.block.opening import add_node
from qmpd.commands.devices import Names, plug
from qmpd.lab.clock import SteppedClock
from qmpd.lab.dice import digits
from qmpd.machine import Machine
from qmpd.monitor.chardev import Chardev, SocketServer
from qmpd.options import known
from qmpd.options.argv import CommandLine
from qmpd.protocol.messages import Request
from qmpd.serve import attach
from qmpd.storage.host import HostStorage
from qmpd.storage.memory import MemoryStorage
from qmpd.storage.policy import AccessPolicy
from qmpd.testing.expect import tail
from qmpd.testing.images import make_chain
from qmpd.testing.inbox import CommandError, DaemonGoneError
from qmpd.testing.mortal import Death, MortalLoop, survive
from qmpd.testing.pulls import has_reached
from qmpd.testing.settings import Folders, complete, node_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qmpd.errors import QmpError
    from qmpd.lab.journal import Entry
    from qmpd.lab.levers import Levers
    from qmpd.testing.images import Chain, Extents, Size
    from qmpd.testing.settings import Settings

MS = 1_000_000
PATIENCE = 0.05
"""Seconds between looks at whether a busy machine is still alive."""
FOLDER_IN_RAM = "/images"


class _Pair(Chardev):
    """One end of a socket pair: a monitor that nobody else can connect to."""

    def __init__(self, end: socket.socket) -> None:
        super().__init__()
        fd = end.detach()
        self._client = (fd, fd)


class Core:
    """The machine, its socket, and its journal. Everything here happens on its loop.

    Attributes:
        path: the socket for the client under test.
        control: the connected other end of the private monitor.
        dead: whether the machine was killed by a lever, or quit.
    """

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        settings = complete(settings)
        self.loop = loop
        self._mortal = MortalLoop(loop)
        self.dead = False
        self._pulls: set[asyncio.Future[Any]] = set()
        self.memory = MemoryStorage(AccessPolicy()) if settings["storage"] == "memory" else None
        self.machine = _make_machine(settings, self.memory)
        self._folders = Folders(settings)
        self.path = os.path.join(self._folders.socket, "qmp.sock")
        self.control, far = socket.socketpair()
        try:
            self._set_up(settings, far)
        except BaseException:
            far.close()
            self.control.close()
            self.close()
            raise

    def _set_up(self, settings: Settings, far: socket.socket) -> None:
        machine = self.machine
        machine.on_death = self._died
        machine.on_quit = self._quit
        if settings["clock"] == "stepped":
            machine.scheduler.clock = SteppedClock()
        _define(machine, CommandLine(node_words(settings)))
        listening = SocketServer(path=self.path)
        machine.add_monitor(_Pair(far)).private = True  # the first: its client is number 1
        machine.add_monitor(listening)
        attach(machine, self._mortal)  # type: ignore[arg-type]  # has all that is used

    @property
    def levers(self) -> Levers:
        """The machine's levers."""
        levers = self.machine.levers
        if levers is None:
            raise RuntimeError("the machine has no lab")
        return levers

    def entries(self) -> list[Entry]:
        """The journal so far."""
        return list(self.levers.journal.entries)

    def jobs(self) -> list[tuple[str, str]]:
        """The jobs that are there, each with its state."""
        if self.dead:
            return []
        return [(job.id, job.status) for job in self.machine.jobs.jobs.values()]

    async def look(self) -> tuple[list[Entry], list[tuple[str, str]]]:
        """The journal and the jobs, for other threads."""
        return self.entries(), self.jobs()

    def _died(self) -> None:
        self._end("died")
        raise Death

    def _end(self, how: str) -> None:
        self.dead = True
        self.levers.journal.add("lever", action=how)
        for future in self._pulls:
            if not future.done():
                future.set_exception(DaemonGoneError(f"the daemon has {how}"))

    def _quit(self) -> None:
        for monitor in self.machine.monitors:
            if monitor.connection is not None:
                monitor.connection.flush()
        self._end("quit")
        self.machine.close()

    # --- levers ------------------------------------------------------------------------

    async def pull(self, command: str, arguments: dict[str, Any]) -> Any:
        """Execute a command past all monitors.

        Raises:
            CommandError: it failed.
        """
        if self.dead:
            raise DaemonGoneError("the daemon is dead")
        future: asyncio.Future[Any] = self.loop.create_future()
        self._pulls.add(future)
        future.add_done_callback(self._pulls.discard)

        def done(value: Any, error: QmpError | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(value)
            else:
                said = {"class": error.error_class, "desc": error.desc}
                future.set_exception(CommandError(command, said))

        self.levers.note_pull(command, arguments)
        survive(self.machine.dispatcher.submit, Request(command, arguments), done)
        return await future

    async def settle(self) -> None:
        """Wait until no job has work under way: all either sleep, wait or have ended."""
        while not self.dead:
            await asyncio.sleep(0)
            if not self.machine.jobs.quiet:
                rest: asyncio.Future[None] = self.loop.create_future()
                self.machine.jobs.when_quiet(lambda rest=rest: rest.set_result(None))  # type: ignore[misc]  # bound at once
                await asyncio.wait([rest], timeout=PATIENCE)  # a dead machine tells nobody
            elif not self._mortal.busy:
                return

    async def advance(self, ms: int) -> None:
        """Move the stepped clock from timer to timer, and let the machine rest at each.

        Raises:
            CommandError: the clock is the real one.
        """
        await self.settle()
        await self.pull("x-qmpd-advance", {"ms": 0})  # complains of a real clock
        left = ms * MS
        while (clock := self.machine.scheduler.clock) is not None:
            due = clock.next_due()
            step = left if due is None else min(due, left)
            survive(clock.advance, step)
            left -= step
            await self.settle()
            if not left or self.dead:
                return

    # --- waiting -----------------------------------------------------------------------

    async def wait_for(self, job: str, status: str, within: float) -> None:
        """Wait until a job is, or has been, in a state."""
        await self._wait(
            lambda: has_reached(self.entries(), job, status), f"job {job!r} is not {status}", within
        )

    async def wait_until_held(self, job: str, before: str | None, within: float) -> None:
        """Wait until a lever has stopped a job."""

        def held() -> bool:
            status = self.levers.stopped_before(job)
            return status is not None and before in (None, status)

        await self._wait(held, f"job {job!r} is not held", within)

    async def wait_until_dead(self, within: float) -> None:
        """Wait until a lever has killed the machine."""
        await self._wait(lambda: self.dead, "the daemon is not dead", within)

    async def _wait(self, found: Callable[[], bool], complaint: str, within: float) -> None:
        changed = asyncio.Event()

        def tell(_entry: Entry) -> None:
            self.loop.call_soon_threadsafe(changed.set)

        listeners = self.levers.journal.listeners
        listeners.append(tell)
        try:
            async with asyncio.timeout(within):
                while not found():
                    if self.dead:
                        raise DaemonGoneError(f"{complaint}, and the daemon is dead")
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            text = f"{complaint} after {within} s\n{tail(self.entries())}"
            raise TimeoutError(text) from None
        finally:
            listeners.remove(tell)

    # --- images ------------------------------------------------------------------------

    async def chain(
        self,
        names: Sequence[str],
        size: Size,
        data: Mapping[str, Extents] | None,
        *,
        define: bool,
    ) -> Chain:
        """Make images, and define their nodes."""
        folder = self._folders.images if self.memory is None else FOLDER_IN_RAM
        chain = make_chain(self.memory, folder, names, size, data)
        if define:
            for definition in chain.definitions:
                await self.pull("blockdev-add", definition)
        return chain

    # --- the end -----------------------------------------------------------------------

    def close(self) -> None:
        """Close everything that the machine has; images on disk are written back."""
        self.levers.faults.clear()  # or what is written back at the end would meet them
        self.machine.close()
        self.machine.scheduler.close()  # a dead machine has left its worker behind
        self._folders.remove()


def _make_machine(settings: Settings, memory: MemoryStorage | None) -> Machine:
    played: dict[str, Any] = {}
    if settings["profile"] is not None:
        played["profile"] = settings["profile"]
    return Machine(
        program=settings["program"],
        storage=memory or HostStorage(AccessPolicy()),
        digits=digits(settings["seed"]),
        lab=True,
        **played,
    )


def _define(machine: Machine, line: CommandLine) -> None:
    names = Names()
    for option in line:
        if option.kind == known.BLOCKDEV:
            add_node(machine.graph, option.value)
        elif option.kind == known.DEVICE:
            plug(machine, names, option.value)
