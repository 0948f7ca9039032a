"""A daemon in a running loop: ``python -m tests.bench.inloop uvloop|asyncio COUNT [FOLDER]``.

Prints the nanoseconds from the constructor to the greeting as a JSON list. The first ones,
which import modules, are not counted. With a folder the rest is profiled.
"""

from __future__ import annotations

import asyncio
import cProfile
import json
import os
import socket
import sys
import tempfile
import time
from pathlib import Path

from qmpd.machine import STORAGE_DAEMON, Machine
from qmpd.monitor.chardev import SocketServer
from qmpd.serve import attach

_WARM = 20


async def _greeting(path: str) -> int:
    loop = asyncio.get_running_loop()
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    start = time.monotonic_ns()
    machine = Machine(program=STORAGE_DAEMON)
    machine.add_monitor(SocketServer(path=path))
    attach(machine, loop)
    client.connect(path)
    greeted = await loop.sock_recv(client, 4096)
    passed = time.monotonic_ns() - start
    if b'"QMP"' not in greeted:
        raise RuntimeError("that is no greeting")
    machine.close()
    client.close()
    return passed


async def _measure(count: int, folder: str | None) -> list[int]:
    profile = cProfile.Profile()
    with tempfile.TemporaryDirectory(prefix="qmpd-bench-") as place:
        path = f"{place}/qmp"
        for _ in range(_WARM):
            await _greeting(path)
        if folder is not None:
            profile.enable()
        times = [await _greeting(path) for _ in range(count)]
        if folder is not None:
            profile.disable()
            profile.dump_stats(Path(folder, f"main-{os.getpid()}.prof"))
    return times


def _run(kind: str, count: int, folder: str | None = None) -> list[int]:
    if kind == "uvloop":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_measure(count, folder))
    return asyncio.run(_measure(count, folder))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_run(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])))
