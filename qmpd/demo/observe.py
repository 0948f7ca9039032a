"""Looking at a running daemon from outside: its graph by QMP, its files in ``/proc``."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qmpd.demo import report

if TYPE_CHECKING:
    from typing import Any

    from qmpd.demo.client import Client

_LETTERS = (
    ("consistent-read", "c"),
    ("write", "w"),
    ("write-unchanged", "u"),
    ("resize", "r"),
)
_MODES = {os.O_RDONLY: "O_RDONLY", os.O_WRONLY: "O_WRONLY", os.O_RDWR: "O_RDWR"}


@dataclass(frozen=True, slots=True)
class Storage:
    """A storage node: what its users may do with it and let others do, how its file is open."""

    perm: str
    shared: str
    mode: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The chain of the report at one moment; keys are the prefixes of node names.

    ``backing`` has for each image of the chain what its header names as backing file.
    """

    chain: tuple[str, ...]
    storage: dict[str, Storage]
    backing: dict[str, str]


def look(client: Client, pid: int) -> Snapshot:
    """Look at the daemon ``pid`` that ``client`` is connected to."""
    graph = Graph(client.ask("x-debug-query-block-graph"))
    storage, backing = {}, {}
    for prefix, path in report.LAYERS.items():
        file = ImageInRam(pid, os.path.basename(path))
        perm, shared = graph.permissions(f"{prefix}-storage")
        storage[prefix] = Storage(perm, shared, file.mode)
        backing[prefix] = file.backing_file()
    return Snapshot(graph.chain(f"{next(iter(report.LAYERS))}-format"), storage, backing)


class Graph:
    """What ``x-debug-query-block-graph`` returns."""

    def __init__(self, content: dict[str, Any]) -> None:
        self._names = {
            node["id"]: node["name"] for node in content["nodes"] if node["type"] == "block-driver"
        }
        self._edges = content["edges"]

    def permissions(self, node: str) -> tuple[str, str]:
        """Return what the users of a node do together, and what all of them allow."""
        edges = [edge for edge in self._edges if self._names.get(edge["child"]) == node]
        used = {name for edge in edges for name in edge["perm"]}
        shared = {name for name, _ in _LETTERS}.intersection(*(e["shared-perm"] for e in edges))
        return _letters(used), _letters(shared)

    def chain(self, node: str) -> tuple[str, ...]:
        """Return the prefixes of the nodes from ``node`` down its backing links."""
        below = {
            self._names[edge["parent"]]: self._names[edge["child"]]
            for edge in self._edges
            if edge["name"] == "backing" and edge["parent"] in self._names
        }
        found = [node]
        while found[-1] in below:
            found.append(below[found[-1]])
        return tuple(name.removesuffix("-format") for name in found)


def _letters(names: set[str]) -> str:
    return "".join(letter if name in names else "-" for name, letter in _LETTERS)


class ImageInRam:
    """A memfd of another process, found by its name.

    The daemon keeps every image alive with one descriptor that is open for reading and
    writing; a second one is its storage node's.
    """

    def __init__(self, pid: int, name: str) -> None:
        self._folder = Path(f"/proc/{pid}")
        target = f"/memfd:{name} (deleted)"
        self._numbers = [
            link.name for link in (self._folder / "fd").iterdir() if _target(link) == target
        ]

    @property
    def mode(self) -> str:
        """The access mode of the storage node's descriptor, as open(2) calls it."""
        modes = sorted(self._mode(number) for number in self._numbers)
        if len(modes) != 2 or modes[1] != os.O_RDWR:  # the keeper and the node
            return f"{len(modes)} descriptors"
        return _MODES[modes[0]]

    def _mode(self, number: str) -> int:
        fields = (self._folder / "fdinfo" / number).read_text().split()
        return int(fields[fields.index("flags:") + 1], 8) & os.O_ACCMODE

    def backing_file(self) -> str:
        """Return the backing file's name in the image (qcow2 spec, "Header")."""
        with (self._folder / "fd" / self._numbers[0]).open("rb") as image:
            offset, length = struct.unpack(">8xQI", image.read(20))
            image.seek(offset)
            return image.read(length).decode() if offset else ""


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""  # closed while we were looking
