"""Commands about dirty bitmaps, alone and in transactions."""

import pytest

from qmpd.testing.oracle import (
    MIB,
    Program,
    call,
    chain,
    compare,
    image,
    qemu_img,
    wait_job,
)
from tests.oracle.machine.steps import ask
from tests.oracle.test_bitmaps import on_disk, same_bytes

pytestmark = pytest.mark.oracle

NODES = ("a", "ro", "v2", "odd", "small", "raw", "null")
QUERY = ask(call("query-named-block-nodes", flat=True))


def images(directory):
    """Images of all kinds; "broken" has bitmaps that were not saved."""
    fine = {"cluster_size": 4096}  # as the host's file system has it
    chain(directory, "base", "a", options=fine)
    image(directory, "v2", options=fine | {"compat": "0.10"})
    image(directory, "odd", options=fine, size=1000448)
    image(directory, "small", options={"cluster_size": 512}, size=MIB)
    image(directory, "big", size=8 << 40)
    image(directory, "raw", fmt="raw", size=MIB)
    for name in ("ro", "broken"):
        image(directory, name, size=MIB)
        qemu_img(directory, "bitmap", "--add", name, "p0")
        qemu_img(directory, "bitmap", "--add", "--disable", name, "p1")
    data = bytearray((directory / "broken").read_bytes())
    for bitmap in (b"p0", b"p1"):
        place = data.rindex(bitmap) - 24
        data[place + 15] |= 1  # in use
    (directory / "broken").write_bytes(data)


def qcow2(name, **options):
    file = {"driver": "file", "filename": name}
    return call("blockdev-add", driver="qcow2", node_name=name, file=file, **options)


def start():
    return [
        qcow2("a"),
        qcow2("ro", read_only=True),
        *(qcow2(name) for name in ("v2", "odd", "small", "big", "broken")),
        call(
            "blockdev-add",
            driver="raw",
            node_name="raw",
            file={"driver": "file", "node-name": "file", "filename": "raw"},
        ),
        call("blockdev-add", driver="null-co", node_name="null", size=1000),
    ]


def bitmap(verb, node, name, **options):
    return ask(call(f"block-dirty-bitmap-{verb}", node=node, name=name, **options))


def add(node, name, **options):
    return bitmap("add", node, name, **options)


def merge(node, target, *bitmaps):
    return ask(call("block-dirty-bitmap-merge", node=node, target=target, bitmaps=list(bitmaps)))


def checksum(node, name):
    return ask(call("x-debug-block-dirty-bitmap-sha256", node=node, name=name))


def io(node, line):
    return ask(call("human-monitor-command", command_line=f'qemu-io {node} "{line}"'))


def act(*actions, **properties):
    given = [
        {"type": kind if kind == "abort" else f"block-dirty-bitmap-{kind}", "data": data}
        for kind, data in actions
    ]
    return ask(call("transaction", actions=given, **properties))


def test_adding():
    """Names, granularities and places that bitmaps can have, or cannot."""
    sizes = (0, -1, 256, 511, 1000, 1 << 32, 512, 1 << 31, "x", 512.5)
    compare(
        [
            *start(),
            *(add("a", f"g{number}", granularity=size) for number, size in enumerate(sizes)),
            *(add(node, name) for node in ("none", *NODES) for name in ("b", "b", "", "\xfc")),
            *(add(node, "p", persistent=True) for node in (*NODES, "file", "big", "broken")),
            *(
                add("a", "x" * 1023 + end, persistent=kept)
                for end in ("", "y")
                for kept in (False, True)
            ),
            *(add("big", f"b{size}", granularity=size, persistent=True) for size in (512, 4096)),
            *(add("ro", "p0", persistent=kept) for kept in (True, False)),
            add("a", "off", disabled=True),
            add("a", "kept", disabled=True, persistent=True),
            add("a", 5),
            ask(call("block-dirty-bitmap-add", node="a")),
            ask(call("block-dirty-bitmap-add", name="a", foo=1)),
            QUERY,
            ask(call("query-block")),
        ],
        images,
    )


def test_changing():
    """What can be done to bitmaps of all kinds, and what not."""
    there = [("none", "b"), ("a", "none"), ("a", "b"), ("ro", "p0"), ("ro", "p1"), ("broken", "p0")]
    compare(
        [
            *start(),
            add("a", "b"),
            *(
                bitmap(verb, *which)
                for verb in ("clear", "enable", "disable", "enable", "remove")
                for which in there
            ),
            *(checksum(*which) for which in there),
            add("a", "b"),
            QUERY,
            bitmap("remove", "broken", "p1"),
            QUERY,
        ],
        images,
    )


def test_recording():
    """Writes show in the bitmaps of each node that they pass, as long as these record."""
    compare(
        [
            *start(),
            *(add(node, f"g{size}", granularity=size) for node in NODES for size in (512, 65536)),
            add("file", "f", granularity=4096),
            add("a", "off", disabled=True),
            *(io(node, "write -q 1536 5k") for node in NODES if node != "null"),
            *(io(node, "write -q -z 500k 1") for node in ("a", "raw")),
            io("a", "write -q -z 512k 64k"),
            io("odd", "write -q 999424 1024"),
            io("null", "write -q 0 100"),
            QUERY,
            *(checksum(node, f"g{size}") for node in NODES for size in (512, 65536)),
            checksum("file", "f"),
            checksum("a", "off"),
            bitmap("disable", "a", "g512"),
            bitmap("enable", "a", "off"),
            bitmap("clear", "odd", "g512"),
            *(io(node, "write -q 700k 3k") for node in ("a", "odd")),
            QUERY,
        ],
        images,
        program=Program.SYSTEM,
        layout=False,
    )


def test_merging():
    """Bitmaps take in others, of other granularities and nodes too, but not of other sizes."""
    compare(
        [
            *start(),
            *(add("a", f"g{size}", granularity=size) for size in (512, 4096, 65536, 1 << 31)),
            add("small", "s", granularity=1024),
            add("odd", "o", granularity=512),
            *(io("a", f"write -q {offset} 512") for offset in (0, 5120, 65024, 262144)),
            io("small", "write -q 512k 1k"),
            io("odd", "write -q 0 1000448"),
            merge("none", "g512", "g4096"),
            merge("a", "none", "g512"),
            merge("a", "none"),
            merge("a", "g4096", "none"),
            merge("a", "g4096", "g512", "none"),
            merge("a", "g4096", {"node": "none", "name": "g512"}),
            merge("a", "g4096", {"node": "odd", "name": "o"}),
            merge("a", "g4096", {"node": "broken", "name": "p0"}),
            merge("broken", "p0", "p1"),
            merge("ro", "p0", "p1"),
            merge("a", "g512", {"node": "ro", "name": "p0"}),
            merge("a", "g4096", "g4096"),
            merge("a", "g512", 5),
            merge("a", "g512", {"node": "a"}),
            merge("a", "g65536", "g512", "g4096"),
            merge("small", "s", {"node": "ro", "name": "p0"}),
            bitmap("clear", "a", "g512"),
            add("a", "n512", granularity=512),
            merge("a", "n512", "g4096"),
            *(checksum("a", f"g{size}") for size in (512, 4096, 65536, 1 << 31)),
            checksum("a", "n512"),
            QUERY,
        ],
        images,
        program=Program.SYSTEM,
        layout=False,
    )


def test_transactions():
    """All actions on bitmaps happen, or none of them."""
    b = {"node": "a", "name": "b"}
    merging = {"node": "a", "target": "b", "bitmaps": ["c"]}
    compare(
        [
            *start(),
            add("a", "b", persistent=True),
            add("a", "c"),
            io("a", "write -q 0 128k"),
            bitmap("clear", "a", "b"),
            *(
                step
                for fails in ([("abort", {})], [])
                for step in (
                    act(("add", {"node": "a", "name": "new"}), *fails),
                    act(("clear", {"node": "a", "name": "c"}), *fails),
                    act(("disable", b), ("merge", merging), ("add", b), *fails),
                    act(("disable", b), ("merge", merging), *fails),
                    act(("enable", b), ("clear", b), *fails),
                    QUERY,
                    act(("remove", b), ("clear", b), *fails),
                    act(("remove", b), ("add", b), *fails),
                    act(("remove", b), ("remove", b), *fails),
                    act(("remove", b), ("merge", merging), *fails),
                    act(("clear", b), ("disable", {"node": "a", "name": "none"}), *fails),
                    act(("remove", b), *fails),
                    QUERY,
                )
            ),
            act(("add", b), properties={"completion-mode": "grouped"}),
            act(("add", {"node": "a"})),
            QUERY,
        ],
        images,
        program=Program.SYSTEM,
    )


def test_in_the_file():
    """New bitmaps are stored when the image is closed or made read-only, removed ones at once."""

    options = {"driver": "qcow2", "node-name": "n", "file": "f"}
    node = call("blockdev-add", **options)

    def reopened(*, read_only):
        return ask(call("blockdev-reopen", options=[options | {"read-only": read_only}]))

    look = (QUERY, on_disk("ro"), same_bytes("ro"))
    compare(
        [
            call("blockdev-add", driver="file", node_name="f", filename="ro"),
            node,
            *(
                add("n", f"n{number}", persistent=number < 2, disabled=number > 0)
                for number in range(4)
            ),
            io("n", "write -q 0 128k"),
            bitmap("disable", "n", "p0"),
            bitmap("enable", "n", "p1"),
            *look,
            reopened(read_only=True),
            *look,
            *(bitmap(verb, "n", name) for name in ("n0", "n3") for verb in ("clear", "remove")),
            add("n", "n4", persistent=True),
            reopened(read_only=False),
            *look,
            io("n", "write -q 512k 128k"),
            *(step for name in ("p1", "n0", "n4") for step in (bitmap("remove", "n", name), *look)),
            call("blockdev-del", node_name="n"),
            *look[1:],
            node,
            *look,
            *(step for name in ("p0", "n1") for step in (bitmap("remove", "n", name), *look)),
            call("blockdev-del", node_name="n"),
            *look[1:],
        ],
        images,
        program=Program.SYSTEM,
    )


def test_chains_with_bitmaps():
    """What a commit writes shows in the base's bitmaps; those of the top stay with it."""
    compare(
        [
            call("blockdev-add", driver="file", node_name="f0", filename="base"),
            call("blockdev-add", driver="qcow2", node_name="base", file="f0"),
            call("blockdev-add", driver="file", node_name="f1", filename="a"),
            call("blockdev-add", driver="qcow2", node_name="top", file="f1", backing="base"),
            io("top", "write -q 64k 128k"),
            add("base", "b", persistent=True),
            add("base", "c", granularity=512),
            add("top", "t"),
            call("block-commit", job_id="j", device="top"),
            wait_job("j", "ready"),
            add("top", "u"),
            call("job-complete", id="j"),
            wait_job("j", "null"),
            QUERY,
            checksum("base", "c"),
            call("blockdev-del", node_name="top"),
            call("blockdev-del", node_name="base"),
            on_disk("base"),
        ],
        images,
        program=Program.SYSTEM,
        layout=False,
    )
