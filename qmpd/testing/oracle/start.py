"""Start one side of a comparison: a real QEMU program, or qmpd playing it.

Both sides get the same command line, in a working directory of their own, and a
monitor on a Unix socket in a control directory beside it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from qmpd.testing.oracle.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

PATIENCE = 30.0
"""Seconds that a server may take to start, to answer or to leave before it counts as stuck."""

_POLL = 0.004
_REMIND = 0.2
_REMINDERS = 50
_SETTLE = 0.015
_MONITORS = ("qmp", "qmp2", "qmp3")


class Side(StrEnum):
    """Who answers: the original or the double. Both words are equally long, so paths are too."""

    REAL = "real"
    QMPD = "qmpd"


class Program(StrEnum):
    """Which QEMU program is started, or played."""

    STORAGE_DAEMON = "qemu-storage-daemon"
    SYSTEM = "qemu-system-x86_64"

    @property
    def blockdev_option(self) -> str:
        """The spelling of the option that defines a node; it stands in error messages."""
        return "--blockdev" if self is Program.STORAGE_DAEMON else "-blockdev"


class StartError(RuntimeError):
    """A server ended instead of greeting.

    Attributes:
        status: its exit status; negative for a signal, as in `subprocess`.
        stderr: what it wrote to standard error.
    """

    def __init__(self, status: int, stderr: str) -> None:
        """Carry how it ended."""
        super().__init__(f"the server ended with status {status}: {stderr.strip()}")
        self.status = status
        self.stderr = stderr


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program that was not meant to stay has ended."""

    status: int
    stderr: str

    @property
    def last_line(self) -> str:
        """The last line of standard error, with ``PROG`` for the program's name."""
        lines = self.stderr.splitlines()
        return without_program_name(lines[-1]) if lines else ""


def without_program_name(line: str) -> str:
    """Replace the name before the first colon of an error message by ``PROG``."""
    _, colon, rest = line.partition(": ")
    return f"PROG{colon}{rest}"


def program_command(side: Side, program: Program) -> list[str]:
    """Return the words that start `program` on `side`, before its arguments."""
    if side is Side.REAL:
        return [program.value]
    return [sys.executable, "-m", "qmpd"]


def real_is_installed() -> bool:
    """Whether all real programs that the oracle needs can be found."""
    return all(shutil.which(name) for name in (*Program, "qemu-img", "qemu-io"))


def _system_arguments(program: Program) -> list[str]:
    if program is Program.STORAGE_DAEMON:
        return []
    # A board with PCI for the disks, no CPU ever started, no KVM needed.
    return ["-machine", "pc", "-accel", "tcg", "-m", "16", "-nodefaults", "-display", "none", "-S"]


def _monitor_arguments(program: Program, control: Path, monitors: int) -> list[str]:
    dashes, monitor = ("--", "--monitor") if program is Program.STORAGE_DAEMON else ("-", "-mon")
    mode = "" if program is Program.STORAGE_DAEMON else ",mode=control"
    words: list[str] = []
    for name in _MONITORS[:monitors]:
        path = control / f"{name}.sock"
        words += [f"{dashes}chardev", f"socket,id={name},path={path},server=on,wait=off"]
        words += [monitor, f"chardev={name}{mode}"]
    return words


def _writes_pid_file(side: Side, program: Program) -> bool:
    return side is Side.REAL and program is Program.STORAGE_DAEMON


def _try_to_connect(path: Path, connections: list[Connection]) -> bool:
    try:
        connections.append(Connection(path))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    return True


def _weakened(command: list[str], unprivileged: bool) -> list[str]:
    # The superuser opens every file for writing; without its capabilities it obeys the file mode.
    # setpriv replaces itself by the program, so the process id stays the one that was started.
    if unprivileged and os.geteuid() == 0:
        return ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--", *command]
    return command


class Process:
    """A running server and its control directory (sockets, standard error).

    Args:
        side: who is started.
        program: what is started or played.
        directory: the working directory, where the images are.
        control: a directory for the sockets and the output; must exist.
        arguments: command-line words beyond the monitor's, such as ``-blockdev``.
        monitors: how many monitors the server gets (1 to 3).
        unprivileged: whether file modes bind the server even if the tests run as root.

    Raises:
        StartError: it ended before its first monitor answered.
    """

    def __init__(
        self,
        side: Side,
        program: Program,
        directory: Path,
        control: Path,
        arguments: Sequence[str] = (),
        *,
        monitors: int = 1,
        unprivileged: bool = False,
    ) -> None:
        """Start the process; `connect` waits until it listens."""
        self.control = control
        # qemu-storage-daemon 7.2 greets twice or hangs if a client comes while the monitor's
        # own thread is being set up; the pid file tells when that is about to be over.
        self._pid_file = control / "pid" if _writes_pid_file(side, program) else None
        command = _weakened(
            [
                *program_command(side, program),
                *_system_arguments(program),
                *_monitor_arguments(program, control, monitors),
                *(["--pidfile", str(self._pid_file)] if self._pid_file else []),
                *arguments,
            ],
            unprivileged,
        )
        with (control / "stderr").open("wb") as err, (control / "stdout").open("wb") as out:
            self._popen = subprocess.Popen(  # noqa: S603 - the programs under test
                command, cwd=directory, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    @property
    def pid(self) -> int:
        """The process id of the server itself."""
        return self._popen.pid

    @property
    def stderr(self) -> str:
        """What the server has written to standard error so far."""
        return (self.control / "stderr").read_text(errors="backslashreplace")

    def connect(self, monitor: int = 0) -> Connection:
        """Open a connection to one of the monitors, waiting until the server listens.

        Raises:
            StartError: the server ended meanwhile.
            TimeoutError: it neither ended nor listened in `PATIENCE` seconds.
        """
        path = self.control / f"{_MONITORS[monitor]}.sock"
        if self._pid_file:
            self._wait_until(self._pid_file.exists)
            time.sleep(_SETTLE)
            self._pid_file = None  # once is enough
        connections: list[Connection] = []
        self._wait_until(lambda: _try_to_connect(path, connections))
        return connections[0]

    def _wait_until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            self.check_alive()
            if time.monotonic() > deadline:
                self.stop()
                raise TimeoutError(f"the server did not start: {self.stderr}")
            time.sleep(_POLL)

    def check_alive(self) -> None:
        """Raise `StartError` with the status and standard error if the server has ended."""
        status = self._popen.poll()
        if status is not None:
            raise StartError(status, self.stderr)

    def ended(self) -> int:
        """Wait until the server has left by itself and return its exit status.

        Raises:
            TimeoutError: it is still there after `PATIENCE` seconds; it is killed.
        """
        try:
            return self._popen.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
            raise TimeoutError(f"the server did not leave: {self.stderr}") from None

    def stop(self) -> int:
        """Ask the server to leave (SIGTERM), kill it if it does not; return its exit status.

        The signal is repeated: qemu-storage-daemon 7.2 notes it and goes on sleeping if it
        comes between the look at the note and the sleep.
        """
        for _ in range(_REMINDERS):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.terminate()
                return self._popen.wait(_REMIND)
        self._popen.kill()
        return self._popen.wait()


def run_to_end(
    side: Side,
    program: Program,
    arguments: Sequence[str],
    directory: Path,
) -> Ended:
    """Run a program that is expected to end by itself, such as one with a bad command line.

    Args:
        side: who is started.
        program: what is started or played.
        arguments: all its command-line words.
        directory: its working directory.

    Raises:
        TimeoutError: it was still running after `PATIENCE` seconds (and was killed).
    """
    command = [*program_command(side, program), *_system_arguments(program), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - the programs under test
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"still running: {' '.join(command)}") from None
    return Ended(done.returncode, done.stderr.decode(errors="backslashreplace"))
