"""Opening nodes: depth is no problem, work does not grow, and failures leave nothing."""

import pytest

from qmpd.block import permissions as p
from qmpd.block.driver import Driver
from qmpd.block.drivers.file import FileDriver
from qmpd.block.node import User
from qmpd.storage.host import HostStorage
from qmpd.storage.policy import AccessPolicy
from tests.machine.snapshot import check, descriptors, snapshot
from tests.machine.world import MIB, Refused, World

DEEP = 200


def names(count):
    return [f"c{number}" for number in range(count)]


def host_world():
    return World(HostStorage(AccessPolicy()))


@pytest.fixture
def visits(monkeypatch):
    """The nodes that permission refreshes look at, in order."""
    seen = []
    for kind in (Driver, FileDriver):
        real = kind.check_permissions

        def watching(driver, *arguments, real=real):
            seen.append(driver.node)
            return real(driver, *arguments)

        monkeypatch.setattr(kind, "check_permissions", watching)
    return seen


def read_only(world, name, driver, file, backing=None):
    if driver == "qcow2":
        file = {"driver": "file", "filename": file, "node-name": f"s-{file}"}
    more = {"backing": backing} if backing else {}
    given = {"driver": driver, "node_name": name, "file": file, "read_only": True}
    world.do("blockdev-add", **given, **more)


# --- refresh -------------------------------------------------------------------------------


def test_refresh_visits_each_node_once_parents_first(visits):
    """A diamond of references: whatever the way, every node comes once, below its parents.

    Two ways of different length lead from ``c`` to ``s``.
    """
    world = World()
    world.images(["a", "b", "c"])
    world.add_file("s", "a", auto_read_only=True, read_only=True)
    read_only(world, "l", "raw", "s")
    read_only(world, "r", "raw", "l")
    read_only(world, "b", "qcow2", "b", "r")
    read_only(world, "m", "raw", "l")
    read_only(world, "n", "raw", "b")
    read_only(world, "c", "qcow2", "c", "n")
    visits.clear()
    shared = p.ALL & ~p.WRITE
    for name in ("m", "c"):
        user = User(name)
        world.machine.plug(user, world.node(name), p.CONSISTENT_READ, shared, removable=False)
        order = [node.name for node in visits]
        assert len(order) == len(set(order))
        for node in world.graph.nodes.values():
            for edge in node.children.values():
                if node.name in order and edge.child.name in order:
                    assert order.index(node.name) < order.index(edge.child.name)
        visits.clear()
    assert order[0] == "c"
    assert {"n", "b", "r", "l", "s"} <= set(order)
    check(world.machine)
    world.close()


# --- size ----------------------------------------------------------------------------------


def test_work_does_not_grow_with_the_number_of_nodes(visits):
    """Adding, reopening and deleting a node looks at the same nodes whether 1 or 2,000 exist."""

    def work(world):
        visits.clear()
        world.add_file("f", "image", auto_read_only=True)
        world.do("blockdev-add", driver="raw", node_name="r", file="f")
        given = {"driver": "raw", "node-name": "r", "file": "f", "read-only": True}
        world.do("blockdev-reopen", options=[given])
        for name in ("r", "f"):
            world.do("blockdev-del", node_name=name)
        return len(visits)

    world = World()
    world.image("image", format="raw")
    few = work(world)
    for number in range(2000):
        world.do("blockdev-add", driver="null-co", node_name=f"n{number}")
    assert work(world) == few > 0
    world.close()


def test_five_thousand_nodes():
    """They can be made, asked for and deleted, and every one of them is there."""
    world = World()
    for number in range(5000):
        world.do("blockdev-add", driver="null-co", node_name=f"n{number}")
    listed = [node["node-name"] for node in world.do("query-named-block-nodes", flat=True)]
    assert listed == [f"n{number}" for number in reversed(range(5000))]
    assert len(world.do("x-debug-query-block-graph")["nodes"]) == 5000
    assert world.delete_everything() == []
    assert world.graph.nodes == {}
    world.close()


# --- depth ---------------------------------------------------------------------------------


def explicit(world, layers):
    world.add_chain(layers)


def implicit(world, layers):
    """Only the top is defined; everything else comes from headers."""
    file = {"driver": "file", "filename": layers[-1], "auto-read-only": True}
    world.do("blockdev-add", driver="qcow2", node_name=layers[-1], file=file)


def inline(world, layers):
    """One definition, nested as deep as the chain."""
    definition = None
    for name in layers:
        definition = {
            "driver": "qcow2",
            "read-only": name != layers[-1],
            "node-name": name,
            "file": {"driver": "file", "filename": name, "auto-read-only": True},
            "backing": definition,
        }
    definition["node_name"] = definition.pop("node-name")
    world.do("blockdev-add", **definition)


@pytest.mark.parametrize("build", [explicit, implicit, inline], ids=lambda f: f.__name__)
@pytest.mark.parametrize("where", ["", "/images/"])
def test_a_deep_chain(build, where):
    """200 layers by reference, by header (relative or absolute) or nested: all there, and gone."""
    start = descriptors()
    world = World()
    layers = [where + name for name in names(DEEP)]
    if where and build is not implicit:
        layers = names(DEEP)
    world.images(layers, data=False)
    if where:
        renamed = layers[-1].rpartition("/")[2]
        file = {"driver": "file", "filename": layers[-1], "auto-read-only": True}
        world.do("blockdev-add", driver="qcow2", node_name=renamed, file=file)
    else:
        build(world, layers)
    formats = [n for n in world.graph.nodes.values() if n.driver.name == "qcow2"]
    assert len(formats) == DEEP
    top = world.node(f"c{DEEP - 1}")
    depth = 0
    node = top
    while node.backing is not None:
        node = node.backing
        depth += 1
    assert depth == DEEP - 1
    assert node.driver.backing_file == ""
    check(world.machine)
    assert world.delete_everything() == []
    assert world.graph.nodes == {}
    world.close()
    assert descriptors() == start


def test_relative_names_are_relative_to_the_image():
    """A header's name is looked up beside the image that has it, in each layer anew."""
    world = World()
    world.image("/a/base", format="qcow2")
    world.image("/a/b/../base", format="qcow2", backing="/a/base")
    world.image("/a/b/mid", format="qcow2", backing="../base")
    world.image("/a/b/top", format="qcow2", backing="mid")
    opened = []
    world.policy.hooks.append(lambda path, _flags: opened.append(path))
    file = {"driver": "file", "filename": "/a/b/top", "auto-read-only": True}
    try:
        world.do("blockdev-add", driver="qcow2", node_name="t", file=file)
    finally:
        world.close()
    assert list(dict.fromkeys(opened)) == ["/a/b/top", "/a/b/mid", "/a/b/../base", "/a/base"]


@pytest.mark.parametrize("top", [DEEP - 1, DEEP - 2, 150, 3])
def test_committing_in_a_deep_chain(top):
    """Jobs walk 200 layers without recursion, and the bytes end up where they belong."""
    world = World()
    layers = names(DEEP)
    world.images(layers)
    world.add_chain(layers)
    reading = world.node(layers[-1]).driver
    before = reading.pread(0, MIB)
    size = 64 * 1024
    assert [before[at * size] for at in range(16)] == list(range(1, 17))
    world.commit(layers[-1], layers[top], layers[2])
    if top == DEEP - 1:
        world.run()
        world.do("job-complete", id="j")
    world.run()
    assert world.statuses()[-1] == "null"
    check(world.machine)
    after = world.node(layers[2] if top == DEEP - 1 else layers[-1])
    assert after.driver.pread(0, MIB) == before
    assert world.delete_everything() == []
    world.close()


def test_deleting_under_a_failure_deep_down():
    """The 200th backing file is missing: nothing of the 199 above it stays open."""
    world = World()
    layers = names(DEEP)
    world.images(layers, data=False)
    world.policy.deny_read(layers[0])
    before = snapshot(world.machine)
    file = {"driver": "file", "filename": layers[-1]}
    text = world.refusal("blockdev-add", driver="qcow2", node_name="t", file=file)
    assert text.startswith("Could not open backing file: " * 2)
    assert text.endswith("Could not open 'c0': Permission denied")
    assert snapshot(world.machine) == before
    world.close()


def test_a_chain_that_bites_its_tail():
    """Headers that name each other end when descriptors do, and nothing stays open."""
    import resource

    world = World()
    world.image("a", format="qcow2", backing="b")
    world.image("b", format="qcow2", backing="a")
    before = snapshot(world.machine)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, hard))
    try:
        file = {"driver": "file", "filename": "a", "auto-read-only": True}
        text = world.refusal(
            "blockdev-add", driver="qcow2", node_name="t", file=file, read_only=True
        )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert text.endswith("Too many open files")
    assert snapshot(world.machine) == before
    world.close()


# --- what an image or a client may contain -------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        'json:{"driver":"qcow2"}',
        'json:{"driver":"file"}',
        'json:{"driver":["x"]}',
        'json:{"driver":{"a":1}}',
        'json:{"driver":"raw","a":1,"a.b":2}',
        'json:{"driver":"raw","file":5}',
        'json:{"driver":"raw","file.driver":"file"}',
        'json:{"driver":"null-co","size":"x"}',
        'json:{"driver":"null-co","bogus":1}',
        'json:{"driver":"null-co","read-only":"maybe"}',
        'json:{"driver":5}',
        'json:{"driver":"nope"}',
        'json:{"driver":"null-co","node-name":"t"}',
        'json:{"driver":"raw","file":"nope"}',
        'json:{"driver":"raw","file":{"driver":"file","filename":""}}',
        "json:[1]",
        "json:5",
        "json:{",
        "json:",
        "json:" + "[" * 1000,
        "nope",
        "t",
    ],
)
def test_a_header_that_names_nonsense(text):
    """Headers are not to be trusted: an error reply, and nothing is left of the node."""
    world = World()
    world.image("t", format="qcow2", backing=text)
    before = snapshot(world.machine)
    file = {"driver": "file", "filename": "t"}
    try:
        answer = world.refusal("blockdev-add", driver="qcow2", node_name="t", file=file)
        assert answer.startswith("Could not open backing file: ")
        assert snapshot(world.machine) == before
    finally:
        world.close()


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            "a\0b",
        ),
        "x" * 5000,
        "/",
        "/dev/null",
        "/nope/nope",
        "\U0001f4a9",
    ],
)
@pytest.mark.parametrize("driver", ["file", "raw"])
def test_a_file_name_that_cannot_be_opened(path, driver):
    """Zero bytes, endless names, folders and devices: an error reply, and no node."""
    world = host_world()
    before = snapshot(world.machine)
    file = {"driver": "file", "filename": path}
    try:
        if driver == "file":
            world.refusal("blockdev-add", driver="file", node_name="n", filename=path)
        else:
            world.refusal("blockdev-add", driver="raw", node_name="n", file=file)
        assert snapshot(world.machine) == before
    finally:
        world.graph.nodes.clear()
        world.close()


@pytest.mark.parametrize("limit", range(1, 12))
def test_descriptors_run_out(limit):
    """EMFILE at any point of opening a chain leaves nothing behind."""
    import resource

    world = World()
    layers = names(4)
    world.images(layers)
    before = snapshot(world.machine)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(descriptors()) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + limit, hard))
    try:
        implicit(world, layers)
    except Refused as refused:
        assert refused.desc.endswith("Too many open files")  # noqa: PT017 - it may also succeed
        assert snapshot(world.machine) == before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    check(world.machine)
    world.close()


def test_duplicate_names_inside_one_definition():
    world = World()
    world.images(["a", "b"])
    before = snapshot(world.machine)
    text = world.refusal(
        "blockdev-add",
        driver="qcow2",
        node_name="same",
        file={"driver": "file", "filename": "b"},
        backing={
            "driver": "qcow2",
            "node-name": "same",
            "file": {"driver": "file", "filename": "a"},
        },
    )
    assert text == "Could not open backing file: Duplicate nodes with node-name='same'"
    assert snapshot(world.machine) == before
    world.close()
