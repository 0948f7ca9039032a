"""The steps of a differential script.

A step is a request (a dict, see `qmpd.testing.oracle.call`; it has to succeed on the
reference side) or a `Step` made by one of the functions here. Each yields the lines
that the comparison looks at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qmpd.testing.oracle import graph

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from qmpd.testing.oracle.server import Server


class ScriptError(AssertionError):
    """The reference side did not do what the script says: the script is wrong."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do on each side.

    Attributes:
        title: how the report calls it.
        run: does it and returns the lines to compare, as they came.
        check: looks at the reference side's lines; raises `ScriptError`.
    """

    title: str
    run: Callable[[Server], list[bytes]]
    check: Callable[[list[bytes]], None] = lambda _lines: None


def as_step(step: Step | Mapping[str, Any]) -> Step:
    """Turn a request into a step that has to succeed; a `Step` stays what it is."""
    if isinstance(step, Step):
        return step
    title = json.dumps(step)

    def check(lines: list[bytes]) -> None:
        if b'"error": {' in lines[-1]:
            raise ScriptError(f"{title} was refused: {lines[-1].decode()}")

    return Step(title, lambda server: _ask(server, step), check)


def _ask(server: Server, request: Mapping[str, Any] | bytes) -> list[bytes]:
    server.send(request)
    return server.lines_until_reply()


def refused(desc: str, request: Mapping[str, Any]) -> Step:
    """Send a request that has to be refused with exactly this ``desc``.

    ``{dir}`` in the request and ``DIR`` in `desc` stand for the server's directory.
    """
    title = json.dumps(request)

    def check(lines: list[bytes]) -> None:
        reply = json.loads(lines[-1])
        if reply.get("error", {}).get("desc") != desc:
            raise ScriptError(f"{title}: wanted the error {desc!r}, got {reply}")

    return Step(f"{title} (to be refused)", lambda server: _ask(server, request), check)


def raw(data: bytes, replies: int = 1) -> Step:
    """Send bytes as they are and collect lines until so many replies have come."""

    def run(server: Server) -> list[bytes]:
        server.send(data)
        return [line for _ in range(replies) for line in server.lines_until_reply()]

    return Step(f"bytes {data!r}", run)


def wait_event(name: str, **data: Any) -> Step:
    """Collect lines up to the next event of that name with these data members."""

    def run(server: Server) -> list[bytes]:
        wanted = {key.replace("_", "-"): value for key, value in data.items()}
        lines: list[bytes] = []
        while True:
            lines.append(server.read_line())
            event = json.loads(lines[-1])
            if event.get("event") == name and wanted.items() <= event.get("data", {}).items():
                return lines

    return Step(f"wait for {name} {data}", run)


def wait_job(job: str, status: str) -> Step:
    """Collect lines until a job announces that status."""
    return wait_event("JOB_STATUS_CHANGE", id=job, status=status)


def wait_progress(job: str, offset: int) -> Step:
    """Wait until a block job (held back by its speed) has come so far; compares nothing."""

    def run(server: Server) -> list[bytes]:
        server.wait_progress(job, offset)
        return []

    return Step(f"wait until job {job} is at {offset}", run)


def show_graph() -> Step:
    """Compare the permission graphs as sets of nodes and edges."""

    def run(server: Server) -> list[bytes]:
        sentences = graph.describe(server.execute("x-debug-query-block-graph"))
        return [f"{sentence}\n".encode() for sentence in sentences]

    return Step("the permission graph", run)


def show_descriptors() -> Step:
    """Compare access mode and locked bytes of every open image."""

    def run(server: Server) -> list[bytes]:
        return [f"{descriptor}\n".encode() for descriptor in server.descriptors()]

    return Step("the open descriptors", run)


def on_host(title: str, action: Callable[[Path], object]) -> Step:
    """Do something to the files behind the server's back, such as a rename.

    Args:
        title: what it does, for the report.
        action: called with the server's directory.
    """

    def run(server: Server) -> list[bytes]:
        action(server.dir)
        return []

    return Step(title, run)


def reconnect() -> Step:
    """Drop the connection and open a new one; compares the greetings."""
    return Step("reconnect", lambda server: [server.reconnect()])
