"""Executes requests: one at a time in the whole process, round-robin over monitors.

A handler is synchronous. What it sets off besides its reply (a job's end, say) happens
before the reply, as QEMU has it since 7.2.9.
"""

from __future__ import annotations

from qmpd.block.driver import warn
from qmpd.commands.registry import commands_of
from qmpd.errors import CommandNotFound, QmpError
from qmpd.schema.visitor import keywords, visit_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from qmpd.commands.registry import Command
    from qmpd.machine import Machine
    from qmpd.protocol.messages import Request

    Done = Callable[[Any, QmpError | None], None]


class Encoded:
    """A reply that is already in wire form; ``fixed`` if it is the same for ever."""

    __slots__ = ("data", "fixed")

    def __init__(self, data: bytes, *, fixed: bool = False) -> None:
        self.data = data
        self.fixed = fixed


class Dispatcher:
    """The one place where commands run."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._profile = machine.profile
        self._visit = visit_arguments if machine.profile is None else machine.profile.visit
        self.commands = commands_of(
            machine.program, lab=machine.levers is not None, profile=machine.profile
        )
        self._running = False
        self._queue: list[tuple[Request, Done]] = []
        self._later: list[Callable[[], None]] = []
        self._afterwards: list[Callable[[], None]] = []
        self._drain_scheduled = False
        self._held: Callable[[], None] | None = None
        self._holding = False

    # --- requests ----------------------------------------------------------------------

    def submit(self, request: Request, done: Done) -> None:
        """Execute ``request`` now or after those before it; ``done`` gets the outcome.

        Behind ``quit`` nothing is executed any more.
        """
        if self.machine.quitting:
            return
        if self._running:
            self._queue.append((request, done))
        else:
            self._start(request, done)

    def _start(self, request: Request, done: Done) -> None:
        self._running = True
        command = self.commands.get(request.command)
        arguments = request.visited
        if command is None or arguments is None or request.oob:
            try:
                command, arguments = self._check(request)
            except QmpError as error:
                self._end(done, None, error)
                return
        jobs = self.machine.jobs
        if command.changes_graph and not jobs.quiet:
            jobs.when_quiet(lambda: self._execute(command, arguments, request, done))
        else:
            self._execute(command, arguments, request, done)

    def _check(self, request: Request) -> tuple[Command, dict[str, Any]]:
        command = self.commands.get(request.command)
        if command is None:
            raise CommandNotFound(f"The command {request.command} has not been found")
        if request.oob and not command.oob:
            raise QmpError(f"The command {request.command} does not support OOB")
        if command.untyped:
            arguments = request.arguments or {}
        else:
            arguments = self._visit(request.command, request.arguments)
        request.visited = arguments
        return command, arguments

    def _execute(
        self, command: Command, arguments: dict[str, Any], request: Request, done: Done
    ) -> None:
        value: Any = None
        failure: QmpError | None = None
        try:
            handler = command.handler or command.load()
            if command.whole:
                value = handler(self.machine, arguments)
            elif arguments:
                value = handler(self.machine, **keywords(request.command, arguments))
            else:
                value = handler(self.machine)
        except QmpError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the daemon
            failure = self._internal(request, error)
        if value is None:
            value = {}
        if self._profile is not None and self._as_of_old(request, value, failure, done):
            return
        if self._later:
            self.drain()
        if self._holding:
            self._held = lambda: self._end(done, value, failure)
            return
        self._end(done, value, failure)

    def _as_of_old(
        self, request: Request, value: Any, failure: QmpError | None, done: Done
    ) -> bool:
        """Make the value that of another QEMU; True if it is sent already, as that one did."""
        profile = self._profile
        if profile is None:
            return False
        if failure is None:
            profile.reply(request.command, value)
        if profile.reply_first:
            self._end_early(done, value, failure)
            return True
        return False

    @staticmethod
    def _internal(request: Request, error: Exception) -> QmpError:
        text = f"{type(error).__name__}: {error}"
        warn(f"internal error in {request.command}: {text}")
        return QmpError(f"Internal error: {text}")

    def hold_reply(self) -> None:
        """Keep the reply of the present command back until :meth:`release_reply`."""
        self._holding = self._running

    def release_reply(self) -> None:
        """Let a reply go that was kept back."""
        self._holding = False
        held, self._held = self._held, None
        if held is not None:
            held()

    def _end(self, done: Done, value: Any, failure: QmpError | None) -> None:
        done(value, failure)  # still running: what the client sends next has to wait
        if self._afterwards or self._later:
            self._follow_up()
        self._running = False
        if self._queue:
            self._next()

    def _end_early(self, done: Done, value: Any, failure: QmpError | None) -> None:
        """Reply before what the command has set off, as QEMU did before 7.2.9."""
        done(value, failure)  # still running: what the client sends next has to wait
        self.drain()
        self._running = False
        self._follow_up()
        self._next()

    def _next(self) -> None:
        if self._queue and not self._running and not self.machine.quitting:
            request, following = self._queue.pop(0)
            self._start(request, following)

    # --- what comes after --------------------------------------------------------------

    def later(self, action: Callable[[], None]) -> None:
        """Do ``action`` when the present command is over, before its reply; else soon."""
        self._later.append(action)
        if (self._holding or not self._running) and not self._drain_scheduled:
            self._drain_scheduled = True
            self.machine.scheduler.call_soon(self.drain)

    def afterwards(self, action: Callable[[], None]) -> None:
        """Do ``action`` behind the reply to the present command; soon if none is due."""
        if self._running and not self._holding:
            self._afterwards.append(action)
        else:
            self.machine.scheduler.call_soon(action)

    def _follow_up(self) -> None:
        while self._afterwards or self._later:
            actions, self._afterwards = self._afterwards, []
            for action in actions:
                action()
            self.drain()

    def drain(self) -> None:
        """Do everything that was put off, and what that puts off."""
        self._drain_scheduled = False
        while self._later:
            action = self._later.pop(0)
            try:
                action()
            except Exception as error:  # noqa: BLE001 - a fault of ours must not end the daemon
                warn(f"internal error: {type(error).__name__}: {error}")
