"""The permission graph, and the locks that two processes hold against each other."""

import pytest

from qmpd.testing.oracle import (
    MIB,
    Edge,
    Program,
    call,
    chain,
    compare,
    image,
    refused,
    show_descriptors,
    show_graph,
    wait_job,
)
from tests.oracle.building import inline, separate

WRITER = (100, 101, 103, 201, 203)  # reads, writes, resizes; shares neither writing nor resizing
READER = (100, 201, 203)


def driver_edge(parent, name, child, perm, shared):
    return Edge("block-driver", parent, name, child, perm, shared)


def file(name, **options):
    return {"driver": "file", "filename": name} | options


# -- the graph without users -----------------------------------------------------------------


def test_raw_without_users_asks_for_nothing(server):
    image(server.dir, "img", fmt="raw")
    server.execute("blockdev-add", driver="file", node_name="s", filename="img")
    server.execute("blockdev-add", driver="raw", node_name="r", file="s")
    assert server.graph() == {driver_edge("r", "file", "s", "-", "cwur")}


def test_raw_with_a_size_does_not_share_resizing(server):
    image(server.dir, "img", fmt="raw")
    server.execute("blockdev-add", driver="file", node_name="s", filename="img")
    server.execute("blockdev-add", driver="raw", node_name="r", file="s", size=512)
    assert server.graph() == {driver_edge("r", "file", "s", "-", "cwu")}


def test_format_asks_for_its_metadata_even_without_users(server):
    """Writable or read-only decides what a qcow2 node asks for; its backing file is left alone."""
    chain(server.dir, "c0", "c1")
    server.run(separate("c0", "c1"))
    assert server.graph() == {
        driver_edge("f0", "file", "s0", "c", "cu"),
        driver_edge("f1", "file", "s1", "cwr", "cu"),
        driver_edge("f1", "backing", "f0", "-", "cwur"),
    }


def test_forced_sharing_shares_everything(server):
    image(server.dir, "img")
    server.execute(
        "blockdev-add",
        driver="qcow2",
        node_name="q",
        read_only=True,
        force_share=True,
        file=file("img", **{"node-name": "s"}),
    )
    assert server.graph() == {driver_edge("q", "file", "s", "c", "cwur")}


# -- the graph below a disk ------------------------------------------------------------------


@pytest.mark.oracle
@pytest.mark.parametrize("share_rw", ["off", "on"])
@pytest.mark.parametrize(
    "definitions",
    [
        ["driver=null-co,node-name=disk"],
        ["driver=raw,node-name=disk,file.driver=file,file.filename=raw"],
        ["driver=raw,node-name=disk,file.driver=file,file.filename=raw,size=65536"],
        ["driver=qcow2,node-name=disk,file.driver=file,file.filename=c0"],
        ["driver=qcow2,node-name=disk,file.driver=file,file.filename=c2"],
        ["driver=qcow2,node-name=disk,auto-read-only=on,file.driver=file,file.filename=c2"],
        [
            "driver=file,node-name=s,filename=c0,auto-read-only=on",
            "driver=raw,node-name=r,file=s",
            "driver=qcow2,node-name=disk,file=r",
        ],
        ["driver=file,node-name=disk,filename=raw,auto-read-only=on"],
    ],
    ids=["null", "raw", "raw-size", "qcow2", "chain", "chain-auto-ro", "stack", "file"],
)
def test_graph_below_a_virtio_disk(definitions, share_rw):
    """What a guest device asks for is passed down, node by node, to locks on the files."""

    def images(directory):
        chain(directory, "c0", "c1", "c2", absolute=True)
        image(directory, "raw", fmt="raw")

    words = [word for text in definitions for word in ("-blockdev", text)]
    compare(
        [
            show_graph(),
            show_descriptors(),
            call("query-block"),
            call("query-named-block-nodes"),
            refused("Node disk is in use", call("blockdev-del", node_name="disk")),
        ],
        images,
        program=Program.SYSTEM,
        arguments=[*words, "-device", f"virtio-blk-pci,drive=disk,id=vda,share-rw={share_rw}"],
    )


# -- conflicts inside one process ------------------------------------------------------------


def test_two_writers_on_one_file_node(server):
    """The sentence names both users, the node, the permissions and the edges."""
    image(server.dir, "img")
    server.execute("blockdev-add", driver="file", node_name="s", filename="img")
    server.execute("blockdev-add", driver="qcow2", node_name="q1", file="s")
    assert server.refusal("blockdev-add", driver="qcow2", node_name="q2", file="s") == (
        "Permission conflict on node 's': permissions 'write, resize' are both required by "
        "node 'q1' (uses node 's' as 'file' child) and unshared by "
        "node 'q2' (uses node 's' as 'file' child)."
    )


def test_reader_does_not_share_with_a_writer(server):
    image(server.dir, "img")
    server.execute("blockdev-add", driver="file", node_name="s", filename="img")
    server.execute("blockdev-add", driver="qcow2", node_name="ro", file="s", read_only=True)
    server.execute("blockdev-add", driver="qcow2", node_name="ro2", file="s", read_only=True)
    assert server.refusal("blockdev-add", driver="qcow2", node_name="rw", file="s").startswith(
        "Permission conflict on node 's': permissions 'write, resize' are both required by "
        "node 'rw' (uses node 's' as 'file' child) and unshared by node 'ro"
    )


def test_two_file_nodes_on_one_image(server):
    """Two nodes cannot see each other; the locks on the file speak."""
    image(server.dir, "img")
    server.execute("blockdev-add", driver="qcow2", node_name="q1", file=file("img"))
    assert (
        server.refusal("blockdev-add", driver="qcow2", node_name="q2", file=file("img"))
        == 'Failed to get "write" lock'
    )


def test_two_disks_on_one_node(start_server):
    """The second device is refused; the sentence has the QOM paths of both."""
    ended = start_server.refused(
        *("-blockdev", "driver=null-co,node-name=disk"),
        *("-device", "virtio-blk-pci,drive=disk,id=vda"),
        *("-device", "virtio-blk-pci,drive=disk,id=vdb"),
        program=Program.SYSTEM,
    )
    assert ended.status == 1
    assert ended.last_line == (
        "PROG: -device virtio-blk-pci,drive=disk,id=vdb: "
        "Permission conflict on node 'disk': permissions 'write' are both required by "
        "block device '/machine/peripheral/vda/virtio-backend' (uses node 'disk' as 'root' child)"
        " and unshared by block device '/machine/peripheral/vdb/virtio-backend' "
        "(uses node 'disk' as 'root' child)."
    )


@pytest.mark.oracle
def test_who_of_several_users_is_named():
    """The newest user comes first, and whatever takes a node's place turns their order around."""
    stream = call("block-stream", device="x2", job_id="s", auto_finalize=False)
    names = ("d1", "d2", "d3")
    low = {"driver": "qcow2", "node-name": "n", "file": file("img"), "read-only": True}

    def snapshot(node, over):
        step = call("blockdev-snapshot-sync", node_name=node, snapshot_file=over)
        step["arguments"] |= {"snapshot-node-name": over}
        return step

    def write(node):
        return call("human-monitor-command", command_line=f'qemu-io {node} "write 0 64k"')

    compare(
        [
            call("blockdev-add", **low),
            *(call("device_add", driver="scsi-hd", drive="n", id=name) for name in names),
            *(snapshot("n", "x1"), write("x1"), snapshot("x1", "x2"), write("x2")),
            *(stream, wait_job("s", "pending"), write("x2")),
            *(call("job-finalize", id="s"), write("x2")),
        ],
        lambda directory: image(directory, "img", writes=["write 0 64k"]),
        layout=False,
        arguments=("-device", "virtio-scsi-pci"),
        program=Program.SYSTEM,
    )


# -- locks between two processes -------------------------------------------------------------


def test_locked_bytes(server):
    """A writable format locks five bytes, a read-only one three, a bare file node none."""
    chain(server.dir, "c0", "c1")
    server.execute("blockdev-add", driver="file", node_name="bare", filename="c0")
    assert server.descriptor("c0").locked == ()
    server.execute("blockdev-add", driver="qcow2", node_name="rw", file=file("c1"), backing=None)
    assert server.descriptor("c1").locked == WRITER
    server.execute("blockdev-add", driver="qcow2", node_name="ro", file="bare", read_only=True)
    assert server.descriptor("c0").locked == READER
    assert {descriptor.exclusive for descriptor in server.descriptors()} == {()}


WRITE = 'Failed to get "write" lock'
SHARED_WRITE = 'Failed to get shared "write" lock'
READ_ONLY = {"read-only": True}
HOLDERS = {
    "rw": (file("img"), {}),
    "ro": (file("img") | READ_ONLY, READ_ONLY),
    "auto-ro": (file("img", **{"auto-read-only": True}), READ_ONLY),
    "locking-off": (file("img", locking="off"), {}),
}
SECONDS = {
    "rw": (file("img"), {}),
    "ro": (file("img") | READ_ONLY, READ_ONLY),
    "ro-share": (
        file("img") | READ_ONLY | {"force-share": True},
        READ_ONLY | {"force-share": True},
    ),
    "auto-ro": (file("img", **{"auto-read-only": True}), READ_ONLY),
    "auto-rw": (file("img", **{"auto-read-only": True}), {}),
    "locking-off": (file("img", locking="off"), {}),
}
MATRIX = {
    "rw": {"rw": WRITE, "ro": SHARED_WRITE, "auto-ro": SHARED_WRITE, "auto-rw": WRITE},
    "ro": {"rw": WRITE, "auto-rw": WRITE},
    "auto-ro": {"rw": WRITE, "auto-rw": WRITE},
    "locking-off": {},
}


@pytest.mark.parametrize("second", SECONDS)
@pytest.mark.parametrize("holder", HOLDERS)
def test_lock_matrix_of_two_processes(start_server, holder, second):
    """Who may join whom on one image, and how the refusal reads."""
    image(start_server.dir, "img")
    one, other = start_server(), start_server()
    for server, (storage, options) in ((one, HOLDERS[holder]), (other, SECONDS[second])):
        server.execute("blockdev-add", node_name="s", **storage)
        reply = server.request(
            call("blockdev-add", driver="qcow2", node_name="q", file="s", **options)
        )
        expected = None if server is one else MATRIX[holder].get(second)
        assert reply.get("error", {}).get("desc") == expected


def test_forced_sharing_belongs_on_the_file_node(start_server):
    """On a format node above a separate file node it does not help."""
    image(start_server.dir, "img")
    one, other = start_server(), start_server()
    one.execute("blockdev-add", driver="qcow2", node_name="q", file=file("img"))
    other.execute("blockdev-add", node_name="s", read_only=True, **file("img"))
    shared = {"read-only": True, "force-share": True}
    assert other.refusal("blockdev-add", driver="qcow2", node_name="q", file="s", **shared) == (
        SHARED_WRITE
    )
    inline_file = file("img")
    other.execute("blockdev-add", driver="qcow2", node_name="q", file=inline_file, **shared)
    assert other.graph() != set()


def test_bare_file_nodes_do_not_lock(start_server):
    image(start_server.dir, "img")
    one, other = start_server(), start_server()
    for server in (one, other):
        server.execute("blockdev-add", node_name="s", **file("img"))
        assert server.descriptor("img") == ("img", "rw", (), ())


def test_refused_definition_leaves_no_lock(start_server):
    """After a conflict the loser holds nothing: the winner can leave and another come."""
    image(start_server.dir, "img")
    one, other = start_server(), start_server()
    one.execute("blockdev-add", driver="qcow2", node_name="q", file=file("img"))
    assert other.refusal("blockdev-add", driver="qcow2", node_name="q", file=file("img")) == WRITE
    assert other.descriptors() == []
    one.execute("blockdev-del", node_name="q")
    other.execute("blockdev-add", driver="qcow2", node_name="q", file=file("img"))
    assert other.descriptor("img").locked == WRITER


@pytest.mark.oracle
@pytest.mark.parametrize("nodes", [separate, inline], ids=["separate", "inline"])
@pytest.mark.parametrize("raw_base", [False, True], ids=["qcow2-base", "raw-base"])
def test_graph_and_locks_of_a_chain(nodes, raw_base):
    names = ("c0", "c1", "c2")
    compare(
        [*nodes(*names, raw_base=raw_base), show_graph(), show_descriptors()],
        lambda directory: chain(directory, *names, raw_base=raw_base, size=MIB),
    )
