"""blockdev-add and blockdev-del: names, children, inheritance, file names, texts."""

import contextlib
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from qmpd.testing.oracle import (
    MIB,
    Program,
    Server,
    Side,
    Step,
    call,
    chain,
    compare,
    image,
    qemu_img,
    refused,
    show_descriptors,
    show_graph,
)
from tests.oracle.building import inline, separate


def null(server, name):
    return server.execute("blockdev-add", driver="null-co", node_name=name)


# -- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", "1a", "a b", "a/b", "_a", "-a", ".a", "#x", "a:b", "a,b", "a\n"]
)
def test_bad_node_name(server, name):
    assert server.refusal("blockdev-add", driver="null-co", node_name=name) == (
        f"Invalid node-name: '{name}'"
    )


def test_bad_node_name_beyond_ascii(server):
    assert server.refusal("blockdev-add", driver="null-co", node_name="é") == (
        "Invalid node-name: 'é'"
    )


def test_longest_node_name(server):
    null(server, "a" * 31)
    assert server.refusal("blockdev-add", driver="null-co", node_name="a" * 32) == (
        "Node name too long"
    )


def test_names_are_case_sensitive_and_unique(server):
    null(server, "n.A-b_0")
    null(server, "N.A-b_0")
    assert server.refusal("blockdev-add", driver="null-co", node_name="n.A-b_0") == (
        "Duplicate nodes with node-name='n.A-b_0'"
    )


def test_root_needs_a_name(server):
    """The name is asked for after the schema check and before anything is opened."""
    assert server.refusal("blockdev-add", driver="null-co") == (
        "'node-name' must be specified for the root node"
    )
    assert server.refusal("blockdev-add", driver="file", filename="none") == (
        "'node-name' must be specified for the root node"
    )
    assert server.refusal("blockdev-add", driver="file") == "Parameter 'filename' is missing"


def test_parent_and_inline_child_of_one_name(server):
    inner = {"driver": "null-co", "node-name": "same"}
    assert server.refusal("blockdev-add", driver="raw", node_name="same", file=inner) == (
        "Duplicate nodes with node-name='same'"
    )
    assert server.nodes() == {}


def test_generated_names(server):
    """Unnamed nodes are #block, a running number, two random digits; never twice the same."""
    for index in range(3):
        server.execute(
            "blockdev-add", driver="raw", node_name=f"r{index}", file={"driver": "null-co"}
        )
    generated = [name for name in server.nodes() if name.startswith("#")]
    assert len(generated) == 3
    assert all(re.fullmatch(r"#block\d\d\d+", name) for name in generated)
    counters = sorted(int(name[len("#block") : -2]) for name in generated)
    assert counters == list(range(counters[0], counters[0] + 3))


# -- literal errors --------------------------------------------------------------------------

DEFINITION_ERRORS = [
    ({}, "Parameter 'driver' is missing"),
    ({"driver": "bogus"}, "Parameter 'driver' does not accept value 'bogus'"),
    ({"driver": "file"}, "Parameter 'filename' is missing"),
    ({"driver": "raw", "file": {"driver": "file"}}, "Parameter 'file.filename' is missing"),
    ({"driver": "file", "filename": ""}, "The 'file' block driver requires a file name"),
    ({"driver": "file", "filename": "none"}, "Could not open 'none': No such file or directory"),
    ({"driver": "file", "filename": "/tmp"}, "Could not open '/tmp': Is a directory"),
    ({"driver": "file", "filename": "/tmp", "read-only": True}, "'file' driver requires '/tmp' to be a regular file"),
    ({"driver": "file", "filename": "/dev/null"}, "'file' driver requires '/dev/null' to be a regular file"),
    ({"driver": "file", "filename": "json:{}"}, "Could not open 'json:{}': No such file or directory"),
    ({"driver": "file", "filename": "file:raw1"}, "Could not open 'file:raw1': No such file or directory"),
    ({"driver": "raw", "file": "x"}, "Cannot find device='x' nor node-name='x'"),
    ({"driver": "raw"}, "Parameter 'file' is missing"),
    ({"driver": "raw", "file": None}, "Invalid parameter type for 'file', expected: BlockdevRef"),
    ({"driver": "qcow2", "file": {"driver": "file", "filename": "raw1"}}, "Image is not in qcow2 format"),
    ({"driver": "qcow2", "file": "null"}, "Image is not in qcow2 format"),
    ({"driver": "qcow2", "file": "s", "backing": "x"}, "Could not open backing file: Cannot find device='x' nor node-name='x'"),
    ({"driver": "qcow2", "file": "s", "backing": 1}, "Invalid parameter type for 'backing', expected: BlockdevRefOrNull"),
    ({"driver": "qcow2", "file": "s", "node-name": "q", "backing": "q"}, "Making 'q' a backing child of 'q' would create a cycle"),
    ({"driver": "qcow2", "file": "sro"}, "Block node is read-only"),
    ({"driver": "file", "filename": "raw1", "aio": "native"}, "aio=native was specified, but it requires cache.direct=on, which was not specified."),
    ({"driver": "file", "filename": "raw1", "pr-manager": "x"}, "No persistent reservation manager with id 'x'"),
    ({"driver": "null-co", "latency-ns": -1}, "latency-ns is invalid"),
    ({"driver": "null-co", "detect-zeroes": "unmap"}, "setting detect-zeroes to unmap is not allowed without setting discard operation to unmap"),
    ({"driver": "null-co", "detect-zeroes": "x"}, "Parameter 'detect-zeroes' does not accept value 'x'"),
    ({"driver": "null-co", "discard": "x"}, "Parameter 'discard' does not accept value 'x'"),
    ({"driver": "null-co", "force-share": True}, "force-share=on can only be used with read-only images"),
    ({"driver": "file", "filename": "raw1", "force-share": True, "auto-read-only": True}, "force-share=on can only be used with read-only images"),
    ({"driver": "null-co", "cache": {"writeback": True}}, "Parameter 'cache.writeback' is unexpected"),
    ({"driver": "null-co", "cache": {"direct": 1}}, "Invalid parameter type for 'cache.direct', expected: boolean"),
    ({"driver": "null-co", "size": 1.0}, "Invalid parameter type for 'size', expected: integer"),
    ({"driver": "null-co", "file.driver": "file"}, "Parameter 'file.driver' is unexpected"),
    ({"driver": "null-co", "zero": 1, "alpha": 2}, "Parameter 'alpha' is unexpected"),
    ({"driver": "raw", "file": "null", "size": 2 << 30}, "The sum of offset (0) and size (2147483648) has to be smaller or equal to the  actual size of the containing file (1073741824)"),
    ({"driver": "raw", "file": "null", "offset": 2 << 30}, "Offset (2147483648) cannot be greater than size of the containing file (1073741824)"),
    ({"driver": "raw", "file": "null", "size": 513}, "Specified size is not multiple of 512"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "desc"), DEFINITION_ERRORS)
def test_definition_errors(server, arguments, desc):
    """Each mistake has its sentence and leaves no node behind."""
    image(server.dir, "raw1", fmt="raw")
    image(server.dir, "img")
    null(server, "null")
    file = {"driver": "file", "filename": "img"}
    server.execute("blockdev-add", node_name="s", **file)
    server.execute("blockdev-add", node_name="sro", read_only=True, **file)
    before = server.graph()
    arguments = {"node-name": "n"} | arguments
    assert server.refusal("blockdev-add", **arguments) == desc
    assert set(server.nodes()) == {"null", "s", "sro"}
    assert server.graph() == before


def test_unreadable_file(start_server):
    image(start_server.dir, "img", fmt="raw")
    (start_server.dir / "img").chmod(0)
    server = start_server(unprivileged=True)
    assert server.refusal("blockdev-add", driver="file", node_name="f", filename="img") == (
        "Could not open 'img': Permission denied"
    )


# -- sizes and fields ------------------------------------------------------------------------


def test_size_is_rounded_up_to_sectors(server):
    (server.dir / "byte").write_bytes(b"x")
    server.execute("blockdev-add", driver="file", node_name="f", filename="byte")
    assert server.nodes()["f"]["image"]["virtual-size"] == 512


@pytest.mark.oracle
def test_fields_of_every_driver():
    """query-named-block-nodes of all drivers, options given and not, bytes and all."""

    def images(directory):
        chain(directory, "c0", "c1")
        image(directory, "raw", fmt="raw", size=MIB)
        image(directory, "v2", options={"compat": "0.10"})
        image(
            directory,
            "odd",
            size=12345 * 512,
            options={"cluster_size": 4096, "lazy_refcounts": "on", "refcount_bits": 64},
        )
        image(directory, "sub", options={"extended_l2": "on"})
        (directory / "byte").write_bytes(b"x")

    def file(name):
        return {"driver": "file", "filename": name}

    definitions = [
        {"driver": "null-co"},
        {"driver": "null-aio", "size": MIB, "read-zeroes": True},
        {"driver": "null-co", "size": 12345, "latency-ns": 1},
        {"driver": "null-co", "read-only": True},
        file("raw"),
        file("{dir}/raw") | {"read-only": True},
        file("raw") | {"cache": {"no-flush": True}, "discard": "unmap", "detect-zeroes": "unmap"},
        file("raw") | {"read-only": True, "force-share": True, "locking": "off"},
        file("byte"),
        {"driver": "raw", "file": file("raw") | {"read-only": True}, "read-only": True},
        {"driver": "raw", "file": "n4", "size": 65536, "offset": 512, "detect-zeroes": "on"},
        {"driver": "raw", "file": "n0"},
        {"driver": "qcow2", "file": file("c0")},
        {"driver": "qcow2", "file": file("c1"), "backing": "n12"},
        {"driver": "qcow2", "file": file("v2"), "lazy-refcounts": False},
        {"driver": "qcow2", "file": file("odd"), "read-only": True},
        {"driver": "qcow2", "file": file("sub"), "read-only": True},
        {"driver": "raw", "file": "n12"},
    ]
    adds = [
        call("blockdev-add", node_name=f"n{number}", **definition)
        for number, definition in enumerate(definitions)
    ]
    compare(
        [
            *adds,
            call("query-named-block-nodes"),
            call("query-named-block-nodes", flat=True),
            call("query-block"),
            show_graph(),
            show_descriptors(),
        ],
        images,
    )


# -- children --------------------------------------------------------------------------------


@pytest.mark.oracle
def test_deletion_order():
    """Who is in use, owned by a parent, or unknown; and what a deletion takes along."""

    def remove(name):
        return call("blockdev-del", node_name=name)

    compare(
        [
            *separate("c0", "c1", last_writable=False),
            call(
                "blockdev-add",
                driver="qcow2",
                node_name="top",
                file={"driver": "file", "filename": "c2", "node-name": "owned"},
                backing="f1",
            ),
            refused("Failed to find node with node-name='x'", remove("x")),
            refused("Failed to find node with node-name=''", remove("")),
            refused("Node owned is not owned by the monitor", remove("owned")),
            refused("Node 'f1' is busy: node is used as backing hd of 'top'", remove("f1")),
            refused("Node 'f0' is busy: node is used as backing hd of 'f1'", remove("f0")),
            refused("Block device s0 is in use", remove("s0")),
            remove("top"),
            refused("Failed to find node with node-name='owned'", remove("owned")),
            remove("f1"),
            remove("s1"),
            call("query-named-block-nodes"),
            show_graph(),
            show_descriptors(),
        ],
        lambda directory: chain(directory, "c0", "c1", "c2"),
    )


def test_failed_parent_takes_inline_children_along(server):
    """A definition that fails leaves referenced nodes alone and no inline ones behind."""
    image(server.dir, "img")
    null(server, "below")
    inner = {"driver": "file", "filename": "img", "node-name": "inner"}
    server.refusal("blockdev-add", driver="qcow2", node_name="q", file=inner, backing="missing")
    assert set(server.nodes()) == {"below"}
    assert server.descriptors() == []


@pytest.mark.oracle
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"read-only": True},
        {"auto-read-only": True},
        {"read-only": True, "auto-read-only": True},
        {"cache": {"no-flush": True}},
        {"cache": {"no-flush": True, "direct": False}, "discard": "unmap"},
        {"detect-zeroes": "on"},
        {"discard": "unmap", "detect-zeroes": "unmap"},
        {"read-only": True, "force-share": True},
        {"file": {"driver": "file", "filename": "c2", "read-only": True}, "read-only": True},
        {"file": {"driver": "file", "filename": "c2", "cache": {"no-flush": False}}},
    ],
)
def test_options_are_inherited_by_inline_children(options):
    """What a child does not say itself it has from its parent, in each role."""
    definition = {
        "driver": "qcow2",
        "node-name": "top",
        "file": {"driver": "file", "filename": "c2", "node-name": "storage"},
        "backing": {
            "driver": "qcow2",
            "node-name": "below",
            "file": {"driver": "file", "filename": "c1", "node-name": "below-storage"},
        },
    } | options
    compare(
        [
            call("blockdev-add", **definition),
            call("query-named-block-nodes"),
            show_graph(),
            show_descriptors(),
        ],
        lambda directory: chain(directory, "c0", "c1", "c2"),
    )


# -- implicit backing ------------------------------------------------------------------------


@pytest.mark.oracle
@pytest.mark.parametrize(
    "header",
    [
        "c0",
        "./c0",
        "{dir}/c0",
        'json:{"driver": "qcow2", "file": {"driver": "file", "filename": "c0"}}',
        "json:{'driver':'qcow2','file.driver':'file','file.filename':'{dir}/c0'}",
        "file:c0",
    ],
)
@pytest.mark.parametrize("filename", ["c1", "{dir}/c1", "./c1"])
def test_implicit_backing_file(header, filename):
    """The header's name is resolved against the image and opened read-only."""

    def images(directory):
        image(directory, "c0", writes=["write -P 1 0 64k"])
        image(directory, "c1", backing=header)

    compare(
        [
            call(
                "blockdev-add",
                driver="qcow2",
                node_name="top",
                file={"driver": "file", "filename": filename},
            ),
            call("query-named-block-nodes"),
            show_graph(),
            show_descriptors(),
            call("blockdev-del", node_name="top"),
            call("query-named-block-nodes"),
        ],
        images,
    )


def test_missing_implicit_backing_file(server):
    image(server.dir, "img", backing="nofile.qcow2")
    file = {"driver": "file", "filename": "img"}
    assert server.refusal("blockdev-add", driver="qcow2", node_name="q", file=file) == (
        "Could not open backing file: Could not open 'nofile.qcow2': No such file or directory"
    )
    server.execute("blockdev-add", driver="qcow2", node_name="q", file=file, backing=None)
    info = server.nodes()["q"]
    assert "backing_file" not in info
    assert info["image"]["backing-filename"] == "nofile.qcow2"


def test_inline_backing_that_takes_no_file_name(server):
    """An inline backing file without a name of its own is given the header's."""
    chain(server.dir, "c0", "c1")
    file = {"driver": "file", "filename": "c1"}
    null = {"driver": "null-co"}
    assert server.refusal(
        "blockdev-add", driver="qcow2", node_name="q", file=file, backing=null
    ) == ("Could not open backing file: The only allowed filename for this driver is 'null-co://'")


def test_raw_format_in_the_header(server):
    """The format extension says which driver opens the backing file."""
    image(server.dir, "base", fmt="raw")
    image(server.dir, "img", backing="base", backing_fmt="raw")
    file = {"driver": "file", "filename": "img"}
    server.execute("blockdev-add", driver="qcow2", node_name="q", file=file)
    drivers = sorted(info["drv"] for info in server.nodes().values())
    assert drivers == ["file", "file", "qcow2", "raw"]


# -- file names ------------------------------------------------------------------------------


@pytest.mark.oracle
@pytest.mark.parametrize("absolute", [True, False], ids=["absolute", "relative"])
@pytest.mark.parametrize("nodes", [separate, inline], ids=["separate", "inline"])
@pytest.mark.parametrize("path", ["{dir}/", ""], ids=["abs-path", "rel-path"])
def test_file_names_of_a_chain(absolute, nodes, path):
    """Plain where the path alone would recreate the tree, json: elsewhere."""
    names = [f"{path}c{number}" for number in range(3)]
    compare(
        [*nodes(*names), call("query-named-block-nodes"), show_graph()],
        lambda directory: chain(directory, "c0", "c1", "c2", absolute=absolute),
    )


@pytest.mark.oracle
@pytest.mark.parametrize(
    "definition",
    [
        {"driver": "null-co"},
        {"driver": "null-co", "size": 1 << 30},
        {"driver": "null-co", "size": MIB},
        {"driver": "null-aio", "read-zeroes": True},
        {"driver": "null-aio", "latency-ns": 0},
        {"driver": "raw", "file": "c"},
        {"driver": "raw", "file": "c", "offset": 0},
        {"driver": "raw", "file": "c", "size": 512},
        {"driver": "raw", "file": {"driver": "null-co"}},
        {"driver": "raw", "file": {"driver": "null-co", "size": MIB}},
        {"driver": "raw", "file": {"driver": "raw", "file": "c"}},
        {"driver": "qcow2", "file": "c", "backing": None},
        {"driver": "qcow2", "file": "bs", "read-only": True, "backing": {"driver": "null-co"}},
        {
            "driver": "qcow2",
            "file": "bs",
            "read-only": True,
            "backing": {"driver": "null-co", "read-zeroes": True},
        },
        {"driver": "qcow2", "file": {"driver": "raw", "file": "c"}},
        {"driver": "qcow2", "file": "c", "backing": "b"},
        {"driver": "qcow2", "file": "c", "lazy-refcounts": True, "overlap-check": "all"},
    ],
    ids=str,
)
def test_file_name_of_one_node(definition):
    """Only options that change what a guest reads make a json: name."""

    def images(directory):
        chain(directory, "b0", "c0")

    compare(
        [
            call("blockdev-add", driver="file", node_name="c", filename="c0"),
            call("blockdev-add", driver="file", node_name="bs", filename="b0", read_only=True),
            call("blockdev-add", driver="qcow2", node_name="b", file="bs", read_only=True),
            call("blockdev-add", node_name="n", **definition),
            call("query-named-block-nodes"),
        ],
        images,
    )


@pytest.mark.oracle
@pytest.mark.parametrize("length", [200, 240], ids=["short", "cut"])
def test_long_file_name_is_cut(length):
    """A json: name ends with dots where it would become longer than 4095 bytes."""
    folders = [letter * length for letter in "abcdefg"]
    deep = "/".join(folders)

    def images(directory):
        (directory / deep).mkdir(parents=True)
        image(directory, "img")
        (directory / "img").replace(directory / deep / "img")

    file = {"driver": "file", "filename": f"{deep}/img"}
    compare(
        [
            call("blockdev-add", driver="qcow2", node_name="f0", file=file, read_only=True),
            call(
                "blockdev-add",
                driver="raw",
                node_name="r",
                file={"driver": "raw", "file": "f0", "size": 512, "read-only": True},
                read_only=True,
                size=512,
            ),
            call("query-named-block-nodes"),
        ],
        images,
    )


@pytest.mark.parametrize("driver", ["null-co", "null-aio"])
def test_null_device_of_the_greatest_size(server, driver):
    """A GiB, the coarsest alignment, is missing to the end of what an offset can say."""
    largest = (1 << 63) - (1 << 30)
    assert server.refusal("blockdev-add", driver=driver, node_name="n", size=largest + 1) == (
        "Could not refresh total sector count: File too large"
    )
    server.execute("blockdev-add", driver=driver, node_name="n", size=largest)
    assert server.nodes()["n"]["image"]["virtual-size"] == largest


def encrypted(directory):
    secret = ("--object", "secret,id=k,data=123456")
    for name, method in (("aes", "aes"), ("luks", "luks")):
        options = f"encrypt.format={method},encrypt.key-secret=k"
        words = ("create", "-f", "qcow2", *secret, "-o", options, name, "1M")
        for _ in range(20):
            # Measuring how fast the processor is fails now and then when it is busy.
            with contextlib.suppress(RuntimeError):
                qemu_img(directory, *words)
                break


@pytest.mark.oracle
@pytest.mark.parametrize("program", Program)
def test_encrypted_images_without_a_key(program):
    """What is refused before a key would be needed."""
    attempts = [
        (name, encrypt)
        for name in ("aes", "luks")
        for encrypt in ({}, {"format": "aes"}, {"format": "luks"}, {"key-secret": "nope"})
    ]

    def attempt(name, encrypt):
        if "key-secret" in encrypt:
            encrypt = encrypt | {"format": name}
        node = {"driver": "qcow2", "node-name": "n", "file": {"driver": "file", "filename": name}}
        request = call("blockdev-add") | {
            "arguments": node | ({"encrypt": encrypt} if encrypt else {})
        }

        def run(server):
            server.send(request)
            return server.lines_until_reply()

        return Step(str(request), run)

    both = []
    with TemporaryDirectory() as root:
        for side in Side:
            directory, control = Path(root) / side.value, Path(root) / f"{side.value}.ctl"
            directory.mkdir()
            control.mkdir()
            encrypted(directory)
            with Server(side, directory, control, program=program) as server:
                both.append([attempt(*words).run(server) for words in attempts])
    assert both[0] == both[1]


@pytest.mark.parametrize(
    ("window", "name"),
    [
        ({"size": -512}, "size"),
        ({"size": -(1 << 63)}, "size"),
        ({"offset": -1}, "offset"),
        ({"offset": -512, "size": -512}, "offset"),
        ({"offset": 1 << 62, "size": -1}, "size"),
    ],
)
def test_raw_window_of_negative_numbers(server, window, name):
    """That is seen before whether the window fits, at a reopen, too."""
    null(server, "n")
    definition = {"driver": "raw", "node-name": "r", "file": "n"}
    refusal = f"Parameter '{name}' expects a non-negative number below 2^64"
    assert server.refusal("blockdev-add", **definition, **window) == refusal
    server.execute("blockdev-add", **definition)
    assert server.refusal("blockdev-reopen", options=[{**definition, **window}]) == refusal


CACHES = ("cache-size", "l2-cache-size", "l2-cache-entry-size", "refcount-cache-size")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        *(({name: -1}, name) for name in CACHES),
        (dict.fromkeys(CACHES, -512), "refcount-cache-size"),
        ({"cache-clean-interval": -1}, ""),
        ({"cache-clean-interval": -1, "cache-size": -1}, "cache-size"),
    ],
)
def test_caches_of_negative_size(server, options, name):
    image(server.dir, "img")
    file = {"driver": "file", "filename": "img"}
    refusal = server.refusal("blockdev-add", driver="qcow2", node_name="q", file=file, **options)
    assert refusal == (
        f"Parameter '{name}' expects a non-negative number below 2^64"
        if name
        else "Cache clean interval too big"
    )
