"""A started server as a test author sees it: requests, events, graph, descriptors."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Self

from qmpd.testing.oracle import graph
from qmpd.testing.oracle.descriptors import Descriptor, descriptors
from qmpd.testing.oracle.start import PATIENCE, Process, Program, Side, StartError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from qmpd.testing.oracle.connection import Connection

_POLL = 0.01
_PLACEHOLDER = "{dir}"


class CommandError(Exception):
    """A command was refused.

    Attributes:
        error_class: the ``class`` member of the reply.
        desc: the ``desc`` member.
    """

    def __init__(self, error_class: str, desc: str) -> None:
        """Carry what the reply said."""
        super().__init__(f"{error_class}: {desc}")
        self.error_class = error_class
        self.desc = desc


class ServerGoneError(RuntimeError):
    """The server closed the connection; the text has its standard error."""


def call(name: str, /, **arguments: Any) -> dict[str, Any]:
    """Return a request; ``_`` in argument names stands for ``-``.

    ``call("block-commit", job_id="j", device="f2")`` is
    ``{"execute": "block-commit", "arguments": {"job-id": "j", "device": "f2"}}``.
    """
    request: dict[str, Any] = {"execute": name}
    if arguments:
        request["arguments"] = {key.replace("_", "-"): value for key, value in arguments.items()}
    return request


class Server:
    """A real QEMU program or qmpd, running, with one connection in command mode.

    Use it as a context manager: at the end the process is ended by its id and every
    descriptor is closed. In requests the text ``{dir}`` stands for the server's directory.

    Args:
        side: who is started.
        directory: working directory of the server: the images.
        control: an existing directory for sockets and output.
        arguments: command-line words beyond the monitor's.
        program: what is started or played.
        monitors: how many monitors to configure.
        negotiate: whether to leave negotiation mode at once.
        unprivileged: whether file modes bind the server even for the superuser.

    Raises:
        StartError: the server ended instead of greeting.
    """

    def __init__(
        self,
        side: Side,
        directory: Path,
        control: Path,
        arguments: Sequence[str] = (),
        *,
        program: Program = Program.STORAGE_DAEMON,
        monitors: int = 1,
        negotiate: bool = True,
        unprivileged: bool = False,
    ) -> None:
        """Start the process, read the greeting, negotiate."""
        self.side = side
        self.program = program
        self.dir = directory
        self.events: list[dict[str, Any]] = []
        """Every event so far, oldest first, also those that a wait has gone past."""
        self._waited = 0
        self._connections: list[Connection] = []
        self._process = Process(
            side,
            program,
            directory,
            control,
            [word.replace(_PLACEHOLDER, str(directory)) for word in arguments],
            monitors=monitors,
            unprivileged=unprivileged,
        )
        try:
            self._start(negotiate)
        except BaseException:
            self.close()
            raise

    def _start(self, negotiate: bool) -> None:
        self.connection = self.connect()
        line = self.connection.read_line(PATIENCE)
        if line is None:
            raise StartError(self._process.ended(), self.stderr)
        self.greeting = line
        """The greeting of the first connection, as it came."""
        if negotiate:
            self.execute("qmp_capabilities")

    def __enter__(self) -> Self:
        """Return itself, already started."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """End the server."""
        self.close()

    def close(self) -> int:
        """End the process, close all connections, return the exit status; may be repeated."""
        for connection in self._connections:
            connection.close()
        return self._process.stop()

    def ended(self) -> int:
        """Wait until the server has left by itself (``quit``); return its exit status."""
        return self._process.ended()

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return self._process.pid

    @property
    def stderr(self) -> str:
        """What the server has written to standard error so far."""
        return self._process.stderr

    # -- lines ---------------------------------------------------------------------------

    def connect(self, monitor: int = 0) -> Connection:
        """Open one more connection to a monitor; nothing is read or sent on it."""
        connection = self._process.connect(monitor)
        self._connections.append(connection)
        return connection

    def reconnect(self) -> bytes:
        """Drop the connection, open a new one, negotiate; return the new greeting."""
        self.connection.close()
        self.connection = self.connect()
        greeting = self.read_line()
        self.execute("qmp_capabilities")
        return greeting

    def encode(self, request: Mapping[str, Any] | bytes) -> bytes:
        """Return the bytes of a request, ``{dir}`` filled in."""
        data = request if isinstance(request, bytes) else json.dumps(request).encode() + b"\n"
        return data.replace(_PLACEHOLDER.encode(), bytes(self.dir))

    def send(self, request: Mapping[str, Any] | bytes) -> None:
        """Send a request, or bytes, without waiting for anything."""
        try:
            self.connection.send(self.encode(request))
        except BrokenPipeError:
            raise ServerGoneError(self._obituary()) from None

    def read_line(self, timeout: float = PATIENCE) -> bytes:
        """Return the next line as it came, noting it in `events` if it is one.

        Args:
            timeout: seconds to wait.

        Raises:
            ServerGoneError: the server has closed the connection.
            TimeoutError: no whole line came in time.
        """
        line = self.connection.read_line(timeout)
        if line is None:
            raise ServerGoneError(self._obituary())
        if is_event(line):
            self.events.append(json.loads(line))
        return line

    def lines_until_reply(self) -> list[bytes]:
        """Return all lines up to and including the next one that is not an event."""
        lines = [self.read_line()]
        while is_event(lines[-1]):
            lines.append(self.read_line())
        return lines

    def _obituary(self) -> str:
        return f"{self.side} closed the connection; standard error: {self.stderr.strip()!r}"

    # -- requests ------------------------------------------------------------------------

    def request(self, request: Mapping[str, Any] | bytes) -> dict[str, Any]:
        """Send a request and return the whole reply message, error or not."""
        self.send(request)
        reply: dict[str, Any] = json.loads(self.lines_until_reply()[-1])
        return reply

    def execute(self, name: str, /, **arguments: Any) -> Any:
        """Run a command (see `call`) and return the ``return`` member of its reply.

        Raises:
            CommandError: the reply is an error.
        """
        return self._value(call(name, **arguments))

    def run(self, requests: Iterable[Mapping[str, Any]]) -> None:
        """Run requests that all have to succeed, such as the definitions of a chain.

        Raises:
            CommandError: one was refused.
        """
        for request in requests:
            self._value(request)

    def _value(self, request: Mapping[str, Any]) -> Any:
        reply = self.request(request)
        if "error" in reply:
            raise CommandError(reply["error"]["class"], reply["error"]["desc"])
        return reply["return"]

    def refusal(self, name: str, /, **arguments: Any) -> str:
        """Run a command that must fail and return the ``desc`` of its GenericError.

        Raises:
            AssertionError: it succeeded, or failed with another class.
        """
        error_class, desc = self.error(name, **arguments)
        if error_class != "GenericError":
            raise AssertionError(f"{error_class} in the place of GenericError: {desc}")
        return desc

    def error(self, name: str, /, **arguments: Any) -> tuple[str, str]:
        """Run a command that must fail and return class and ``desc`` of its error.

        Raises:
            AssertionError: it succeeded.
        """
        try:
            value = self.execute(name, **arguments)
        except CommandError as error:
            return error.error_class, error.desc
        raise AssertionError(f"{name} succeeded and returned {value!r}")

    # -- waiting -------------------------------------------------------------------------

    def wait_event(self, name: str, **data: Any) -> dict[str, Any]:
        """Return the next event of that name whose data has these members.

        Events before it are gone past: the next wait begins after the one returned.

        Raises:
            TimeoutError: it did not come in `PATIENCE` seconds.
        """
        wanted = {key.replace("_", "-"): value for key, value in data.items()}
        deadline = time.monotonic() + PATIENCE
        while True:
            while self._waited < len(self.events):
                event = self.events[self._waited]
                self._waited += 1
                if event["event"] == name and wanted.items() <= event.get("data", {}).items():
                    return event
            self.read_line(max(deadline - time.monotonic(), 0.001))

    def wait_job(self, job: str, status: str) -> None:
        """Wait until the job has entered a status (``null`` once it is gone)."""
        self.wait_event("JOB_STATUS_CHANGE", id=job, status=status)

    def wait_progress(self, job: str, offset: int) -> None:
        """Wait until a block job has come at least so far, in bytes.

        A job with ``speed=1`` stops for hours after its first chunk, so this makes the
        moment well defined.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            found = [info for info in self.execute("query-block-jobs") if info["device"] == job]
            if found and found[0]["offset"] >= offset:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"job {job} did not come to {offset}: {found}")
            time.sleep(_POLL)

    def statuses(self, job: str) -> list[str]:
        """Return all statuses that a job has announced so far."""
        return [
            event["data"]["status"]
            for event in self.events
            if event["event"] == "JOB_STATUS_CHANGE" and event["data"]["id"] == job
        ]

    # -- looking -------------------------------------------------------------------------

    def graph(self) -> set[graph.Edge]:
        """Return the permission graph (``x-debug-query-block-graph``) as a set of edges."""
        return set(graph.edges(self.execute("x-debug-query-block-graph")))

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Return ``query-named-block-nodes`` by node name."""
        return {info["node-name"]: info for info in self.execute("query-named-block-nodes")}

    def descriptors(self) -> list[Descriptor]:
        """List the open images of the server: path, access mode, locked bytes."""
        return descriptors(self.pid, self.dir)

    def descriptor(self, path: str) -> Descriptor:
        """Return the only descriptor on one image.

        Raises:
            AssertionError: it is not open, or open several times.
        """
        found = [descriptor for descriptor in self.descriptors() if descriptor.path == path]
        if len(found) != 1:
            raise AssertionError(f"{path} is open {len(found)} times: {self.descriptors()}")
        return found[0]


def is_event(line: bytes) -> bool:
    """Whether a line of the wire is an event (a reply may mention the word in a string)."""
    return line.startswith(b'{"timestamp": ') and b'"event": ' in line
