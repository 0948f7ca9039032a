"""Zeros written by a guest: which clusters they turn into, and what that costs."""

import pytest

from qmpd.testing.oracle import Program, call, compare, image

pytestmark = pytest.mark.oracle

SIZE = (1 << 20) + 512
NODE = {"driver": "qcow2", "node-name": "f", "file": {"driver": "file", "filename": "img"}}
QUERY = call("query-named-block-nodes")


def guest(*lines):
    return [call("human-monitor-command", command_line=f'qemu-io f "{line}"') for line in lines]


def run(options, *lines, backing=True):
    def images(directory):
        image(directory, "base", size=SIZE, writes=["write -P 1 0 128k", "write -z 256k 64k"])
        image(directory, "img", size=SIZE, backing="base", options=options)

    node = NODE if backing else {**NODE, "backing": None}
    script = [call("blockdev-add") | {"arguments": node}, *guest(*lines), QUERY]
    compare(script, images, program=Program.SYSTEM)


@pytest.mark.parametrize("switches", ["-z", "-z -u"])
@pytest.mark.parametrize("cluster", [512, 4096, 65536, 2 << 20])
@pytest.mark.parametrize(
    ("compat", "backing"), [("1.1", True), ("1.1", False), ("0.10", True), ("0.10", False)]
)
def test_parts_of_clusters(compat, cluster, switches, backing):
    """A cluster of which the rest is zeros without data becomes one of zeros as a whole."""
    run(
        {"cluster_size": cluster, "compat": compat},
        f"write {switches} 64k 1k",
        f"write {switches} 300k 4k",
        f"write {switches} 511k 66k",
        "write -P 5 700k 8k",
        f"write {switches} 702k 100k",
        f"write {switches} 1048064 1024",
        backing=backing,
    )


@pytest.mark.parametrize(
    "options",
    [{"compat": "0.10"}, {"compat": "1.1"}, {"extended_l2": "on", "cluster_size": 131072}],
    ids=["version 2", "version 3", "subclusters"],
)
def test_what_writes_leave_out_of_clusters(options):
    """It becomes a hole where metadata tell of zeros, and is copied where the file below has holes.

    The same goes for clusters that were in use before and are freed now.
    """
    lines = [
        *("write -P 9 1k 1k", "write -z 140k 4k", "write -z 10k 200k", "write -P 4 310k 100k"),
        *("write -z 500k 300k", "write -P 8 990k 5k", "write -z -u 0 600k", "write -P 7 550k 3k"),
        "write -z 998k 1k",
    ]
    layers = {"raw": "raw", "small": "qcow2", None: None}

    def images(directory):
        image(directory, "raw", fmt="raw", writes=["write -P 3 0 100k"])
        small = {"cluster_size": 4096}
        writes = ["write -P 3 64k 100k", "write -z 300k 64k"]
        image(directory, "small", options=small, writes=writes)
        for name, fmt in layers.items():
            under = {} if name is None else {"backing": name, "backing_fmt": fmt}
            image(directory, f"over-{name}", size=1000 << 10, options=options, **under)

    script = []
    for name in layers:
        file = {"driver": "file", "filename": f"over-{name}"}
        script += [
            call("blockdev-add", driver="qcow2", node_name="f", file=file),
            *guest(*lines),
            call("blockdev-del", node_name="f"),
        ]
    compare(script, images, program=Program.SYSTEM)


@pytest.mark.parametrize("switches", ["-z", "-z -u"])
def test_space_is_kept_unless_told_otherwise(switches):
    """Clusters that are overwritten with zeros stay allocated without the switch that frees them."""
    run({}, "write -P 5 0 256k", f"write {switches} 64k 64k")


@pytest.mark.parametrize("offset", ["64k", "262656"])
def test_lazy_refcounts(offset):
    """Clusters of zeros take no space: with lazy refcounts the image need not be marked dirty."""
    run({"lazy_refcounts": "on"}, f"write -z {offset} 32k", backing=False)
