"""block-commit of the active layer: mirror into the base, ready, pivot or soft cancel."""

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
from tests.oracle.building import inline, separate

NAMES = ("c0", "c1", "c2")
NODES = call("query-named-block-nodes")
LOOK = [show_graph(), show_descriptors(), NODES]
READY = wait_event("BLOCK_JOB_READY")
GONE = wait_job("j", "null")
WRITES = {
    "c0": ["write -P 10 0 256k"],
    "c1": ["write -P 1 128k 256k"],
    "c2": ["write -P 2 768k 64k"],
}

pytestmark = pytest.mark.oracle


def images(directory, **options):
    chain(directory, *NAMES, writes=WRITES, **options)


def commit(**options):
    return call("block-commit", job_id="j", device="f2", **options)


def run(*steps, nodes=separate, build=images, **options):
    return compare([*nodes(*NAMES), *steps], build, layout=False, **options)


@pytest.mark.parametrize(
    "filter_name", [{}, {"filter_node_name": "flt"}], ids=["implicit", "named"]
)
@pytest.mark.parametrize("nodes", [separate, inline], ids=["separate", "inline"])
def test_pivot(nodes, filter_name):
    """Ready, every edge of the mirror, completion, and a base that stays writable."""
    transcript = run(
        *(commit(auto_finalize=False, **filter_name), READY, *LOOK),
        *(call("query-jobs"), call("query-block-jobs")),
        *(call("job-complete", id="j"), wait_event("BLOCK_JOB_PENDING"), *LOOK),
        *(call("query-jobs"), call("query-block-jobs")),
        *(call("job-finalize", id="j"), *LOOK),
        nodes=nodes,
    )
    assert transcript.statuses("j")[-2:] == ["concluded", "null"]


@pytest.mark.parametrize(
    "layers",
    [{}, {"base_node": "f0"}, {"base_node": "f1"}, {"top_node": "f2"}, {"top": "c2", "base": "c1"}],
    ids=str,
)
def test_default_layers(layers):
    """Without top it is the device itself, without base the bottom of the chain."""
    run(commit(**layers), READY, *LOOK, call("job-complete", id="j"), GONE, *LOOK)


@pytest.mark.parametrize(
    ("end", "then"),
    [
        (call("block-job-cancel", device="j"), [GONE]),
        (call("block-job-cancel", device="j", force=True), [GONE]),
        (call("job-cancel", id="j"), [GONE]),
    ],
    ids=["soft", "force", "job-cancel"],
)
def test_cancel_in_ready(end, then):
    """Softly: a success without pivot. By force: cancelled. The device stays on top."""
    run(commit(), READY, end, *then, *LOOK, call("query-block-jobs"))


def test_second_commit_finds_nothing_to_do():
    """After the pivot the old layers are still above the base; without them nothing is below it."""
    again = call("block-commit", job_id="k", device="f0")
    run(
        *(commit(), READY, call("job-complete", id="j"), GONE),
        refused("Need a root block node", again),
        *[call("blockdev-del", node_name=name) for name in ("f2", "f1")],
        refused("cannot commit an image into itself", again),
        *LOOK,
    )


def test_base_grows():
    sizes = {"c0": MIB // 2, "c1": MIB, "c2": 2 * MIB}
    run(
        *(commit(), READY, *LOOK, call("job-complete", id="j"), GONE, *LOOK),
        build=lambda directory: chain(directory, *NAMES, size=sizes, writes={"c2": WRITES["c2"]}),
    )


def test_zero_clusters_and_holes():
    """Zeroes above data have to arrive as zeroes."""
    writes = {"c0": ["write -P 1 0 1M"], "c1": ["write -z 0 256k"], "c2": ["write -z 512k 64k"]}
    run(
        *(commit(), READY, call("job-complete", id="j"), GONE, *LOOK),
        build=lambda directory: chain(directory, *NAMES, writes=writes),
    )


def test_empty_top_is_ready_at_once(server):
    """With nothing to copy the job is ready; whether before its reply is a race in the original."""
    chain(server.dir, *NAMES)
    for step in separate(*NAMES):
        server.request(step)
    server.execute("block-commit", job_id="j", device="f2")
    ready = server.wait_event("BLOCK_JOB_READY")
    assert (ready["data"]["len"], ready["data"]["offset"]) == (0, 0)
    server.execute("job-complete", id="j")
    server.wait_event("BLOCK_JOB_COMPLETED")


def test_raw_base():
    compare(
        [
            *separate(*NAMES, raw_base=True),
            *(commit(), READY, *LOOK, call("job-complete", id="j"), GONE, *LOOK),
        ],
        lambda directory: images(directory, raw_base=True),
        layout=False,
    )


def test_unwritable_base():
    def unwritable(directory):
        images(directory)
        (directory / "c0").chmod(0o444)

    run(
        *LOOK,
        refused("Could not open 'c0': Permission denied", commit()),
        *(*LOOK, call("query-jobs")),
        build=unwritable,
        unprivileged=True,
    )


@pytest.mark.parametrize("end", ["job-complete", "block-job-cancel"])
def test_below_a_disk(end):
    """The device follows the pivot and stays where it is after a soft cancel."""
    words = []
    for request in separate(*NAMES):
        words += ["-blockdev", json.dumps(request["arguments"])]
    words += ["-device", "virtio-blk-pci,drive=f2,id=vda"]
    finish = call(end, id="j") if end == "job-complete" else call(end, device="j")
    compare(
        [
            *(commit(), READY, *LOOK, call("query-block"), call("query-block-jobs")),
            *(finish, GONE, *LOOK, call("query-block")),
        ],
        images,
        program=Program.SYSTEM,
        arguments=words,
        layout=False,
    )


def two(above, below, **base):
    """A base and an active layer, by options of their images and of the base's node."""
    writes = {"c0": ["write -P 1 0 1M"]}
    writes["c1"] = [
        "write -P 2 1k 1k",
        "write -z 64k 192k",
        "write -z 300k 5k",
        "write -P 3 500k 9k",
    ]

    def build(directory):
        chain(directory, "c0", "c1", options={"c0": below, "c1": above}, writes=writes)

    nodes = [
        call("blockdev-add", driver="qcow2", node_name="f0", file=base.pop("file", FILE), **base),
        call("blockdev-add", driver="qcow2", node_name="f2", file=ABOVE, backing="f0"),
    ]
    return nodes, build


FILE = {"driver": "file", "filename": "c0"}
ABOVE = {"driver": "file", "filename": "c1"}


@pytest.mark.parametrize("discard", ["ignore", "unmap"])
@pytest.mark.parametrize("above", [512, 4096, 65536, 1 << 21])
@pytest.mark.parametrize("below", [512, 4096, 65536, 1 << 21])
def test_pieces_that_are_copied(above, below, discard):
    """A granule with anything in it goes as data, whatever lies around that."""
    nodes, build = two({"cluster_size": above}, {"cluster_size": below}, discard=discard)
    steps = [commit(), READY, call("job-complete", id="j"), GONE, NODES]
    compare([*nodes, *steps], build, layout=False)


@pytest.mark.parametrize("discard", ["ignore", "unmap"])
@pytest.mark.parametrize("compat", ["0.10", "1.1"])
def test_zeroes_are_free_only_if_they_give_back_space(compat, discard):
    """With a speed the job sleeps after zeroes, unless the target's options make them cheap."""
    nodes, _ = two({}, {}, discard=discard)
    writes = {"c0": ["write -P 1 0 1M"], "c1": ["write -z 64k 192k", "write -P 3 512k 64k"]}
    is_free = discard == "unmap" and compat == "1.1"
    asleep = wait_progress("j", (256 if is_free else 192) << 10)
    steps = [*nodes, commit(speed=1), asleep, NODES, call("job-cancel", id="j"), GONE]
    compare(
        steps,
        lambda place: chain(place, "c0", "c1", options={"c0": {"compat": compat}}, writes=writes),
        layout=False,
    )


def test_granules_of_a_window_into_a_format():
    """The clusters of an image below a raw base count as the base's."""

    def build(directory):
        chain(directory, "c0", options={"cluster_size": 4096})
        chain(directory, "c1", writes={"c1": ["write -P 2 1k 1k", "write -P 3 500k 9k"]})

    below = {"driver": "qcow2", "file": FILE}
    nodes = [
        call("blockdev-add", driver="raw", node_name="f0", file=below),
        call("blockdev-add", driver="qcow2", node_name="f2", file=ABOVE, backing="f0"),
    ]
    compare([*nodes, commit(), READY, NODES], build, layout=False)


@pytest.mark.parametrize("window", [{"size": 65536}, {}], ids=["window", "null"])
def test_base_that_cannot_grow(window):
    below = {"driver": "raw", "file": FILE} if window else {"driver": "null-co", "size": 512}
    nodes = [
        call("blockdev-add", node_name="f0", **below, **window),
        call("blockdev-add", driver="qcow2", node_name="f2", file=ABOVE, backing="f0"),
    ]
    compare([*nodes, commit(), GONE, *LOOK], lambda directory: chain(directory, "c0", "c1"))


def test_cluster_that_the_disk_ends_in():
    """Its rest is written, not left to the file system."""

    def build(directory):
        chain(directory, "c0", size=1073152, writes={"c0": ["write -P 1 64k 512"]})
        image(directory, "c1", size=1058816, backing="c0", writes=["write -P 2 384k 665600"])

    node = call("blockdev-add", driver="qcow2", node_name="f2", file=ABOVE)
    compare([node, commit(), READY], build, layout=False)


@pytest.mark.parametrize("discard", ["ignore", "unmap"])
def test_zeros_are_there_before_data(discard):
    """The room that zeros give back is taken by data, although that lies before them."""

    def build(directory):
        chain(directory, "c0", writes={"c0": ["write -P 9 256k 256k"]})
        writes = ["write -P 1 64k 192k", "write -z 256k 256k"]
        image(directory, "c1", backing="c0", writes=writes)

    below = {"file": FILE, "read-only": True, "discard": discard}
    nodes = [
        call("blockdev-add", driver="qcow2", node_name="f0", **below),
        call("blockdev-add", driver="qcow2", node_name="f2", file=ABOVE, backing="f0"),
    ]
    steps = [commit(), READY, call("job-complete", id="j"), GONE, *LOOK]
    compare([*nodes, *steps], build, layout=False)
