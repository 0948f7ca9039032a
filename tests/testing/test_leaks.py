"""Daemons share nothing and leave nothing: descriptors, tasks, threads, files, processes."""

import asyncio
import gc
import os
import tempfile
import threading
from pathlib import Path

import pytest
from qemu.qmp import QMPClient

from qmpd.errors import QmpError
from qmpd.options.errors import OptionError
from qmpd.testing import QmpdInLoop, QmpdProcess, QmpdThread, StartError

MANY = 20
COMMIT = {"job-id": "j", "device": "top", "top-node": "mid", "base-node": "base"}


def belongings(folder):
    """What a test could leave behind."""
    gc.collect()
    names = [
        name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")
    ]
    return {
        "descriptors": sorted(names),
        "threads": {thread.name for thread in threading.enumerate()},
        "files": sorted(str(path) for path in folder.rglob("*")),
        "children": Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text(),
    }


@pytest.fixture(autouse=True)
def folder(monkeypatch):
    """The place of all temporary files; the end of a test compares."""
    with tempfile.TemporaryDirectory(prefix="leak") as name:
        monkeypatch.setattr("tempfile.tempdir", name)
        monkeypatch.setattr("qmpd.testing.settings.RAM", name)
        before = belongings(Path(name))
        yield Path(name)
        assert belongings(Path(name)) == before


async def run(storage):
    async with QmpdInLoop(storage=storage) as qmpd:
        await qmpd.chain("base", "mid", "top")
        client = QMPClient()
        await client.connect(qmpd.path)
        await client.execute("block-commit", COMMIT)
        await qmpd.wait_for("j", "null")
        await client.disconnect()
        return qmpd.path


@pytest.mark.parametrize("storage", ["memory", "host"])
async def test_many_daemons_live_side_by_side_in_one_loop(storage, folder):
    mine, before = asyncio.all_tasks(), belongings(folder)
    paths = await asyncio.gather(*(run(storage) for _ in range(MANY)))
    await asyncio.sleep(0)
    assert len(set(paths)) == MANY
    assert asyncio.all_tasks() == mine
    assert belongings(folder) == before


def test_many_daemons_live_side_by_side_in_threads():
    daemons = [QmpdThread() for _ in range(MANY)]
    for qmpd in daemons:
        qmpd.start()
    for qmpd in daemons:
        qmpd.chain("base", "mid", "top")
        qmpd.client.execute("block-commit", COMMIT)
    for qmpd in daemons:
        qmpd.wait_for("j", "null")
        qmpd.verify()
        qmpd.close()


def test_processes_live_side_by_side():
    with QmpdProcess() as one, QmpdProcess(program="storage-daemon") as two:
        for qmpd in (one, two):
            qmpd.chain("base", "mid", "top")
            qmpd.client.execute("block-commit", COMMIT)
            qmpd.wait_for("j", "null")


async def test_the_dead_leave_nothing():
    async with QmpdInLoop() as qmpd:
        await qmpd.chain("base", "mid", "top", size="1G", data={"mid": [(0, "256M", 1)]})
        await qmpd.client.execute("block-commit", COMMIT)  # its worker is busy
        await qmpd.die()
        await qmpd.wait_until_dead()


async def test_what_is_left_in_the_middle_leaves_nothing():
    async with QmpdInLoop() as qmpd:
        qmpd.relaxed = True
        await qmpd.chain("base", "mid", "top", size="1G", data={"mid": [(0, "256M", 1)]})
        async with await qmpd.connect() as client:
            client.send("block-commit", COMMIT)
            await qmpd.wait_for("j", "running")


def test_a_process_with_a_held_job_ends_in_order():
    qmpd = QmpdProcess(clock="stepped")
    qmpd.relaxed = True
    with qmpd:
        qmpd.chain("base", "mid", "top")
        qmpd.hold("j", "concluded")
        qmpd.client.execute("block-commit", COMMIT)
        qmpd.wait_until_held("j")
    assert qmpd.process.returncode == 0


def test_a_process_that_was_killed_can_be_closed():
    qmpd = QmpdProcess()
    qmpd.start()
    qmpd.process.kill()
    qmpd.process.wait()
    with pytest.raises(ConnectionError):
        qmpd.client.execute("query-status")
    qmpd.close()
    assert qmpd.process.returncode == -9


WRONG = "driver=null-co"


async def test_a_daemon_that_cannot_be_made_leaves_nothing():
    with pytest.raises(QmpError, match="'node-name' must be specified"):
        await QmpdInLoop(blockdevs=[WRONG]).start()
    with pytest.raises(OptionError, match="Parameter 'driver' does not accept value 'x'"):
        await QmpdInLoop(blockdevs=["driver=x,node-name=a"]).start()
    with pytest.raises(QmpError, match="profile"):
        await QmpdInLoop(profile="qemu-0.1").start()
    with pytest.raises(TypeError, match="there is no setting 'colour'"):
        await QmpdInLoop(colour="red").start()


def test_a_thread_or_process_that_cannot_be_made_leaves_nothing():
    with pytest.raises(QmpError, match="'node-name' must be specified"):
        QmpdThread(blockdevs=[WRONG]).start()
    with pytest.raises(StartError, match="'node-name' must be specified"):
        QmpdProcess(blockdevs=[WRONG]).start()


def test_closing_twice_and_without_starting_is_nothing():
    for kind in (QmpdThread, QmpdProcess):
        qmpd = kind()
        qmpd.close()
        qmpd.start()
        qmpd.close()
        qmpd.close()
