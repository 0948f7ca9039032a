"""Make the n-th occurrence of something fail, once, for every n there is."""

from __future__ import annotations

import errno
import os

from qmpd.block.driver import Driver
from qmpd.block.drivers.file import FileDriver
from qmpd.errors import QmpError
from qmpd.storage import locks
from tests.machine.snapshot import check, snapshot
from tests.machine.world import Refused


class Fault:
    """Counts calls of one function; the one at ``position`` fails."""

    def __init__(self, monkeypatch, position):
        self.position = position
        self.calls = 0
        self.armed = False
        self.fired = False
        self._monkeypatch = monkeypatch

    def due(self):
        if not self.armed:
            return False
        self.calls += 1
        if self.calls - 1 == self.position:
            self.fired = True
            return True
        return False

    def before(self, owner, name, error):
        """Raise ``error()`` instead of calling."""
        real = getattr(owner, name)

        def wrapper(*arguments, **keywords):
            if self.due():
                raise error()
            return real(*arguments, **keywords)

        self._monkeypatch.setattr(owner, name, wrapper)

    def instead(self, owner, name, result):
        """Return ``result`` instead of calling."""
        real = getattr(owner, name)

        def wrapper(*arguments, **keywords):
            return result if self.due() else real(*arguments, **keywords)

        self._monkeypatch.setattr(owner, name, wrapper)


def _open(fault, world):
    def hook(_path, _flags):
        if fault.due():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    world.policy.hooks.append(hook)


def _check(fault, _world):
    for kind in (Driver, FileDriver):
        fault.before(kind, "check_permissions", lambda: QmpError("no such permission"))


def _after_check(fault, _world):
    """The check succeeds, with what it has opened and locked, and then something fails."""
    for kind in (Driver, FileDriver):
        real = kind.check_permissions

        def wrapper(*arguments, real=real):
            real(*arguments)
            if fault.due():
                raise QmpError("too late")

        fault._monkeypatch.setattr(kind, "check_permissions", wrapper)


def _take(fault, _world):
    fault.before(locks, "take", lambda: locks.LockError(errno.EAGAIN, "try again", 101))


def _conflict(fault, _world):
    fault.instead(locks, "conflict", ("used", 1))


def _flush(fault, _world):
    fault.before(FileDriver, "flush", lambda: OSError(errno.EIO, os.strerror(errno.EIO)))


def _read(fault, _world):
    fault.before(FileDriver, "pread", lambda: OSError(errno.EIO, os.strerror(errno.EIO)))


KINDS = {
    "open": _open,
    "check": _check,
    "after-check": _after_check,
    "take-lock": _take,
    "lock-conflict": _conflict,
    "flush": _flush,
    "read": _read,
}


def fail_everywhere(monkeypatch, kind, build, operation, *, least):
    """Let ``operation`` fail at each of its steps of one kind, on a new world each time.

    Every failure leaves the machine as it was; ``least`` failures must have been seen.
    """
    failures = 0
    for position in range(1000):
        with monkeypatch.context() as patch:
            fault = Fault(patch, position)
            world = build()
            KINDS[kind](fault, world)
            before = snapshot(world.machine)
            fault.armed = True
            failed = None
            try:
                operation(world)
            except (QmpError, Refused) as error:
                failed = error
            fault.armed = False
            if failed is not None:
                assert fault.fired, failed
                assert not str(failed).startswith("Internal error"), failed
                failures += 1
                assert snapshot(world.machine) == before, f"{kind} {position}: {failed}"
                check(world.machine)
            world.close()
        if not fault.fired:
            break
    else:
        raise AssertionError("it never succeeds")
    assert failures >= least
