"""Nodes whose devices run in different threads stay apart; everything else comes along."""

import pytest

from qmpd.testing.oracle import Program, call, compare, image, wait_job
from tests.oracle.machine.steps import ask

pytestmark = pytest.mark.oracle


def images(directory):
    for number in range(4):
        image(directory, f"c{number}")


def definition(number, **options):
    file = {"driver": "file", "filename": f"c{number}"}
    node = {"driver": "qcow2", "node-name": f"f{number}", "file": file, "backing": None}
    return node | options


def add(*numbers):
    return [call("blockdev-add", **definition(number)) for number in numbers]


def reopen(number, backing):
    return ask(call("blockdev-reopen", options=[definition(number, backing=backing)]))


def threads(*numbers):
    return [call("object-add", qom_type="iothread", id=f"i{number}") for number in numbers]


def bus(number, **options):
    return call("device_add", driver="virtio-scsi-pci", id=f"b{number}", **options)


def disk(number, on):
    device = {"driver": "scsi-hd", "id": f"d{number}", "share_rw": True}
    return ask(call("device_add", drive=f"f{number}", bus=f"b{on}.0", **device))


def move(node, thread, **options):
    return ask(call("x-blockdev-set-iothread", node_name=node, iothread=thread, **options))


def on_backing(name, backing, **options):
    file = {"driver": "file", "filename": "c2"}
    return ask(
        call("blockdev-add", driver="qcow2", node_name=name, file=file, backing=backing, **options)
    )


def virtio(thread):
    options = {} if thread is None else {"iothread": thread}
    return call("device_add", driver="virtio-blk-pci", drive="f1", id="v", share_rw=True, **options)


THREADED = [*add(0, 1), *threads(0, 1), bus(0, iothread="i0"), disk(0, 0)]
SCRIPTS = {
    "two threads": [
        *(*THREADED, bus(1, iothread="i1"), disk(1, 1)),
        *(reopen(0, "f1"), reopen(0, None), reopen(1, "f0")),
        on_backing("z", "f0"),
        ask(call("blockdev-add", driver="qcow2", node_name="y", file="z", backing="f1")),
        *add(3),
        reopen(3, "f0"),
        ask(call("blockdev-add", driver="raw", node_name="r", file="f1", read_only=True)),
        *(reopen(3, "r"), reopen(3, "f1"), reopen(3, None)),
    ],
    "a thread and the main one": [
        *(*THREADED, bus(1), disk(1, 1), reopen(0, "f1"), reopen(1, "f0")),
    ],
    "one thread": [*THREADED, bus(1, iothread="i0"), disk(1, 1), reopen(0, "f1"), reopen(0, None)],
    "virtio-blk": [*THREADED, virtio(None), reopen(0, "f1")],
    "virtio-blk that would like to": [*THREADED, virtio("i0"), reopen(0, "f1")],
    "a job": [
        *(*THREADED, *add(2), reopen(1, "f2")),
        call("block-stream", device="f1", job_id="j", auto_finalize=False),
        wait_job("j", "pending"),
        reopen(0, "f1"),
        ask(call("job-finalize", id="j")),
    ],
    "overlay": [
        *(*THREADED, *add(2)),
        ask(call("blockdev-snapshot", node="f0", overlay="f1")),
        *(move("f0", thread, force=force) for thread in ("i0", None) for force in (False, True)),
        *(move("f2", thread) for thread in ("i0", "i1", "no", "b0", None, 5, "")),
        *(move("no", thread) for thread in ("i0", "no")),
        ask(call("x-blockdev-set-iothread", node_name="f2")),
        ask(call("x-blockdev-set-iothread", iothread=None)),
        ask(call("x-blockdev-set-iothread", iothread=None, node_name="f2", force=1)),
        ask(call("blockdev-snapshot", node="f1", overlay="f2")),
    ],
    "moving": [
        *(*THREADED, bus(1), disk(1, 1)),
        *(
            move(node, thread, force=force)
            for node in ("f0", "f1", "no")
            for thread in (None, "i0", "i1")
            for force in (False, True)
        ),
    ],
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_threads(script):
    """What comes together, and what is refused because two devices would have to share a thread."""
    compare(script, images, program=Program.SYSTEM)
