"""A qmpd with a chain in RAM and two monitors, and a client that pulls levers."""

import json
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

SCENARIO = "on-demand = true\n[default]\nsize = '1M'\n"
SECONDS = 30
"""How long a test waits for something that ought to come at once."""


def chain(*layers):
    """Define a chain, base first, as libvirt does: only the top layer is writable."""
    words, below = [], None
    for layer in layers:
        storage = {
            "driver": "file",
            "node-name": f"{layer}-storage",
            "filename": f"/images/{layer}.qcow2",
            "auto-read-only": True,
        }
        node = {
            "driver": "qcow2",
            "node-name": layer,
            "read-only": layer != layers[-1],
            "file": f"{layer}-storage",
            "backing": below,
        }
        words += ["--blockdev", json.dumps(storage), "--blockdev", json.dumps(node)]
        below = layer
    return words


@contextmanager
def running(*words, lab=True):
    """Run it; gives the folder in which ``a.sock`` and ``b.sock`` are its monitors."""
    with tempfile.TemporaryDirectory(prefix="qmpd-show-") as name:
        folder = Path(name)
        (folder / "scenario.toml").write_text(SCENARIO)
        own = ["--storage", "memory", "--scenario", str(folder / "scenario.toml")]
        for monitor in ("a", "b"):
            path = folder / f"{monitor}.sock"
            own += ["--chardev", f"socket,id={monitor},path={path},server=on,wait=off"]
            own += ["--mon", f"chardev={monitor},mode=control"]
        child = subprocess.Popen(
            [sys.executable, "-m", "qmpd", *own, *(["--lab"] if lab else []), *words]
        )
        try:
            until((folder / "b.sock").exists)
            yield folder
        finally:
            child.terminate()
            child.wait(SECONDS)


def until(condition):
    """Wait until ``condition()`` holds."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "that never happened"
        time.sleep(0.01)


class Puller:
    """A client on a monitor."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(SECONDS)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile("rwb")
        self.lines.readline()
        self.execute("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.socket.close()

    def execute(self, command, **arguments):
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        request = {"execute": command, "arguments": named}
        self.lines.write(json.dumps(request).encode() + b"\n")
        self.lines.flush()
        while True:
            answer = json.loads(self.lines.readline())
            if "event" not in answer:
                return answer["return"]

    def hold_commit(self):
        """Commit the middle of the chain; it stands before ``pending``."""
        self.execute("x-qmpd-hold", job="j", before="pending")
        self.execute("block-commit", job_id="j", device="top", top_node="middle", base_node="base")
        until(lambda: self.execute("query-jobs")[0]["status"] == "waiting")


def show(*words, **environment):
    """Run ``qmpd show``, its output piped."""
    return subprocess.run(
        [sys.executable, "-m", "qmpd", "show", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "COLUMNS": "120", **environment},
    )
