"""Prepare, then commit or abort: order, finality, and that an abort restores everything."""

import pytest

from qmpd.block import permissions as p
from qmpd.block.node import User
from qmpd.block.refresh import refresh
from qmpd.block.reopen import ReopenQueue
from qmpd.block.transaction import Transaction
from qmpd.errors import QmpError
from tests.machine.snapshot import check, snapshot
from tests.machine.world import World

CHAIN = ["c0", "c1", "c2", "c3"]


@pytest.fixture
def world():
    made = World()
    made.images(CHAIN)
    made.add_chain(CHAIN)
    yield made
    made.close()


def log_of(outcome):
    log = []
    tx = Transaction()
    for number in range(3):
        tx.on_commit(lambda number=number: log.append(("commit", number)))
        tx.on_abort(lambda number=number: log.append(("abort", number)))
    getattr(tx, outcome)()
    return log


def test_commits_go_forward():
    assert log_of("commit") == [("commit", 0), ("commit", 1), ("commit", 2)]


def test_aborts_go_backward():
    assert log_of("abort") == [("abort", 2), ("abort", 1), ("abort", 0)]


@pytest.mark.parametrize("first", ["commit", "abort"])
@pytest.mark.parametrize("second", ["commit", "abort"])
def test_it_ends_once(first, second):
    tx = Transaction()
    getattr(tx, first)()
    with pytest.raises(RuntimeError):
        getattr(tx, second)()


@pytest.mark.parametrize("error", [QmpError("no"), ValueError("bug"), KeyboardInterrupt()])
def test_whatever_leaves_the_block_aborts_it(error):
    """Errors, bugs and interrupts alike: nothing stays prepared."""
    log = []

    def change():
        with Transaction() as tx:
            tx.on_commit(lambda: log.append("commit"))
            tx.on_abort(lambda: log.append("abort"))
            raise error

    with pytest.raises(type(error)):
        change()
    assert log == ["abort"]


def test_a_block_that_ends_commits():
    log = []
    with Transaction() as tx:
        tx.on_commit(lambda: log.append("commit"))
        tx.on_abort(lambda: log.append("abort"))
    assert log == ["commit"]


def attach(world, tx):
    shared = p.ALL
    world.graph.attach(tx, User("u"), world.node("c0"), "root", 0, p.CONSISTENT_READ, shared)
    refresh(tx)


def attach_backing(world, tx):
    world.graph.detach(tx, world.node("c2").children["backing"])
    world.graph.attach(tx, world.node("c2"), world.node("c0"), "backing", p.ROLE_COW)
    refresh(tx)


def retarget(world, tx):
    world.graph.retarget(tx, world.node("c3").children["backing"], world.node("c0"))
    refresh(tx)


def retarget_file(world, tx):
    """The writable file loses its writer, another one gets it: descriptors change."""
    world.graph.retarget(tx, world.node("c3").children["file"], world.node("spare"))
    refresh(tx)


def detach(world, tx):
    world.graph.detach(tx, world.node("c3").children["backing"])
    refresh(tx)


def detach_file(world, tx):
    world.graph.detach(tx, world.node("c3").children["file"])
    refresh(tx)


def add_user(world, tx):
    world.graph.add_user(tx, User("u"), world.node("c3"), p.CONSISTENT_READ, p.CONSISTENT_READ)


def detach_user(world, tx):
    user = next(iter(world.graph.users))
    world.graph.detach(tx, user.children["root"])
    refresh(tx)


CHANGES = [
    attach,
    attach_backing,
    retarget,
    retarget_file,
    detach,
    detach_file,
    add_user,
    detach_user,
]


@pytest.fixture
def rich(world):
    """The chain, a spare file, and a user who writes through a raw node."""
    world.image("spare", format="raw")
    world.add_file("spare", "spare", auto_read_only=True)
    world.image("disk", format="raw")
    world.add_file("s-raw", "disk", auto_read_only=True)
    world.do("blockdev-add", driver="raw", node_name="raw", file="s-raw")
    node = world.node("raw")
    world.machine.plug(User("d"), node, p.WRITE, p.CONSISTENT_READ, removable=False)
    return world


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_an_aborted_change_never_was(rich, change):
    """Lists of parents, dictionaries of children, blockers, descriptors, locks: as before."""
    before = snapshot(rich.machine)
    objects = {node: (node.parents, node.children) for node in rich.graph.nodes.values()}
    tx = Transaction()
    change(rich, tx)
    during = snapshot(rich.machine)
    tx.abort()
    assert snapshot(rich.machine) == before != during
    assert {n: (n.parents, n.children) for n in rich.graph.nodes.values()} == objects
    check(rich.machine)


@pytest.mark.parametrize("first", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("second", CHANGES, ids=lambda change: change.__name__)
def test_two_changes_abort_together(rich, first, second):
    """Also where both touch the same nodes, the abort goes all the way back."""
    before = snapshot(rich.machine)
    tx = Transaction()
    first(rich, tx)
    try:
        second(rich, tx)
    except (QmpError, KeyError):
        pass  # the second one has nothing left to change: the abort must work all the same
    tx.abort()
    assert snapshot(rich.machine) == before
    check(rich.machine)


@pytest.mark.parametrize(
    "change", [attach, attach_backing, retarget, add_user], ids=lambda change: change.__name__
)
def test_a_committed_change_is_consistent(rich, change):
    with Transaction() as tx:
        change(rich, tx)
    check(rich.machine)


def test_an_aborted_reopen_of_several_nodes(rich):
    """Two nodes change sides and a third one cannot: none of them has moved."""
    rich.policy.deny_write("c2")
    before = snapshot(rich.machine)
    queue = ReopenQueue(rich.graph)
    for name, read_only in (("c3", True), ("c0", False), ("c1", False), ("c2", False)):
        queue.add(rich.node(name), {"read-only": read_only}, keep_old=True)
    with pytest.raises(QmpError, match="Permission denied"):
        queue.run()
    assert snapshot(rich.machine) == before
    rich.policy.allow("c2")
    queue.run()
    assert [rich.node(name).flags.read_only for name in CHAIN] == [False, False, False, True]
    assert [rich.node(f"s-{name}").driver.access_mode for name in CHAIN] == ["rw", "rw", "rw", "r"]
    check(rich.machine)


def test_the_descriptor_changes_only_once(rich):
    """A refresh that reaches a file over two ways opens it once."""
    opened = []
    rich.policy.hooks.append(lambda path, flags: opened.append((path, flags & 3)))
    queue = ReopenQueue(rich.graph)
    for name in ("c0", "c1", "c2"):
        queue.add(rich.node(name), {"read-only": False}, keep_old=True)
    queue.run()
    assert sorted(opened) == [("c0", 2), ("c1", 2), ("c2", 2)]
