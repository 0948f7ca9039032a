"""Persistent bitmaps of qcow2 images: shown, kept up to date, saved, and refused where broken."""

import hashlib
import json
import struct

import pytest

from qmpd.testing.oracle import (
    MIB,
    Program,
    Step,
    call,
    chain,
    compare,
    image,
    info,
    on_host,
    qemu_img,
    wait_job,
)
from tests.oracle.building import separate

pytestmark = pytest.mark.oracle

QUERY = call("query-named-block-nodes")
FILE = {"driver": "file", "filename": "img"}
NODE = {"driver": "qcow2", "node-name": "q", "file": "f"}
DIRECTORY_EXTENSION = 0x23852875


def add_bitmap(directory, name, bitmap, *options):
    qemu_img(directory, "bitmap", "--add", *options, name, bitmap)


def ask(name, **arguments):
    """A request that may be refused."""
    request = call(name, **arguments)

    def run(server):
        server.send(request)
        return server.lines_until_reply()

    return Step(str(request), run)


def same_bytes(*names):
    """The files are equal to the last byte."""

    def run(server):
        found = [hashlib.sha256((server.dir / name).read_bytes()).hexdigest() for name in names]
        return [json.dumps(found).encode()]

    return Step(f"bytes of {names}", run)


def on_disk(name):
    """What another program sees of the image while the server has it open."""

    def run(server):
        found = info(server.dir / name)
        found.pop("actual-size")
        return [json.dumps(found).encode()]

    return Step(f"qemu-img info -U {name}", run)


def dirty(directory, name, offset, length):
    """Write to an image that exists already, without a server."""
    words = ["-w", "-q", "-c", "1", "--pattern=2", "-o", str(offset), "-s", str(length)]
    qemu_img(directory, "bench", *words, "-f", "qcow2", "-t", "writeback", name)


def three(directory, name="img", **options):
    """An image with a recording bitmap, a disabled and a fine one, and some dirt in two."""
    image(directory, name, writes=["write -P 1 0 128k"], **options)
    add_bitmap(directory, name, "plain")
    add_bitmap(directory, name, "off", "--disable")
    add_bitmap(directory, name, "fine", "-g", "512")
    dirty(directory, name, 65536, 102400)


@pytest.mark.parametrize("inline", [False, True])
def test_from_opening_to_closing(inline):
    """Read-only, writable, both changes between them, deletion: queries and files agree."""
    node = NODE | ({"file": FILE | {"node-name": "f"}} if inline else {})
    reopened = NODE | {"file": "f"}
    compare(
        [
            *([] if inline else [call("blockdev-add", node_name="f", **FILE)]),
            call("blockdev-add", **node, read_only=True),
            QUERY,
            same_bytes("img"),
            call("blockdev-reopen", options=[reopened | {"read-only": False}]),
            QUERY,
            on_disk("img"),
            same_bytes("img"),
            call("blockdev-reopen", options=[reopened | {"read-only": True}]),
            QUERY,
            on_disk("img"),
            same_bytes("img"),
            call("blockdev-reopen", options=[reopened | {"read-only": False}]),
            call("blockdev-del", node_name="q"),
            same_bytes("img"),
            call("query-named-block-nodes", flat=True),
        ],
        three,
    )


# -- broken directories ------------------------------------------------------------------------


def tamper(path, change):
    """Let ``change`` alter the file, given where the extension and the directory are."""
    data = bytearray(path.read_bytes())
    position = struct.unpack_from(">I", data, 100)[0]
    while True:
        magic, length = struct.unpack_from(">II", data, position)
        if magic == DIRECTORY_EXTENSION:
            break
        position += 8 + -(-length // 8) * 8
    change(data, position, struct.unpack_from(">Q", data, position + 24)[0])
    path.write_bytes(data)


def entry(layout, at, *values):
    """Change a field of the first directory entry."""
    return lambda data, _extension, directory: struct.pack_into(
        layout, data, directory + at, *values
    )


def table(word):
    """Change the first word of the first bitmap's table."""

    def change(data, _extension, directory):
        struct.pack_into(">Q", data, struct.unpack_from(">Q", data, directory)[0], word)

    return change


def entries(*names, count=None, extra=b""):
    """Replace the directory by copies of its first entry under these names."""

    def change(data, extension, directory):
        first = bytes(data[directory : directory + 18])
        found = b""
        for name in names:
            one = first + struct.pack(">HI", len(name), len(extra)) + extra + name
            found += one.ljust(-(-len(one) // 8) * 8, b"\0")
        data[directory:] = found.ljust(len(data) - directory, b"\0")
        struct.pack_into(">I", data, extension + 8, len(names) if count is None else count)
        struct.pack_into(">Q", data, extension + 16, len(found))

    return change


def both(*changes):
    def change(data, extension, directory):
        for one in changes:
            one(data, extension, directory)

    return change


def autoclear(bits):
    return lambda data, _extension, _directory: struct.pack_into(">Q", data, 88, bits)


CHANGES = {
    "in-use": entry(">I", 12, 3),
    "in-use-and-disabled": entry(">I", 12, 1),
    "unknown-flag": entry(">I", 12, 0x12),
    "extra-data-flag": entry(">I", 12, 6),
    "table-too-long": entry(">I", 8, 2),
    "table-far-too-long": entry(">I", 8, 1 << 27),
    "table-too-long-in-use": both(entry(">I", 8, 2), entry(">I", 12, 1)),
    "no-table": entry(">I", 8, 0),
    "table-at-zero": entry(">Q", 0, 0),
    "table-beyond-the-end": entry(">Q", 0, 1 << 40),
    "table-beyond-everything": entry(">Q", 0, (1 << 63) + 65536),
    "table-unaligned": entry(">Q", 0, 512),
    "bits-reserved": table(2),
    "bits-both": table(5 << 16 | 1),
    "bits-unaligned": table((5 << 16) + 512),
    "bits-beyond-the-end": table(1 << 40),
    "no-bits": table(0),
    "granularity-too-fine": entry(">B", 17, 8),
    "granularity-coarsest": entry(">B", 17, 31),
    "granularity-too-coarse": entry(">B", 17, 32),
    "other-type": entry(">B", 16, 2),
    "name-too-short": entry(">H", 18, 0),
    "name-too-long": entry(">H", 18, 2000),
    "extra-data-too-long": entry(">I", 20, 80),
    "extra-data": entries(b"b", extra=b"EXTRADAT"),
    "empty-name": entries(b""),
    "longest-name": entries(b"x" * 1023),
    "name-beyond-the-longest": entries(b"x" * 1024),
    "beyond-ascii": entries("\u00e9".encode(), b"\xff\xfe"),
    "nul-in-name": entries(b"a\0b"),
    "same-name-twice": entries(b"b", b"b"),
    "more-than-announced": entries(b"b", b"c", count=1),
    "less-than-announced": entries(b"b", count=2),
    "autoclear-unset": autoclear(0),
    "autoclear-unknown": autoclear(1 | 1 << 50),
    "autoclear-unset-and-broken": both(autoclear(0), entry(">Q", 0, 7)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_odd_directories(name):
    """Opened read-only, then writable, then closed: answers, queries and bytes are the same."""

    def images(directory):
        image(directory, "img")
        add_bitmap(directory, "img", "b0")
        dirty(directory, "img", 65536, 102400)
        tamper(directory / "img", CHANGES[name])

    compare(
        [
            ask("blockdev-add", driver="qcow2", node_name="r", file=FILE, read_only=True),
            QUERY,
            ask("blockdev-del", node_name="r"),
            ask("blockdev-add", driver="qcow2", node_name="w", file=FILE),
            QUERY,
            ask("blockdev-del", node_name="w"),
            same_bytes("img"),
            # The tools, which look at all images in the end, could not open many of these.
            on_host("remove it", lambda directory: (directory / "img").unlink()),
        ],
        images,
    )


# -- writing ------------------------------------------------------------------------------------


def commit(top, base, *more):
    return [
        call("block-commit", job_id="j", device="f2", top_node=top, base_node=base),
        *more,
        wait_job("j", "null"),
    ]


@pytest.mark.parametrize("cluster_size", [512, 65536])
@pytest.mark.parametrize("size", [MIB, 3 * MIB + 512])
def test_commit_into_an_image_with_bitmaps(size, cluster_size):
    """What a commit writes to the base, and to the overlay's header, is in their bitmaps."""
    writes = {"c1": ["write -P 3 0 1k", "write -P 4 300k 200k", "write -z 700k 64k"]}
    if size > MIB:
        writes["c1"].append("write -P 5 3M 512")

    def images(directory):
        sizes = {"c1": size, "c2": size}
        options = {"cluster_size": cluster_size}
        chain(directory, "c0", "c1", "c2", size=sizes, writes=writes, options=options)
        for name in ("c0", "c2"):
            add_bitmap(directory, name, "plain")
            add_bitmap(directory, name, "off", "--disable")
            add_bitmap(directory, name, "fine", "-g", "512")

    compare(
        [
            *separate("c0", "c1", "c2"),
            QUERY,
            *commit("f1", "f0"),
            QUERY,
            same_bytes("c0"),
            call("blockdev-del", node_name="f2"),
            same_bytes("c2"),
            call("blockdev-del", node_name="f1"),
            call("blockdev-del", node_name="f0"),
            call("blockdev-add", driver="qcow2", node_name="again", file="s0"),
            QUERY,
        ],
        images,
    )


def test_active_commit_into_an_image_with_bitmaps():
    """The job's own bitmap stands before those of the image, and alone goes with the job."""

    def images(directory):
        chain(directory, "c0", "c1", "c2", writes={"c2": ["write -P 3 100k 300k"]})
        for name in ("c0", "c2"):
            add_bitmap(directory, name, "plain")

    compare(
        [
            *separate("c0", "c1", "c2"),
            call("block-commit", job_id="j", device="f2", base_node="f0"),
            wait_job("j", "ready"),
            call("query-named-block-nodes", flat=True),
            call("job-complete", id="j"),
            wait_job("j", "null"),
            QUERY,
            call("blockdev-del", node_name="f2"),
            call("blockdev-del", node_name="f1"),
            call("blockdev-del", node_name="f0"),
            on_disk("c0"),
        ],
        images,
        layout=False,
    )


def test_commit_that_would_resize_an_image_with_an_unsaved_bitmap():
    """A bitmap that is in use cannot follow a change of the size."""

    def images(directory):
        chain(directory, "c0", "c1", "c2", size={"c1": 2 * MIB, "c2": 2 * MIB})
        add_bitmap(directory, "c0", "b0")
        tamper(directory / "c0", CHANGES["in-use"])

    job = call("block-commit", job_id="j", device="f2", top_node="f1", base_node="f0")
    compare([*separate("c0", "c1", "c2"), job, wait_job("j", "null"), QUERY], images)


def test_writes_of_a_guest():
    """Every byte that a device writes is in the bitmaps that record."""

    def io(words):
        return call("human-monitor-command", command_line=f'qemu-io d "{words}"')

    drive = ["-drive", "if=none,id=d,file={dir}/img,format=qcow2,node-name=q"]
    compare(
        [
            *(io(words) for words in ("write 5k 1k", "write -z 256k 300k", "write 1023k 1k")),
            call("query-block"),
            on_disk("img"),
            QUERY,
        ],
        lambda directory: three(directory, options={"cluster_size": 4096}),
        program=Program.SYSTEM,
        arguments=drive,
    )


def test_backing_files_with_bitmaps():
    """Bitmaps of a backing file are shown with it, and stay as they are."""

    def images(directory):
        three(directory, "c0")
        image(directory, "c1", backing="c0")
        add_bitmap(directory, "c1", "own")

    top = call("blockdev-add", driver="qcow2", node_name="q", file=FILE | {"filename": "c1"})
    compare([top, QUERY, same_bytes("c0"), call("blockdev-del", node_name="q")], images)


def test_other_storage_than_at_opening():
    """Whoever needs the directory reads it anew: queries, a change of access, closing."""

    def images(directory):
        for name in ("img", "copy"):
            image(directory, name)
            add_bitmap(directory, name, "b0")
        image(directory, "other", size="4M")
        image(directory, "over")

    def add(name, **options):
        return call("blockdev-add", node_name=name, **options)

    def reopen(**options):
        return ask("blockdev-reopen", options=[{"driver": "qcow2", "node-name": "q", **options}])

    def qcow2(name, filename):
        file = FILE | {"filename": filename}
        return add(name, driver="qcow2", file=file, backing=None)

    def delete(name):
        return call("blockdev-del", node_name=name)

    nodes = ask("query-named-block-nodes")
    compare(
        [
            *(add("s", **FILE), qcow2("over", "over"), qcow2("other", "other")),
            *(add("q", driver="qcow2", file="s"), nodes),
            *(call("blockdev-snapshot", node="s", overlay="over"), nodes, delete("q"), nodes),
            *(add("c", **FILE | {"filename": "copy"}), add("q", driver="qcow2", file="c")),
            *(reopen(file="other"), nodes, reopen(file="c", **{"read-only": True}), nodes),
            *(
                reopen(file="c"),
                nodes,
                delete("q"),
                add("q", driver="qcow2", file="c"),
                delete("q"),
            ),
            *(add("q", driver="qcow2", file="c", read_only=True), reopen(file="other"), nodes),
            *(delete("q"), *(on_disk(name) for name in ("img", "copy", "over", "other"))),
        ],
        images,
    )


def test_saved_behind_the_end_of_a_node():
    """An overlay of the image's file is as long as that was; what is saved behind it lets it grow."""
    sync = call("blockdev-snapshot-sync", node_name="s", snapshot_file="x")
    sync["arguments"] |= {"snapshot-node-name": "x"}
    closed = {"driver": "qcow2", "node-name": "q", "file": "x", "read-only": True}
    compare(
        [
            call("blockdev-add", **FILE, node_name="s"),
            call("blockdev-add", driver="qcow2", node_name="q", file="s"),
            *(sync, QUERY, call("blockdev-reopen", options=[closed]), QUERY),
        ],
        three,
    )


def test_killed_while_writable(server):
    """Whoever opens the image next sees that the bitmaps were not saved."""
    three(server.dir)
    server.execute("blockdev-add", driver="qcow2", node_name="q", file=FILE)
    (server.dir / "copy").write_bytes((server.dir / "img").read_bytes())
    file = FILE | {"filename": "copy"}
    server.execute("blockdev-add", driver="qcow2", node_name="after", file=file)
    found = server.nodes()["after"]["dirty-bitmaps"]
    assert [(one["name"], one["inconsistent"], one["count"]) for one in found] == [
        *(("fine", True, 0), ("off", True, 0), ("plain", True, 0))
    ]


@pytest.mark.parametrize("layers", [{}, {"base_node": "f0"}], ids=["all", "one"])
def test_a_stream_changes_nothing(layers):
    """What a stream copies up reads as before: the image's bitmaps do not note it."""

    def images(directory):
        names = ("c0", "c1", "c2")
        chain(directory, *names, writes={"c0": ["write -P 1 0 256k"], "c1": ["write -z 300k 90k"]})
        three(directory, "c2", backing="c1")

    script = [call("block-stream", job_id="j", device="f2", **layers), wait_job("j", "null"), QUERY]
    compare([*separate("c0", "c1", "c2"), *script], images)
