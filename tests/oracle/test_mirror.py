"""``blockdev-mirror``: every kind of target and end, what guests write meanwhile, what is refused."""

import json

import pytest

from qmpd.testing.oracle import (
    MIB,
    Program,
    call,
    chain,
    compare,
    image,
    refused,
    show_descriptors,
    show_graph,
    wait_event,
    wait_job,
    wait_progress,
)
from tests.oracle.building import either, separate
from tests.oracle.test_guest_writes import clean, io

NAMES = ("c0", "c1")
NODES = call("query-named-block-nodes")
JOBS = [call("query-jobs"), call("query-block-jobs")]
LOOK = [show_graph(), show_descriptors(), NODES, *JOBS]
READY = wait_event("BLOCK_JOB_READY")
PENDING = wait_event("BLOCK_JOB_PENDING")
GONE = wait_job("j", "null")
COMPLETE = call("job-complete", id="j")
GROUP = call("object-add", qom_type="throttle-group", id="g")
DEVICE = "-d /machine/peripheral/vda/virtio-backend"
WRITES = [
    *("write -P 21 0 64k", "write -P 22 500k 100k", "write -z 700k 300k"),
    *("write -P 23 1000 10", "write -P 24 1900k 148k", "write -z -u 64k 128k"),
]

pytestmark = pytest.mark.oracle


def images(directory):
    writes = {
        "c0": ["write -P 10 0 1M"],
        "c1": ["write -P 1 128k 1M", "write -z 1300k 64k"],
    }
    chain(directory, *NAMES, size=2 * MIB, writes=writes)
    image(directory, "t", size=2 * MIB, writes=["write -P 9 0 1M"])
    image(directory, "empty", size=2 * MIB)
    image(directory, "tb", size=2 * MIB, backing="c0")
    image(directory, "raw", fmt="raw", size=2 * MIB, writes=["write -P 9 700k 1k"])
    image(directory, "small", size=MIB)


def node(name, filename, driver="qcow2", **options):
    file = {"driver": "file", "filename": filename}
    return call("blockdev-add", driver=driver, node_name=name, file=file, **options)


def throttle(name, file):
    return [
        GROUP,
        call("blockdev-add", driver="throttle", node_name=name, throttle_group="g", file=file),
    ]


TARGET = node("t", "empty")  # data that is replaced could leave its file longer, by chance
RAW = node("t", "raw", "raw")
TARGETS = {
    "qcow2": TARGET,
    "unmap": node("t", "t", discard="unmap"),
    "raw": RAW,
    "raw-unmap": node("t", "raw", "raw", discard="unmap"),
    "null": call("blockdev-add", driver="null-co", node_name="t", size=2 * MIB),
    "header": node("t", "tb", backing=None),
    "backing": node("t", "tb", backing="f0"),
}


def mirror(**arguments):
    given = {"job_id": "j", "device": "f1", "target": "t", "sync": "full"}
    return call("blockdev-mirror", **given | arguments)


def run(*steps, nodes=None, **options):
    nodes = separate(*NAMES) if nodes is None else nodes
    return compare([*nodes, *steps], images, layout=False, **options)


@pytest.mark.parametrize("sync", ["full", "top", "none"])
@pytest.mark.parametrize("target", TARGETS)
def test_pivot(target, sync):
    """Any target takes the place of the source and has its data; nothing is left of the job."""
    ready = [] if sync == "none" else [READY]
    transcript = run(TARGETS[target], mirror(sync=sync), *ready, *LOOK, COMPLETE, GONE, *LOOK)
    assert transcript.statuses("j")[-2:] == ["concluded", "null"]


@pytest.mark.parametrize("granularity", [512, 4096, 1 << 20])
@pytest.mark.parametrize("target", ["raw", "header"])
def test_granules(target, granularity):
    """A target without the backing file of its header is given whole clusters."""
    steps = [mirror(sync="top", granularity=granularity), READY, *LOOK]
    run(TARGETS[target], *steps, COMPLETE, GONE)


@pytest.mark.parametrize("sync", ["full", "top"])
@pytest.mark.parametrize("target", ["qcow2", "unmap"])
@pytest.mark.parametrize("zeroes", [True, False])
def test_source_without_content(target, sync, zeroes):
    """A null device that does not promise zeros is not copied; the job is ready at once."""
    null = {"driver": "null-co", "node_name": "f1", "size": 2 * MIB, "read-zeroes": zeroes}
    at_once = not zeroes and (sync == "top" or target == "qcow2")
    steps = [mirror(sync=sync), *([] if at_once else [READY]), *LOOK, COMPLETE, GONE]
    run(call("blockdev-add", **null), TARGETS[target], *steps, nodes=[])


@pytest.mark.parametrize("policy", ["report", "ignore", "stop"])
@pytest.mark.parametrize("event", ["read_aio", "flush_to_disk"])
def test_errors(event, policy):
    """Each side has a policy; the disk's answer before READY counts as the target's."""
    rule = {"event": event, "once": True}
    sides = {"f1": "c0", "t": "t"}
    nodes = [
        node(name, filename)
        if (event == "read_aio") != (name == "f1")
        else call(
            "blockdev-add",
            driver="qcow2",
            node_name=name,
            file={
                "driver": "blkdebug",
                "image": {"driver": "file", "filename": filename},
                "inject-error": [rule],
            },
        )
        for name, filename in sides.items()
    ]
    paused = wait_job("j", "paused")
    resume = [paused, *JOBS, call("block-job-resume", device="j")] if policy == "stop" else []
    end = [GONE] if policy == "report" else [*resume, READY, COMPLETE, GONE]
    side = "on_source_error" if event == "read_aio" else "on_target_error"
    run(mirror(**{side: policy}), wait_event("BLOCK_JOB_ERROR"), *end, nodes=nodes)


def test_buffer_of_odd_size():
    """It is whole granules."""
    start = mirror(sync="top", granularity=4096, buf_size=100000, speed=1)
    run(TARGET, start, wait_progress("j", 102400), *LOOK)


@pytest.mark.parametrize(
    "end",
    [
        call("block-job-cancel", device="j"),
        call("block-job-cancel", device="j", force=True),
        call("job-cancel", id="j"),
        call("block-job-complete", device="j"),
    ],
    ids=["soft", "force", "job-cancel", "complete"],
)
def test_ends(end):
    """A soft cancellation completes without pivot, one by force is none."""
    run(TARGET, mirror(), READY, end, GONE, *LOOK)


def test_by_hand():
    """With a name of the filter, finalized and dismissed by the user, nodes are held throughout."""
    options = {"filter_node_name": "flt", "auto_finalize": False, "auto_dismiss": False}
    refusals = [call("blockdev-del", node_name=name) for name in ("f1", "f0", "t", "flt", "s1")]
    refusals += [call("block-commit", job_id="k", device=name) for name in ("f1", "f0", "t", "flt")]
    refusals += [call("blockdev-snapshot", node=name, overlay="t") for name in ("f1", "t", "flt")]
    refusals += [mirror(job_id="k", target="t"), mirror(job_id="k", device="t", target="f1")]
    run(
        *(TARGET, mirror(**options), READY, *LOOK, *map(either, refusals)),
        *(COMPLETE, PENDING, *LOOK, call("job-finalize", id="j"), *LOOK),
        *(call("job-dismiss", id="j"), *LOOK),
    )


@pytest.mark.parametrize("buffer", [{}, {"buf_size": 65536}, {"sync": "top"}], ids=str)
def test_speed(buffer):
    """What is copied before the first sleep depends on the buffer; then it goes on, or not."""
    asleep = [mirror(speed=1, **buffer), wait_progress("j", 1), *LOOK]
    go_on = [call("block-job-set-speed", device="j", speed=0), READY, COMPLETE, GONE]
    cancelled = [call("block-job-cancel", device="j"), GONE, *LOOK]
    run(TARGET, *asleep, *cancelled, *asleep, *go_on)


def test_paused():
    """Completion waits for the user."""
    resume = call("job-resume", id="j")
    soft = refused(
        "The block job for device 'j' is currently paused", call("block-job-cancel", device="j")
    )
    pause = call("job-pause", id="j")
    run(TARGET, mirror(), READY, pause, *LOOK, COMPLETE, *LOOK, soft, resume, GONE, *LOOK)


@pytest.mark.parametrize("end", ["complete", "cancel"])
def test_replaces(end):
    """The target takes the place of the node below a filter, which is blocked meanwhile."""
    snapshot = either(call("blockdev-snapshot", node="f1", overlay="t"))
    finish = call("job-finalize", id="j") if end == "complete" else call("job-cancel", id="j")
    run(
        *(TARGET, *throttle("thr", "f1")),
        *(mirror(device="thr", replaces="f1", auto_finalize=False), READY, *LOOK),
        *(COMPLETE, PENDING, *LOOK, snapshot, finish, *LOOK),
    )


def test_the_node_to_replace_is_gone():
    options = {"device": "thr", "replaces": "f1"}
    delete = either(call("blockdev-del", node_name="f1"))
    run(TARGET, *throttle("thr", "f1"), mirror(**options), READY, delete, COMPLETE, GONE, *LOOK)


def test_a_filter_is_mirrored():
    run(TARGET, *throttle("thr", "f1"), mirror(device="thr"), READY, *LOOK, COMPLETE, GONE, *LOOK)


def test_read_only_source():
    """The target becomes as read-only as what it replaces."""
    nodes = separate(*NAMES, last_writable=False)
    run(TARGET, mirror(), READY, *LOOK, COMPLETE, GONE, *LOOK, nodes=nodes)


def test_snapshot_below():
    """The links of the source's chain are not frozen."""
    overlay = call("blockdev-snapshot", node="f0", overlay="small")
    run(TARGET, node("small", "small"), mirror(), READY, either(overlay), *LOOK, COMPLETE, GONE)


def test_different_sizes():
    """That is an error of the job."""
    run(node("small", "small"), mirror(target="small"), GONE, *LOOK)


REFUSED = {
    "range": {"granularity": 511},
    "huge": {"granularity": 1 << 27},
    "negative": {"granularity": -1},
    "power": {"granularity": 768},
    "device first": {"granularity": 3, "device": "nope"},
    "target first": {"granularity": 3, "target": "nope"},
    "granularity before buffer": {"granularity": 3, "buf_size": -1},
    "buffer": {"buf_size": -1},
    "buffer before itself": {"buf_size": -1, "target": "f1"},
    "incremental": {"sync": "incremental"},
    "bitmap": {"sync": "bitmap", "target": "f1"},
    "no root": {"device": "f0"},
    "itself": {"target": "f1"},
    "backing": {"target": "f0", "sync": "bitmap"},
    "replaces nothing": {"replaces": "nope"},
    "replaces backing": {"replaces": "f0"},
    "replaces another": {"replaces": "t"},
    "replaces the target's filter": {"replaces": "thr"},
    "speed": {"speed": -1},
    "id": {"job_id": "/"},
    "filter name": {"filter_node_name": "f0"},
    "filter name of nothing": {"filter_node_name": ""},
    "storage of the base": {"target": "s0"},
    "storage of the source": {"target": "s1"},
    "filter above the base": {"target": "thr"},
    "read-only": {"target": "ro"},
}


def test_what_is_refused():
    """In the original's words and order, and nothing is left of it."""
    nodes = [TARGET, *throttle("thr", "f0"), node("ro", "small", read_only=True)]
    steps = [either(mirror(**arguments)) for arguments in REFUSED.values()]
    nameless = either(call("blockdev-mirror", device="f1", target="t", sync="full"))
    run(*nodes, *steps, nameless, *LOOK)


@pytest.mark.parametrize("speed", [{}, {"speed": 1}], ids=["ready", "copying"])
def test_quit(speed):
    """The end of the process ends the job, and images are whole."""
    run(TARGET, mirror(**speed), wait_progress("j", 1) if speed else READY)


def below_a_disk(*steps, shared=True):
    words = [
        each for node in separate(*NAMES) for each in ("-blockdev", json.dumps(node["arguments"]))
    ]
    device = "virtio-blk-pci,drive=f1,id=vda" + (",share-rw=on" if shared else "")
    words += ["-device", device]
    return compare(steps, images, layout=False, program=Program.SYSTEM, arguments=words)


SEEN = [show_graph(), NODES, *JOBS]


@pytest.mark.parametrize("sync", ["full", "top", "none"])
@pytest.mark.parametrize("mode", ["background", "write-blocking"])
def test_guest_writes(mode, sync):
    """They go to both sides, at once or behind; afterwards the guest is on the target."""
    steps = [each for line in WRITES for each in (*io(DEVICE, line), clean(), *JOBS)]
    ready = [] if sync == "none" else [READY]
    after = io(DEVICE, "read -P 21 64 100", "write -P 3 0 1k")
    start = mirror(copy_mode=mode, sync=sync, granularity=4096)
    below_a_disk(RAW, start, *ready, *steps, *SEEN, COMPLETE, GONE, *SEEN, *after, *SEEN)


@pytest.mark.parametrize("mode", ["background", "write-blocking"])
def test_guest_writes_while_all_is_copied(mode):
    """Before and behind the place where the job is."""
    writes = [each for line in WRITES for each in (*io(DEVICE, line), *JOBS, NODES)]
    below_a_disk(
        *(
            RAW if mode == "background" else TARGET,
            mirror(copy_mode=mode, speed=1, buf_size=262144),
            wait_progress("j", 262144),
            *writes,
        ),
        *(call("block-job-set-speed", device="j", speed=0), READY, *JOBS, COMPLETE, GONE, *SEEN),
    )


@pytest.mark.parametrize("mode", ["background", "write-blocking"])
def test_guest_writes_to_a_paused_mirror(mode):
    """Those that go to both sides at once do not wait for it."""
    writes = [each for line in WRITES for each in (*io(DEVICE, line), *JOBS, NODES)]
    pause, resume = call("job-pause", id="j"), call("job-resume", id="j")
    below_a_disk(
        *(RAW, mirror(copy_mode=mode), READY, pause, *writes),
        *(resume, clean(), *JOBS, call("block-job-cancel", device="j"), GONE, *SEEN),
    )


@pytest.mark.parametrize("name", ["f1", "t"])
def test_writes_around_the_filter(name):
    """By name a side is written only if the other users allow it."""
    writes = io(name, "write 0 64k", "read 0 64k")
    below_a_disk(TARGET, mirror(copy_mode="write-blocking"), READY, *writes, *SEEN, shared=False)
