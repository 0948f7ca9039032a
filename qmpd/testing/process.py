"""A daemon as a process, as a client meets it in the field."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from qmpd.testing.client import Client
from qmpd.testing.expect import ExpectationError, Expecting, tail
from qmpd.testing.images import make_chain
from qmpd.testing.inbox import CommandError, DaemonGoneError
from qmpd.testing.levers import Levers
from qmpd.testing.pulls import has_reached
from qmpd.testing.settings import Folders, complete, node_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Unpack

    from qmpd.testing.images import Chain, Extents, Size
    from qmpd.testing.pulls import Status
    from qmpd.testing.settings import Settings

PAUSE = 0.002
"""Seconds between questions while waiting."""
MERCY = 5.0
"""Seconds that the process has to end by itself."""

SCENARIO = """\
[[lever]]
command = "x-qmpd-seed"
arguments = {{ seed = {seed} }}

[[lever]]
command = "x-qmpd-clock"
arguments = {{ mode = "{clock}" }}
"""


class StartError(Exception):
    """The process ended instead of greeting; ``str()`` is what it said."""


class QmpdProcess(Levers, Expecting):
    """A daemon as a process: ``with QmpdProcess() as qmpd``.

    The settings are those of :class:`~qmpd.testing.settings.Settings`; images in ``memory``
    are files on a file system in RAM, so that other programs can look at them.

    Attributes:
        path: the socket for the client under test.
        client: the test's own client, on a second monitor, over which levers are pulled too.
        process: the process.
    """

    def __init__(self, **settings: Unpack[Settings]) -> None:
        super().__init__()
        self._settings = complete(settings)
        self._folders: Folders | None = None
        self.path = ""
        self.client: Client
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        """Start.

        Raises:
            StartError: the daemon would not start.
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

    # --- life --------------------------------------------------------------------------

    def start(self) -> None:
        """Start the daemon; ``with`` does this."""
        folders = self._folders = Folders(self._settings)
        self.path = os.path.join(folders.socket, "qmp.sock")
        control = os.path.join(folders.socket, "control.sock")
        listeners = [_listen(path) for path in (control, self.path)]
        try:
            with open(self._error_path, "wb") as said:
                self.process = subprocess.Popen(  # noqa: S603 - our own program
                    self._words([listener.fileno() for listener in listeners]),
                    pass_fds=[listener.fileno() for listener in listeners],
                    stdin=subprocess.DEVNULL,
                    stderr=said,
                )
        finally:
            for listener in listeners:
                listener.close()
        try:
            self._greet(control)
        except BaseException:
            self._end()
            raise

    @property
    def _place(self) -> Folders:
        if self._folders is None:
            raise RuntimeError("the daemon does not run")
        return self._folders

    @property
    def _error_path(self) -> str:
        return os.path.join(self._place.socket, "stderr")

    def _words(self, fds: list[int]) -> list[str]:
        words = [sys.executable, "-m", "qmpd", "--lab", "--scenario", self._write_scenario()]
        words += node_words(self._settings)
        if self._settings["profile"] is not None:
            words += ["--profile", self._settings["profile"]]
        daemon = self._settings["program"] == "storage-daemon"
        for number, fd in enumerate(fds):
            words += ["--chardev", f"socket,id=c{number},fd={fd},server=on,wait=off"]
            words += ["--monitor" if daemon else "--mon", f"chardev=c{number},mode=control"]
        return words

    def _write_scenario(self) -> str:
        """What is to be set before the first node is there."""
        path = os.path.join(self._place.socket, "scenario.toml")
        with open(path, "w", encoding="ascii") as file:
            file.write(SCENARIO.format(**self._settings))
        return path

    def _greet(self, control: str) -> None:
        try:
            self.client = Client(control)
        except (DaemonGoneError, ConnectionRefusedError):
            self.process.wait()
            raise StartError(self.stderr.strip()) from None
        self.jobs()  # from now on the journal knows that this connection is the test's own

    @property
    def stderr(self) -> str:
        """What the process has said on standard error."""
        with open(self._error_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    @property
    def dead(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    def close(self) -> None:
        """End the daemon; ``with`` does this."""
        if self._folders is None:
            return
        try:
            if not self.dead:
                self._let_go()
        finally:
            self.client.close()
            self._end()

    def _let_go(self) -> None:
        """Take back what would keep the daemon from ending."""
        try:
            self.pull("x-qmpd-clock", {"mode": "real"})
            self.clear_fault()
            for state in self.jobs():
                self.release(state.job)
                self.progress(state.job, "immediate")
            self.process.terminate()
        except (ConnectionError, TimeoutError, CommandError):
            self.process.kill()

    def _end(self) -> None:
        try:
            self.process.wait(MERCY)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        if self._folders is not None:
            self._folders.remove()
            self._folders = None

    # --- use ---------------------------------------------------------------------------

    def verify(self) -> None:
        """Check the expectations so far, and that no job was left behind.

        Raises:
            ExpectationError: says what differs, or that the daemon has taken its journal along.
        """
        __tracebackhide__ = True
        try:
            if not self.dead:
                self.check(self.journal(), [(state.job, state.status) for state in self.jobs()])
                return
        except DaemonGoneError:
            pass  # it was just about to end
        if self.has_expectations:
            raise ExpectationError(
                "the daemon has ended and has taken its journal along: call verify() before"
            )

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
        chain = make_chain(None, self._place.images, names, size, data)
        if define:
            for definition in chain.definitions:
                self.pull("blockdev-add", definition)
        return chain

    def pull(self, command: str, arguments: dict[str, Any]) -> Any:
        """Execute a command on the test's own monitor."""
        return self.client.execute(command, arguments)

    # --- waiting -----------------------------------------------------------------------

    def wait_for(self, job: str, status: Status, *, within: float = 10.0) -> None:
        """Wait until ``job`` is in ``status``, or has been."""

        def found() -> bool:
            return has_reached(self.journal(kinds=["transition"]), job, status)

        self._wait(found, f"job {job!r} is not {status}", within)

    def wait_until_held(
        self, job: str, before: Status | None = None, *, within: float = 10.0
    ) -> None:
        """Wait until a hold has stopped ``job``."""

        def found() -> bool:
            held = [state.before for state in self.jobs() if state.job == job]
            return held != [] and held[0] is not None and before in (None, held[0])

        self._wait(found, f"job {job!r} is not held", within)

    def wait_until_dead(self, *, within: float = 10.0) -> None:
        """Wait until the process has ended.

        Raises:
            TimeoutError: it took more than ``within`` seconds.
        """
        try:
            self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"the daemon is not dead after {within} s") from None

    def _wait(self, found: Callable[[], bool], complaint: str, within: float) -> None:
        deadline = time.monotonic() + within
        while not found():
            if time.monotonic() > deadline:
                text = f"{complaint} after {within} s\n{tail(self.journal())}"
                raise TimeoutError(text)
            time.sleep(PAUSE)


def _listen(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(1)
    return listener
