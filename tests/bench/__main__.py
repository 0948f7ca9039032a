"""``python -m tests.bench``: measure qmpd against the real programs and print a table."""

from __future__ import annotations

import argparse
import json
import os
import platform
import pstats
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import figures, rows_commit, rows_graph, rows_start, rows_wire
from tests.bench.bench import Bench
from tests.bench.client import make_engine
from tests.bench.servers import STORAGE_DAEMON, Launcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.figures import Figure

ROWS: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    "ping-one": rows_wire.ping_one,
    "ping-two": rows_wire.ping_two,
    "pipeline": rows_wire.pipeline,
    "query": rows_graph.query_flat,
    "add": rows_graph.add,
    "commit-empty": rows_commit.commit_empty,
    "commit-1g": rows_commit.commit_full,
    "loop": rows_start.loop,
    "start": rows_start.start,
    "memory": rows_start.memory,
}
_TOP = 25


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=ROWS, metavar="NAME", help="these rows")
    parser.add_argument("--quick", action="store_true", help="a quarter of the runs")
    parser.add_argument("--profile", choices=ROWS, metavar="NAME", help="profile qmpd on a row")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    parser.add_argument(
        "--disk", type=Path, default=Path("/var/tmp"), metavar="FOLDER", help="on a real disk"
    )
    parser.epilog = f"rows: {', '.join(ROWS)}"
    return parser.parse_args()


def _about(bench: Bench) -> str:
    version = subprocess.run([STORAGE_DAEMON, "--version"], capture_output=True, check=True)
    qemu = version.stdout.decode().splitlines()[0]
    cores = len(os.sched_getaffinity(0))
    python = platform.python_version()
    return f"{qemu}; Python {python}; {cores} cores; client in {bench.engine.name}"


def _warn(bench: Bench) -> None:
    kind = subprocess.run(
        ["stat", "-f", "-c", "%T", str(bench.disk)], capture_output=True, check=True, text=True
    ).stdout.strip()
    if kind in ("tmpfs", "ramfs"):
        _say(f"{bench.disk} is in memory: rows on disk mean nothing; use --disk")


def _measure(bench: Bench, names: list[str]) -> list[Figure]:
    found = []
    _say(figures.line(figures.HEADER))
    _say(figures.rule())
    try:
        for name in names:
            for figure in ROWS[name](bench):
                found.append(figure)
                _say(figures.line(figure.cells()))
    finally:
        bench.launcher.stop_all()
    return found


def _profile(bench: Bench, name: str) -> None:
    with tempfile.TemporaryDirectory(prefix="qmpd-bench-") as folder:
        bench.launcher.profile = Path(folder)
        bench.alone = True
        _measure(bench, [name])
        kinds: dict[str, list[str]] = {}
        for path in sorted(Path(folder).iterdir()):
            kinds.setdefault(path.name.rpartition("-")[0], []).append(str(path))
        for kind, paths in kinds.items():
            _say(f"\n{kind}: {len(paths)} profiles")
            stats = pstats.Stats(*paths, stream=sys.stdout)
            stats.strip_dirs().sort_stats("tottime").print_stats(_TOP)


def main() -> int:
    """Do what the command line says."""
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # clean up then, too
    bench = Bench(make_engine(), Launcher(), given.disk, quick=given.quick)
    _say(_about(bench))
    _warn(bench)
    if given.profile is not None:
        _profile(bench, given.profile)
        return 0
    found = _measure(bench, given.only or list(ROWS))
    if given.json is not None:
        given.json.write_text(json.dumps([figure.as_json() for figure in found], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
