"""block-commit of intermediate layers: arguments, graph, descriptors, header, refusals."""

import json

import pytest

from qmpd.testing.oracle import (
    MIB,
    Program,
    call,
    chain,
    compare,
    image,
    on_host,
    refused,
    show_descriptors,
    show_graph,
    wait_event,
    wait_job,
    wait_progress,
)
from tests.oracle.building import inline, separate

CHUNK = 512 << 10
NAMES = ("c0", "c1", "c2", "c3")
NODES = call("query-named-block-nodes")
LOOK = [show_graph(), show_descriptors(), NODES]
MIDDLE = {"job_id": "j", "device": "f3", "top_node": "f2", "base_node": "f0"}
GONE = wait_job("j", "null")
PENDING = wait_event("BLOCK_JOB_PENDING")
FINALIZE = call("job-finalize", id="j")

pytestmark = pytest.mark.oracle


def images(directory, **options):
    writes = {
        "c0": ["write -P 10 0 256k"],
        "c1": ["write -P 1 0 640k"],
        "c2": ["write -P 2 512k 512k"],
        "c3": ["write -P 3 900k 64k"],
    }
    chain(directory, *NAMES, writes=writes, **options)


def commit(**options):
    return call("block-commit", **(MIDDLE | options))


# -- arguments -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "desc"),
    [
        ({"device": "f2"}, "Need a root block node"),
        ({"device": "s3", "top-node": "zz"}, "Need a root block node"),
        ({"device": "f3", "top-node": "f2", "top": "c2"}, "'top-node' and 'top' are mutually exclusive"),
        ({"device": "f3", "top-node": "zz"}, "Cannot find device='' nor node-name='zz'"),
        ({"device": "f3", "top-node": "s0"}, "'s0' is not in this backing file chain"),
        ({"device": "f3", "top-node": "lone"}, "'lone' is not in this backing file chain"),
        ({"device": "f3", "top": "nope"}, "Top image file nope not found"),
        ({"device": "f3", "base-node": "f0", "base": "c0"}, "'base-node' and 'base' are mutually exclusive"),
        ({"device": "f3", "base-node": "zz"}, "Cannot find device='' nor node-name='zz'"),
        ({"device": "f3", "top-node": "f1", "base-node": "f2"}, "'f2' is not in this backing file chain"),
        ({"device": "f3", "base": "nope"}, "Can't find 'nope' in the backing chain"),
        ({"device": "f3", "top-node": "f0"}, "cannot commit an image into itself"),
        ({"device": "lone"}, "cannot commit an image into itself"),
        ({"device": "f3", "top-node": "f1", "base-node": "f1"}, "cannot commit an image into itself"),
        ({"device": "f3", "top-node": "f3", "base-node": "f3"}, "cannot commit an image into itself"),
        ({"device": "f3", "backing-file": "x"}, "'backing-file' specified, but 'top' is the active layer"),
        ({"device": "f3", "top-node": "zz", "base-node": "yy"}, "Cannot find device='' nor node-name='zz'"),
        ({"device": "f3", "top-node": "f2", "filter-node-name": "f0"}, "Duplicate nodes with node-name='f0'"),
        ({"device": "f3", "top-node": "f2", "filter-node-name": "1"}, "Invalid node-name: '1'"),
        ({"device": "f3", "top-node": "f2", "on-error": "x"}, "Parameter 'on-error' does not accept value 'x'"),
    ],
)  # fmt: skip
def test_refused_arguments(arguments, desc):
    """Each with its sentence; graph, descriptors and headers stay as they were."""
    lone = call("blockdev-add", driver="null-co", node_name="lone")
    request = call("block-commit", **({"job-id": "j"} | arguments))
    compare([*separate(*NAMES), lone, refused(desc, request), *LOOK, call("query-jobs")], images)


def test_unknown_device():
    """It has a class of its own, and is told before anything else."""
    compare(
        [
            refused("Device 'nope' not found", call("block-commit", device="nope", top_node="x")),
            refused("Device '' not found", call("block-commit", device="")),
        ]
    )


def test_names_of_files_find_the_nodes():
    """top and base may be given as the strings that the headers and queries show."""
    compare(
        [
            *separate(*NAMES),
            call("block-commit", job_id="j", device="f3", top="c2", base="c0"),
            GONE,
            *LOOK,
        ],
        images,
    )


def test_default_base_is_the_bottom():
    compare(
        [
            *separate(*NAMES),
            call("block-commit", job_id="j", device="f3", top_node="f2"),
            GONE,
            *LOOK,
        ],
        images,
    )


# -- the graph while it runs -----------------------------------------------------------------


@pytest.mark.parametrize(
    "filter_name", [{}, {"filter_node_name": "flt"}], ids=["implicit", "named"]
)
@pytest.mark.parametrize("nodes", [separate, inline], ids=["separate", "inline"])
def test_while_running_and_pending(nodes, filter_name):
    """All edges of the job, its blocked bytes, and what is left after each manual step."""
    transcript = compare(
        [
            *nodes(*NAMES),
            *LOOK,
            commit(speed=1, auto_finalize=False, auto_dismiss=False, **filter_name),
            wait_progress("j", CHUNK),
            *LOOK,
            call("query-block-jobs"),
            call("block-job-set-speed", device="j", speed=0),
            PENDING,
            *LOOK,
            FINALIZE,
            *LOOK,
            call("job-dismiss", id="j"),
            *LOOK,
        ],
        images,
    )
    assert transcript.statuses("j")[-2:] == ["concluded", "null"]


def test_single_layer():
    compare([*separate(*NAMES), commit(top_node="f1"), GONE, *LOOK], images)


def test_implicit_chain():
    """Layers that were found through headers vanish when the commit lets go of them."""
    top = call(
        "blockdev-add",
        driver="qcow2",
        node_name="top",
        file={"driver": "file", "filename": "c3"},
    )
    compare(
        [
            top,
            call("block-commit", job_id="j", device="top", top="c2", base="c0", speed=1),
            wait_progress("j", CHUNK),
            show_graph(),
            show_descriptors(),
            call("block-job-set-speed", device="j", speed=0),
            GONE,
            show_graph(),
            show_descriptors(),
            NODES,
        ],
        images,
    )


@pytest.mark.parametrize("speed", [{}, {"speed": 1}], ids=["fast", "slow"])
@pytest.mark.parametrize("program", Program, ids=["storage-daemon", "system"])
def test_below_a_disk(program, speed):
    """With a guest device on top (or without): the same life, other permissions."""
    words = []
    for request in separate(*NAMES):
        words += [program.blockdev_option, json.dumps(request["arguments"])]
    if program is Program.SYSTEM:
        words += ["-device", "virtio-blk-pci,drive=f3,id=vda"]
    held = [wait_progress("j", CHUNK)] if speed else [PENDING]
    compare(
        [
            *LOOK,
            commit(auto_finalize=not speed, **speed) if speed else commit(auto_finalize=False),
            *held,
            *LOOK,
            call("query-block"),
            *([call("job-cancel", id="j")] if speed else [FINALIZE]),
            *LOOK,
            call("query-block"),
        ],
        images,
        program=program,
        arguments=words,
    )


# -- cancel ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "held",
    [
        [commit(speed=1), wait_progress("j", CHUNK)],
        [commit(auto_finalize=False), PENDING],
    ],
    ids=["running", "pending"],
)
def test_cancel_leaves_the_chain_as_it_was(held):
    """Graph, modes, locks and headers are the old ones; copied data stays in the base."""
    transcript = compare(
        [*separate(*NAMES), *LOOK, *held, call("job-cancel", id="j"), *LOOK], images
    )
    assert transcript.steps[8:10] == transcript.steps[-3:-1]


# -- the overlay's header --------------------------------------------------------------------


@pytest.mark.parametrize(
    "backing_file",
    [None, "c0", "./c0", "{dir}/c0", "wrong/name", "", "x" * 1023, 'json:{"driver": "null-co"}'],
    ids=["default", "name", "dot", "absolute", "wrong", "empty", "longest", "json"],
)
@pytest.mark.parametrize("absolute", [False, True], ids=["relative", "absolute"])
def test_backing_string_in_the_header(backing_file, absolute):
    """The given string is written as it is; by default it is the base's own name."""
    given = {} if backing_file is None else {"backing_file": backing_file}
    compare(
        [*separate(*NAMES), commit(**given), GONE, *LOOK],
        lambda directory: images(directory, absolute=absolute),
    )


def test_raw_base_becomes_the_format_in_the_header():
    compare(
        [*separate(*NAMES, raw_base=True), commit(), GONE, *LOOK],
        lambda directory: images(directory, raw_base=True),
    )


# -- sizes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("raw_base", [False, True], ids=["qcow2-base", "raw-base"])
def test_base_grows_to_the_size_of_top(raw_base):
    """The resize permission is taken, and the new size is seen while the job still runs."""
    sizes = {"c0": MIB // 2, "c1": MIB, "c2": 2 * MIB, "c3": 3 * MIB}

    def growing(directory):
        chain(
            directory,
            *NAMES,
            size=sizes,
            raw_base=raw_base,
            writes={"c0": ["write -P 1 0 512k"], "c2": ["write -P 2 0 640k", "write -P 3 1M 640k"]},
        )

    compare(
        [
            *separate(*NAMES, raw_base=raw_base),
            commit(speed=1, auto_finalize=False),
            wait_progress("j", CHUNK),
            *LOOK,
            call("block-job-set-speed", device="j", speed=0),
            PENDING,
            *LOOK,
            FINALIZE,
            *LOOK,
        ],
        growing,
    )


def test_base_larger_than_top_keeps_its_size():
    sizes = {"c0": 2 * MIB, "c1": MIB, "c2": MIB, "c3": MIB}
    compare(
        [*separate(*NAMES), commit(), GONE, *LOOK],
        lambda directory: images(directory, size=sizes),
    )


# -- who is refused meanwhile ----------------------------------------------------------------


def test_commands_refused_while_it_runs():
    """Each says who is in the way; the job goes on and ends well."""
    by_job = "block device is in use by block job: commit"

    def remove(name):
        return call("blockdev-del", node_name=name)

    compare(
        [
            *separate(*NAMES),
            commit(speed=1, filter_node_name="flt"),
            wait_progress("j", CHUNK),
            refused("Need a root block node", call("block-commit", job_id="k", device="f3")),
            refused("Need a root block node", call("block-commit", job_id="k", device="f2")),
            refused("Node f0 is in use", remove("f0")),
            refused("Node f2 is in use", remove("f2")),
            refused(f"Node 'f1' is busy: {by_job}", remove("f1")),
            refused(f"Node 'f3' is busy: {by_job}", remove("f3")),
            refused("Node 'flt' is busy: node is used as backing hd of 'f3'", remove("flt")),
            *LOOK,
            call("query-block-jobs"),
        ],
        images,
    )


def test_drain_wakes_a_sleeping_job():
    """A refused reopen still drains the chain; the job goes on at once instead of in hours."""
    node = {"driver": "qcow2", "node-name": "f1", "file": "s1", "read-only": True}
    compare(
        [
            *separate(*NAMES),
            commit(speed=1),
            wait_progress("j", CHUNK),
            refused(
                "Cannot change frozen 'backing' link from 'f1' to 'f0'",
                call("blockdev-reopen", options=[node | {"backing": None}]),
            ),
            GONE,
            *LOOK,
        ],
        images,
    )


def test_nodes_stay_blocked_until_the_job_is_dismissed():
    """A concluded job still holds its nodes and their lock bytes."""
    by_job = "block device is in use by block job: commit"
    compare(
        [
            *separate(*NAMES),
            commit(auto_dismiss=False),
            wait_job("j", "concluded"),
            *LOOK,
            refused(f"Node 'f2' is busy: {by_job}", call("blockdev-del", node_name="f2")),
            call("job-dismiss", id="j"),
            refused(
                "Node 'f1' is busy: node is used as backing hd of 'f2'",
                call("blockdev-del", node_name="f1"),
            ),
            *[call("blockdev-del", node_name=name) for name in ("f2", "s2", "f1", "s1")],
            *LOOK,
        ],
        images,
    )


# -- failures at the start -------------------------------------------------------------------


def test_unwritable_base():
    """The job is announced and gone, the reply names the file, nothing has changed."""

    def unwritable(directory):
        images(directory)
        (directory / "c0").chmod(0o444)

    compare(
        [
            *separate(*NAMES),
            *LOOK,
            refused("Could not open 'c0': Permission denied", commit()),
            *LOOK,
            call("query-jobs"),
            on_host("allow", lambda directory: (directory / "c0").chmod(0o644)),
            commit(),
            GONE,
            *LOOK,
        ],
        unwritable,
        unprivileged=True,
    )


def test_statically_read_only_base():
    """A base whose file node is read-only for good cannot be written."""
    compare(
        [
            *separate(*NAMES, **{"auto-read-only": False, "read-only": True})[:-2],
            *separate(*NAMES)[-2:],
            *LOOK,
            refused("Block node is read-only", commit()),
            *LOOK,
        ],
        images,
    )


def test_base_locked_by_another_user():
    """A second file node on the base's image stands in the way."""
    second = [
        call("blockdev-add", driver="file", node_name="t0", filename="c0", read_only=True),
        call("blockdev-add", driver="qcow2", node_name="u0", file="t0", read_only=True),
    ]
    compare(
        [
            *separate(*NAMES),
            *second,
            *LOOK,
            refused('Failed to get "write" lock', commit()),
            *LOOK,
        ],
        images,
    )


def test_base_renamed_before_the_end():
    """Only the return to reading fails, silently: the job is a success, the file stays open."""
    compare(
        [
            *separate(*NAMES),
            commit(auto_finalize=False),
            PENDING,
            on_host("rename", lambda directory: (directory / "c0").rename(directory / "moved")),
            FINALIZE,
            show_graph(),
            show_descriptors(),
            on_host("back", lambda directory: (directory / "moved").rename(directory / "c0")),
        ],
        images,
    )


def test_two_commits_after_each_other():
    """What one commit leaves behind is a sound start for the next."""
    compare(
        [
            *separate(*NAMES),
            commit(top_node="f1"),
            GONE,
            *LOOK,
            commit(),
            GONE,
            *LOOK,
        ],
        images,
    )


def test_layers_that_are_writable_nodes():
    """Base and overlay opened writable from the start: nothing has to be reopened."""
    nodes = [
        step | {"arguments": step["arguments"] | {"read-only": False}} for step in inline(*NAMES)
    ]
    compare([*nodes, commit(auto_finalize=False), PENDING, *LOOK, FINALIZE, *LOOK], images)


def test_node_names_of_an_image_without_data():
    compare(
        [
            *separate("e0", "e1", "e2"),
            call("block-commit", job_id="j", device="f2", top_node="f1"),
            GONE,
            *LOOK,
        ],
        lambda directory: [
            image(directory, name, backing=below)
            for name, below in (("e0", None), ("e1", "e0"), ("e2", "e1"))
        ],
    )
