"""``block_resize``: what it allows, what it leaves of an image, and who notices."""

import pytest

from qmpd.testing.oracle import MIB, Program, call, compare, image, qemu_img, show_graph, wait_event
from tests.oracle.building import either

KIB = 1024
SIZES = (6 * MIB, 3 * MIB, 3 * MIB + 512, 5 * MIB, 64 * KIB, 512, 0, 2 * MIB)
LOOK = [call("query-named-block-nodes"), call("query-block"), show_graph()]


def resize(size, **where):
    return call("block_resize", size=size, **where)


IMAGES = {
    "plain": {"writes": ["write -P 1 0 4M"]},
    "holes": {"writes": ["write -P 1 1M 64k", "write -P 2 3M 1M", "write -z 2M 128k"]},
    "v2": {"options": {"compat": "0.10"}, "writes": ["write -P 1 0 4M"]},
    "compressed": {"writes": ["write -c -P 1 0 64k", "write -c -P 2 3M 64k", "write -P 3 1M 1M"]},
    "extended": {
        "options": {"extended_l2": "on"},
        "writes": ["write -P 1 0 3M", "write -P 2 3600k 4k"],
    },
    "small-clusters": {"options": {"cluster_size": 512}, "writes": ["write -P 1 0 4M"]},
    "narrow-refcounts": {"options": {"refcount_bits": 1}, "writes": ["write -P 1 1M 3M"]},
    "empty": {},
    "preallocated": {"options": {"preallocation": "metadata"}},
    "overlay": {"backing": "base", "writes": ["write -P 1 1M 1M", "write -P 2 3M 64k"]},
    "old-overlay": {"backing": "base", "options": {"compat": "0.10"}},
    "raw": {"fmt": "raw", "writes": ["write -P 1 0 4M"]},
}


def make(name):
    def images(directory):
        image(directory, "base", size=5 * MIB, writes=["write -P 9 0 5M"])
        image(directory, "disk", size=4 * MIB, **IMAGES[name])

    return images


@pytest.mark.parametrize("name", IMAGES)
def test_images_after_each_size(name):
    """An image that was made smaller and larger holds the same at the same places."""
    driver = "raw" if name == "raw" else "qcow2"
    disk = ["--blockdev", f"{driver},node-name=n,file.driver=file,file.filename=disk"]
    steps = []
    for size in SIZES:
        steps += [either(resize(size, node_name="n")), call("query-named-block-nodes")]
    compare(steps, make(name), arguments=disk, layout=name != "small-clusters")


@pytest.mark.parametrize("size", [3 * MIB + 512, 512, 5 * MIB])
def test_bitmaps_and_snapshots(size):
    """Bitmaps end where the disk does, and what a snapshot holds is kept."""

    made = []

    def images(directory):
        if not made:  # the same for both, since snapshots know when they were made
            image(directory, "disk", size=4 * MIB, writes=["write -P 1 0 4M"])
            qemu_img(directory, "snapshot", "-c", "s", "disk")
            qemu_img(directory, "bitmap", "--add", "-g", "64k", "disk", "stored")
            made.append((directory / "disk").read_bytes())
        (directory / "disk").write_bytes(made[0])

    lines = ['qemu-io n "write -P 2 0 4M"', 'qemu-io n "write -P 3 0 64k"']
    compare(
        [
            call("block-dirty-bitmap-add", node="n", name="x", granularity=512 * KIB),
            call("block-dirty-bitmap-add", node="n", name="y", persistent=True),
            call("human-monitor-command", command_line=lines[0]),
            resize(size, node_name="n"),
            *LOOK,
            call("human-monitor-command", command_line=lines[1]),
            resize(6 * MIB, node_name="n"),
            *LOOK,
        ],
        images,
        program=Program.SYSTEM,
        arguments=["-blockdev", "qcow2,node-name=n,file.driver=file,file.filename=disk"],
    )


WORDS = [
    *("-device", "virtio-scsi", "-object", "throttle-group,id=tg"),
    *("-blockdev", "qcow2,node-name=q,file.driver=file,file.node-name=f,file.filename=disk"),
    *("-blockdev", "blkdebug,node-name=d,image=q", "-blockdev", "raw,node-name=r,file=d"),
    *("-blockdev", "throttle,node-name=t,throttle-group=tg,file=r"),
    *("-blockdev", "copy-on-read,node-name=c,file=t"),
    *("-blockdev", "raw,node-name=fixed,size=512,file.driver=null-co"),
    *("-blockdev", "null-co,node-name=null", "-device", "floppy,id=fd,drive=null"),
    *("-blockdev", "raw,node-name=ro,read-only=on,file.driver=null-co"),
    *("-blockdev", "qcow2,node-name=o,file.driver=file,file.filename=over"),
    *("-drive", "if=none,id=empty", "-drive", "if=none,id=drive,file=other,format=qcow2"),
    *("-device", "scsi-hd,id=hd,drive=drive"),
]
NAMES = ("q", "f", "d", "r", "t", "c", "fixed", "null", "ro", "o", "nope")
LINES = [
    *("block_resize", "block_resize drive", "block_resize q 1", "block_resize drive 3"),
    *("block_resize drive 1536k", "block_resize nope 1", "block_resize drive 1M x"),
    *("block_resize drive x", "block_resize drive -1", "block_resize empty 1"),
]


def test_nodes_and_what_is_wrong_with_them():
    """Which sizes which nodes refuse with which words, and which filters notice a new size."""

    def images(directory):
        for name in ("base", "disk", "other"):
            image(directory, name, size=4 * MIB)
        image(directory, "over", size=4 * MIB, backing="base")

    requests = []
    for name in NAMES:
        for size in (2 * MIB, 1000, -1, 1 << 62, (1 << 63) - 1, 8 * MIB):
            requests += [resize(size, node_name=name)]
        requests.append(call("query-named-block-nodes", flat=True))
    requests += [
        *(resize(512, device=name) for name in ("drive", "empty", "hd", "nope", "q")),
        *(resize(-1, device=name) for name in ("drive", "empty", "nope")),
        *(call("block_resize"), call("block_resize", node_name="q"), resize(512)),
        *(resize("1", node_name="q"), resize(1 << 63, node_name="q"), resize(1.5, device="q")),
        *(resize(512, device=name, node_name="q") for name in ("nope", "drive", "empty")),
        *(call("human-monitor-command", command_line=line) for line in LINES),
    ]
    steps = [either(request) for request in requests]
    compare([*steps, *LOOK], images, program=Program.SYSTEM, arguments=WORDS)


def test_in_use():
    """A node that a job or an overlay uses keeps its size."""

    def images(directory):
        image(directory, "base", size=MIB)
        image(directory, "over", size=MIB, backing="base")

    words = ["--blockdev", "qcow2,node-name=o,file.driver=file,file.filename=over,backing=b"]
    base = ["--blockdev", "qcow2,node-name=b,file.driver=file,file.filename=base"]
    steps = [
        *(either(resize(2 * MIB, node_name="b")), either(resize(-1, node_name="b"))),
        either(resize(2 * MIB, node_name="b", device="")),
        either(call("block-commit", job_id="j", device="o", auto_finalize=False, speed=1)),
        wait_event("BLOCK_JOB_READY"),
        *(either(resize(2 * MIB, node_name="o")), either(resize(2 * MIB, node_name="b"))),
    ]
    compare(steps, images, arguments=[*base, *words])
