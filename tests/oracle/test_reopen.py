"""blockdev-reopen: what may change, what happens to descriptors, what the refusals say."""

import pytest

from qmpd.testing.oracle import call, chain, compare, image, refused, show_descriptors, show_graph
from tests.oracle.building import either, format_node, separate, storage_node

FILE = {"driver": "file", "filename": "img", "node-name": "s"}
QCOW2 = {"driver": "qcow2", "node-name": "q", "file": "s"}
READ_ONLY = {"read-only": True}
AUTO = {"auto-read-only": True}


def reopen(*options):
    return call("blockdev-reopen", options=list(options))


def one_image(directory):
    image(directory, "img")


def script(file, first, second):
    """Reopen a format node from one state to another, there and back."""
    add = call("blockdev-add", **(QCOW2 | first))
    return [
        *([call("blockdev-add", **file)] if file else []),
        add,
        show_descriptors(),
        reopen(QCOW2 | second),
        show_descriptors(),
        show_graph(),
        call("query-named-block-nodes"),
        reopen(QCOW2 | first),
        show_descriptors(),
        show_graph(),
    ]


@pytest.mark.oracle
@pytest.mark.parametrize("first", [{}, READ_ONLY], ids=["rw-first", "ro-first"])
@pytest.mark.parametrize("options", [{}, AUTO], ids=["plain", "auto-read-only"])
def test_format_over_a_separate_file(options, first):
    """The auto-read-only file follows the format node; the plain one stays writable."""
    compare(script(FILE | options, first, {} if first else READ_ONLY), one_image)


@pytest.mark.oracle
def test_format_over_an_inline_file_given_again():
    """An inline file given in full again follows its parent's new options."""
    whole = {"file": FILE}
    compare(script(None, READ_ONLY | whole, whole), one_image)


def test_inline_file_given_by_name_keeps_its_mode(server):
    """Without read-only there is nothing to inherit, so the file stays read-only: refused."""
    image(server.dir, "img")
    server.execute("blockdev-add", **(QCOW2 | READ_ONLY | {"file": FILE}))
    assert server.refusal("blockdev-reopen", options=[QCOW2]) == "Block node is read-only"
    assert server.descriptor("img").mode == "ro"
    server.run([reopen(QCOW2 | {"read-only": False})])
    assert server.descriptor("img").mode == "rw"
    assert server.nodes()["s"]["ro"] is False


def test_writable_file_cannot_become_read_only_under_a_writer(server):
    image(server.dir, "img")
    server.run([call("blockdev-add", **FILE), call("blockdev-add", **QCOW2)])
    assert server.refusal("blockdev-reopen", options=[FILE | READ_ONLY]) == (
        "Read-only block node 's' cannot support read-write users"
    )
    assert server.descriptor("img").mode == "rw"


def test_static_read_only_file(server):
    """A format node cannot become writable over it until the file has been reopened."""
    image(server.dir, "img")
    server.run(
        [call("blockdev-add", **(FILE | READ_ONLY)), call("blockdev-add", **(QCOW2 | READ_ONLY))]
    )
    assert server.refusal("blockdev-reopen", options=[QCOW2]) == "Block node is read-only"
    server.run([reopen(FILE), reopen(QCOW2)])
    assert server.descriptor("img").mode == "rw"


def test_all_nodes_of_a_list_or_none(server):
    """If the second fails, the first is as before; together they succeed in one list."""
    image(server.dir, "img")
    server.run(
        [call("blockdev-add", **(FILE | READ_ONLY)), call("blockdev-add", **(QCOW2 | READ_ONLY))]
    )
    before = server.nodes(), server.graph(), server.descriptors()
    null = {"driver": "null-co", "node-name": "zz"}
    assert server.refusal("blockdev-reopen", options=[FILE, null]) == (
        "Failed to find node with node-name='zz'"
    )
    assert (server.nodes(), server.graph(), server.descriptors()) == before
    server.run([reopen(FILE, QCOW2)])
    assert server.descriptor("img").mode == "rw"
    assert server.nodes()["q"]["ro"] is False


REFUSALS = [
    ({"driver": "null-co", "node-name": "zz"}, "Failed to find node with node-name='zz'"),
    ({"driver": "null-co"}, "node-name not specified"),
    (FILE | {"filename": "other"}, "Cannot change the option 'filename'"),
    (FILE | {"aio": "io_uring"}, "Cannot change the option 'aio'"),
    (FILE | {"locking": "off"}, "Cannot change the option 'locking'"),
    ({"driver": "null-co", "node-name": "s"}, "Option 'filename' cannot be reset to its default value"),
    ({"driver": "null-aio", "node-name": "n", "size": 1024}, "Cannot change the option 'driver'"),
    ({"driver": "raw", "node-name": "q", "file": "s"}, "backing is missing for 'q'"),
    ({"driver": "null-co", "node-name": "n", "size": 512}, "Cannot change the option 'size'"),
    ({"driver": "null-co", "node-name": "n"}, "Option 'size' cannot be reset to its default value"),
    (QCOW2, "backing is missing for 'q'"),
    (QCOW2 | {"backing": "nope"}, "Cannot find device='' nor node-name='nope'"),
    (QCOW2 | {"backing": "q"}, "Making 'q' a backing child of 'q' would create a cycle"),
    (QCOW2 | {"backing": None, "force-share": True}, "Cannot change the option 'force-share'"),
    (QCOW2 | {"backing": None, "file": "nope"}, "Cannot find device='' nor node-name='nope'"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "desc"), REFUSALS)
def test_refusals(server, options, desc):
    """Each refusal has its sentence and changes nothing."""
    chain(server.dir, "below", "img")
    server.execute("blockdev-add", **FILE)
    server.execute("blockdev-add", **QCOW2, backing=None)
    server.execute("blockdev-add", driver="null-co", node_name="n", size=1024)
    before = server.nodes(), server.graph(), server.descriptors()
    assert server.refusal("blockdev-reopen", options=[options]) == desc
    assert (server.nodes(), server.graph(), server.descriptors()) == before


@pytest.mark.oracle
def test_change_of_the_backing_file():
    """The chain can be relinked, cut and closed again; names and locks follow."""
    top = {"driver": "qcow2", "node-name": "f2", "file": "s2"}
    compare(
        [
            *separate("c0", "c1", "c2"),
            reopen(top | {"backing": "f0"}),
            show_graph(),
            call("query-named-block-nodes"),
            reopen(top | {"backing": None}),
            show_graph(),
            show_descriptors(),
            refused(
                "Making 'f1' a backing child of 'f0' would create a cycle",
                reopen({"driver": "qcow2", "node-name": "f0", "file": "s0", "backing": "f1"}),
            ),
            reopen(top | {"backing": "f1"}),
            show_graph(),
            call("query-named-block-nodes"),
            show_descriptors(),
        ],
        lambda directory: chain(directory, "c0", "c1", "c2"),
    )


@pytest.mark.oracle
@pytest.mark.parametrize(
    "options",
    [
        {"cache": {"no-flush": True}},
        {"discard": "unmap"},
        {"detect-zeroes": "on"},
        {"discard": "unmap", "detect-zeroes": "unmap"},
        {"lazy-refcounts": True},
        {"cache-size": 1 << 20},
        {"overlap-check": "none"},
    ],
    ids=str,
)
def test_options_that_may_change(options):
    compare(
        [
            storage_node(0, "img"),
            format_node(0, read_only=False),
            reopen({"driver": "qcow2", "node-name": "f0", "file": "s0", "backing": None} | options),
            call("query-named-block-nodes"),
            show_descriptors(),
        ],
        one_image,
    )


@pytest.mark.parametrize(
    "options",
    [
        {"offset": -1, "file": "nope"},
        {"size": -1, "file": "nope"},
        {"offset": -1, "file": "n", "bogus": 1},
        {"offset": -1, "node-name": "nope", "file": "n"},
        {"offset": -1, "size": 1, "file": "n"},
        {"offset": 1 << 40, "size": -1, "file": "n"},
    ],
    ids=str,
)
@pytest.mark.oracle
def test_raw_with_several_mistakes(options):
    """Which of them is told, and that nothing has changed."""
    raw = {"driver": "raw", "node-name": "r", "file": "n", "size": 512}
    compare(
        [
            call("blockdev-add", driver="null-co", node_name="n"),
            call("blockdev-add", **raw),
            either(reopen({**raw, **options})),
            show_graph(),
            call("query-named-block-nodes"),
        ],
        one_image,
    )
