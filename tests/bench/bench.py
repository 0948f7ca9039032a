"""What all rows share: the two sides, interleaved runs, folders for images."""

from __future__ import annotations

import gc
import os
import statistics
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.servers import QMPD, STORAGE_DAEMON, Cores, Launcher, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.bench.client import Engine
    from tests.bench.figures import Figure

MEMORY_FOLDER = Path("/dev/shm")


@dataclass
class Bench:
    """The settings of a run."""

    engine: Engine
    launcher: Launcher
    disk: Path
    quick: bool = False
    alone: bool = False
    """Measure qmpd only."""

    def runs(self, usual: int) -> int:
        """How often to repeat what is usually repeated that often."""
        return max(1, usual // 4) if self.quick else usual

    def sides(self, other: str = STORAGE_DAEMON) -> tuple[str, ...]:
        """Who is measured."""
        return (QMPD,) if self.alone else (QMPD, other)

    @contextmanager
    def both(
        self, cores: Cores, words: Callable[[str], Sequence[str]] | None = None
    ) -> Iterator[list[Server]]:
        """Run qmpd and the storage daemon with the same command line."""
        servers: list[Server] = []
        try:
            for kind in self.sides():
                arguments = words(kind) if words is not None else ()
                servers.append(self.launcher.start(kind, cores, arguments))
            yield servers
        finally:
            for server in servers:
                self.launcher.stop(server)

    def interleave(
        self, figure: Figure, servers: list[Server], runs: int, measure: Callable[[Server], float]
    ) -> None:
        """Measure one after the other, again and again; the first time is not counted."""
        gc.disable()
        try:
            for run in range(self.runs(runs) + 1):
                for server in servers:
                    value = measure(server)
                    if run:
                        note(figure, server.kind, value)
        finally:
            gc.enable()

    @contextmanager
    def folder(self, *, disk: bool) -> Iterator[Path]:
        """A folder in memory or on a disk, gone afterwards."""
        parent = self.disk if disk else MEMORY_FOLDER
        with tempfile.TemporaryDirectory(prefix="qmpd-bench-", dir=parent) as name:
            yield Path(name)


def note(figure: Figure, kind: str, value: float) -> None:
    """Enter a value on the side it belongs to."""
    (figure.ours if kind == QMPD else figure.theirs).append(value)


def median(values: list[int]) -> float:
    """The median as a plain number."""
    return float(statistics.median(values))


def durable(path: Path) -> None:
    """Wait until a file's content is on the medium."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)
