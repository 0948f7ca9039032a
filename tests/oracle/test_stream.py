"""block-stream: the layers below a node are copied into it, which then does without them."""

import json

import pytest

from qmpd.testing.oracle import (
    MIB,
    Program,
    Step,
    call,
    chain,
    compare,
    refused,
    show_descriptors,
    show_graph,
    wait_event,
    wait_job,
    wait_progress,
)
from tests.oracle.building import either, inline, separate

NAMES = ("c0", "c1", "c2", "c3")
NODES = call("query-named-block-nodes")
JOBS = [call("query-jobs"), call("query-block-jobs")]
LOOK = [show_graph(), show_descriptors(), NODES]
PENDING = wait_event("BLOCK_JOB_PENDING")
GONE = wait_job("j", "null")
WRITES = {
    "c0": ["write -P 10 0 256k"],
    "c1": ["write -P 1 128k 256k", "write -z 448k 64k"],
    "c2": ["write -P 2 512k 64k"],
    "c3": ["write -P 3 768k 64k"],
}

pytestmark = pytest.mark.oracle


def images(directory, **options):
    chain(directory, *NAMES, writes=WRITES, **options)


def stream(device="f3", **options):
    return call("block-stream", job_id="j", device=device, **options)


def run(*steps, nodes=separate, build=images, **options):
    return compare([*nodes(*NAMES), *steps], build, **options)


LAYERS = [
    ({}, 131072),
    ({"base_node": "f0"}, 393216),
    ({"base": "c1"}, 589824),
    ({"bottom": "f2"}, 589824),
]


@pytest.mark.parametrize("named", [{}, {"filter_node_name": "flt"}], ids=["implicit", "named"])
@pytest.mark.parametrize("nodes", [separate, inline], ids=["separate", "inline"])
@pytest.mark.parametrize(("layers", "first"), LAYERS, ids=str)
def test_while_running_and_pending(nodes, named, layers, first):
    """The graph, its locks and permissions while it runs, when it is done, and afterwards."""
    run(
        *(
            stream(speed=1, auto_finalize=False, **named, **layers),
            wait_progress("j", first),
            *LOOK,
            *JOBS,
        ),
        *(call("block-job-set-speed", device="j", speed=0), PENDING, *LOOK, *JOBS),
        *(call("job-finalize", id="j"), *LOOK),
        nodes=nodes,
    )


REFUSED = [
    ({"device": "nope"}, "Cannot find device='nope' nor node-name='nope'"),
    (
        {"base": "c0", "base_node": "f0", "bottom": "f1"},
        "'base' and 'base-node' cannot be specified at the same time",
    ),
    ({"base": "c0", "bottom": "f1"}, "'base' and 'bottom' cannot be specified at the same time"),
    (
        {"base_node": "f0", "bottom": "f1"},
        "'bottom' and 'base-node' cannot be specified at the same time",
    ),
    ({"base_node": "nope"}, "Cannot find device='' nor node-name='nope'"),
    ({"base_node": "s0"}, "Node 's0' is not a backing image of 'f3'"),
    ({"base_node": "f3"}, "Node 'f3' is not a backing image of 'f3'"),
    ({"base": "nope"}, "Can't find 'nope' in the backing chain"),
    ({"bottom": "nope"}, "Cannot find device='' nor node-name='nope'"),
    ({"bottom": "s0"}, "Node 's0' is not in a chain starting from 'f3'"),
    ({"device": "f1", "bottom": "f2"}, "Node 'f2' is not in a chain starting from 'f1'"),
    (
        {"bottom": "f1", "backing_file": "x", "job_id": "1"},
        "backing file specified, but streaming the entire chain",
    ),
    ({"job_id": "1", "filter_node_name": "0"}, "Could not create node: Invalid node-name: '0'"),
    (
        {"filter_node_name": "f0"},
        "Could not create node: Duplicate nodes with node-name='f0'",
    ),
    ({"job_id": "1j"}, "Invalid job ID '1j'"),
    ({"speed": -1}, "Parameter 'speed' expects a non-negative value"),
]


@pytest.mark.parametrize(("arguments", "desc"), REFUSED, ids=str)
def test_refused_arguments(arguments, desc):
    """Each complaint in the original's words, and nothing is left behind."""
    arguments = {"job_id": "j", "device": "f3"} | arguments
    run(refused(desc, call("block-stream", **arguments)), *LOOK)


@pytest.mark.parametrize(
    "layers", [{"base_node": "f2"}, {"device": "f0"}, {"device": "s0"}], ids=str
)
def test_nothing_to_copy(layers):
    """Without anything between, the job ends before its reply."""
    run(stream(**layers), *LOOK)


@pytest.mark.parametrize("backing_file", ["c0", "", "not/there"])
def test_backing_string_in_the_header(backing_file):
    """It is written as it was given."""
    run(stream(base_node="f1", backing_file=backing_file), GONE, *LOOK)


@pytest.mark.parametrize("options", ["", ",share-rw=on"], ids=["alone", "shared"])
def test_below_a_disk(options):
    """With a guest device on top: what it holds moves to the filter and back."""
    words = []
    for request in separate(*NAMES):
        words += ["-blockdev", json.dumps(request["arguments"])]
    queries = [call("query-block"), call("query-blockstats")]
    held = [stream(speed=1, filter_node_name="flt"), wait_progress("j", 131072)]
    compare(
        [
            *(*LOOK, *held, *LOOK, *queries, call("block-job-cancel", device="j"), *LOOK),
            *(stream(auto_finalize=False), PENDING, *LOOK, *queries),
            *(call("job-finalize", id="j"), *LOOK, *queries),
        ],
        images,
        program=Program.SYSTEM,
        arguments=[*words, "-device", f"virtio-blk-pci,drive=f3,id=vda{options}"],
    )


@pytest.mark.parametrize(
    "sizes",
    [
        {"c0": 3 * MIB, "c1": 2 * MIB, "c2": MIB, "c3": 2 * MIB},
        {"c0": MIB // 2, "c1": MIB, "c2": 2 * MIB, "c3": 3 * MIB + 512},
    ],
    ids=["shorter", "longer"],
)
@pytest.mark.parametrize("layers", [{}, {"base_node": "f0"}, {"base_node": "f1"}], ids=str)
def test_layers_of_different_sizes(layers, sizes):
    """Where a layer ends, zeros begin; what only the base holds stays where it is."""
    writes = {
        "c0": ["write -P 1 0 512k"],
        "c1": ["write -P 2 256k 768k"],
        "c2": ["write -P 3 1000k 24k"],
        "c3": ["write -P 4 64k 64k"],
    }
    run(
        *(stream(**layers), GONE, *LOOK),
        build=lambda directory: chain(directory, *NAMES, size=sizes, writes=writes),
    )


@pytest.mark.parametrize("compat", ["0.10", "1.1"])
def test_what_reads_as_zeros_becomes_zeros(compat):
    """Clusters of zeros, files of zeros, holes: as far as the target's version knows them."""
    writes = {
        "c0": ["write -P 1 0 64k", "write -P 0 192k 640k"],
        "c1": ["write -z 0 32k", "write -P 0 128k 64k", "write -P 5 900k 8k"],
    }
    options = {"c3": {"compat": compat}}
    compare(
        [*separate(*NAMES, raw_base=True), stream(), GONE, *LOOK],
        lambda directory: chain(directory, *NAMES, raw_base=True, writes=writes, options=options),
    )


def test_clusters_of_different_sizes():
    """What is copied fills whole clusters of the target."""
    sizes = {"c0": 4096, "c1": 512, "c2": 65536, "c3": 1 << 20}
    options = {name: {"cluster_size": size} for name, size in sizes.items()}
    run(
        *(stream(base_node="f0"), GONE, *LOOK),
        build=lambda directory: chain(directory, *NAMES, writes=WRITES, options=options),
    )


# -- who is refused meanwhile ----------------------------------------------------------------


def reopen(number, backing):
    node = {"driver": "qcow2", "node-name": f"f{number}", "file": f"s{number}"}
    return call("blockdev-reopen", options=[node | {"backing": backing, "read-only": number < 3}])


PAUSED = [
    stream(speed=1, filter_node_name="flt", base_node="f0"),
    wait_progress("j", 393216),
    call("job-pause", id="j"),
]


def test_commands_refused_while_it_runs():
    """Each says who is in the way; the link to the base may change."""
    by_job = "block device is in use by block job: stream"

    def frozen(above, below):
        return f"Cannot change frozen 'backing' link from '{above}' to '{below}'"

    def remove(name):
        return call("blockdev-del", node_name=name)

    def again(device):
        return call("block-stream", job_id="k", device=device)

    run(
        *PAUSED,
        refused(frozen("f3", "f2"), reopen(3, "f1")),
        refused(frozen("f2", "f1"), reopen(2, None)),
        *[refused(f"Node '{name}' is busy: {by_job}", again(name)) for name in ("f2", "f1", "flt")],
        refused("Need a root block node", call("block-commit", job_id="k", device="flt")),
        *[refused(f"Node '{name}' is busy: {by_job}", remove(name)) for name in ("f1", "f3")],
        refused("Node flt is in use", remove("flt")),
        reopen(1, None),
        remove("f0"),
        *LOOK,
        call("block-job-set-speed", device="j", speed=0),
        call("job-resume", id="j"),
        GONE,
        *LOOK,
    )


@pytest.mark.parametrize("backing", ["f2", "f1", "flt"])
def test_overlay_lets_go_of_the_filter(backing):
    """The overlay of the device may get another backing node than the job's filter."""
    run(
        stream("f2", speed=1, filter_node_name="flt"),
        wait_progress("j", 131072),
        call("job-pause", id="j"),
        reopen(3, backing),
        *LOOK,
        call("job-cancel", id="j"),
        *LOOK,
    )


def test_overlay_keeps_an_implicit_filter():
    """The user does not see the filter, so it cannot be replaced."""
    run(
        stream("f2", speed=1),
        wait_progress("j", 131072),
        call("job-pause", id="j"),
        refused("Cannot replace implicit backing child of f3", reopen(3, "f1")),
        reopen(3, "f2"),
        *LOOK,
    )


def test_nodes_stay_blocked_until_the_job_is_dismissed():
    """A concluded job still holds its nodes, and a filter without a child."""
    by_job = "block device is in use by block job: stream"
    run(
        stream(base_node="f1", auto_dismiss=False),
        wait_job("j", "concluded"),
        show_graph(),
        show_descriptors(),
        refused(f"Node 'f2' is busy: {by_job}", call("blockdev-del", node_name="f2")),
        call("job-dismiss", id="j"),
        call("blockdev-del", node_name="f2"),
        *LOOK,
    )


AGAIN = [
    (4, refused("Invalid job ID ''", call("block-stream", device="f1"))),
    (
        2,
        refused(
            "Could not create node: Invalid node-name: '0'",
            call("block-stream", device="f1", filter_node_name="0"),
        ),
    ),
    (7, call("block-stream", device="f1", job_id="k", base_node="f0")),
    (7, call("block-stream", device="f0", job_id="k")),
]


@pytest.mark.parametrize(
    ("drains", "second"), AGAIN, ids=["no id", "bad name", "no layer", "no backing file"]
)
def test_drains_wake_the_job_above(second, drains):
    """A stream further down interrupts the sleep of one above it, and so often."""
    writes = {"c0": ["write -P 10 0 16M"], "c2": ["write -P 11 0 16M"]}
    compare(
        [
            *separate(*NAMES),
            *(stream(speed=1, bottom="f2"), wait_progress("j", MIB // 2)),
            *(second, wait_progress("j", (1 + drains) * MIB // 2), *JOBS),
        ],
        lambda directory: chain(directory, *NAMES, size=16 * MIB, writes=writes),
    )


def test_header_without_room():
    """The job fails when the backing string does not fit; queries show it all the same."""
    options = {"c3": {"cluster_size": 512}}
    steps = [stream(base_node="f1", backing_file="x" * 400), GONE, *LOOK]
    run(*steps, build=lambda directory: images(directory, options=options))


def test_backing_string_that_is_too_long():
    """It is refused before anything is written."""
    run(stream(base_node="f1", backing_file="x" * 1024), GONE, *LOOK)


def test_bytes_of_the_header():
    """With a base, without one, and with an empty name: the whole first cluster is the same."""

    def header(server):
        return [(server.dir / name).read_bytes()[:65536].hex().encode() for name in NAMES]

    look = Step("headers", header)
    run(
        *(stream("f2", base_node="f0"), GONE, look),
        *(stream("f2", base_node="f0", backing_file=""), look),
        *(stream(), GONE, look),
    )


def test_base_belongs_to_the_target():
    """An inline base has its options from the target once the layers between them are gone."""
    definition = {
        "driver": "qcow2",
        "node-name": "f0",
        "file": {"driver": "file", "filename": "c0"},
    }
    for number in (1, 2):
        file = {"driver": "file", "filename": f"c{number}"}
        definition = {
            "driver": "qcow2",
            "node-name": f"f{number}",
            "file": file,
            "backing": definition,
        }
    short = definition | {"backing": definition["backing"]["backing"]}
    compare(
        [
            call("blockdev-add", **definition),
            call("block-stream", device="f2", job_id="j", base_node="f0"),
            GONE,
            either(call("blockdev-reopen", options=[definition])),
            either(call("blockdev-reopen", options=[short])),
            either(call("blockdev-reopen", options=[short | {"backing": "f0"}])),
            *LOOK,
        ],
        images,
    )


# -- several jobs in one chain ---------------------------------------------------------------


def held(job, *, device, below, **options):
    """A job in the middle of a chain, paused before its end."""
    pause = call("job-pause", id="k")
    return [
        call(job, job_id="k", device=device, speed=1, **options),
        wait_progress("k", below),
        pause,
    ]


def test_streams_beside_a_commit():
    """A stream needs links to stay as they are; a commit's filter promises nothing."""
    commit = {"device": "f3", "top_node": "f1", "base_node": "f0", "filter_node_name": "flt"}
    run(
        *held("block-commit", below=393216, **commit),
        refused("Cannot freeze 'backing' link to 'flt'", stream("f2", base_node="f1")),
        refused(
            "Cannot freeze 'backing' link to 'flt'",
            call("block-stream", device="f2", base_node="f1", filter_node_name="0"),
        ),
        refused("Node 'f0' is busy: block device is in use by block job: commit", stream("f0")),
        *LOOK,
    )


def test_commit_below_a_stream():
    """It would change the header of a node that the stream holds."""
    names = (*NAMES, "c4")
    busy = "is busy: block device is in use by block job: stream"
    commit = {"job_id": "j", "device": "f4"}
    options = {"base_node": "f1", "filter_node_name": "flt"}
    compare(
        [
            *separate(*names),
            *held("block-stream", device="f3", below=589824, **options),
            refused(
                f"Node 'f2' {busy}", call("block-commit", **commit, top_node="f1", base_node="f0")
            ),
            refused(f"Node 'flt' {busy}", call("block-commit", **commit, base_node="f3")),
            refused(f"Node 'flt' {busy}", stream("f4", base_node="f2")),
            *LOOK,
        ],
        lambda directory: chain(directory, *names, writes=WRITES),
    )


@pytest.mark.parametrize("size", [2, 8, 16])
def test_stream_below_an_active_commit(server, size):
    """Both come to their end, whichever is first."""
    writes = {"c0": [f"write -P 1 0 {size}M"], "c3": ["write -P 2 16M 8M"]}
    chain(server.dir, *NAMES, size=24 * MIB, writes=writes)
    server.run(separate(*NAMES))
    server.execute("block-stream", job_id="k", device="f1")
    server.execute("block-commit", job_id="j", device="f3", base_node="f2")
    server.wait_event("BLOCK_JOB_READY")
    server.execute("job-complete", id="j")
    while "null" not in server.statuses("j") or "null" not in server.statuses("k"):
        server.wait_event("JOB_STATUS_CHANGE", status="null")


def test_with_only_a_filter_between():
    """A filter is no layer: what it filters cannot be the base."""
    run(
        call("blockdev-add", driver="copy-on-read", node_name="w", file="f3"),
        refused("'f3' is not in the backing chain of 'w'", stream("w", base_node="f3")),
        *LOOK,
    )
