"""Disks as the system emulator has them, and jobs below them."""

import json

import pytest

from qmpd.testing.oracle import (
    MIB,
    Program,
    call,
    compare,
    image,
    wait_progress,
)

pytestmark = pytest.mark.oracle

DRAIN = ("paused", "running")
DEVICES = ["-device", "virtio-scsi", "-device", "scsi-hd,id=disk,drive=top"]


def images(directory):
    image(directory, "base", size=2 * MIB, writes=["write -P 1 0 512k"])
    image(directory, "mid", size=2 * MIB, backing="base", writes=["write -P 2 512k 512k"])
    image(directory, "top", size=2 * MIB, backing="mid")


def layer(name, **options):
    file = {"driver": "file", "filename": name}
    return {"driver": "qcow2", "node-name": name, "file": file, **options}


CHAIN = ["-blockdev", json.dumps(layer("top", backing=layer("mid", backing=layer("base"))))]


def test_statistics_look_through_the_filter_of_a_job():
    """Per device a filter without a name is left out, at whatever depth; per node it is there."""
    compare(
        [
            call("block-commit", job_id="j", device="top", top_node="mid", speed=1),
            wait_progress("j", 1 << 20),
            call("query-blockstats"),
            call("query-blockstats", query_nodes=True),
            call("query-block"),
        ],
        images,
        program=Program.SYSTEM,
        arguments=CHAIN + DEVICES,
    )


def test_quit_answers_when_the_jobs_have_ended(server):
    """Also when a job is in the middle of its first chunk."""
    images(server.dir)
    server.execute("blockdev-add", **json.loads(CHAIN[1]))
    server.send(call("block-commit", job_id="j", device="top", top_node="mid", speed=1))
    server.send(call("quit"))
    server.lines_until_reply()
    lines = [json.loads(line) for line in server.lines_until_reply()]
    statuses = [line["data"]["status"] for line in lines if "status" in line.get("data", {})]
    assert [s for s in statuses if s not in DRAIN] == ["aborting", "concluded", "null"]
    assert lines[-1] == {"return": {}}
    assert server.ended() == 0


def test_quit_while_a_job_sleeps():
    compare(
        [
            call("block-commit", job_id="j", device="top", top_node="mid", speed=1),
            wait_progress("j", 1 << 20),
            call("quit"),
        ],
        images,
        program=Program.SYSTEM,
        arguments=CHAIN + DEVICES,
    )
