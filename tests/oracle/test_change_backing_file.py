"""change-backing-file: a name in a header changes, the graph does not."""

import pytest

from qmpd.testing.oracle import MIB, Program, call, chain, compare, image, on_host, wait_job
from tests.oracle.building import either, separate
from tests.oracle.overlays import CHAIN, LOOK, commit, file, images, qcow2

pytestmark = pytest.mark.oracle

TOP = [file("s2", "more"), qcow2("f2", "s2", backing="f1")]


READ_ONLY = {
    "driver": "qcow2",
    "node-name": "f1",
    "file": "s1",
    "backing": "f0",
    "read-only": True,
}


def change(device, image_node, name):
    return call("change-backing-file", device=device, image_node_name=image_node, backing_file=name)


def everywhere(*names):
    """Requests for all pairs of device and image among these nodes."""
    return [either(change(device, node, "new")) for device in names for node in names]


@pytest.mark.parametrize("program", Program)
def test_any_name_that_fits(program):
    """A name that is not the backing node's shows in file names; none at all is possible."""
    names = ["new name", "/absolute", "json:{bad", "nbd://x", "\u00e9", "y" * 1023, "y" * 1024]
    changes = []
    for name in (*names, "", "c0", "c0"):
        changes += [either(change("f1", "f1", name)), *LOOK]
    compare([*CHAIN, *changes], images, program=program)


def test_no_room_in_the_header():
    """Small clusters leave little room; queries show what does not fit as if it stood there."""

    def small(directory):
        options = {"cluster_size": 512}
        chain(directory, "c0", "c1", "o", "more", options=options)

    steps = []
    for length in (300, 600, 400, 350, 100):
        steps += [either(change("f1", "f1", "y" * length)), *LOOK]
    compare([*CHAIN, *steps], small)


@pytest.mark.parametrize("program", Program)
def test_layers_below(program):
    """Read-only layers are written all the same, and are read-only again."""
    compare(
        [
            *CHAIN,
            *TOP,
            call("blockdev-reopen", options=[READ_ONLY]),
            *everywhere("f2", "f1", "f0", "s1", "nobody"),
            *LOOK,
            call("blockdev-del", node_name="f2"),
            qcow2("f2", "s2", backing="f1", read_only=True),
            *everywhere("f2", "f1"),
            *LOOK,
            call("blockdev-add", driver="raw", node_name="top", file="f2", read_only=True),
            *everywhere("top", "f2"),
            *LOOK,
        ],
        images,
        program=program,
    )


def test_an_image_that_cannot_be_opened_for_writing():
    """The policy of the host refuses it; node and header are as they were."""
    protect = on_host("protect", lambda directory: (directory / "c1").chmod(0o444))
    compare(
        [
            *CHAIN[:3],
            qcow2("f1", "s1", backing="f0", read_only=True),
            protect,
            either(change("f1", "f1", "new")),
            *LOOK,
        ],
        images,
        unprivileged=True,
    )


@pytest.mark.parametrize("top", ["f1", "f2"])
def test_while_and_after_a_commit(top):
    """Nodes that a job holds are no roots, also when it has concluded."""
    arguments = {"device": "f2", "top_node": top, "base_node": "f0", "auto_dismiss": False}
    names = ["f2", "f1", "f0", "flt"]
    compare(
        [
            *CHAIN,
            *TOP,
            *([call("blockdev-reopen", options=[READ_ONLY])] if top == "f1" else []),
            commit(**arguments, speed=1 << 30, filter_node_name="flt", auto_finalize=False),
            wait_job("j", "pending" if top == "f1" else "ready"),
            *everywhere(*names),
            *([] if top == "f1" else [call("job-complete", id="j"), wait_job("j", "pending")]),
            *everywhere(*names),
            call("job-finalize", id="j"),
            *everywhere(*names),
            *LOOK,
            call("job-dismiss", id="j"),
            *everywhere(*names),
            *LOOK,
        ],
        images,
        layout=False,
    )


def test_while_a_layer_below_is_streamed():
    """The root is free, and everything in its chain can be written but a filter."""

    def filled(directory):
        images(directory)
        image(directory, "c0", size=MIB, writes=["write -P 3 0 1M"])

    compare(
        [
            *CHAIN,
            *TOP,
            call(
                "block-stream", device="f1", job_id="j", filter_node_name="flt", auto_finalize=False
            ),
            wait_job("j", "pending"),
            *everywhere("f2", "f1", "f0", "flt"),
            *LOOK,
            call("job-finalize", id="j"),
            *everywhere("f2", "f1", "f0"),
            *LOOK,
        ],
        filled,
    )


def test_drives():
    """A drive may be named as the root; one without a medium is none."""
    compare(
        [
            either(change("d", "f1", "x")),
            either(change("empty", "f1", "x")),
            call("query-block"),
            *LOOK,
        ],
        images,
        program=Program.SYSTEM,
        arguments=[
            *("-drive", "id=d,if=none,file={dir}/c1,format=qcow2,node-name=f1"),
            *("-drive", "id=empty,if=none"),
        ],
    )


def test_name_without_room_in_the_header():
    """It is refused, but queries show it until one that fits comes."""

    def build(directory):
        chain(directory, "c0", "c1", options={"c1": {"cluster_size": 512}})

    changes = [either(change("f1", "f1", name)) for name in ("y" * 600, "c0")]
    steps = [each for request in changes for each in (request, call("query-named-block-nodes"))]
    compare([*separate("c0", "c1"), *steps], build)
