"""Snapshots of nodes with filters about them, of nodes that fail, and of nodes in use."""

import pytest

from qmpd.testing.oracle import (
    MIB,
    Program,
    call,
    compare,
    image,
    qemu_img,
    show_descriptors,
    show_graph,
    wait_job,
)
from tests.oracle.building import either
from tests.oracle.overlays import (
    CHAIN,
    DISK,
    LOOK,
    MORE,
    OVERLAY,
    delete,
    file,
    images,
    qcow2,
    raw,
    snapshot,
)

pytestmark = pytest.mark.oracle

GROUP = call("object-add", qom_type="throttle-group", id="g")


@pytest.mark.parametrize(
    "options",
    [
        {"driver": "throttle", "throttle-group": "g"},
        {"driver": "copy-on-read"},
        {"driver": "compress"},
        {"driver": "blkdebug"},
    ],
    ids=lambda options: options["driver"],
)
def test_filters(options):
    """They are no overlays; above and below a node they stay where they are, or get one."""
    below = "image" if options["driver"] == "blkdebug" else "file"

    def filter_node(name, node):
        return either(call("blockdev-add", **options | {below: node}, node_name=name))

    compare(
        [
            *CHAIN[:2],
            GROUP,
            file("s1", "c1"),
            filter_node("low", "s1"),
            qcow2("f1", "s1" if options["driver"] == "compress" else "low", backing="f0"),
            *OVERLAY,
            *MORE,
            filter_node("idle", "o"),
            filter_node("top", "f1"),
            *[
                either(snapshot(node, overlay))
                for node, overlay in [("f1", "idle"), ("idle", "f1"), ("idle", "o"), ("f1", "top")]
            ],
            *LOOK,
            either(snapshot("f1", "o")),
            *LOOK,
            either(snapshot("top", "more")),
            *LOOK,
        ],
        images,
    )


@pytest.mark.parametrize("event", ["none", "flush_to_os", "flush_to_disk"])
@pytest.mark.parametrize("kind", ["qcow2", "raw"])
def test_a_node_that_cannot_be_flushed(kind, event):
    """It gets no overlay once it has been written; before that there is nothing to flush."""
    rule = {"event": event, "iotype": "flush", "errno": 28}
    inner = {"driver": "file", "filename": "c1"}
    broken = {"driver": "blkdebug", "node-name": "bd", "image": inner, "inject-error": [rule]}
    options = {"driver": kind, "node-name": "f1", "file": broken}
    options |= {"backing": None} if kind == "qcow2" else {}
    again = call("blockdev-reopen", options=[options | {"detect-zeroes": "on"}])
    flush, write = (
        call("human-monitor-command", command_line=f'qemu-io f1 "{command}"')
        for command in ("flush", "write 0 4k")
    )
    compare(
        [
            call("blockdev-add", **options),
            *OVERLAY,
            again,
            DISK,
            *[flush, write, flush, either(again), either(snapshot("f1", "o")), flush],
            *LOOK,
        ],
        images,
        program=Program.SYSTEM,
    )
    compare([call("blockdev-add", **options), *OVERLAY, snapshot("f1", "o"), *LOOK], images)


def test_what_a_guest_writes_goes_to_the_overlay():
    """What was written before stays in the node, which is read-only from then on."""

    def io(node, command):
        return call("human-monitor-command", command_line=f'qemu-io {node} "{command}"')

    compare(
        [
            *CHAIN,
            *OVERLAY,
            DISK,
            io("f1", "write -P 1 0 256k"),
            snapshot("f1", "o"),
            io("o", "write -P 2 128k 256k"),
            io("o", "read -P 1 0 128k"),
            io("f1", "write -P 3 0 64k"),
            *LOOK,
        ],
        images,
        program=Program.SYSTEM,
    )


def with_bitmaps(directory):
    images(directory)
    for name in ("c1", "o"):
        qemu_img(directory, "bitmap", "--add", name, f"of-{name}")


def test_bitmaps_stay_with_their_images():
    """Those of the node are saved when it becomes read-only."""
    compare(
        [
            *CHAIN,
            *OVERLAY,
            raw("user", "f1"),
            snapshot("f1", "o"),
            *LOOK,
            *delete("user", "o", "f1"),
            *LOOK,
        ],
        with_bitmaps,
    )


def test_streams_into_an_overlay():
    """What a snapshot has put apart, a stream brings together again."""
    stream = call("block-stream", device="o", job_id="j", auto_dismiss=False)
    compare(
        [
            *CHAIN,
            *OVERLAY,
            raw("user", "f1"),
            snapshot("f1", "o"),
            stream,
            wait_job("j", "concluded"),
            call("job-dismiss", id="j"),
            *LOOK,
            either(snapshot("f1", "o")),
            *LOOK,
        ],
        images,
    )


def test_while_a_stream_runs():
    """Neither the nodes of the job nor its filter can have an overlay, or be one."""

    def filled(directory):
        images(directory)
        image(directory, "c0", size=32 * MIB, writes=["write -P 3 0 32M"])
        image(directory, "c1", size=32 * MIB, backing="c0")

    pairs = [("f1", "o"), ("flt", "o"), ("f0", "o"), ("o", "f1"), ("o", "flt")]
    stream = {"device": "f1", "job_id": "j", "speed": 1, "filter_node_name": "flt"}
    compare(
        [
            *CHAIN,
            *OVERLAY,
            call("block-stream", **stream),
            *[either(snapshot(node, overlay)) for node, overlay in pairs],
            show_graph(),
            show_descriptors(),
            call("block-job-set-speed", device="j", speed=1 << 40),
            wait_job("j", "null"),
            *LOOK,
        ],
        filled,
        layout=False,
    )
