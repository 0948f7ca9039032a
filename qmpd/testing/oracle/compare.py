"""Run one script on two servers in lock-step and stop at the first difference."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qmpd.testing.oracle.images import guest_difference, inspect
from qmpd.testing.oracle.normalise import normalise, parse
from qmpd.testing.oracle.report import Difference, Said, check_equal
from qmpd.testing.oracle.script import ScriptError, Step, as_step
from qmpd.testing.oracle.server import Server, ServerGoneError
from qmpd.testing.oracle.start import Program, Side

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SIDES_VARIABLE = "QMPD_ORACLE_SIDES"
"""Environment variable: ``real,real`` checks the scripts themselves, without qmpd."""

_DIRECTORIES = ("side1", "side2")  # equally long, so that names cut at a limit stay comparable


class Transcript:
    """What the reference side said, normalised; for assertions beyond "the same".

    Attributes:
        steps: the lines of each step.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self.steps: list[list[bytes]] = []

    @property
    def events(self) -> list[Any]:
        """All events, parsed, oldest first."""
        messages = [parse(line) for lines in self.steps for line in lines]
        return [m for m in messages if isinstance(m, dict) and "event" in m]

    def statuses(self, job: str) -> list[str]:
        """All statuses that a job announced."""
        return [
            event["data"]["status"]
            for event in self.events
            if event["event"] == "JOB_STATUS_CHANGE" and event["data"]["id"] == job
        ]


def default_sides() -> tuple[Side, Side]:
    """Return whom `compare` compares: real and qmpd unless `SIDES_VARIABLE` says otherwise."""
    first, second = os.environ.get(SIDES_VARIABLE, "real,qmpd").split(",")
    return Side(first), Side(second)


def compare(
    script: Sequence[Step | Mapping[str, Any]],
    images: Callable[[Path], object] | None = None,
    *,
    program: Program = Program.STORAGE_DAEMON,
    arguments: Sequence[str] = (),
    unprivileged: bool = False,
    layout: bool = True,
    sides: tuple[Side, Side] | None = None,
) -> Transcript:
    """Run a script on both sides, step by step, then compare all images.

    Args:
        script: requests (they have to succeed on the reference side) and steps of
            `qmpd.testing.oracle.script`.
        images: makes the images in the directory it is given; called once a side.
        program: what is started and played.
        arguments: command-line words beyond the monitor's; ``{dir}`` is filled in.
        unprivileged: whether file modes bind the servers even for the superuser.
        layout: whether data has to be at the same offsets of the image files too. The
            original copies in parallel during an active commit, so its own layout varies.
        sides: reference first; see `default_sides`.

    Returns:
        the reference side's transcript.

    Raises:
        Difference: the sides part; the text says where.
        ScriptError: the reference refused a request of the script.
        StartError: a server did not start.
    """
    chosen = sides or default_sides()
    with ExitStack() as stack:
        root = Path(tempfile.mkdtemp(prefix="qmpd-oracle-"))
        stack.callback(shutil.rmtree, root)
        servers: list[Server] = []
        for side, name in zip(chosen, _DIRECTORIES, strict=True):
            directory, control = root / name, root / f"{name}.ctl"
            directory.mkdir()
            control.mkdir()
            if images:
                images(directory)
            server = Server(
                side, directory, control, arguments, program=program, unprivileged=unprivileged
            )
            servers.append(stack.enter_context(server))
        transcript = _run(script, servers)
        _compare_ends(servers)
        _compare_images(servers, layout=layout)
    return transcript


def _run(script: Sequence[Step | Mapping[str, Any]], servers: Sequence[Server]) -> Transcript:
    transcript = Transcript()
    for number, step in enumerate(map(as_step, script), 1):
        reference, other = servers
        lines = [_reference_lines(step, reference), _lines(step, other)]
        step.check(lines[0])
        transcript.steps.append(_check(f"step {number}: {step.title}", servers, lines))
    return transcript


def _check(title: str, servers: Sequence[Server], lines: Sequence[list[bytes]]) -> list[bytes]:
    one, other = (
        Said(server.side.value, normalise(side, server.dir))
        for server, side in zip(servers, lines, strict=True)
    )
    check_equal(title, one, other)
    return list(one.lines)


def _reference_lines(step: Step, server: Server) -> list[bytes]:
    try:
        return step.run(server)
    except (ServerGoneError, TimeoutError) as error:
        raise ScriptError(f"{step.title}: {error}") from error


def _lines(step: Step, server: Server) -> list[bytes]:
    # A crash or a missing event of one side is a difference like any other.
    before = len(server.events)
    try:
        return step.run(server)
    except (ServerGoneError, TimeoutError) as error:
        events = server.events[before:]
        return [f"{event}\n".encode() for event in events] + [f"{error}\n".encode()]


def _compare_ends(servers: Sequence[Server]) -> None:
    statuses = [server.close() for server in servers]
    if statuses[0] != 0:
        raise ScriptError(f"the reference ended with {statuses[0]}: {servers[0].stderr}")
    ends = [[f"exit status {status}\n".encode()] for status in statuses]
    _check("the end of the process", servers, ends)


def _compare_images(servers: Sequence[Server], *, layout: bool) -> None:
    names = [
        sorted(path.name for path in server.dir.iterdir() if path.is_file()) for server in servers
    ]
    _check("the files afterwards", servers, [[f"{n}\n".encode() for n in side] for side in names])
    for name in names[0]:
        title = f"image {name} afterwards"
        _check(title, servers, [inspect(server.dir / name, layout=layout) for server in servers])
        verdict = guest_difference(*(server.dir / name for server in servers))
        if verdict is not None:
            raise Difference(f"{title}: {verdict}", title, "")
