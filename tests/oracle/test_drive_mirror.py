"""``drive-mirror``: images that are made or opened, and what lies below them at the end."""

import pytest

from qmpd.testing.oracle import MIB, call, chain, compare, image
from tests.oracle.building import either, separate
from tests.oracle.test_mirror import COMPLETE, GONE, LOOK, PENDING, READY, throttle

NAMES = ("c0", "c1")
KINDS = {
    "new": {},
    "named": {"node_name": "n"},
    "existing": {"mode": "existing", "target": "t"},
    "backing": {"mode": "existing", "target": "tb"},
    "raw": {"mode": "existing", "target": "r", "format": "raw"},
}

pytestmark = pytest.mark.oracle


def images(directory):
    writes = {"c0": ["write -P 10 0 256k"], "c1": ["write -P 1 128k 256k", "write -z 500k 100k"]}
    chain(directory, *NAMES, writes=writes)
    image(directory, "t", size=MIB, writes=["write -P 7 0 1M"])
    image(directory, "tb", size=MIB, backing="c0")
    image(directory, "lost", size=MIB, backing="gone")
    image(directory, "small", size=MIB // 2)
    image(directory, "r", size=MIB, fmt="raw", writes=["write -P 7 0 10k"])


def mirror(**arguments):
    given = {"job_id": "j", "device": "f1", "target": "n", "sync": "full"}
    return call("drive-mirror", **given | arguments)


def run(*steps, nodes=None):
    nodes = separate(*NAMES) if nodes is None else nodes
    return compare([*nodes, *steps], images, layout=False)


@pytest.mark.parametrize("sync", ["full", "top", "none"])
@pytest.mark.parametrize("kind", KINDS)
def test_pivot(kind, sync):
    """A new image gets the source's backing chain, one that was there what its header says."""
    ready = [] if sync == "none" else [READY]
    start = mirror(sync=sync, **KINDS[kind])
    transcript = run(start, *ready, *LOOK, COMPLETE, GONE, *LOOK)
    assert transcript.statuses("j")[-2:] == ["concluded", "null"]


@pytest.mark.parametrize("sync", ["full", "top", "none"])
@pytest.mark.parametrize(
    "end", [call("block-job-cancel", device="j"), call("job-cancel", id="j")], ids=["soft", "force"]
)
def test_cancel(sync, end):
    """The image is closed; what was made stays."""
    run(mirror(sync=sync), *([] if sync == "none" else [READY]), end, GONE, *LOOK)


@pytest.mark.parametrize(
    "options",
    [
        {"format": "raw"},
        {"format": "file"},
        {"unmap": False, "mode": "existing", "target": "t"},
        {"mode": "existing", "target": "r"},
        {"sync": "top", "granularity": 4096},
        {"sync": "top", "mode": "existing", "target": "lost"},
    ],
    ids=str,
)
def test_options(options):
    """Formats that are asked for or found out; a backing file that is not there is missed last."""
    run(mirror(**options), READY, *LOOK, COMPLETE, GONE, *LOOK)


def test_different_sizes():
    run(mirror(mode="existing", target="small"), GONE, *LOOK)


def test_cancel_while_pending():
    """Nothing has been put below the image yet."""
    options = {"sync": "top", "node_name": "n", "auto_finalize": False}
    run(mirror(**options), READY, COMPLETE, PENDING, *LOOK, call("job-cancel", id="j"), *LOOK)


def test_read_only_source():
    nodes = separate(*NAMES, last_writable=False)
    run(mirror(), READY, *LOOK, COMPLETE, GONE, *LOOK, nodes=nodes)


def test_a_node_below_a_filter_is_replaced():
    options = {"device": "thr", "sync": "top", "node_name": "n", "replaces": "f1"}
    first = either(mirror(device="thr"))  # a filter is no format
    start = mirror(format="qcow2", **options)
    run(*throttle("thr", "f1"), first, start, READY, *LOOK, COMPLETE, GONE, *LOOK)


REFUSED = [
    *({"format": "nope"}, {"format": "null-co"}, {"target": "nope:x"}, {"target": "null-co://"}),
    *({"replaces": "f1"}, {"mode": "existing"}, {"mode": "existing", "format": "qcow2"}),
    *({"target": "dir/x"}, {"target": ""}, {"target": "c0"}, {"target": "c1"}),
    *({"target": "c0", "mode": "existing"}, {"target": "c1", "mode": "existing"}),
    *({"device": "f0"}, {"device": "x"}, {"node_name": "f0"}),
    {"target": "t", "mode": "existing", "node_name": "f1"},
    *({"sync": "bitmap"}, {"sync": "incremental"}, {"sync": "top", "format": "raw"}),
    *({"granularity": 3}, {"buf_size": -1}, {"speed": -1}, {"job_id": ""}),
    *({"replaces": "x", "node_name": "n"}, {"replaces": "f0", "node_name": "n"}),
    {"target": "r", "mode": "existing", "format": "qcow2"},
    {"target": 'json:{"driver":"qcow2","file":"s0"}', "mode": "existing"},
]


def test_what_is_refused():
    """In the original's words and order; an image that was made by then stays."""
    named = mirror(target='json:{"driver":"null-co","size":1048576}', mode="existing")
    run(*[either(mirror(**each)) for each in REFUSED], *LOOK, named, READY, *LOOK)
