"""Rows about being there: time to the first answer, and memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.bench import images
from tests.bench.bench import note
from tests.bench.figures import Figure
from tests.bench.rows_graph import make_chain, many_chains
from tests.bench.servers import STORAGE_DAEMON, SYSTEM, Cores, blockdev_words, environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from tests.bench.bench import Bench


_SETTLE = 0.7
"""Seconds until a program that has just greeted has nothing left to do."""


def start(bench: Bench) -> Iterator[Figure]:
    """From before the process to its answer of qmp_capabilities."""
    for count in (0, 40):
        work = f"process start to answered qmp_capabilities, {count} nodes"
        figure = Figure(f"start-{count}", work, "ms", wanted=1, other=SYSTEM)
        nodes = images.null_nodes(count)
        for run in range(bench.runs(16) + 1):
            for kind in bench.sides(SYSTEM):
                server = bench.launcher.start(kind, Cores.two(), blockdev_words(kind, nodes))
                bench.launcher.stop(server)
                if run:
                    note(figure, kind, server.greeted_ns)
        yield figure


def loop(bench: Bench) -> Iterator[Figure]:
    """A daemon in a loop that runs already; qmpd only."""
    for kind in ("uvloop", "asyncio"):
        figure = Figure(
            f"loop-{kind}", f"constructor to greeting in a running {kind} loop", "ms", limit=0.5
        )
        words = [sys.executable, "-m", "tests.bench.inloop", kind, str(bench.runs(400))]
        words += [str(bench.launcher.profile)] if bench.launcher.profile else []
        done = subprocess.run(words, check=True, capture_output=True, env=environment())
        figure.ours += json.loads(done.stdout)
        yield figure


def memory(bench: Bench) -> Iterator[Figure]:
    """Resident memory of a program that has come to rest."""
    yield _memory(bench, "memory-idle", "resident memory, idle", SYSTEM, 1.0, [])
    null = images.null_nodes(1000)
    yield _memory(
        bench, "memory-null-1000", "resident memory, 1000 null-co", STORAGE_DAEMON, 1 / 0.7, null
    )
    with bench.folder(disk=False) as folder:
        nodes = many_chains(make_chain(folder), 1000)
        work = "resident memory, 1000 nodes qcow2+file"
        yield _memory(bench, "memory-chain-1000", work, STORAGE_DAEMON, 1 / 0.7, nodes)


def _memory(
    bench: Bench, name: str, work: str, other: str, wanted: float, nodes: list[dict[str, Any]]
) -> Figure:
    figure = Figure(name, work, "MiB", wanted=wanted, other=other)
    for _ in range(bench.runs(4)):
        for kind in bench.sides(other):
            server = bench.launcher.start(kind, Cores.two(), blockdev_words(kind, nodes))
            time.sleep(_SETTLE)
            note(figure, kind, server.memory())
            bench.launcher.stop(server)
    return figure
