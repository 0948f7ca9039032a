"""auto-read-only: the file is open for writing exactly while someone writes."""

import pytest

from qmpd.testing.oracle import (
    call,
    chain,
    compare,
    image,
    on_host,
    refused,
    show_descriptors,
    show_graph,
)
from tests.oracle.building import format_node, storage_node

READ_ONLY = {"read-only": True}
AUTO = {"auto-read-only": True}


def mode(server, name="img"):
    return server.descriptor(name).mode


@pytest.mark.parametrize(
    ("options", "expected", "ro"),
    [
        ({}, "rw", False),
        (READ_ONLY, "ro", True),
        (AUTO, "ro", False),
        (READ_ONLY | AUTO, "ro", True),
        (READ_ONLY | {"auto-read-only": False}, "ro", True),
    ],
    ids=str,
)
def test_first_open(server, options, expected, ro):
    """An auto-read-only file is opened for reading; queries show the flag, not the mode."""
    image(server.dir, "img")
    server.execute("blockdev-add", driver="file", node_name="s", filename="img", **options)
    assert mode(server) == expected
    assert server.nodes()["s"]["ro"] is ro


def test_mode_follows_the_users(server):
    """Unused raw: for reading. Writable qcow2: for writing. Gone again: for reading."""
    image(server.dir, "img")
    server.run([storage_node(0, "img")])
    assert server.descriptor("img") == ("img", "ro", (), ())
    server.execute("blockdev-add", driver="raw", node_name="r", file="s0")
    assert server.descriptor("img") == ("img", "ro", (), ())
    server.execute("blockdev-del", node_name="r")
    server.execute("blockdev-add", driver="qcow2", node_name="q", file="s0")
    assert server.descriptor("img") == ("img", "rw", (100, 101, 103, 201, 203), ())
    server.execute("blockdev-del", node_name="q")
    assert server.descriptor("img") == ("img", "ro", (), ())
    server.execute("blockdev-add", driver="qcow2", node_name="q", file="s0", read_only=True)
    assert server.descriptor("img") == ("img", "ro", (100, 201, 203), ())


def test_inline_file_is_upgraded_by_its_parent(server):
    image(server.dir, "img")
    file = {"driver": "file", "filename": "img"}
    server.execute("blockdev-add", driver="qcow2", node_name="q", file=file, **AUTO)
    assert mode(server) == "rw"


def test_plain_writable_file_stays_writable(server):
    """Without auto-read-only the mode is the flag's for the whole life."""
    image(server.dir, "img")
    server.run([storage_node(0, "img", **{"auto-read-only": False})])
    assert mode(server) == "rw"
    server.run([format_node(0, read_only=True)])
    assert server.descriptor("img") == ("img", "rw", (100, 201, 203), ())


def test_read_only_file_refuses_a_writer(server):
    """The refusal leaves everything as it was; a reader is welcome."""
    image(server.dir, "img")
    server.run([storage_node(0, "img", **READ_ONLY)])
    before = server.nodes(), server.descriptors()
    assert server.refusal("blockdev-add", driver="qcow2", node_name="q", file="s0") == (
        "Block node is read-only"
    )
    assert (server.nodes(), server.descriptors()) == before
    server.execute("blockdev-add", driver="qcow2", node_name="q", file="s0", read_only=True)
    assert mode(server) == "ro"


@pytest.mark.parametrize("options", [READ_ONLY, AUTO, READ_ONLY | AUTO], ids=str)
def test_unwritable_file_can_be_read(start_server, options):
    """The node is defined, a reader works, a writer is told why not, and nothing is lost."""
    image(start_server.dir, "img").chmod(0o444)
    server = start_server(unprivileged=True)
    server.execute("blockdev-add", driver="file", node_name="s", filename="img", **options)
    writer = {"driver": "qcow2", "node-name": "q", "file": "s"}
    expected = (
        "Block node is read-only"
        if "read-only" in options
        else "Could not open 'img': Permission denied"
    )
    assert server.refusal("blockdev-add", **writer) == expected
    assert server.descriptor("img") == ("img", "ro", (), ())
    server.execute("blockdev-add", **writer, read_only=True)
    assert server.descriptor("img") == ("img", "ro", (100, 201, 203), ())


def test_unwritable_file_cannot_be_defined_writable(start_server):
    image(start_server.dir, "img").chmod(0o444)
    server = start_server(unprivileged=True)
    assert server.refusal("blockdev-add", driver="file", node_name="s", filename="img") == (
        "Could not open 'img': Permission denied"
    )


@pytest.mark.oracle
def test_upgrade_goes_by_path():
    """The path is opened anew: a renamed file cannot be upgraded, a replaced one is switched."""

    def rename(old, new):
        return on_host(
            f"rename {old} to {new}", lambda directory: (directory / old).rename(directory / new)
        )

    compare(
        [
            storage_node(0, "c0"),
            rename("c0", "moved"),
            refused(
                "Could not open 'c0': No such file or directory", format_node(0, read_only=False)
            ),
            show_descriptors(),
            rename("c1", "c0"),
            format_node(0, read_only=False),
            show_descriptors(),
            show_graph(),
        ],
        lambda directory: (chain(directory, "c0"), chain(directory, "c1")),
    )


@pytest.mark.oracle
def test_downgrade_of_a_missing_file_is_not_an_error():
    """If the last writer leaves and the path is gone, the old descriptor is kept."""
    compare(
        [
            storage_node(0, "c0"),
            format_node(0, read_only=False),
            on_host("rename", lambda directory: (directory / "c0").rename(directory / "moved")),
            call("blockdev-del", node_name="f0"),
            show_descriptors(),
            call("query-named-block-nodes"),
        ],
        lambda directory: chain(directory, "c0"),
    )
