"""What a commit does to the data: chains of every shape that qcow2 allows.

Each case builds a chain, commits its middle into a lower layer and compares replies,
events and graph, then every layer by itself: header, map, refcounts, data.
"""

import pytest

from qmpd.testing.oracle import (
    MIB,
    call,
    chain,
    compare,
    image,
    qemu_img,
    show_descriptors,
    show_graph,
    wait_job,
)
from tests.oracle.building import inline, separate

NAMES = ("c0", "c1", "c2", "c3", "c4")
GONE = wait_job("j", "null")
NODES = call("query-named-block-nodes")

pytestmark = pytest.mark.oracle

OVERLAPPING = {
    "c0": ["write -P 10 0 1M"],
    "c1": ["write -P 11 0 300k", "write -P 12 700k 4k"],
    "c2": ["write -P 13 200k 300k", "write -P 14 999k 1k"],
    "c3": ["write -P 15 100k 200k"],
    "c4": ["write -P 16 0 64k"],
}


def commit(names, top=2, base=0, **options):
    return call(
        "block-commit",
        job_id="j",
        device=f"f{len(names) - 1}",
        top_node=f"f{top}",
        base_node=f"f{base}",
        **options,
    )


def run(build, nodes=separate, names=NAMES, raw_base=False, **options):
    transcript = compare(
        [
            *nodes(*names, raw_base=raw_base),
            commit(names, **options),
            GONE,
            NODES,
            show_graph(),
            show_descriptors(),
        ],
        build,
    )
    completed = [e["data"] for e in transcript.events if e["event"] == "BLOCK_JOB_COMPLETED"]
    assert len(completed) == 1
    assert "error" not in completed[0]
    assert completed[0]["len"] == completed[0]["offset"]


def test_layers_two_to_zero_of_five():
    """The chain of QEMU's own regression case for this: five layers, the second into the first.

    Nothing but the two format nodes below the overlay takes part; the events are the
    usual row and the overlay ends up on the base.
    """
    transcript = compare(
        [
            *separate(*NAMES),
            commit(NAMES),
            GONE,
            show_graph(),
            *[call("blockdev-del", node_name=name) for name in ("f4", "f3")],
        ],
        lambda directory: chain(directory, *NAMES, size=128 << 20),
    )
    assert transcript.statuses("j") == [
        *("created", "running", "waiting", "pending", "concluded", "null")
    ]


@pytest.mark.parametrize(("top", "base"), [(1, 0), (2, 0), (3, 0), (2, 1), (3, 1), (3, 2)], ids=str)
def test_every_pair_of_layers(top, base):
    run(lambda directory: chain(directory, *NAMES, writes=OVERLAPPING), top=top, base=base)


@pytest.mark.parametrize("absolute", [False, True], ids=["relative", "absolute"])
@pytest.mark.parametrize("nodes", [separate, inline], ids=["separate", "inline"])
@pytest.mark.parametrize("raw_base", [False, True], ids=["qcow2-base", "raw-base"])
def test_shapes(nodes, absolute, raw_base):
    """Header names relative or absolute, file nodes apart or owned, a raw or a qcow2 base."""

    def build(directory):
        chain(directory, *NAMES, absolute=absolute, raw_base=raw_base, writes=OVERLAPPING)

    run(build, nodes=nodes, raw_base=raw_base)


CLUSTERS = {
    "tiny": {"cluster_size": 512},
    "small": {"cluster_size": 4096},
    "large": {"cluster_size": 2 << 20},
    "v2": {"compat": "0.10"},
    "lazy": {"lazy_refcounts": "on"},
    "refcount-1-bit": {"refcount_bits": 1},
    "refcount-64-bit": {"refcount_bits": 64},
    "preallocated": {"preallocation": "metadata"},
    "zstd": {"compression_type": "zstd"},
}


@pytest.mark.parametrize("kind", CLUSTERS)
@pytest.mark.parametrize("where", ["base", "middle", "all"])
def test_formats(kind, where):
    """One kind of qcow2 in one place of an otherwise ordinary chain, or everywhere."""
    places = {"base": ("c0",), "middle": ("c1", "c2"), "all": NAMES}[where]
    options = dict.fromkeys(places, CLUSTERS[kind])
    if kind == "preallocated":
        # An image with a backing file cannot be preallocated at once with its metadata.
        options = {"c0": CLUSTERS[kind]}
    run(lambda directory: chain(directory, *NAMES, options=options, writes=OVERLAPPING))


def test_clusters_compressed_by_zstd():
    """They are unpacked when they are copied or written over in part."""
    writes = {
        "c0": ["write -c -P 1 0 64k", "write -c -P 2 64k 64k"],
        "c1": ["write -P 3 0 8k", "write -c -P 4 128k 64k"],
        "c2": ["write -P 5 130k 2k"],
    }
    options = dict.fromkeys(NAMES, CLUSTERS["zstd"])
    run(lambda directory: chain(directory, *NAMES, options=options, writes=writes))


@pytest.mark.parametrize(
    "writes",
    [
        {},
        {"c0": ["write -P 1 0 1M"]},
        {"c1": ["write -P 1 0 1M"], "c2": ["write -P 2 0 1M"]},
        {"c0": ["write -P 1 0 1M"], "c1": ["write -z 128k 256k"]},
        {"c0": ["write -P 1 0 1M"], "c2": ["write -z 0 1M"]},
        {"c1": ["write -P 1 0 1M"], "c2": ["write -z -u 0 512k"]},
        {"c0": ["write -P 1 0 1M"], "c1": ["write -P 2 64k 64k", "discard 64k 64k"]},
        {"c1": ["write -P 0 0 1M"]},
        {"c2": ["write -P 1 1023k 1k"]},
        {"c2": [f"write -P {n + 1} {n * 128}k 1k" for n in range(8)]},
        {"c1": ["write -c -P 1 0 256k"]},
        {"c0": ["write -c -P 1 0 1M"], "c2": ["write -P 2 60k 8k"]},
        {"c0": ["write -c -P 1 0 64k", "write -c -P 2 64k 64k"], "c1": ["write -P 3 0 64k"]},
    ],
    ids=[
        "nothing",
        "base-only",
        "overlapping",
        "zero-clusters",
        "all-zero",
        "unmapped",
        "discarded",
        "written-zeroes",
        "last-sector",
        "scattered",
        "compressed-middle",
        "compressed-base",
        "compressed-overwritten",
    ],
)
@pytest.mark.parametrize("raw_base", [False, True], ids=["qcow2-base", "raw-base"])
def test_data(writes, raw_base):
    """Which clusters are copied, as what, and where they come to lie."""
    if raw_base:
        writes = {
            name: [write.replace("-c ", "") if name == "c0" else write for write in commands]
            for name, commands in writes.items()
        }
    run(
        lambda directory: chain(directory, *NAMES, writes=writes, raw_base=raw_base),
        raw_base=raw_base,
    )


@pytest.mark.parametrize(
    "sizes",
    [
        {"c0": MIB // 2},
        {"c0": 3 * MIB},
        {"c1": MIB // 2},
        {"c2": MIB // 2},
        {"c0": 65536, "c1": MIB // 2, "c2": MIB, "c3": 2 * MIB},
        {"c0": 512, "c1": 1024},
        {"c2": MIB + 512},
    ],
    ids=str,
)
@pytest.mark.parametrize("raw_base", [False, True], ids=["qcow2-base", "raw-base"])
def test_sizes(sizes, raw_base):
    """Layers of different sizes; what lies beyond a shorter one reads as zeroes."""
    writes = {name: [f"write -P {n + 1} 0 512"] for n, name in enumerate(NAMES)}
    writes["c3"] = ["write -P 9 900k 64k"]
    run(
        lambda directory: chain(directory, *NAMES, size=sizes, writes=writes, raw_base=raw_base),
        raw_base=raw_base,
    )


def test_snapshots_share_clusters():
    """A base with an internal snapshot: its shared clusters are copied before they change."""

    def build(directory):
        chain(directory, *NAMES, writes=OVERLAPPING)
        qemu_img(directory, "snapshot", "-c", "before", "c0")
        with (directory / "c0").open("r+b") as file:
            file.seek(64)
            table = int.from_bytes(file.read(8), "big")
            file.seek(table + 16)
            file.write(bytes(8))  # the time of the snapshot, which no two images share

    run(build)


def test_many_tables():
    """A sparse image of many gigabytes touches several L2 tables and a far refcount block."""

    def build(directory):
        far = [f"write -P {n + 1} {n * 3}G 64k" for n in range(5)]
        chain(directory, *NAMES, size=16 << 30, writes={"c1": far, "c2": far[::2]})

    run(build)


def test_unaligned_raw_base():
    """A raw file of an odd length is rounded up to sectors."""

    def build(directory):
        (directory / "c0").write_bytes(b"odd" * 1001)
        for name, below, fmt in (("c1", "c0", "raw"), ("c2", "c1", "qcow2"), ("c3", "c2", "qcow2")):
            image(directory, name, size=8192, backing=below, backing_fmt=fmt)
        image(directory, "c4", size=8192, backing="c3")

    run(build, raw_base=True)


def test_subclusters_in_the_middle():
    """Layers with extended L2 entries are read cluster by cluster, each in 32 parts."""
    options = {"extended_l2": "on", "cluster_size": 128 << 10}
    writes = OVERLAPPING | {"c2": ["write -P 5 60k 2k", "write -z 200k 8k", "write -P 6 512k 8k"]}
    run(
        lambda directory: chain(
            directory, *NAMES, options={"c1": options, "c2": options}, writes=writes
        )
    )


@pytest.mark.parametrize("cluster_size", [16 << 10, 64 << 10, 2 << 20])
@pytest.mark.parametrize("names", [("c0",), ("c0", "c1"), ("c0", "c1", "c2", "c3")])
def test_subclusters_are_written(names, cluster_size):
    """Data and zeros go into parts of clusters, over what is there and over nothing."""
    options = {"extended_l2": "on", "cluster_size": cluster_size}
    writes = OVERLAPPING | {"c1": ["write -P 5 60k 2k", "write -z 200k 8k", "write -P 6 512k 8k"]}
    run(
        lambda directory: chain(
            directory, *NAMES, options=dict.fromkeys(names, options), writes=writes
        )
    )
