"""Rows about block-commit: nothing to copy, a GiB to copy, and being asked meanwhile."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench import images
from tests.bench.bench import durable, median, note
from tests.bench.client import message
from tests.bench.figures import Figure, p99
from tests.bench.servers import Cores

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.bench import Bench
    from tests.bench.servers import Server

_TOUCHED = 3 << 29
_IN_A_ROW = 10
_END = b'"status": "null"'
_QUERY = message("query-jobs", name="query")


@dataclass
class Chain:
    """A chain of images of which base and top are made anew for every commit.

    The layers between them are only read, so they are written once.
    """

    folder: Path
    layers: int
    data_layers: int
    disk: bool

    def __post_init__(self) -> None:
        """Make the images, and copies of those that a commit changes."""
        self.paths = [self.folder / f"layer{number}.qcow2" for number in range(self.layers)]
        for number, path in enumerate(self.paths):
            images.create(path, backing=self.paths[number - 1] if number else None)
        for number in range(self.data_layers):
            images.fill(self.paths[number + 1], number, self.data_layers)
        if self.disk:
            for path in self.paths:
                durable(path)
        for path in self._changed:
            shutil.copyfile(path, f"{path}.fresh")

    @property
    def _changed(self) -> tuple[Path, Path]:
        return self.paths[0], self.paths[-1]

    def renew(self) -> None:
        """Base and top as they were at first."""
        if self.data_layers and not self.disk:
            _touch_memory(self.folder)
        for path in self._changed:
            path.unlink()
            shutil.copyfile(f"{path}.fresh", path)
            if self.disk:
                durable(path)

    def commit(self, bench: Bench, server: Server, *, ask: bool) -> tuple[int, list[int]]:
        """Commit all but the top into the base; the time to its end, and of the answers."""
        self.renew()
        client = server.client
        nodes = images.chain_nodes("", self.paths, writable=True)
        for node in nodes:
            client.execute("blockdev-add", node)
        job = {
            "job-id": "job",
            "device": f"f{self.layers - 1}",
            "top-node": f"f{self.layers - 2}",
            "base-node": "f0",
        }
        command = message("block-commit", job, name="command")
        query = _QUERY if ask else b""
        total, answers = bench.engine.watch(client.fd, command, query, _END)
        if self.disk:
            start = time.monotonic_ns()
            for path in self._changed:
                durable(path)
            total += time.monotonic_ns() - start
        for node in reversed(nodes):
            client.execute("blockdev-del", {"node-name": node["node-name"]})
        self._check()
        return total, answers

    def _check(self) -> None:
        if images.backing_of(self.paths[-1]) != str(self.paths[0]):
            raise RuntimeError("the commit has not changed the overlay's backing file")
        if self.data_layers:
            images.verify(self.paths[0], self.data_layers)


def _touch_memory(folder: Path) -> None:
    """Have as much memory as a commit takes in the guest, where a virtual machine gives some back.

    Whoever gets a page that the host has to provide anew pays three times the price for it.
    """
    path = folder / "memory"
    with path.open("wb") as file:
        for _ in range(_TOUCHED >> 20):
            file.write(bytes(1 << 20))
    path.unlink()


def commit_empty(bench: Bench) -> Iterator[Figure]:
    """An overlay without any data, in memory and on disk: one behind the other, and the first."""
    for disk, wanted in ((False, 8), (True, 2)):
        place = _place(disk=disk)
        row = Figure(
            f"commit-empty-{place}",
            f"commit of an empty overlay to its null event, {place}",
            "ms",
            wanted=wanted,
        )
        first = Figure(
            f"commit-empty-first-{place}", f"the same, after other programs' work, {place}", "ms"
        )
        with bench.folder(disk=disk) as folder, bench.both(Cores.two()) as servers:
            chain = Chain(folder, layers=3, data_layers=0, disk=disk)

            def measure(server: Server, chain: Chain = chain, first: Figure = first) -> float:
                times = [chain.commit(bench, server, ask=False)[0] for _ in range(_IN_A_ROW)]
                note(first, server.kind, times[0])
                return median(times[1:])

            bench.interleave(row, servers, 30, measure)
        yield row
        yield first


def commit_full(bench: Bench) -> Iterator[Figure]:
    """A GiB in a chain of five, in memory and on disk; then again while being asked."""
    for disk, wanted in ((False, 1.35), (True, 1.5)):
        place = _place(disk=disk)
        work = f"commit of 1 GiB in a five-layer chain, {place}"
        figure = Figure(f"commit-1g-{place}", work, "ms", wanted=wanted)
        with bench.folder(disk=disk) as folder, bench.both(Cores.two()) as servers:
            chain = Chain(folder, layers=5, data_layers=3, disk=disk)

            def measure(server: Server, chain: Chain = chain) -> float:
                return chain.commit(bench, server, ask=False)[0]

            bench.interleave(figure, servers, 6, measure)
            yield figure
            yield from _asked(bench, chain, servers, place)


def _asked(bench: Bench, chain: Chain, servers: list[Server], place: str) -> Iterator[Figure]:
    slowest = Figure(
        f"reply-max-{place}", f"slowest reply to query-jobs meanwhile, {place}", "ms", limit=3
    )
    most = Figure(
        f"reply-p99-{place}", f"p99 of the replies to query-jobs meanwhile, {place}", "ms", wanted=3
    )
    for _ in range(bench.runs(4)):
        for server in servers:
            _, answers = chain.commit(bench, server, ask=True)
            note(slowest, server.kind, max(answers))
            note(most, server.kind, p99(answers))
    yield slowest
    yield most


def _place(*, disk: bool) -> str:
    return "disk" if disk else "tmpfs"
