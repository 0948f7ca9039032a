"""The levers as commands: ``x-qmpd-…``, which exist only with ``--lab``."""

from __future__ import annotations

import errno as numbers

from qmpd.errors import QmpError
from qmpd.lab.clock import EPOCH, SteppedClock
from qmpd.lab.dice import digits
from qmpd.lab.faults import EVERYWHERE, Fault
from qmpd.lab.levers import Progress
from qmpd.lab.wire import WireFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.lab.levers import Levers
    from qmpd.machine import Machine

MS = 1_000_000


def _levers(machine: Machine) -> Levers:
    if machine.levers is None:
        raise QmpError("The lab is not enabled")
    return machine.levers


def hold(machine: Machine, *, job: str, before: str) -> None:
    """Stop a job before it reaches a state."""
    _levers(machine).hold(job, before)


def release(machine: Machine, *, job: str) -> None:
    """Take the holds on a job back and let it go on."""
    _levers(machine).release(job)


def progress(machine: Machine, *, job: str, mode: str, delay_ms: int = 0) -> None:
    """Say how a job moves from chunk to chunk; one that waited for a step may go on."""
    levers = _levers(machine)
    levers.set_progress(job, Progress(mode, delay_ms * MS))
    found = machine.jobs.jobs.get(job)
    if found is not None:
        found.enter()


def step(machine: Machine, *, job: str, count: int = 1) -> None:
    """Let a job do some chunks."""
    _levers(machine).allow_steps(job, count)
    found = machine.jobs.jobs.get(job)
    if found is not None:
        found.enter()


def deny(machine: Machine, *, path: str, access: str = "write", from_open: int = 1) -> None:
    """Refuse to open an image."""
    policy = machine.storage.policy
    if access == "read":
        policy.deny_read(path, from_open=from_open)
    else:
        policy.deny_write(path, from_open=from_open)


def allow(machine: Machine, *, path: str) -> None:
    """Take back what was refused."""
    machine.storage.policy.allow(path)


def fault(
    machine: Machine,
    *,
    operation: str,
    node: str | None = None,
    path: str | None = None,
    errno: str = "EIO",
    offset: int = 0,
    length: int = EVERYWHERE,
    count: int = 0,
    delay_ms: int = 0,
) -> dict[str, int]:
    """Let I/O fail, or take its time; returns the number to clear it by.

    Raises:
        QmpError: there is no such errno.
    """
    number = 0 if errno == "0" else getattr(numbers, errno, None)
    if not isinstance(number, int):
        raise QmpError(f"Parameter 'errno' does not accept value '{errno}'")
    rule = Fault(
        operation,
        node=node,
        path=path,
        number=number,
        offset=offset,
        length=length,
        count=count,
        delay=delay_ms / 1000,
    )
    return {"id": _levers(machine).faults.add(rule)}


def fault_clear(machine: Machine, *, id: int | None = None) -> None:  # noqa: A002 - wire name
    """Remove one fault, or all."""
    _levers(machine).faults.clear(id)


def die(machine: Machine, *, job: str | None = None, at: str | None = None) -> None:
    """End without a word: at once, or when a job reaches a state."""
    if job is None or at is None:
        machine.scheduler.call_soon(machine.die)
    else:
        _levers(machine).die_at(job, at)


def wire(
    machine: Machine,
    *,
    what: str,
    action: str,
    name: str | None = None,
    count: int = 1,
    delay_ms: int = 0,
) -> None:
    """Tamper with lines to clients."""
    rule = WireFault(what, action, name=name, count=count, delay=delay_ms / 1000)
    _levers(machine).wire.rules.append(rule)


def wire_clear(machine: Machine) -> None:
    """Leave lines alone again."""
    _levers(machine).wire.rules.clear()


def clock(machine: Machine, *, mode: str, start: int | None = None) -> None:
    """Choose the clock."""
    began = EPOCH if start is None else start * 1_000_000_000
    machine.scheduler.clock = SteppedClock(began) if mode == "stepped" else None


def advance(machine: Machine, *, ms: int) -> None:
    """Move the stepped clock.

    Raises:
        QmpError: the clock is the real one.
    """
    stepped = machine.scheduler.clock
    if stepped is None:
        raise QmpError("The clock is not stepped")
    _pump(machine, stepped, stepped.now() + ms * MS)


def _pump(machine: Machine, clock: SteppedClock, target: int) -> None:
    """Go from timer to timer: what one sets off may set the next one."""
    while clock.now() < target:
        due = clock.next_due()
        left = target - clock.now()
        if due is None or due > left:
            if not machine.jobs.quiet:
                break
            clock.advance(left)
            return
        clock.advance(due)
        if not machine.jobs.quiet:
            break
    if clock.now() < target:
        soon = machine.scheduler.call_soon
        # Behind what the worker thread delivers, which may set a timer.
        machine.jobs.when_quiet(lambda: soon(lambda: soon(lambda: _pump(machine, clock, target))))


def seed(machine: Machine, *, seed: int) -> None:
    """Let generated names follow from a number, beginning with the next one."""
    machine.graph.use_digits(digits(seed))


def journal(
    machine: Machine, *, since: int = 0, kinds: list[str] | None = None
) -> list[dict[str, Any]]:
    """What happened."""
    return [
        {"serial": e.serial, "wall": e.wall, "kind": e.kind, "data": e.data}
        for e in _levers(machine).journal.since(since, kinds)
    ]


def jobs(machine: Machine) -> list[dict[str, Any]]:
    """Where every job stands, oldest first."""
    levers = _levers(machine)
    found = []
    for job in machine.jobs.jobs.values():
        info = {"job": job.id, "status": job.status}
        before = levers.stopped_before(job.id)
        if before is not None:
            info["before"] = before
        found.append(info)
    return found


def files(machine: Machine) -> list[dict[str, Any]]:
    """The descriptors of all file nodes, oldest node first."""
    from qmpd.block.drivers.file import FileDriver

    return [
        {
            "node-name": node.name,
            "path": node.driver.path,
            "access": node.driver.access_mode,
            "locks": node.driver.lock_bytes,
        }
        for node in machine.graph.nodes.values()
        if isinstance(node.driver, FileDriver)
    ]
