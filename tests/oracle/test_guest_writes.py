"""What guests write while jobs run: by qemu-io of the human monitor, as a device or as nobody."""

import json

import pytest

from qmpd.testing.oracle import (
    MIB,
    Program,
    Step,
    call,
    chain,
    compare,
    show_graph,
    wait_event,
    wait_job,
    wait_progress,
)
from tests.oracle.building import separate

NAMES = ("c0", "c1", "c2", "c3")
JOBS = [call("query-jobs"), call("query-block-jobs")]
LOOK = [show_graph(), call("query-named-block-nodes"), *JOBS]
GONE = wait_job("j", "null")
READY = wait_event("BLOCK_JOB_READY")
PENDING = wait_event("BLOCK_JOB_PENDING")
DEVICE = "-d /machine/peripheral/vda/virtio-backend"
WRITES = [
    "write -P 21 0 64k",
    "write -P 22 500k 100k",
    "write -z 700k 300k",
    "write -P 23 1000 10",
    "write -P 24 1900k 148k",
]
COMMIT = {"job_id": "j", "device": "f3"}
MIDDLE = COMMIT | {"top_node": "f2", "base_node": "f0"}

pytestmark = pytest.mark.oracle


def images(directory):
    writes = {
        "c0": ["write -P 10 0 2M"],
        "c1": ["write -P 1 128k 1M"],
        "c2": ["write -P 2 512k 640k", "write -z 1900k 64k"],
        "c3": ["write -P 3 768k 64k"],
    }
    chain(directory, *NAMES, size=2 * MIB, writes=writes)


def io(where, *lines):
    return [
        call("human-monitor-command", command_line=f'qemu-io {where} "{line}"') for line in lines
    ]


def run(*steps, shared=True):
    words = []
    for request in separate(*NAMES):
        words += ["-blockdev", json.dumps(request["arguments"])]
    device = "virtio-blk-pci,drive=f3,id=vda" + (",share-rw=on" if shared else "")
    return compare(
        steps, images, layout=False, program=Program.SYSTEM, arguments=[*words, "-device", device]
    )


def clean():
    """Wait until the mirror has caught up with the guest; compares nothing."""

    def wait(server):
        dirty = True
        while dirty:
            nodes = server.execute("query-named-block-nodes")
            dirty = any(each["count"] for node in nodes for each in node.get("dirty-bitmaps", []))
            (job,) = server.execute("query-jobs")
            dirty = dirty or job["current-progress"] < job["total-progress"]
            (job,) = server.execute("query-block-jobs")
            dirty = dirty or job["busy"]
        return []

    return Step("until nothing is dirty", wait)


@pytest.mark.parametrize("where", [DEVICE, "f3"])
@pytest.mark.parametrize("end", ["job-complete", "block-job-cancel", "job-cancel"])
def test_writes_to_a_ready_mirror(where, end):
    """They go to both sides: progress and images show it, whichever side is left."""
    member = "device" if end.startswith("block") else "id"
    steps = [each for line in io(where, *WRITES) for each in (line, clean(), *JOBS)]
    run(call("block-commit", **COMMIT), READY, *steps, call(end, **{member: "j"}), GONE, *LOOK)


def test_writes_to_a_paused_mirror():
    """They wait for it, dirty, and are copied before the end."""
    run(
        *(call("block-commit", **COMMIT), READY, call("job-pause", id="j")),
        *(*io(DEVICE, *WRITES), *LOOK, call("job-complete", id="j"), *LOOK),
        *(call("job-resume", id="j"), GONE, *LOOK),
    )


def test_writes_to_a_mirror_that_copies():
    """Before and behind the place where it is."""
    run(
        call("block-commit", **COMMIT, speed=1),
        wait_progress("j", 1),
        *(*io(DEVICE, *WRITES), *LOOK, call("block-job-set-speed", device="j", speed=0)),
        *(READY, call("job-complete", id="j"), GONE, *LOOK),
    )


@pytest.mark.parametrize(
    ("job", "first"),
    [
        (call("block-commit", **MIDDLE, speed=1), 524288),
        (call("block-stream", **COMMIT, speed=1), 131072),
        (call("block-stream", **COMMIT, speed=1, base_node="f1"), 786432),
        (call("block-stream", job_id="j", device="f2", speed=1), 131072),
    ],
    ids=["commit", "stream", "stream of some", "stream below"],
)
def test_writes_above_other_jobs(job, first):
    """They go to the image that the guest has; a stream does not copy over them."""
    run(
        job,
        wait_progress("j", first),
        *(
            *io(DEVICE, *WRITES, "read 0 2M"),
            *LOOK,
            call("block-job-set-speed", device="j", speed=0),
            GONE,
        ),
        *(*io("f3", "read -P 21 0 900", "read -P 22 500k 100k"), *LOOK),
    )


@pytest.mark.parametrize(
    ("job", "first"),
    [
        (call("block-commit", **MIDDLE, speed=1), 524288),
        (call("block-stream", **COMMIT, speed=1), 131072),
    ],
    ids=["commit", "stream"],
)
def test_who_may_write(job, first):
    """By name, a node is written only if everybody else allows it."""
    run(
        job,
        wait_progress("j", first),
        call("job-pause", id="j"),
        *[each for name in ("f0", "f1", "f3", "s3") for each in io(name, "write 64k 64k")],
        *JOBS,
        shared=False,
    )


def test_access_by_name_wakes_jobs():
    """A backend that comes and goes interrupts them twice."""
    job = call("block-stream", **COMMIT, speed=1, base_node="f0")
    run(job, wait_progress("j", 524288), *io("f0", "length"), wait_progress("j", 1179648), *JOBS)


NAMES_OF_DEVICES = [
    *("v", "s", "c", "bus", "x", "n", "/machine/peripheral/v", "/machine/peripheral/s/"),
    *("/machine/peripheral/v/virtio-backend", "v/virtio-backend", "peripheral/s", "/", "/machine"),
    *("/machine/peripheral-anon/device[0]", "/machine/peripheral-anon/device[0]/virtio-backend"),
    *("/machine/peripheral/s/x", "device[0]"),
]


def test_names_of_devices():
    """An id, a path below the devices with ids, or an absolute one."""
    words = ["-device", "virtio-scsi-pci,id=bus"]
    for node in "nmo":
        words += ["-blockdev", f"null-co,node-name={node}"]
    for device in ("virtio-blk-pci,id=v,drive=n", "scsi-hd,id=s,drive=m", "virtio-blk-pci,drive=o"):
        words += ["-device", device]
    empty = call("device_add", driver="scsi-cd", id="c")
    requests = [each for name in NAMES_OF_DEVICES for each in io(f"-d {name}", "length")]
    compare([empty, *requests], program=Program.SYSTEM, arguments=words)
