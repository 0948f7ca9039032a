"""Commit the middle of a chain and follow the job, with qemu.qmp's asyncio client.

Starts a qmpd of its own, so nothing has to be prepared::

    pip install qemu.qmp
    python examples/commit.py

The client is the part to keep: it would do the same with a real QEMU behind the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from qemu.qmp import EventListener, QMPClient

SCENARIO = Path(__file__).with_name("chain.toml").resolve()
LAYERS = ("base", "middle", "top")
JOB = "commit-middle"


def node_definitions() -> list[str]:
    """Define each layer as libvirt does: a storage node, and a format node on top of it."""
    words = []
    below = None
    for layer in LAYERS:
        storage = {
            "driver": "file",
            "node-name": f"{layer}-storage",
            "filename": f"/images/{layer}.qcow2",
            "auto-read-only": True,
        }
        format_node = {
            "driver": "qcow2",
            "node-name": layer,
            "read-only": layer != LAYERS[-1],
            "file": f"{layer}-storage",
            "backing": below,
        }
        words += ["--blockdev", json.dumps(storage), "--blockdev", json.dumps(format_node)]
        below = layer
    return words


def start_daemon(path: Path) -> None:
    """Start qmpd with its images in RAM; when this returns it listens on ``path``.

    Raises:
        CalledProcessError: it said on standard error why it cannot.
    """
    own = ["--storage", "memory", "--scenario", str(SCENARIO), "--daemonize"]
    monitor = ["--chardev", f"socket,id=qmp,path={path},server=on,wait=off"]
    monitor += ["--monitor", "chardev=qmp"]
    words = [sys.executable, "-m", "qmpd", *own, *node_definitions(), *monitor]
    subprocess.run(words, check=True)  # noqa: S603 - our own program


async def chain(client: QMPClient) -> str:
    """Return the files of the chain, from the active layer down."""
    nodes: Any = await client.execute("query-named-block-nodes")
    image = next(node["image"] for node in nodes if node["node-name"] == LAYERS[-1])
    names = [image["filename"]]
    while "backing-image" in image:
        image = image["backing-image"]
        names.append(image["filename"])
    return " -> ".join(names)


async def commit(client: QMPClient) -> None:
    """Write ``middle`` down into ``base``, and tell how the job gets on."""
    arguments: dict[str, object] = {
        "job-id": JOB,
        "device": "top",
        "top-node": "middle",
        "base-node": "base",
        "auto-dismiss": False,
    }
    with client.listener("JOB_STATUS_CHANGE") as events:
        await client.execute("block-commit", arguments)
        await follow(events)
    jobs: Any = await client.execute("query-jobs")
    if "error" in jobs[0]:
        raise SystemExit(f"{JOB} failed: {jobs[0]['error']}")
    await client.execute("job-dismiss", {"id": JOB})


async def follow(events: EventListener) -> None:
    """Print the states of the job until it has concluded."""
    async for event in events:
        status = event["data"]["status"]  # type: ignore[index]  # an event's data is any JSON
        print(f"  {JOB}: {status}")
        if status == "concluded":
            return


async def main() -> None:
    """Show the chain, commit, and show it again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "qmp.sock"
        start_daemon(path)
        client = QMPClient("example")
        await client.connect(str(path))
        try:
            print("before:", await chain(client))
            await commit(client)
            print("after: ", await chain(client))
        finally:
            await client.execute("quit")
            # The daemon may have hung up first, which is what it was asked to do.
        with contextlib.suppress(EOFError):
            await client.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
