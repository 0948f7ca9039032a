"""blockdev-snapshot: an overlay takes the place of a node."""

import pytest

from qmpd.testing.oracle import (
    MIB,
    Program,
    call,
    chain,
    compare,
    image,
    refused,
    wait_event,
    wait_job,
    wait_progress,
)
from tests.oracle.building import either
from tests.oracle.overlays import (
    CHAIN,
    DISK,
    LOOK,
    MORE,
    OVERLAY,
    commit,
    delete,
    file,
    images,
    qcow2,
    raw,
    snapshot,
)

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("program", Program)
def test_users_of_the_node_use_the_overlay(program):
    """The node is read-only afterwards, and its file is opened again without write access."""
    compare(
        [
            *CHAIN,
            *OVERLAY,
            raw("user", "f1"),
            snapshot("f1", "o"),
            *LOOK,
            refused("Node 'f1' is busy: node is used as backing hd of 'o'", snapshot("f1", "o")),
            *delete("f1", "o", "user", "o", "f1"),
            *LOOK,
        ],
        images,
        program=program,
    )


def test_the_disk_follows():
    """A guest's disk writes to the overlay, and a commit brings it back to the base."""
    compare(
        [
            *CHAIN,
            *MORE,
            *OVERLAY[:1],
            qcow2("o", "so", read_only=True),
            DISK,
            refused("Block node is read-only", snapshot("f1", "o")),
            *LOOK,
            snapshot("f1", "more"),
            call("query-block"),
            call("query-blockstats"),
            *LOOK,
            commit(device="more", base_node="f1", speed=1 << 30),
            wait_job("j", "ready"),
            call("job-complete", id="j"),
            wait_job("j", "null"),
            call("query-block"),
            *LOOK,
        ],
        images,
        program=Program.SYSTEM,
        layout=False,
    )


@pytest.mark.parametrize("program", Program)
def test_what_is_no_overlay(program):
    """Each refusal, in the original's order, leaves everything as it was."""
    pairs = [
        *[("nobody", "o"), ("f1", "nobody"), ("nobody", "neither"), ("f0", "nobody")],
        *[("f1", "f1"), ("f1", "s1"), ("f1", "so"), ("f1", "f0"), ("so", "o"), ("o", "o")],
        *[("f0", "f1"), ("f0", "o"), ("f1", "raw"), ("f1", "sr"), ("f1", "null")],
        *[("f1", "with-backing"), ("o", "f1")],
    ]
    compare(
        [
            *CHAIN,
            *OVERLAY,
            file("sr", "raw"),
            raw("raw", "sr"),
            call("blockdev-add", driver="null-co", node_name="null"),
            file("sw", "with-backing"),
            qcow2("with-backing", "sw"),
            *[either(snapshot(node, overlay)) for node, overlay in pairs],
            *LOOK,
        ],
        images,
        program=program,
    )


def test_odd_nodes():
    """A storage node, one without an image, a smaller one, one below its own overlay."""
    compare(
        [
            *CHAIN,
            *OVERLAY,
            either(snapshot("s1", "o")),
            *LOOK,
            file("sb", "big"),
            qcow2("big", "sb"),
            snapshot("f1", "big"),
            *LOOK,
            call("blockdev-add", driver="null-co", node_name="null"),
            *MORE,
            snapshot("null", "more"),
            *LOOK,
            file("sr", "raw"),
            call("blockdev-add", driver="raw", node_name="raw", file="sr", size=65536),
            either(snapshot("sr", "raw")),
            *LOOK,
        ],
        images,
    )


def test_an_overlay_on_its_own_file():
    """Parents below the overlay stay; the link to the same file twice is the original's."""
    compare(
        [
            *OVERLAY,
            either(snapshot("so", "o")),
            *LOOK,
            file("sm", "more"),
            raw("between", "sm"),
            qcow2("more", "between", backing=None),
            either(snapshot("sm", "more")),
            *LOOK,
            either(snapshot("between", "more")),
            *LOOK,
        ],
        images,
    )


@pytest.mark.parametrize(
    ("options", "overlay"),
    [
        ({}, {}),
        ({"auto-read-only": True}, {}),
        ({"cache": {"direct": False, "no-flush": True}}, {"cache": {"no-flush": True}}),
        ({"detect-zeroes": "unmap", "discard": "unmap"}, {"detect-zeroes": "on"}),
        ({"lazy-refcounts": True}, {"read-only": True}),
        ({"read-only": True}, {"read-only": True}),
    ],
    ids=["plain", "auto", "cache", "zeroes", "lazy", "read-only"],
)
def test_inline_nodes(options, overlay):
    """What belongs to the node becomes read-only with it; what belongs to its user stays."""
    inner = {"driver": "qcow2", "node-name": "f1", "file": {"driver": "file", "filename": "c1"}}
    compare(
        [
            call("blockdev-add", driver="raw", node_name="user", file=inner | options),
            qcow2("o", {"driver": "file", "filename": "o"}, **overlay),
            either(snapshot("f1", "o")),
            *LOOK,
            *delete("user", "f1", "o"),
            *LOOK,
        ],
        images,
    )


def test_a_file_that_others_write():
    """Another user of the same storage node does not hinder the snapshot."""
    compare(
        [
            file("s1", "c1", auto_read_only=False),
            qcow2("f1", "s1"),
            raw("other", "s1"),
            *OVERLAY,
            snapshot("f1", "o"),
            *LOOK,
            either(snapshot("s1", "o")),
            *LOOK,
        ],
        images,
    )


def test_snapshots_on_snapshots_and_back():
    """Middle layers of what was built by snapshots can be committed, then all the rest."""
    compare(
        [
            *CHAIN,
            *OVERLAY,
            *MORE,
            snapshot("f1", "o"),
            snapshot("o", "more"),
            *LOOK,
            commit(device="more", top_node="o", base_node="f1", auto_dismiss=False),
            wait_job("j", "concluded"),
            call("job-dismiss", id="j"),
            *LOOK,
            *delete("o"),
            *OVERLAY[1:],
            snapshot("more", "o"),
            *LOOK,
            commit(device="o", base_node="f0", speed=1 << 30),
            wait_job("j", "ready"),
            call("job-complete", id="j"),
            wait_job("j", "null"),
            *LOOK,
            either(snapshot("f0", "more")),
        ],
        images,
        layout=False,
    )


TOP = [file("s2", "more"), qcow2("f2", "s2", backing="f1")]
WITH_JOB = ["f2", "f1", "f0", "flt", "s2", "s1"]


def reopen_read_only(name, number):
    options = {"driver": "qcow2", "node-name": name, "file": f"s{number}", "read-only": True}
    return call("blockdev-reopen", options=[options | {"backing": f"f{number - 1}"}])


def long_images(directory):
    """The same with more to commit than one step of a job does."""
    images(directory)
    for name in ("c0", "c1"):
        (directory / name).unlink()
    chain(directory, "c0", "c1", size=16 * MIB)
    image(directory, "c1", size=16 * MIB, backing="c0", writes=["write -P 9 0 16M"])


@pytest.mark.parametrize("program", Program)
def test_while_the_middle_is_committed(program):
    """Nodes of a job are busy; others are not, but each command makes the job take a step."""
    step = MIB // 2
    compare(
        [
            *CHAIN,
            *TOP,
            *OVERLAY,
            file("sb", "big"),
            qcow2("big", "sb"),
            reopen_read_only("f1", 1),
            commit(device="f2", top_node="f1", base_node="f0", speed=1, filter_node_name="flt"),
            wait_progress("j", step),
            either(snapshot("nobody", "o")),
            wait_progress("j", 2 * step),
            snapshot("o", "big"),
            wait_progress("j", 3 * step),
            either(snapshot("f2", "o")),
            wait_progress("j", 5 * step),
            call("query-block-jobs"),
            *[either(snapshot(node, "o")) for node in WITH_JOB[:-1]],
            call("block-job-set-speed", device="j", speed=1 << 40),
            wait_job("j", "null"),
            *LOOK,
            either(snapshot("f2", "o")),
            *LOOK,
        ],
        long_images,
        program=program,
    )


@pytest.mark.parametrize(
    "end", [call("job-complete", id="j"), call("block-job-cancel", device="j")]
)
def test_while_the_top_is_committed(end):
    """Neither nodes of the job nor its filter can have or be an overlay, also when it is done."""
    targets = [(node, "o") for node in WITH_JOB] + [("o", "flt"), ("o", "f2")]
    attempts = [either(snapshot(node, overlay)) for node, overlay in targets]
    compare(
        [
            *CHAIN,
            *TOP,
            *OVERLAY,
            commit(
                device="f2",
                base_node="f0",
                speed=1 << 30,
                filter_node_name="flt",
                auto_finalize=False,
            ),
            wait_event("BLOCK_JOB_READY"),
            *attempts,
            end,
            wait_job("j", "pending"),
            *attempts,
            call("job-finalize", id="j"),
            *LOOK,
            either(snapshot("f2", "o")),
            *LOOK,
        ],
        images,
        layout=False,
    )
