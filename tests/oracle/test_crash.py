"""qmpd is killed in the middle of its work: no image is corrupt, and no data is lost.

Each run commits real data through layers with many small clusters and ends the process with
SIGKILL after a random time. Clusters may leak; whatever the overlay's header names at that
moment as its backing file, the guest sees what it saw before.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from contextlib import ExitStack

import pytest

from qmpd.testing.oracle import (
    MIB,
    Program,
    Server,
    ServerGoneError,
    Side,
    call,
    chain,
    info,
    qemu_img,
)
from qmpd.testing.oracle.images import inspect

pytestmark = pytest.mark.oracle

RUNS = int(os.environ.get("QMPD_CRASH_RUNS", "20"))
FRESH = "QMPD_CRASH_RUNS" in os.environ
SIZE = 8 * MIB
NAMES = ("c0", "c1", "c2", "c3")


def dice_of(run):
    """Fixed dice by default; others each time if more runs were asked for."""
    return random.Random(None if FRESH else run)  # noqa: S311 - places and times, no secrets


def images(directory, dice):
    """A chain of four layers with scattered writes and zeroes, most of them in the middle."""
    options = {
        name: {
            "cluster_size": dice.choice([4096, 4096, 16384, 65536]),
            "refcount_bits": dice.choice([1, 16, 64]),
        }
        for name in NAMES
    }
    writes = {name: scattered(dice, 60 if name in {"c1", "c2"} else 15) for name in NAMES}
    chain(directory, *NAMES, size=SIZE, options=options, writes=writes)


def scattered(dice, count):
    commands = []
    for _ in range(count):
        offset = dice.randrange(0, SIZE - MIB // 4, 512)
        length = dice.randrange(512, MIB // 4, 512)
        pattern = "-z" if dice.random() < 0.1 else f"-P {dice.randrange(1, 255)}"
        commands.append(f"write {pattern} {offset} {length}")
    return commands


def definitions():
    """Separate auto-read-only files; the overlay is writable."""
    for number, name in enumerate(NAMES):
        yield call(
            "blockdev-add",
            driver="file",
            node_name=f"s{number}",
            filename=name,
            auto_read_only=True,
        )
        yield call(
            "blockdev-add",
            driver="qcow2",
            node_name=f"f{number}",
            file=f"s{number}",
            backing=f"f{number - 1}" if number else None,
            read_only=number < len(NAMES) - 1,
        )


COMMITS = [
    {"top_node": "f2", "base_node": "f0", "backing_file": "c0"},
    {"top_node": "f2", "base_node": "f1", "backing_file": "c1"},
    {"top_node": "f1", "base_node": "f0", "backing_file": "c0"},
    {},
    {"base_node": "f1"},
]


def commit_and_die(server, dice):
    """Start a commit of random shape and kill the server after a random time."""
    arguments = dict(dice.choice(COMMITS))
    limited = dice.random() < 0.5
    if limited:
        arguments["speed"] = dice.choice([MIB, 16 * MIB, 64 * MIB])
    server.execute("block-commit", job_id="j", device="f3", **arguments)
    time.sleep(dice.uniform(0, 0.25 if limited else 0.06))
    os.kill(server.pid, signal.SIGKILL)
    server.ended()
    return arguments


def corruptions(path):
    """What qemu-img check counts in one layer; leaks are not asked for."""
    *_, check = inspect(path)
    return json.loads(check.split(b" ", 2)[2]).get("corruptions", 0)


@pytest.mark.parametrize("run", range(RUNS))
def test_killed_in_a_commit(tmp_path, run):
    dice = dice_of(run)
    directory, control = tmp_path / "images", tmp_path / "control"
    directory.mkdir()
    control.mkdir()
    images(directory, dice)
    qemu_img(directory, "convert", "-f", "qcow2", "-O", "raw", "c3", "../before.raw")
    with ExitStack() as stack:
        server = stack.enter_context(Server(Side.QMPD, directory, control))
        server.run(definitions())
        arguments = commit_and_die(server, dice)
    for name in NAMES:
        assert corruptions(directory / name) == 0, (name, arguments)
    assert info(directory / "c3")["backing-filename"] in {"c2", arguments.get("backing_file")}
    verdict = qemu_img(directory, "compare", "-f", "raw", "-F", "qcow2", "../before.raw", "c3")
    assert verdict == "Images are identical.\n", arguments


@pytest.mark.parametrize("options", [{}, {"speed": 1 << 40}], ids=["fast", "in-steps"])
@pytest.mark.parametrize("layers", [{}, {"base_node": "f0"}], ids=["all", "one"])
def test_killed_after_a_stream(tmp_path, layers, options):
    """What a stream has copied is in the image before its header lets go of the layers below."""
    directory, control = tmp_path / "images", tmp_path / "control"
    directory.mkdir()
    control.mkdir()
    images(directory, dice_of(0))
    qemu_img(directory, "convert", "-f", "qcow2", "-O", "raw", "c3", "../before.raw")
    with Server(Side.QMPD, directory, control) as server:
        server.run(definitions())
        server.execute("block-stream", job_id="j", device="f3", **layers, **options)
        server.wait_job("j", "null")
        os.kill(server.pid, signal.SIGKILL)
    assert corruptions(directory / "c3") == 0
    verdict = qemu_img(directory, "compare", "-f", "raw", "-F", "qcow2", "../before.raw", "c3")
    assert verdict == "Images are identical.\n"


@pytest.mark.parametrize("command", ["blockdev-mirror", "drive-mirror"])
@pytest.mark.parametrize("end", ["ready", "completed"])
def test_killed_after_a_mirror(tmp_path, command, end):
    """A target that is ready has everything, in tables too."""
    directory, control = tmp_path / "images", tmp_path / "control"
    directory.mkdir()
    control.mkdir()
    images(directory, dice_of(0))
    qemu_img(directory, "convert", "-f", "qcow2", "-O", "raw", "c3", "../before.raw")
    if command == "blockdev-mirror":
        qemu_img(directory, "create", "-f", "qcow2", "new", str(SIZE))
    with Server(Side.QMPD, directory, control) as server:
        server.run(definitions())
        if command == "blockdev-mirror":
            file = {"driver": "file", "filename": "new"}
            server.execute("blockdev-add", driver="qcow2", node_name="new", file=file)
        server.execute(command, job_id="j", device="f3", target="new", sync="full")
        server.wait_event("BLOCK_JOB_READY")
        if end == "completed":
            server.execute("job-complete", id="j")
            server.wait_job("j", "null")
        os.kill(server.pid, signal.SIGKILL)
    assert corruptions(directory / "new") == 0
    verdict = qemu_img(directory, "compare", "-f", "raw", "-F", "qcow2", "../before.raw", "new")
    assert verdict == "Images are identical.\n"


SLOT = MIB // 16


class Guest:
    """A guest that writes slot by slot, and knows what it was promised.

    Attributes:
        kept: for every slot the values that it may have: the last one that was flushed, and
            those written since.
        tops: the images that may be the active one.
    """

    def __init__(self, server, dice):
        self.server, self.dice = server, dice
        self.kept = {slot: {0} for slot in range(SIZE // SLOT)}
        self.last = dict.fromkeys(self.kept, 0)
        self.active, self.count, self.tops = "f3", 0, ["c3"]

    def io(self, line):
        line = f'qemu-io disk "{line}"'
        assert self.server.execute("human-monitor-command", command_line=line) == ""

    def write(self):
        slot, value = self.dice.choice(list(self.kept)), self.dice.randrange(1, 255)
        self.kept[slot].add(value)
        self.last[slot] = value
        self.io(f"write -P {value} {slot * SLOT} {SLOT}")

    def flush(self):
        self.io("flush")
        self.kept = {slot: {value} for slot, value in self.last.items()}

    def snapshot(self):
        self.count += 1
        name = f"n{self.count}"
        self.tops.append(name)
        node = {"device": "disk", "snapshot_node_name": f"o{self.count}"}
        self.server.execute("blockdev-snapshot-sync", snapshot_file=name, **node)
        self.active, self.tops = f"o{self.count}", [name]

    def stream(self):
        base = "f2" if self.active == "f3" else "f3"
        self.server.execute("block-stream", job_id="j", device=self.active, base_node=base)
        self.write()
        self.server.wait_job("j", "null")

    def commit(self):
        if self.active != "f3":
            self.server.execute("block-commit", job_id="j", device="disk", base_node="f3")
            self.write()
            self.server.wait_job("j", "ready")
            self.write()
            self.tops.append("c3")
            self.server.execute("job-complete", id="j")
            self.server.wait_job("j", "null")
            self.active, self.tops = "f3", ["c3"]

    def work(self):
        """Go on until the server is gone."""
        acts = [self.write] * 6 + [self.flush] * 2 + [self.snapshot, self.stream, self.commit]
        try:
            while True:
                self.dice.choice(acts)()
        except (ServerGoneError, ConnectionResetError):
            pass

    def lacks(self, data):
        """The slots that have no value that they may have."""
        parts = {slot: data[slot * SLOT : (slot + 1) * SLOT] for slot in self.kept}
        return [slot for slot, part in parts.items() if not set(part) <= self.kept[slot]]


@pytest.mark.parametrize("run", range(max(RUNS // 4, 4)))
def test_killed_while_a_guest_writes(tmp_path, run):
    """What was flushed is there, below whatever jobs and snapshots were under way."""
    dice = dice_of(run)
    directory, control = tmp_path / "images", tmp_path / "control"
    directory.mkdir()
    control.mkdir()
    options = {"cluster_size": dice.choice([4096, 16384, 65536])}
    chain(directory, *NAMES, size=SIZE, options=options)
    words = ["-drive", "if=none,id=disk,file=c3,format=qcow2,node-name=f3,backing.node-name=f2"]
    words += ["-device", "virtio-blk-pci,drive=disk"]
    with Server(Side.QMPD, directory, control, words, program=Program.SYSTEM) as server:
        guest = Guest(server, dice)
        killer = threading.Timer(dice.uniform(0.02, 0.4), os.kill, (server.pid, signal.SIGKILL))
        killer.start()
        guest.work()
        killer.join()
    lacking = []
    for name in guest.tops:
        path = directory / name
        if path.exists() and path.stat().st_size:
            qemu_img(directory, "convert", "-f", "qcow2", "-O", "raw", name, "../after.raw")
            lacking.append(guest.lacks((tmp_path / "after.raw").read_bytes()))
    assert [] in lacking, guest.tops
    for path in directory.iterdir():
        if path.name not in guest.tops[1:]:
            assert corruptions(path) == 0, path.name
