"""What the levers of both flavours share: arguments for the wire, answers as objects."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

from qmpd.lab.journal import Entry
from qmpd.scenario import parse_size

if TYPE_CHECKING:
    from collections.abc import Iterable

Path = str | os.PathLike[str]
Size = int | str
Status = Literal[
    "created",
    "running",
    "paused",
    "ready",
    "standby",
    "waiting",
    "pending",
    "aborting",
    "concluded",
    "null",
]
Mode = Literal["immediate", "timed", "stepped", "held"]
Access = Literal["write", "read"]
Operation = Literal["read", "write", "flush", "open", "truncate"]
Line = Literal["greeting", "reply", "event"]
Tampering = Literal[
    "delay", "split", "drop", "duplicate", "reorder", "stale-id", "hang-up", "silence"
]


class JobEndedError(AssertionError):
    """A job that a test waits for is gone, and never was where it was to be."""


class JobState:
    """Where a job stands.

    Attributes:
        job: its identifier.
        status: its state.
        before: the state before which a lever holds it, None if none does.
    """

    __slots__ = ("before", "job", "status")

    def __init__(self, members: dict[str, Any]) -> None:
        self.job: str = members["job"]
        self.status: str = members["status"]
        self.before: str | None = members.get("before")

    def __repr__(self) -> str:
        """All members."""
        return f"JobState(job={self.job!r}, status={self.status!r}, before={self.before!r})"


class OpenFile:
    """A file node's descriptor.

    Attributes:
        node: the node's name.
        path: the file's name.
        access: ``r`` or ``rw``, as the descriptor is open now.
        locks: the bytes of the image locking protocol that it holds.
    """

    __slots__ = ("access", "locks", "node", "path")

    def __init__(self, members: dict[str, Any]) -> None:
        self.node: str = members["node-name"]
        self.path: str = members["path"]
        self.access: str = members["access"]
        self.locks: list[int] = members["locks"]

    def __repr__(self) -> str:
        """All members."""
        return f"OpenFile({self.node!r}, {self.path!r}, {self.access!r}, locks={self.locks!r})"


def read_entries(reply: list[dict[str, Any]]) -> list[Entry]:
    """The journal from its wire form."""
    return [Entry(e["serial"], e["wall"], e["kind"], e["data"]) for e in reply]


def given(**members: Any) -> dict[str, Any]:
    """Arguments for the wire: what is None is left out, underscores are dashes."""
    return {
        name.replace("_", "-"): os.fspath(value) if isinstance(value, os.PathLike) else value
        for name, value in members.items()
        if value is not None
    }


def given_fault(**members: Any) -> dict[str, Any]:
    """The same for faults, whose ranges may be texts."""
    for name in ("offset", "length"):
        if members[name] is not None:
            members[name] = parse_size(members[name])
    return given(**members)


def has_reached(entries: Iterable[Entry], job: str, status: str) -> bool:
    """Whether ``job`` has been in ``status`` in its present, or last, life.

    Raises:
        JobEndedError: it is gone and never was.
    """
    life: list[str] = []
    for entry in entries:
        if entry.kind == "transition" and entry.data["job"] == job:
            if entry.data["status"] == "created":
                life.clear()
            life.append(entry.data["status"])
    if status in life:
        return True
    if life and life[-1] == "null":
        raise JobEndedError(f"job {job!r} never was {status}: {' -> '.join(life)}")
    return False
