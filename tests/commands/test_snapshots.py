"""Snapshots of images in RAM: what storage and its policy have to do with them."""

import pytest

from tests.machine.snapshot import check, snapshot
from tests.machine.world import World


@pytest.fixture
def world():
    made = World()
    made.images(["base", "top"])
    made.add_chain(["base", "top"])
    made.do("blockdev-add", driver="raw", node_name="user", file="top")
    yield made
    made.close()


def take(world, filename, **options):
    world.do("blockdev-snapshot-sync", **arguments(filename), **options)


def arguments(filename):
    return {"node_name": "top", "snapshot_file": filename, "snapshot_node_name": "new"}


def test_the_image_is_made_in_ram(world, capsys):
    """It is the overlay's, names the node, and is announced as by the original."""
    take(world, "n")
    assert "n" in world.storage.paths()
    assert world.node("new").backing is world.node("top")
    assert world.node("new").driver.backing_file == "top"
    check(world.machine)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Formatting 'n', fmt=qcow2 ")


def test_a_policy_may_refuse_it(world):
    """Nothing has changed then, and there is no image."""
    world.policy.deny_write("n")
    before = snapshot(world.machine)
    refusal = world.refusal("blockdev-snapshot-sync", **arguments("n"))
    assert refusal == "Could not create 'n': Permission denied"
    assert snapshot(world.machine) == before
    assert "n" not in world.storage.paths()


def test_an_image_that_cannot_be_read_after_it_was_made(world):
    """The file stays, as in the original; the graph is as before."""
    nodes = set(world.graph.nodes)
    world.policy.deny_write("n", from_open=2)
    refusal = world.refusal("blockdev-snapshot-sync", **arguments("n"))
    assert refusal == "Could not open 'n': Permission denied"
    assert set(world.graph.nodes) == nodes
    assert not world.node("top").flags.read_only
    check(world.machine)
    assert "n" in world.storage.paths()
