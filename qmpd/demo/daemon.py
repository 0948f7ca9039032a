"""A qmpd of the report's command line as a child process, as libvirt would start it."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from qmpd.demo import report

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 10.0
"""Seconds that the child may take to end once it has been told to."""

_REST = 1.0
"""Seconds between a child's last byte and its end."""


class DaemonError(RuntimeError):
    """The child could not be started, or ended too early; the text is for people."""


@contextmanager
def _placed_at(number: int, fd: int) -> Iterator[None]:
    """Put ``fd`` at ``number`` for children to inherit; what was there before comes back."""
    try:
        occupant = os.dup(number)
    except OSError:
        occupant = None
    os.dup2(fd, number, inheritable=True)
    try:
        yield
    finally:
        if occupant is None:
            os.close(number)
        else:
            os.dup2(occupant, number, inheritable=False)
            os.close(occupant)


def _is_left_behind(path: Path) -> bool:
    """Whether there is a socket that nobody listens on any more."""
    if not path.is_socket():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)  # a full backlog is somebody who listens
        return probe.connect_ex(str(path)) == errno.ECONNREFUSED


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_left_behind(path):
            path.unlink()
        listener.bind(str(path))
        listener.listen(1)
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise DaemonError(f"cannot listen on {path}: {reason}") from error
    return listener


class Daemon:
    """The child process; leaving its ``with`` block ends it.

    Args:
        path: where to listen; a temporary place by default.

    Raises:
        DaemonError: nobody can listen there.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._stack = ExitStack()
        with ExitStack() as undo:
            undo.callback(self._stack.close)
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="qmpd-")))
            self.path = path or folder / "monitor.sock"
            self._log = folder / "stderr"
            scenario = folder / "report.toml"
            scenario.write_text(report.SCENARIO)
            self._child = self._spawn(scenario)
            undo.pop_all()

    def _spawn(self, scenario: Path) -> subprocess.Popen[bytes]:
        words = [*report.arguments(), "--storage", "memory", "--scenario", str(scenario)]
        # The listener is closed here once the child has it: if the child dies, a client
        # that is still waiting for its greeting learns of it.
        with (
            _listen(self.path) as listener,
            self._log.open("wb") as log,
            _placed_at(report.DESCRIPTOR, listener.fileno()),
        ):
            self._stack.callback(self.path.unlink, missing_ok=True)
            return subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "qmpd", *words],
                stdin=subprocess.DEVNULL,
                stderr=log,
                pass_fds=(report.DESCRIPTOR,),
                start_new_session=True,  # Ctrl-C is for the parent, which tells the child
            )

    def __enter__(self) -> Self:
        """Return the daemon."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the child and remove its files."""
        try:
            if self._child.poll() is None:
                self._child.terminate()
                try:
                    self._child.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    self._child.kill()
                    self._child.wait()
        finally:
            self._stack.close()

    @property
    def pid(self) -> int:
        """The child's process number."""
        return self._child.pid

    def wait(self, seconds: float | None = None) -> int:
        """Return the child's exit status once it has ended, at most ``seconds`` from now.

        Raises:
            DaemonError: it has not.
        """
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise DaemonError(f"qmpd (pid {self.pid}) did not end in {seconds} s") from error

    def last_words(self) -> str:
        """Return how the child ended, as the rest of a sentence; nothing if it runs."""
        try:
            status = self._child.wait(_REST)
        except subprocess.TimeoutExpired:
            return ""
        lines = self._log.read_text(errors="replace").splitlines()
        return f"; it ended with status {status}: {lines[-1] if lines else 'no word of why'}"
