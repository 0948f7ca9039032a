"""The permission rules against the figures measured on QEMU 7.2, letter by letter.

A set is written with c, w, u and r for consistent read, write, write unchanged, resize.
"""

import itertools

import pytest

from qmpd.block import permissions as p
from tests.machine.world import World

LETTERS = {"c": p.CONSISTENT_READ, "w": p.WRITE, "u": p.WRITE_UNCHANGED, "r": p.RESIZE}


def mask(text):
    return sum(LETTERS[letter] for letter in text.strip("-"))


def pair(text):
    perm, shared = text.split("/")
    return mask(perm), mask(shared)


EVERY = list(itertools.product(range(16), range(16)))


@pytest.mark.parametrize(
    ("mask_", "text"),
    [
        ("-", ""),
        ("c", "consistent read"),
        ("cw", "consistent read, write"),
        ("ur", "write unchanged, resize"),
        ("cwur", "consistent read, write, write unchanged, resize"),
    ],
)
def test_names_ascend_in_messages_and_descend_in_queries(mask_, text):
    assert p.names(mask(mask_)) == text
    wire = [name.replace(" ", "-") for name in reversed(text.split(", ")) if name]
    assert p.schema_names(mask(mask_)) == wire


def test_a_filter_passes_everything_through():
    assert all(p.of_filter(perm, shared) == (perm, shared) for perm, shared in EVERY)


def test_a_backing_child_is_only_read():
    """Nothing but consistent reads is asked, and only if somebody asks for them."""
    for perm, shared in EVERY:
        assert p.of_backing(perm, shared)[0] == perm & p.CONSISTENT_READ


def test_a_backing_child_may_be_written_only_if_the_parent_may():
    for perm, shared in EVERY:
        allowed = "cwur" if shared & p.WRITE else "cu"
        assert p.of_backing(perm, shared)[1] == mask(allowed)


def test_metadata_are_written_by_whoever_is_writable():
    """Whatever the users want: c always, w and r if the node is writable; nobody else may."""
    for perm, shared in EVERY:
        for writable in (False, True):
            wanted, allowed = p.of_storage(perm, shared, p.ROLE_METADATA, writable=writable)
            assert wanted == perm | mask("cwr" if writable else "c")
            assert allowed == shared & mask("cu")


def test_data_are_written_and_grown_with_the_users():
    """u makes w, w makes r; nobody else may resize."""
    for perm, shared in EVERY:
        wanted, allowed = p.of_storage(perm, shared, p.ROLE_DATA, writable=True)
        expected = perm | (mask("w") if perm & mask("u") else 0)
        expected |= mask("r") if expected & mask("w") else 0
        assert wanted == expected
        assert allowed == shared & mask("cwu")


NO_PARENT, READER, WRITER = "-/cwur", "c/cwu", "cw/cwu"


@pytest.mark.parametrize(
    ("driver", "options", "edge", "figures"),
    [
        # what is asked of the child: without a parent, under a reader, under a writer
        ("raw", {}, "file", ("-/cwur", "c/cwu", "cw/cwu")),
        ("raw", {"size": 65536}, "file", ("-/cwu", "c/cwu", "cw/cwu")),
        ("raw", {"offset": 65536}, "file", ("-/cwu", "c/cwu", "cw/cwu")),
        ("qcow2", {}, "file", ("cwr/cu", "cwr/cu", "cwr/cu")),
        ("qcow2", {"read-only": True}, "file", ("c/cu", "c/cu", None)),
        ("qcow2", {}, "backing", ("-/cwur", "c/cwur", "c/cwur")),
        ("qcow2", {"read-only": True}, "backing", ("-/cwur", "c/cwur", None)),
    ],
)
@pytest.mark.parametrize("user", range(3))
def test_what_drivers_ask_of_their_children(driver, options, edge, figures, user):
    """The measured table: each driver under no parent, a read-only and a writable export."""
    world = World()
    world.images(["c0", "c1"])
    world.add_file("s", "c1" if driver == "qcow2" else "c0", auto_read_only=True)
    more = {}
    if driver == "qcow2":
        world.do(
            "blockdev-add",
            driver="null-co",
            node_name="below",
            read_only=True,
        )
        more["backing"] = "below"
    world.do("blockdev-add", driver=driver, node_name="n", file="s", **more, **options)
    node = world.node("n")
    wanted = figures[user]
    perm, shared = pair((NO_PARENT, READER, WRITER)[user])
    from qmpd.block.node import User
    from qmpd.errors import QmpError

    if wanted is None:
        with pytest.raises(QmpError, match="Block node is read-only"):
            world.machine.plug(User("e"), node, perm, shared, removable=False)
    else:
        if user:
            world.machine.plug(User("e"), node, perm, shared, removable=False)
        found = node.children[edge]
        assert (found.perm, found.shared) == pair(wanted)
    world.close()


def letters(set_):
    return "".join(letter for letter, bit in LETTERS.items() if set_ & bit) or "-"


def test_the_graph_of_a_pending_commit():
    """Every edge as measured: chain f0 to f4, f2 committed into f0, a disk on f4."""
    world = World()
    names = [f"f{number}" for number in range(5)]
    world.images(names)
    world.add_chain(names)
    from qmpd.block.node import User

    user = User("disk0", device=True)
    world.machine.plug(user, world.node("f4"), mask("cw"), mask("cur"), removable=False)
    world.commit("f4", "f2", "f0", auto_finalize=False, filter_node_name="flt")
    world.run()
    assert world.status() == "pending"
    edges = set()
    for parent in (*world.graph.nodes.values(), *world.graph.users, world.job):
        for edge in parent.children.values():
            figures = f"{letters(edge.perm)}/{letters(edge.shared)}"
            edges.add((parent.label, edge.name, edge.child.name, figures))
    assert edges == {
        ("disk0", "root", "f4", "cw/cur"),
        ("f4", "file", "s-f4", "cwr/cu"),
        ("f4", "backing", "f3", "c/cu"),
        ("f3", "file", "s-f3", "c/cu"),
        ("f3", "backing", "flt", "c/cu"),
        ("flt", "backing", "f2", "-/cwur"),
        ("f2", "file", "s-f2", "c/u"),
        ("f2", "backing", "f1", "-/cwur"),
        ("f1", "file", "s-f1", "c/u"),
        ("f1", "backing", "f0", "-/cwur"),
        ("f0", "file", "s-f0", "cwr/cu"),
        ("j", "main node", "f4", "-/cwur"),
        ("j", "intermediate node", "f2", "-/wu"),
        ("j", "intermediate node", "f1", "-/wu"),
        ("j", "base", "f0", "-/cwur"),
        ("", "root", "f2", "-/cwur"),
        ("", "root", "f0", "cw/cu"),
    }
    world.close()
