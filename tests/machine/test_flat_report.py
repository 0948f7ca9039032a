"""A flat query is answered from what is known already; files may change all the same."""

from __future__ import annotations

import json
import os

import pytest

from qmpd.commands.queries import query_named_block_nodes
from qmpd.machine import STORAGE_DAEMON, Machine
from qmpd.protocol.messages import Request


@pytest.fixture
def machine():
    machine = Machine(program=STORAGE_DAEMON)
    yield machine
    machine.close()


def add(machine, **definition):
    answers = []
    given = {key.replace("_", "-"): value for key, value in definition.items()}
    machine.dispatcher.submit(
        Request("blockdev-add", given), lambda *answer: answers.append(answer)
    )
    assert answers == [({}, None)]


def sizes(machine):
    """Allocated bytes as every node reports them."""
    reported = json.loads(query_named_block_nodes(machine, flat=True).data)
    return {info["node-name"]: info["image"]["actual-size"] for info in reported}


def allocated(path):
    return path.stat().st_blocks * 512


def test_what_others_write_shows_in_every_node_on_that_file(machine, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for path in (one, other):
        path.write_bytes(bytes(4096))
    os.link(one, tmp_path / "alias")
    for name, path in (("a", one), ("b", one), ("c", tmp_path / "alias"), ("d", other)):
        add(machine, driver="file", node_name=name, filename=str(path), read_only=True)
    add(machine, driver="raw", node_name="e", file="b", read_only=True)
    before = sizes(machine)
    assert before == {name: allocated(other if name == "d" else one) for name in "abcde"}
    with one.open("r+b") as file:
        file.seek(1 << 20)
        file.write(bytes([1]) * 65536)
        file.flush()
        os.fsync(file.fileno())
    assert allocated(one) != before["a"]
    assert sizes(machine) == {name: allocated(other if name == "d" else one) for name in "abcde"}


def test_a_file_that_takes_the_place_of_another_is_not_the_one_that_is_open(machine, tmp_path):
    path = tmp_path / "image"
    path.write_bytes(bytes(4096))
    add(machine, driver="file", node_name="a", filename=str(path), read_only=True)
    before = sizes(machine)
    other = tmp_path / "other"
    other.write_bytes(bytes([1]) * 65536)
    other.rename(path)
    assert sizes(machine) == before
    add(machine, driver="file", node_name="b", filename=str(path), read_only=True)
    assert sizes(machine) == {**before, "b": allocated(path)}
