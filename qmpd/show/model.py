"""What there is to see at one moment: nodes, their users, edges and jobs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from qmpd.show.client import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qmpd.show.client import Client

LETTERS = {"consistent-read": "c", "write": "w", "write-unchanged": "u", "resize": "r"}
FILTERS = frozenset(
    (
        "blkdebug",
        "blklogwrites",
        "blkreplay",
        "blkverify",
        "commit_top",
        "compress",
        "copy-before-write",
        "copy-on-read",
        "mirror_top",
        "preallocate",
        "replication",
        "throttle",
    )
)
"""Drivers that pass data through unchanged."""
DEVICE, BACKEND, JOB = KINDS = "device", "backend", "job"


@dataclass(frozen=True, slots=True)
class Node:
    """A block node; ``access`` and ``locks`` are known of file nodes of a daemon with a lab."""

    id: int
    name: str
    driver: str = ""
    read_only: bool = False
    file: str = ""
    access: str = ""
    locks: tuple[int, ...] = ()

    @property
    def is_filter(self) -> bool:
        """Whether it passes data through."""
        return self.driver in FILTERS

    @property
    def mode(self) -> str:
        """``ro`` or ``rw``."""
        return "ro" if self.read_only else "rw"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who uses nodes without being one: ``kind`` is device, backend or job."""

    id: int
    kind: str
    name: str

    @property
    def title(self) -> str:
        """How it is called in a picture."""
        return f"{self.kind} {self.name}".rstrip()


@dataclass(frozen=True, slots=True)
class Edge:
    """From who uses to what is used; ``perm`` and ``shared`` as letters, such as ``cw-r``."""

    parent: int
    child: int
    name: str
    perm: str
    shared: str

    @property
    def permissions(self) -> str:
        """Used and shared."""
        return f"{self.perm}/{self.shared}"


@dataclass(frozen=True, slots=True)
class Job:
    """A job; ``held`` is the state before which the lab holds it."""

    name: str
    kind: str
    status: str
    current: int
    total: int
    error: str = ""
    held: str = ""


@dataclass(frozen=True)
class Picture:
    """All of it."""

    nodes: dict[int, Node] = field(default_factory=dict)
    """By number, oldest first."""
    users: dict[int, User] = field(default_factory=dict)
    edges: tuple[Edge, ...] = ()
    jobs: tuple[Job, ...] = ()
    version: str = ""
    lab: bool = False

    @cached_property
    def _by_parent(self) -> dict[int, list[Edge]]:
        found: dict[int, list[Edge]] = {}
        for edge in self.edges:
            found.setdefault(edge.parent, []).append(edge)
        return found

    @cached_property
    def _by_child(self) -> dict[int, list[Edge]]:
        found: dict[int, list[Edge]] = {}
        for edge in self.edges:
            found.setdefault(edge.child, []).append(edge)
        return found

    def below(self, node: int) -> list[Edge]:
        """The edges to the children of ``node``, the one to its backing node last."""
        found = (edge for edge in self._by_parent.get(node, ()) if edge.child in self.nodes)
        return sorted(found, key=lambda edge: (edge.name == "backing", edge.name))

    def uses(self, node: int) -> list[Edge]:
        """The edges of users to ``node``, those of devices first."""
        found = (edge for edge in self._by_child.get(node, ()) if edge.parent in self.users)
        return sorted(found, key=lambda edge: KINDS.index(self.users[edge.parent].kind))

    def roots(self) -> list[int]:
        """The nodes on which no other node stands: those in use first, then oldest first."""
        covered = {edge.child for edge in self.edges if edge.parent in self.nodes}
        tops = [node for node in self.nodes if node not in covered]
        return sorted(tops, key=lambda node: not self.uses(node))


def letters(permissions: Iterable[str]) -> str:
    """Permissions as four letters: consistent read, write, write unchanged, resize."""
    given = frozenset(permissions)
    return "".join(letter if name in given else "-" for name, letter in LETTERS.items())


def plain(text: str) -> str:
    """A text without characters that a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in text)


def has_lab(client: Client) -> bool:
    """Whether the daemon has the commands of ``--lab``."""
    commands = client.execute("query-commands")
    return any(command["name"] == "x-qmpd-files" for command in commands)


def take(client: Client, *, lab: bool) -> Picture:
    """Ask for everything.

    Raises:
        ShowError: the daemon has gone, or does not know the commands.
    """
    graph = client.execute("x-debug-query-block-graph")
    details = {info["node-name"]: info for info in _named(client)}
    files = {f["node-name"]: f for f in client.execute("x-qmpd-files")} if lab else {}
    nodes, users = {}, {}
    for entry in reversed(graph["nodes"]):
        number, name = entry["id"], entry["name"]
        if entry["type"] == "block-driver":
            nodes[number] = _node(number, name, details.get(name, {}), files.get(name, {}))
        else:
            users[number] = _user(number, entry["type"], name)
    edges = tuple(
        Edge(
            edge["parent"],
            edge["child"],
            edge["name"],
            letters(edge["perm"]),
            letters(edge["shared-perm"]),
        )
        for edge in graph["edges"]
    )
    return Picture(nodes, users, edges, jobs(client, lab=lab), client.version, lab)


def _named(client: Client) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = client.execute("query-named-block-nodes", flat=True)
    except RefusedError:  # before QEMU 5.0 there was no `flat`
        found = client.execute("query-named-block-nodes")
    return found


def _node(number: int, name: str, info: dict[str, Any], file: dict[str, Any]) -> Node:
    return Node(
        number,
        name,
        info.get("drv", ""),
        info.get("ro", False),
        plain(info.get("file", "")),
        file.get("access", ""),
        tuple(file.get("locks", ())),
    )


def _user(number: int, kind: str, name: str) -> User:
    if kind == "block-job":
        return User(number, JOB, plain(name))
    parts = name.split("/")
    if name.startswith("/machine/") and len(parts) > 3:
        return User(number, DEVICE, plain(parts[3]))
    return User(number, BACKEND, plain(name))


def jobs(client: Client, *, lab: bool) -> tuple[Job, ...]:
    """Ask for the jobs only."""
    found = tuple(
        Job(
            plain(job["id"]),
            job["type"],
            job["status"],
            job["current-progress"],
            job["total-progress"],
            plain(job.get("error", "")),
        )
        for job in client.execute("query-jobs")
    )
    if not lab or not found:
        return found
    held = {job["job"]: job.get("before", "") for job in client.execute("x-qmpd-jobs")}
    return tuple(replace(job, held=held.get(job.name, "")) for job in found)
