"""blockdev-snapshot-sync: the overlay's image is made, too, or was there."""

import hashlib
import json
import os
import subprocess

import pytest

from qmpd.testing.oracle import MIB, Program, Step, call, compare, image, wait_event, wait_job
from tests.oracle.building import either
from tests.oracle.overlays import (
    CHAIN,
    DISK,
    LOOK,
    commit,
    delete,
    file,
    images,
    qcow2,
    raw,
    snapshot,
)

pytestmark = pytest.mark.oracle

USER = raw("user", "f1")
TOO_LONG = "x" * 40


def sync(node, filename, name="new", **options):
    arguments = {"node_name": node, "snapshot_file": filename, "snapshot_node_name": name}
    return call("blockdev-snapshot-sync", **arguments, **options)


def bytes_of(name):
    def run(server):
        return [hashlib.sha256((server.dir / name).read_bytes()).hexdigest().encode()]

    return Step(f"the bytes of {name}", run)


@pytest.mark.parametrize("program", Program)
def test_new_images(program):
    """Each is what qemu-img would make, byte by byte, names the node, and can have one itself."""
    compare(
        [
            *CHAIN,
            USER,
            sync("f1", "new1"),
            *LOOK,
            bytes_of("new1"),
            sync("new", "{dir}/new2", "newer"),
            *LOOK,
            either(sync("newer", "with-backing", "newest", mode="existing")),
            *LOOK,
            *delete("newest", "f1", "user"),
            *LOOK,
        ],
        images,
        program=program,
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"read-only": True},
        {"cache": {"direct": True}},
        {"cache": {"no-flush": True}},
        {"discard": "unmap", "detect-zeroes": "unmap"},
        {"auto-read-only": True},
    ],
    ids=["plain", "read-only", "direct", "no-flush", "unmap", "auto"],
)
def test_the_overlay_is_open_as_the_node_was(options):
    """Options of the node count, as flags: a reopen that leaves them out resets them."""
    again = {"driver": "qcow2", "node-name": "new", "file": {"driver": "file", "filename": "n"}}
    user = call("blockdev-add", driver="raw", node_name="user", file="f1", read_only=True)
    compare(
        [
            file("s1", "c1"),
            qcow2("f1", "s1", **options),
            user if "read-only" in options else USER,
            sync("f1", "n"),
            *LOOK,
            either(call("blockdev-reopen", options=[again])),
            either(call("blockdev-reopen", options=[again | {"backing": "f1"}])),
            *LOOK,
        ],
        images,
    )


@pytest.mark.parametrize(
    "options",
    [
        {"lazy-refcounts": True},
        {"cache": {"direct": False, "no-flush": True}},
        {"read-only": True, "discard": "unmap", "node-name": "other"},
    ],
    ids=str,
)
def test_what_a_json_name_says_counts_more(options):
    """Its values have JSON's types; what the command says of the name counts most."""
    definition = {"driver": "qcow2", "file": {"driver": "file", "filename": "o"}} | options
    steps = [*CHAIN, either(sync("f1", f"json:{json.dumps(definition)}", "new", mode="existing"))]
    compare([*steps, *LOOK], images)


def test_nobody_holds_the_overlay():
    """An overlay that nobody uses goes at once; the node is read-only all the same."""
    compare(
        [*CHAIN, sync("f1", "n"), *LOOK, sync("f1", "o", mode="existing"), sync("f1", "n"), *LOOK],
        images,
    )


def awkward(directory):
    images(directory)
    (directory / "sub").mkdir()
    (directory / "locked").mkdir(mode=0o555)
    (directory / "old").write_bytes(b"x" * 1000)
    (directory / "protected").touch(mode=0o444)


REFUSED = [
    *[sync("f1", "n", name) for name in ("f1", "1x", "", TOO_LONG)],
    call("blockdev-snapshot-sync", snapshot_file="n"),
    call("blockdev-snapshot-sync", snapshot_file="n", node_name="f1"),
    call("blockdev-snapshot-sync", snapshot_file="n", device="f1"),
    call("blockdev-snapshot-sync", snapshot_file="n", device="nobody", node_name="neither"),
    *[sync(node, "n") for node in ("nobody", "f0")],
    *[sync("f1", "n", format=name) for name in ("nothing", "file", "raw", "null-co")],
    *[
        sync("f1", name)
        for name in (
            *("", "nodir/n", "file:nodir/n", "c1", "./c1", "file:c1", "c0", "sub", "locked/n"),
            *("protected", "n" * 300, "json:{}", "json:{'driver':'file','filename':'n'}"),
            *("null-co://", "nothing:x", "null-co:x"),
        )
    ],
    # The image is made or overwritten before the name is found to be no name.
    *[
        sync("f1", name, TOO_LONG)
        for name in ("sub/n", "sub/../n2", "old", "n\u00e9", "n,4", "file:n5")
    ],
    *[
        sync("f1", name, mode="existing")
        for name in ("", "nofile", "raw", "c0", "nothing:x", "json:{}", "json:[]", "json:{")
    ],
    *[
        sync("f1", "o", mode="existing", format=name)
        for name in ("nothing", "raw", "file", "null-co", "host_device", "copy-on-read")
    ],
    sync("f1", "json:{'driver':'qcow2','file':{'driver':'file','filename':'o'}}", "1x"),
    *[
        sync("f1", name, format=kind)
        for name, kind in [
            *[("null-co:x", "nothing"), ("nothing:x", "nothing"), ("nothing:x", "null-co")],
            *[("nothing:x", "raw"), ("null-co:x", "null-co"), ("null-co:x", "raw")],
            *[("null-co:x", "file"), ("c0", "raw"), ("c1", "raw")],
        ]
    ],
]


@pytest.mark.parametrize("program", Program)
def test_refusals(program):
    """In the original's order; the graph is as before, files that were made stay."""
    compare(
        [
            *CHAIN,
            USER,
            *map(either, REFUSED),
            *LOOK,
            call(
                "blockdev-snapshot-sync",
                device="nobody",
                node_name="f1",
                snapshot_file="json:{'driver':'qcow2','file':{'driver':'file','filename':'o'}}",
                snapshot_node_name="new",
                mode="existing",
            ),
            *LOOK,
        ],
        awkward,
        program=program,
        unprivileged=True,
    )


def test_names_that_are_too_long_for_a_header():
    """The image is removed again, even one that was there before."""
    part = "d" * 200

    def far_away(directory):
        images(directory)
        for depth, name in ((5, "c1"), (6, "o")):
            place = directory.joinpath(*[part] * depth)
            place.mkdir(parents=True, exist_ok=True)
            (directory / name).rename(place / name)
        (directory / "old").write_bytes(b"x" * 5000)

    places = ["/".join(["{dir}", *[part] * depth]) for depth in (5, 6)]
    compare(
        [
            file("s1", f"{places[0]}/c1"),
            qcow2("f1", "s1", backing=None),
            file("so", f"{places[1]}/o"),
            qcow2("o", "so"),
            *map(either, [sync("f1", "n"), sync("o", "n"), sync("o", "old")]),
            *LOOK,
        ],
        far_away,
    )


@pytest.mark.parametrize("size", ["8k", "68k", "132k", "192k"])
def test_a_full_disk(tmp_path, size):
    """What cannot be written whole is removed."""
    if os.geteuid():
        pytest.skip("only the superuser can mount a small file system")
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        left = Step("what is left", lambda _: [str(sorted(os.listdir(place))).encode()])
        compare([*CHAIN, USER, either(sync("f1", str(place / "n"))), left], images)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("size", [0, 1000, 1 << 40, (1 << 51) + 512, 1 << 62])
def test_sizes(size):
    """As long as the node; what is too long for the format's tables is refused."""
    null = call("blockdev-add", driver="null-co", node_name="null", size=size)
    compare([null, raw("user", "null"), either(sync("null", "n")), *LOOK], images)


def test_nodes_of_other_formats():
    """The header gets the driver's name and the node's, which may be a long one."""
    window = call("blockdev-add", driver="raw", node_name="win", file="sr", offset=512, size=1024)
    compare(
        [
            file("sr", "raw"),
            raw("raw", "sr"),
            raw("user", "raw"),
            sync("raw", "n1", "new1"),
            sync("user", "n2", "new2"),
            *LOOK,
            either(sync("sr", "n3", "new3")),
            window,
            raw("user2", "win"),
            sync("win", "n4", "new4"),
            *LOOK,
        ],
        images,
    )


def written(directory):
    images(directory)
    image(directory, "o", size=MIB, writes=["write -P 7 64k 64k"])


def test_the_disk_follows():
    """A guest's disk uses the overlay; it is committed back into the node."""
    compare(
        [
            *CHAIN,
            DISK,
            sync("f1", "o", mode="existing"),
            call("query-block"),
            *LOOK,
            commit(device="new", speed=1 << 30),
            wait_job("j", "ready"),
            call("job-complete", id="j"),
            wait_job("j", "null"),
            call("query-block"),
            *LOOK,
        ],
        written,
        program=Program.SYSTEM,
        layout=False,
    )


def test_drives():
    """A drive may be named; its overlay needs no name then, and follows with the drive's cache."""

    def drive(name, filename, **options):
        return call("blockdev-snapshot-sync", device=name, snapshot_file=filename, **options)

    compare(
        [
            drive("d", "{dir}/n1"),
            call("query-block"),
            *LOOK,
            either(drive("d", "n2", snapshot_node_name="d")),
            either(drive("empty", "n2", snapshot_node_name="new")),
            either(drive("d", "n2", snapshot_node_name="empty")),
            drive("d", "{dir}/o", snapshot_node_name="new", mode="existing"),
            either(snapshot("empty", "new")),
            either(snapshot("d", "empty")),
            call("query-block"),
            *LOOK,
            call("block-commit", device="d", speed=1 << 30),
            wait_event("BLOCK_JOB_READY"),
            either(drive("d", "n3")),
            call("block-job-complete", device="d"),
            wait_job("d", "null"),
            call("query-block"),
            *LOOK,
        ],
        written,
        program=Program.SYSTEM,
        arguments=[
            *("-drive", "id=d,if=none,file={dir}/c1,format=qcow2,cache=none"),
            *("-drive", "id=empty,if=none"),
        ],
        layout=False,
    )
