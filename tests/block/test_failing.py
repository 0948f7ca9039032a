"""Whatever step of a change fails, the machine is afterwards as it was before.

Graph, descriptors with their access modes, locks, jobs and the images' bytes are compared.
"""

import pytest

from qmpd.block import permissions as p
from qmpd.block.drivers.filters import CommitTop, insert_filter, remove_filter, replace_node
from qmpd.block.node import User
from tests.block.faults import fail_everywhere
from tests.machine.snapshot import snapshot
from tests.machine.world import World

CHAIN = ["c0", "c1", "c2", "c3"]


def images():
    world = World()
    world.images(CHAIN)
    return world


def separate():
    """Every layer and every file a node of its own, as management software has it."""
    world = images()
    world.add_chain(CHAIN)
    return world


def with_device():
    world = separate()
    plug(world)
    return world


def files_only():
    world = images()
    for name in CHAIN:
        world.add_file(f"s-{name}", name, auto_read_only=True)
    return world


def implicit():
    """One definition; the other layers come from the headers."""
    world = images()
    world.do(
        "blockdev-add",
        driver="qcow2",
        node_name="c3",
        file={"driver": "file", "filename": "c3", "auto-read-only": True, "node-name": "s3"},
    )
    return world


def with_overlay():
    """The same below a guest's disk, and an overlay that waits for a node."""
    world = with_device()
    world.image("o", format="qcow2")
    world.add_file("s-o", "o", auto_read_only=True)
    world.do("blockdev-add", driver="qcow2", node_name="o", file="s-o", backing=None)
    return world


def with_overlays():
    world = with_overlay()
    world.image("p", format="qcow2")
    world.image("q", format="qcow2")
    world.add_file("s-q", "q", auto_read_only=True)
    world.do("blockdev-add", driver="qcow2", node_name="q", file="s-q", backing=None)
    return world


def with_image():
    world = with_device()
    world.image("o", format="qcow2")
    return world


def filtered():
    world = separate()
    world.filter = insert_filter(
        world.graph, CommitTop(world.graph), world.node("c2"), "flt", read_only=True
    )
    return world


def add_writable(world):
    world.do("blockdev-add", driver="qcow2", node_name="n", file="s-c0")


def add_inline_tree(world):
    world.do(
        "blockdev-add",
        driver="qcow2",
        node_name="top",
        file={"driver": "file", "filename": "c1", "node-name": "top-file"},
        backing={
            "driver": "qcow2",
            "node-name": "below",
            "file": {"driver": "file", "filename": "c0"},
        },
    )


def add_implicit_chain(world):
    file = {"driver": "file", "filename": "c3", "auto-read-only": True}
    world.do("blockdev-add", driver="qcow2", node_name="top", file=file)


def add_with_references(world):
    world.do(
        "blockdev-add",
        driver="raw",
        node_name="below",
        file={"driver": "file", "filename": "c0", "read-only": True},
        read_only=True,
    )
    try:
        world.do("blockdev-add", driver="qcow2", node_name="n", file="s-c1", backing="below")
    except BaseException:
        world.do("blockdev-del", node_name="below")
        raise


def plug(world):
    shared = p.CONSISTENT_READ | p.WRITE_UNCHANGED
    user = User("disk", device=True)
    world.machine.plug(user, world.node("c3"), p.CONSISTENT_READ, shared, removable=False)


def definition(name, **changed):
    number = CHAIN.index(name)
    below = CHAIN[number - 1] if number else None
    given = {"driver": "qcow2", "node-name": name, "file": f"s-{name}", "backing": below}
    return {**given, **{key.replace("_", "-"): value for key, value in changed.items()}}


def reopen_to_read_only(world):
    world.do("blockdev-reopen", options=[definition("c3", read_only=True)])


def reopen_to_writable(world):
    world.do("blockdev-reopen", options=[definition("c0", read_only=False)])


def reopen_several(world):
    changed = [definition(name, read_only=False) for name in ("c0", "c1", "c2")]
    world.do("blockdev-reopen", options=[*changed, definition("c3", read_only=True)])


def reopen_with_another_backing(world):
    world.do("blockdev-reopen", options=[definition("c3", backing="c1")])


def reopen_without_backing(world):
    world.do("blockdev-reopen", options=[definition("c3", backing=None)])


def reopen_inline_file(world):
    given = {"driver": "qcow2", "node-name": "c3", "file": "s3", "read-only": True}
    backing = world.node("c3").backing.name
    world.do("blockdev-reopen", options=[{**given, "backing": backing}])


def commit(world):
    world.commit("c3", "c2", "c0")


def commit_from_implicit(world):
    names = [node.name for node in world.graph.nodes.values() if node.driver.name == "qcow2"]
    world.do("block-commit", job_id="j", device="c3", top_node=names[1], base_node=names[-1])


def commit_active(world):
    world.commit("c3", "c3", "c1")


def take_snapshot(world):
    world.do("blockdev-snapshot", node="c3", overlay="o")


def take_snapshot_of_a_file(world):
    world.do("blockdev-snapshot", node="s-c3", overlay="o")


def open_and_take_snapshot(world):
    arguments = {"node_name": "c3", "snapshot_file": "o", "snapshot_node_name": "o"}
    world.do("blockdev-snapshot-sync", **arguments, mode="existing")


def take_snapshots(world):
    """The overlay gets one itself, whose image is opened for it."""
    sync = {"node-name": "o", "snapshot-file": "p", "snapshot-node-name": "p", "mode": "existing"}
    actions = [
        {"type": "blockdev-snapshot", "data": {"node": "c3", "overlay": "o"}},
        {"type": "blockdev-snapshot-sync", "data": sync},
        {"type": "blockdev-snapshot", "data": {"node": "p", "overlay": "q"}},
    ]
    world.do("transaction", actions=actions)


def filter_in(world):
    insert_filter(world.graph, CommitTop(world.graph), world.node("c2"), "flt", read_only=True)


def filter_out(world):
    remove_filter(world.graph, world.filter)


def replace(world):
    replace_node(world.graph, world.node("c2"), world.node("c1"))


@pytest.mark.parametrize(
    ("kind", "build", "operation", "least"),
    [
        ("open", files_only, add_writable, 1),
        ("check", files_only, add_writable, 1),
        ("after-check", files_only, add_writable, 1),
        ("take-lock", files_only, add_writable, 2),
        ("lock-conflict", files_only, add_writable, 1),
        ("read", files_only, add_writable, 2),
        ("open", images, add_inline_tree, 2),
        ("check", images, add_inline_tree, 1),
        ("after-check", images, add_inline_tree, 1),
        ("take-lock", images, add_inline_tree, 2),
        ("read", images, add_inline_tree, 4),
        ("open", images, add_implicit_chain, 5),
        ("check", images, add_implicit_chain, 1),
        ("after-check", images, add_implicit_chain, 1),
        ("take-lock", images, add_implicit_chain, 5),
        ("lock-conflict", images, add_implicit_chain, 4),
        ("read", images, add_implicit_chain, 7),
        ("open", files_only, add_with_references, 2),
        ("check", files_only, add_with_references, 1),
        ("take-lock", files_only, add_with_references, 2),
        ("check", separate, plug, 1),
        ("after-check", separate, plug, 1),
        ("open", separate, reopen_to_read_only, 1),
        ("check", separate, reopen_to_read_only, 1),
        ("after-check", separate, reopen_to_read_only, 1),
        ("flush", separate, reopen_to_read_only, 1),
        ("open", separate, reopen_to_writable, 1),
        ("after-check", separate, reopen_to_writable, 1),
        ("take-lock", separate, reopen_to_writable, 2),
        ("lock-conflict", separate, reopen_to_writable, 1),
        ("open", separate, reopen_several, 4),
        ("check", separate, reopen_several, 1),
        ("after-check", separate, reopen_several, 1),
        ("take-lock", separate, reopen_several, 7),
        ("flush", separate, reopen_several, 1),
        ("after-check", separate, reopen_with_another_backing, 1),
        ("after-check", separate, reopen_without_backing, 1),
        ("open", implicit, reopen_inline_file, 1),
        ("after-check", implicit, reopen_inline_file, 1),
        ("open", separate, commit, 1),
        ("check", separate, commit, 1),
        ("after-check", separate, commit, 1),
        ("take-lock", separate, commit, 3),
        ("lock-conflict", separate, commit, 1),
        ("flush", separate, commit, 0),
        ("open", implicit, commit_from_implicit, 1),
        ("after-check", implicit, commit_from_implicit, 1),
        ("open", separate, commit_active, 1),
        ("check", separate, commit_active, 1),
        ("check", with_device, commit_active, 1),
        ("check", with_device, commit, 1),
        ("after-check", separate, commit_active, 1),
        ("after-check", with_device, commit_active, 1),
        ("after-check", with_device, commit, 1),
        ("take-lock", separate, commit_active, 2),
        ("take-lock", with_device, commit_active, 2),
        ("take-lock", with_device, commit, 3),
        ("check", with_overlay, take_snapshot, 1),
        ("after-check", with_overlay, take_snapshot, 1),
        ("flush", with_overlay, take_snapshot, 1),
        ("open", with_overlay, take_snapshot, 0),
        ("after-check", with_overlay, take_snapshot_of_a_file, 1),
        ("check", with_image, open_and_take_snapshot, 1),
        ("after-check", with_image, open_and_take_snapshot, 1),
        ("open", with_image, open_and_take_snapshot, 1),
        ("read", with_image, open_and_take_snapshot, 1),
        ("take-lock", with_image, open_and_take_snapshot, 1),
        ("lock-conflict", with_image, open_and_take_snapshot, 1),
        *(
            (kind, with_overlays, take_snapshots, 1)
            for kind in ("check", "after-check", "flush", "open", "read", "take-lock")
        ),
        ("check", separate, filter_in, 1),
        ("after-check", separate, filter_in, 1),
        ("check", filtered, filter_out, 1),
        ("after-check", filtered, filter_out, 1),
        ("check", separate, replace, 1),
        ("after-check", separate, replace, 1),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_a_step_that_fails_changes_nothing(monkeypatch, kind, build, operation, least):
    """Each step of each change fails once, and nothing is left of the change."""
    fail_everywhere(monkeypatch, kind, build, operation, least=least)


@pytest.mark.parametrize(
    ("prepare", "arguments", "text"),
    [
        ("", {"filter_node_name": "c0"}, "Duplicate nodes with node-name='c0'"),
        ("", {"filter_node_name": "0"}, "Invalid node-name: '0'"),
        ("", {"filter_node_name": "x" * 32}, "Node name too long"),
        ("", {"job_id": "0"}, "Invalid job ID '0'"),
        ("", {"speed": -1}, "Parameter 'speed' expects a non-negative value"),
        ("deny", {}, "Could not open 'c0': Permission denied"),
        ("second writer", {}, "Permission conflict on node 'c0'"),
        ("reader", {}, "Permission conflict on node 'c1'"),
    ],
)
@pytest.mark.parametrize(
    ("build", "top"),
    [
        (separate, "c2"),
        (with_device, "c2"),
        (with_device, "c3"),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_a_commit_that_is_refused(prepare, arguments, text, build, top):
    """Bad names, a policy's refusal and conflicts: the reason is told, nothing changes."""
    world = build()
    if prepare == "deny":
        world.policy.deny_write("c0")
    elif prepare == "second writer":
        world.machine.plug(User("d"), world.node("c0"), 0, p.ALL & ~p.WRITE, removable=False)
    elif prepare == "reader":
        world.machine.plug(User("d"), world.node("c1"), p.CONSISTENT_READ, p.ALL, removable=False)
    before = snapshot(world.machine)
    given = {"job_id": "j", "device": "c3", "top_node": top, "base_node": "c0", **arguments}
    assert world.refusal("block-commit", **given).startswith(text)
    assert snapshot(world.machine) == before
    world.close()


def test_an_active_commit_that_is_refused_without_a_device():
    """The shortest way there: a negative speed, and nobody on the active layer."""
    world = separate()
    before = snapshot(world.machine)
    text = "Parameter 'speed' expects a non-negative value"
    given = {"job_id": "j", "device": "c3", "base_node": "c0", "speed": -1}
    try:
        assert world.refusal("block-commit", **given) == text
        assert snapshot(world.machine) == before
    finally:
        world.close()
