"""Images whose tables contradict themselves: what is told, once, and what is refused then."""

import json
import struct
import subprocess

import pytest

from qmpd.testing.oracle import (
    Program,
    Side,
    Step,
    call,
    compare,
    image,
    refused,
    run_to_end,
)
from tests.oracle.building import separate

CLUSTER = 65536
L1_TABLE_AT, REFCOUNT_TABLE_AT, SNAPSHOTS_AT, AUTOCLEAR_AT = 40, 48, 64, 88

pytestmark = pytest.mark.oracle


def _patch(path, offset, data):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def _pointer(path, at):
    with path.open("rb") as file:
        file.seek(at)
        (value,) = struct.unpack(">Q", file.read(8))
    return value & 0x00FFFFFFFFFFFE00


def lost_refcounts(path):
    """Nothing is in use, the refcounts say."""
    block = _pointer(path, _pointer(path, REFCOUNT_TABLE_AT))
    _patch(path, block, bytes(CLUSTER))


def unaligned_table(path):
    """The L2 table begins in the middle of a cluster."""
    _patch(path, _pointer(path, L1_TABLE_AT), struct.pack(">Q", 1 << 63 | 0x2A2A2A00))


def unaligned_cluster(path):
    """Data begins in the middle of a cluster."""
    table = _pointer(path, _pointer(path, L1_TABLE_AT))
    _patch(path, table, struct.pack(">Q", 1 << 63 | 0x52A00))


def unaligned_block(path):
    """The refcount block begins in the middle of a cluster."""
    _patch(path, _pointer(path, REFCOUNT_TABLE_AT), struct.pack(">Q", 0x2A200))


DAMAGES = [lost_refcounts, unaligned_table, unaligned_cluster, unaligned_block]


def damaged(damage):
    def build(directory):
        image(directory, "c0", writes=["write -P 1 0 64k"])
        damage(directory / "c0")

    return build


def _remove(server):
    (server.dir / "c0").unlink()
    return []


GONE = Step("without the image, which no tool can read", _remove)


def io(line):
    return call("human-monitor-command", command_line=f'qemu-io f0 "{line}"')


def words(*, read_only=False):
    nodes = separate("c0")
    nodes[-1]["arguments"]["read-only"] = read_only
    return [word for node in nodes for word in ("-blockdev", json.dumps(node["arguments"]))]


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_told(damage, read_only):
    """One event for what can be lived with, one more when nothing can be written any more."""
    reads = [io("read 0 512"), io("read 0 512")]
    writes = [io("write -P 2 0 64k"), io("write -P 3 128k 64k"), io("write -P 4 256k 64k")]
    look = call("query-named-block-nodes")
    gone = refused("Block device f0 is ejected", look)
    given_up = not read_only and damage in (unaligned_table, unaligned_cluster)
    written = (
        []
        if read_only
        else [
            *writes,
            *reads,
            gone,
            call("query-block"),
            call("query-blockstats", query_nodes=True),
        ]
    )
    compare(
        [*reads, gone if given_up else look, *written, GONE],
        damaged(damage),
        program=Program.SYSTEM,
        arguments=words(read_only=read_only),
    )


@pytest.mark.parametrize("damage", DAMAGES)
def test_who_started_the_daemon_is_told_too(start_server, damage):
    """A line on standard error goes with the event."""
    damaged(damage)(start_server.dir)
    server = start_server(*words(), program=Program.SYSTEM)
    for step in (io("read 0 512"), io("write -P 2 128k 64k"), io("write -P 2 256k 64k")):
        server.request(step)
    (event,) = [event for event in server.events if event["event"] == "BLOCK_IMAGE_CORRUPTED"]
    message, fatal = event["data"]["msg"], event["data"]["fatal"]
    start, more = (
        ("Marking image as corrupt", "corruption")
        if fatal
        else ("Image is corrupt", "non-fatal corruption")
    )
    line = f"qcow2: {start}: {message}; further {more} events will be suppressed\n"
    assert line in server.stderr


@pytest.mark.only_qmpd("the original dies: the node has no driver any more")
def test_reopen_of_what_was_found_corrupt(start_server):
    """Such a node is not reopened, but it can be deleted."""
    damaged(lost_refcounts)(start_server.dir)
    server = start_server(*words(), program=Program.SYSTEM)
    server.request(io("write -P 2 128k 64k"))
    again = {"driver": "qcow2", "node-name": "f0", "file": "s0"}
    assert server.refusal("blockdev-reopen", options=[again]) == (
        "Error flushing drive: No medium found"
    )
    server.execute("blockdev-del", node_name="f0")
    assert server.execute("query-named-block-nodes")[0]["node-name"] == "s0"


def vouched_for(path):
    """The header vouches for bitmaps, and there are none."""
    _patch(path, AUTOCLEAR_AT, struct.pack(">Q", 1))


def two_things_at_once(path):
    """A subcluster is allocated, and zero as well."""
    table = _pointer(path, _pointer(path, L1_TABLE_AT))
    _patch(path, table + 8, struct.pack(">Q", 1 << 32 | 0xFFFFFFFF))


def data_in_the_snapshot_table(path):
    """The second cluster is where the first snapshot is described."""
    (table,) = struct.unpack(">Q", path.read_bytes()[SNAPSHOTS_AT : SNAPSHOTS_AT + 8])
    _patch(
        path, _pointer(path, _pointer(path, L1_TABLE_AT)) + 8, struct.pack(">Q", 1 << 63 | table)
    )


@pytest.mark.parametrize("checks", [{}, {"overlap-check": "none"}, {"overlap-check": "constant"}])
@pytest.mark.parametrize("damage", [vouched_for, two_things_at_once, data_in_the_snapshot_table])
def test_overlaps(damage, checks, monkeypatch):
    """What is looked for is an option; events come before replies, whatever loop there is."""

    def build(directory):
        extended = damage is two_things_at_once
        options = {"extended_l2": "on"} if extended else {}
        image(directory, "c0", writes=["write -P 1 0 64k"], options=options)
        if damage is data_in_the_snapshot_table:
            words = ["qemu-img", "snapshot", "-c", "s1", str(directory / "c0")]
            subprocess.run(words, check=True)
        damage(directory / "c0")

    monkeypatch.setenv("QMPD_LOOP", "asyncio")
    nodes = separate("c0")
    nodes[-1]["arguments"].update(checks)
    compare(
        [
            *nodes,
            *[io("read 0 512"), io("map"), io("write -P 2 64k 64k"), io("length"), io("flush")],
            *[io("map"), call("query-block"), GONE],
        ],
        build,
        program=Program.SYSTEM,
    )


def test_names_of_snapshots_end_at_a_zero_byte():
    """The table says how long they are, but a name is what a program in C takes for one."""

    def build(directory):
        image(directory, "c0")
        path = directory / "c0"
        subprocess.run(["qemu-img", "snapshot", "-c", "one two", str(path)], check=True)
        (table,) = struct.unpack(">Q", path.read_bytes()[SNAPSHOTS_AT : SNAPSHOTS_AT + 8])
        data = path.read_bytes()
        _patch(path, data.index(b"one two", table), b"one\0two")
        _patch(path, table + 16, bytes(16))  # when it was made
        _patch(path, table + 40, struct.pack(">q", -1))

    compare([*separate("c0"), call("query-named-block-nodes")], build, layout=False)


def test_bitmaps_that_nobody_has_kept(tmp_path):
    """A warning when the image is opened, and no end of the line behind the advice."""
    image(tmp_path, "c0")
    subprocess.run(["qemu-img", "bitmap", "--add", str(tmp_path / "c0"), "b"], check=True)
    vouched = tmp_path / "c0"
    _patch(vouched, AUTOCLEAR_AT, bytes(8))
    definition = "driver=qcow2,node-name=n,read-only=on,file.driver=file,file.filename=c0"
    said = [
        run_to_end(
            side,
            Program.STORAGE_DAEMON,
            ["--blockdev", definition, "--object", "nosuch"],
            tmp_path,
        ).stderr.replace("qemu-storage-daemon: ", "qmpd: ")
        for side in Side
    ]
    assert said[0] == said[1]
    assert "lacking bitmap support" in said[0]
