"""Images whose tables contradict themselves: what is told, once, and what is refused then."""

import json
import struct

import pytest

from qmpd.testing.oracle import Program, Step, call, compare, image, refused
from tests.oracle.building import separate

CLUSTER = 65536
L1_TABLE_AT, REFCOUNT_TABLE_AT = 40, 48

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
