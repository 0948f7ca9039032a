"""Limits of drives: which ones the original takes, and how queries show them."""

import pytest

from qmpd.testing.oracle import Program, Side, call, compare, image, run_to_end
from tests.oracle.building import either
from tests.oracle.overlays import images

pytestmark = pytest.mark.oracle

DRIVE = "if=none,id=d,file={dir}/c1,format=qcow2,node-name=f1"
LOOK = [call("query-block"), call("query-named-block-nodes", flat=True)]


def run(script, *drives):
    words = [word for drive in drives for word in ("-drive", drive)]
    compare(script, images, program=Program.SYSTEM, arguments=words)


@pytest.mark.parametrize(
    "limits",
    [
        "throttling.group=g,throttling.iops-total=6000,throttling.iops-size=1024",
        "iops_rd=5,iops_rd_max=10,bps_wr=7,bps_wr_max=9,throttling.bps-write-max-length=4",
        "iops_rd=3,iops_wr=4,bps_rd=1,bps_wr=2,iops_size=7,group=zz",
        "iops=0x10,throttling.iops-total-max=200,throttling.iops-total-max-length=4294967296",
        "bps=1000000000000000,group=",
        "throttling.group=g",
        "iops=0,bps=0",
    ],
)
def test_limits_follow_the_drive(limits):
    """They are the drive's: its overlay has them after a snapshot, the node no more."""
    overlay = {"node_name": "f1", "snapshot_file": "{dir}/n", "snapshot_node_name": "new"}
    run([*LOOK, call("blockdev-snapshot-sync", **overlay), *LOOK], f"{DRIVE},{limits}")


def test_drives_of_one_group():
    """Who comes last sets the limits of all; who has none does not belong to it."""
    run(
        LOOK,
        f"{DRIVE},iops=5,group=g",
        "if=none,id=e,file={dir}/o,format=qcow2,iops=7,bps_max=9,bps=3,group=g",
        "if=none,id=f,file={dir}/more,format=qcow2,group=g",
        "if=none,id=empty,iops=5",
    )


NONE = dict.fromkeys(("bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"), 0)
SETTINGS = [
    *({}, {"device": "d", "id": "hd"}, {"id": "nope"}, {"device": "n"}, {"device": "empty"}),
    *({"id": "vb", "bps": 1}, {"id": "vb/virtio-backend", "bps": 1}, {"id": "hd", "bps": 5}),
    *({"device": "d"}, {"device": "d", "bps": 1}, {"device": "d", "bps": -1}, {"foo": 1}),
    *({"device": "d", "bps": 10**16}, {"device": "d", "bps": 1, "bps_rd": 1}, {"bps": "1"}),
    *({"device": "d", "bps_max": 5}, {"device": "d", "bps": 3, "bps_max": 5}, {"group": 3}),
    {"device": "d", "bps": 3, "bps_max": 20, "bps_max_length": 4},
    {"device": "d", "bps": 3, "bps_max": 20, "bps_max_length": 0},
    {"device": "d", "iops": 1, "iops_max": 2, "iops_max_length": -1},
    {"device": "d", "iops": 1, "iops_max": 2, "iops_max_length": 2**32},
    *({"device": "d", "iops_size": 4}, {"device": "d", "iops": 1, "iops_size": -4}),
    {"device": "d", "iops_rd": 1, "iops_wr": 2, "bps_rd": 3, "bps_wr": 4, "bps_wr_max": 7},
    *({"device": "d", "iops": 1, "group": "new"}, {"id": "hd", "iops": 2, "group": "new"}),
    *({"device": "g", "iops": 9}, {"device": "d", "iops": 11, "group": "grp"}, {"device": "d"}),
    *({"device": "d", "bps": 4, "group": ""}, {"id": "hd", "iops": 3}, {"id": "hd"}),
]


def test_limits_while_running():
    """Who sets them joins a group, sets them for all in it, or leaves it."""
    requests = []
    for given in SETTINGS:
        request = {"execute": "block_set_io_throttle", "arguments": NONE | given}
        requests += [request, call("query-block")]
    requests += [
        call("block_set_io_throttle", device="d", bps=1),
        call("blockdev-change-medium", device="empty", filename="{dir}/raw", format="raw"),
        *(call("query-block"), call("eject", device="g"), call("query-block")),
        {"execute": "block_set_io_throttle", "arguments": NONE | {"device": "g"}},
        call("blockdev-change-medium", device="g", filename="{dir}/o"),
        *(call("query-block"), call("human-monitor-command", command_line="info block g")),
        call("human-monitor-command", command_line="drive_add 0 if=none,id=late,group=grp,iops=7"),
        call("query-block"),
    ]
    words = [
        *("-device", "virtio-scsi", "-blockdev", "null-co,node-name=n", "-drive", DRIVE),
        *("-drive", "if=none,id=g,file={dir}/o,format=qcow2,iops=3,group=grp"),
        *("-drive", "if=none,id=empty,iops=5", "-device", "scsi-hd,id=hd,drive=n"),
        *("-blockdev", "null-co,node-name=m", "-device", "virtio-blk,id=vb,drive=m"),
    ]
    steps = [either(request) for request in requests]
    compare(steps, images, program=Program.SYSTEM, arguments=words)


@pytest.mark.parametrize(
    "limits",
    [
        *["iops=x", "iops=1k", "iops=", "iops=1.5", "iops=-1", f"iops={1 << 64}", f"iops={10**16}"],
        *["iops=5,throttling.iops-total=6", "group=a,throttling.group=b,iops=bad"],
        *["bps=5,bps_rd=6", "iops=5,iops_max=10,iops_rd_max=6", "bps=5,bps_wr=-1"],
        *["iops_max=5", "bps=100,bps_max=50", "iops_size=5", "iops_size=5,bps=1"],
        *["iops_size=5,iops=-1", "iops_size=5,bps=-1", "iops=-1,bps=1,bps_max=0,bps_rd=2"],
        *["iops=bad,bps=worse", "bps=worse,iops=bad", "throttling.iops-total-max-length=x,iops=x"],
        *[
            f"throttling.iops-total-max-length={length},{rates}"
            for length, rates in [
                *[(0, "iops=100"), (0, "iops=100,iops_max=200"), (2, "iops=100")],
                *[(0, "iops=1,iops_max=5"), (2, "iops=1,iops_max=1000000000000000")],
            ]
        ],
        "throttling.iops-total-max-length=0,iops_max=5",
        "throttling.iops-total-max-length=2,iops_max=1000000000000000",
        "throttling.iops-total-max-length=2,iops=9,iops_max=5",
        *[f"iops=-1,{more}" for more in ("aio=x", "werror=x", "discard=x", "file.driver=x")],
        *["iops=x,cache=x", "iops=x,aio=x", "iops=x,if=x"],
    ],
)
def test_limits_that_make_no_sense(limits, tmp_path):
    """The first thing that is wrong is told, before anything is opened."""
    said = []
    for side in Side:
        directory = tmp_path / side.value
        directory.mkdir()
        image(directory, "c1")
        drive = f"if=none,id=d,file=c1,format=qcow2,{limits}"
        end = run_to_end(side, Program.SYSTEM, ["-drive", drive], directory)
        said.append((end.status, end.last_line))
    assert said[0] == said[1]
    assert said[0][0] == 1
