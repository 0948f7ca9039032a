"""Run qmpd under cProfile: ``python -m tests.bench.profiled FOLDER ARGUMENT...``.

Each thread gets a profile of its own, written to ``FOLDER`` when it ends.
"""

from __future__ import annotations

import cProfile
import os
import sys
import threading
import time
from pathlib import Path

from qmpd.cli import main


def _profile_threads(folder: Path) -> None:
    plain = threading.Thread.run

    def run(thread: threading.Thread) -> None:
        profile = cProfile.Profile(time.thread_time)
        try:
            profile.runcall(plain, thread)
        finally:
            profile.dump_stats(folder / f"{thread.name}-{os.getpid()}.prof")

    threading.Thread.run = run  # type: ignore[method-assign, assignment]


def _run(folder: Path, arguments: list[str]) -> int:
    _profile_threads(folder)
    profile = cProfile.Profile()
    try:
        status: int = profile.runcall(main, arguments)
    finally:
        profile.dump_stats(folder / f"main-{os.getpid()}.prof")
    return status


if __name__ == "__main__":
    sys.exit(_run(Path(sys.argv[1]), sys.argv[2:]))
