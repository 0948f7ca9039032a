"""Differences of the graph that random definitions, reopens and images have found."""

import os
import shutil
import struct
import subprocess

import pytest

from qmpd.testing.oracle import Step, call, compare, image
from tests.oracle.machine.steps import ask

pytestmark = pytest.mark.oracle

DIRTY, CORRUPT = 1, 2


def add(driver, name, **options):
    return ask(call("blockdev-add", driver=driver, node_name=name, **options))


def reopen(*options):
    return ask(call("blockdev-reopen", options=list(options)))


def file(name, **options):
    return {"driver": "file", "filename": name} | options


def images(directory):
    image(directory, "base")
    image(directory, "top", backing="base")
    image(directory, "empty", size=0)
    image(directory, "raw", fmt="raw")
    (directory / "sub").mkdir()
    for name, bits in (("dirty", DIRTY), ("corrupt", CORRUPT)):
        image(directory, name)
        put(directory / name, 72, ">Q", bits)
    # Broken images are hidden from the tools that look at the images in the end.
    image(directory, "sub/strange")
    put(directory / "sub" / "strange", 32, ">I", 3)  # an unknown encryption method


def qemu_img(*arguments, directory=None):
    words = ("qemu-img", *arguments)
    subprocess.run(words, check=True, cwd=directory)


def put(path, offset, layout, value):
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(struct.pack(layout, value))


def run(*steps):
    compare(steps, images)


QCOW2 = {"driver": "qcow2", "node-name": "q"}

DEFINITIONS = {
    "negative offset and size": ("raw", {"file": file("raw"), "offset": -1, "size": -2}),
    "negative size": ("raw", {"file": file("raw"), "offset": 1 << 40, "size": -2}),
    "negative size of a cache": ("qcow2", {"file": file("base"), "l2-cache-size": -1}),
    "all caches negative": (
        "qcow2",
        {"file": file("base"), "cache-size": -1, "l2-cache-size": -1, "refcount-cache-size": -1},
    ),
    "negative interval": ("qcow2", {"file": file("base"), "cache-clean-interval": -1}),
    "caches before encryption": (
        "qcow2",
        {"file": file("sub/strange"), "l2-cache-entry-size": 100},
    ),
    "no overlap checks in particular": ("qcow2", {"file": file("base"), "overlap-check": {}}),
    "shared, writable and nameless": ("file", {"filename": "", "force-share": True}),
    "native and missing": ("file", {"filename": "nofile", "aio": "native"}),
    "no direct I/O": ("file", {"filename": "sub", "cache": {"direct": True}}),
    "locking in the name": ("raw", {"file": file("raw", locking="off"), "size": 512}),
    "direct and empty": ("qcow2", {"file": file("empty"), "cache": {"direct": True}}),
    "beyond a window": ("qcow2", {"file": {"driver": "raw", "size": 0, "file": file("base")}}),
    "header in a window": ("qcow2", {"file": {"driver": "raw", "size": 512, "file": file("base")}}),
}


@pytest.mark.parametrize("definition", DEFINITIONS.values(), ids=DEFINITIONS)
def test_definitions(definition):
    driver, options = definition
    run(add(driver, "x", **options), add(driver, "y", **(options | {"read-only": True})))


REOPENS = {
    "backing file given inline": [{"backing": {"driver": "raw", "file": file("raw")}}],
    "backing file of a file": [{"node-name": "s", "backing": "q"}],
    "the node itself below a file": [{"node-name": "s", "file": "s"}],
    "child of a file": [{"node-name": "s", "file": "n"}],
    "child of a null device": [{"node-name": "n", "file": "s"}],
    "other file and other options": [{"node-name": "n", "file": "s", "offset": 512}],
    "batches": [{"node-name": "b", "driver": "file", "filename": "raw", "aio-max-batch": 0}],
    "caches too small": [{"cache-size": 1, "refcount-cache-size": 65536}],
    "caches joined": [
        {"cache-size": 1, "refcount-cache-size": 65536},
        {"cache-clean-interval": 60},
    ],
}


@pytest.mark.parametrize("options", REOPENS.values(), ids=REOPENS)
def test_reopens(options):
    given = [QCOW2 | {"file": "s"} | one for one in options]
    run(
        add("file", "s", filename="base"),
        add("null-co", "n"),
        add("file", "b", filename="raw", **{"aio-max-batch": 0}),
        add("qcow2", "q", file="s", backing={"driver": "raw", "file": file("raw")}),
        *(reopen(*given), reopen(*given)),
    )


@pytest.mark.parametrize("state", ["dirty", "corrupt"])
def test_reopens_of_an_image_that_is(state):
    """Only opening an image looks at its state; marking it as clean fails once."""
    node = QCOW2 | {"file": file(state)}
    run(
        add("qcow2", "q", file=file(state), read_only=True),
        reopen(node | {"read-only": True}),
        reopen(node | {"read-only": True}),
        reopen(node),
    )


def test_snapshots_show_through_raw_nodes():
    made = []

    def snapshot(directory):
        image(directory, "base")
        qemu_img("snapshot", "-c", "s", str(directory / "base"))
        made.append((directory / "base").read_bytes())  # the time stands in it
        (directory / "base").write_bytes(made[0])

    node = {"driver": "qcow2", "file": file("base"), "read-only": True}
    compare([add("raw", "r", file=node, read_only=True)], snapshot)


def test_outdated_bitmaps_go_with_the_first_writer():
    def outdated(directory):
        image(directory, "base")
        qemu_img("bitmap", "--add", str(directory / "base"), "b")
        put(directory / "base", 88, ">Q", 0)

    steps = [add("qcow2", "q", file=file("base")), ask(call("query-blockstats", query_nodes=True))]
    compare(steps, outdated)


def test_a_relinked_child_is_the_newest_one():
    """Also when it is put back: the debugging graph lists edges in the order of their age."""

    def edges(server):
        graph = server.execute("x-debug-query-block-graph")
        names = {node["id"]: node["name"] for node in graph["nodes"]}
        return [
            f"{names[edge['parent']]} {edge['name']} {names[edge['child']]}\n".encode()
            for edge in graph["edges"]
        ]

    node = QCOW2 | {"backing": "n"}
    window = {"driver": "raw", "node-name": "r"}
    failing = {"driver": "null-co", "node-name": "n", "size": 512}
    run(
        add("file", "s", filename="base"),
        add("file", "t", filename="base", read_only=True, force_share=True),
        add("raw", "r", file="s"),
        add("null-co", "n"),
        add("qcow2", "q", file="r", backing="n"),
        *(Step("edges", edges), reopen(node | {"file": "s"}), Step("edges", edges)),
        *(reopen(node | {"file": "r"}, failing), Step("edges", edges)),
        *(reopen(node | {"file": "r", "backing": None}), Step("edges", edges)),
        *(reopen(node | {"file": "r"}), Step("edges", edges)),
        *(reopen(window | {"file": "t"}, failing), Step("edges", edges)),
    )


def test_a_reopen_does_not_look_at_the_size():
    def grow(server):
        os.truncate(server.dir / "raw", 2 << 20)
        return []

    node = file("raw") | {"node-name": "s"}
    run(
        add("file", "s", filename="raw"),
        add("raw", "r", file="s"),
        Step("the file grows", grow),
        reopen(node),
        reopen({"driver": "raw", "node-name": "r", "file": "s", "size": 2 << 20}),
        add("file", "t", filename="raw"),
    )


@pytest.mark.parametrize("backing", ["base", "file:json:{}", "file:./json:{}"])
def test_names_with_colons(backing):
    """What is before the colon of an image's own name counts as a protocol."""

    def strange(directory):
        image(directory, "base")
        shutil.copy(directory / "base", directory / "json:{}")
        arguments = ("-u", "-b", backing, "-F", "qcow2", "overlay", "1M")
        qemu_img("create", "-q", "-f", "qcow2", *arguments, directory=directory)
        shutil.copy(directory / "overlay", directory / "a:b")

    def remove(server):
        for name in ("a:b", "json:{}", "overlay"):
            (server.dir / name).unlink()
        return []

    steps = [
        add("qcow2", name, file=file(path), read_only=True, **options)
        for name, path, options in (
            ("o", "overlay", {}),
            ("p", "a:b", {}),
            ("q", "a:b", {"backing": None}),
        )
    ]
    compare([*steps, Step("nobody looks at them in the end", remove)], strange)


def test_a_name_that_says_nothing():
    def empty(directory):
        arguments = ("-u", "-b", "json:{}", "-F", "raw", "overlay", "1M")
        qemu_img("create", "-q", "-f", "qcow2", *arguments, directory=directory)
        data = (directory / "overlay").read_bytes()
        # The format goes with the extension's magic, which is a stranger's then.
        (directory / "overlay").write_bytes(data.replace(b"\xe2\x79\x2a\xca", b"\x12\x34\x56\x78"))

    compare([add("qcow2", "o", file=file("overlay"))], empty)
