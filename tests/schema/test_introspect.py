"""What qmpd says about itself is what QEMU says about the same commands."""

from typing import Any

import pytest

from qmpd.commands.registry import commands_of
from qmpd.schema import contract
from qmpd.schema.compiled import COMMANDS, EVENTS
from tests.schema.real import ask

PROGRAMS = ("system", "storage-daemon")

# Enums of which qmpd has a part: they are recognised by a value that only they have.
RESTRICTED = (
    *({"qcow2", "null-co"}, {"iothread", "secret"}, {"qcow2"}),
    {"abort", "blockdev-snapshot"},
    *({"unix"}, {"nbd"}),
)

Schema = dict[str, dict[str, Any]]


@pytest.fixture(scope="module", params=PROGRAMS)
def program(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def ours(program) -> Schema:
    return {entry["name"]: entry for entry in contract.introspection(program)}


@pytest.fixture(scope="module")
def theirs(program) -> Schema:
    (reply,) = ask(program, [{"execute": "query-qmp-schema"}])
    return {entry["name"]: entry for entry in reply["return"]}


def restricted(mine: list[str], real: list[str]) -> bool:
    """Whether one enum is meant to have only some of the other's values."""
    return any(mark <= set(mine) and mark <= set(real) for mark in RESTRICTED)


class Walk:
    """Walks two schemas side by side from entry to entry and notes each difference."""

    def __init__(self, ours: Schema, theirs: Schema) -> None:
        self.ours, self.theirs = ours, theirs
        self.seen: set[tuple[str, str]] = set()
        self.differences: list[str] = []

    def differ(self, path: str, mine: Any, real: Any) -> bool:
        if mine != real:
            self.differences.append(f"{path}: {mine} is not {real}")
        return mine != real

    def compare(self, path: str, mine: str, real: str) -> None:
        if (mine, real) in self.seen:
            return
        self.seen.add((mine, real))
        one, other = self.ours[mine], self.theirs[real]
        if self.differ(f"{path} is a", one["meta-type"], other["meta-type"]):
            return
        self.differ(f"{path} has features", one.get("features"), other.get("features"))
        getattr(self, one["meta-type"])(path, one, other)

    def command(self, path: str, one: Any, other: Any) -> None:
        self.differ(f"{path} allows oob", one.get("allow-oob"), other.get("allow-oob"))
        self.compare(f"{path}(", one["arg-type"], other["arg-type"])
        self.compare(f"{path}->", one["ret-type"], other["ret-type"])

    def event(self, path: str, one: Any, other: Any) -> None:
        self.compare(path, one["arg-type"], other["arg-type"])

    def builtin(self, path: str, one: Any, other: Any) -> None:
        self.differ(path, one, other)

    def array(self, path: str, one: Any, other: Any) -> None:
        self.compare(f"{path}[]", one["element-type"], other["element-type"])

    def enum(self, path: str, one: Any, other: Any) -> None:
        for entry in (one, other):
            assert [member["name"] for member in entry["members"]] == entry["values"]
        real = other["values"]
        if restricted(one["values"], real):
            real = [value for value in real if value in one["values"]]
        self.differ(path, one["values"], real)

    def alternate(self, path: str, one: Any, other: Any) -> None:
        if not self.differ(path, len(one["members"]), len(other["members"])):
            for mine, real in zip(one["members"], other["members"], strict=True):
                self.compare(f"{path}|", mine["type"], real["type"])

    def object(self, path: str, one: Any, other: Any) -> None:
        mine, real = (
            [{k: v for k, v in m.items() if k != "type"} for m in entry["members"]]
            for entry in (one, other)
        )
        if self.differ(path, mine, real):
            return
        for left, right in zip(one["members"], other["members"], strict=True):
            self.compare(f"{path}.{left['name']}", left["type"], right["type"])
        self.differ(f"{path} tag", one.get("tag"), other.get("tag"))
        mine, real = ({v["case"]: v["type"] for v in e.get("variants", [])} for e in (one, other))
        if restricted(list(mine), list(real)):
            real = {case: real[case] for case in real if case in mine}
        if not self.differ(f"{path} cases", list(mine), list(real)):
            for case in mine:
                self.compare(f"{path}<{case}>", mine[case], real[case])


@pytest.mark.oracle
def test_every_command_and_event_is_described_as_qemu_describes_it(ours, theirs):
    walk = Walk(ours, theirs)
    definitions = [n for n, e in ours.items() if e["meta-type"] in {"command", "event"}]
    for name in definitions:
        walk.compare(name, name, name)
    assert walk.differences == []


@pytest.mark.oracle
def test_definitions_stand_in_qemus_order(ours, theirs):
    mine, real = (
        [n for n, e in schema.items() if e["meta-type"] in {"command", "event"}]
        for schema in (ours, theirs)
    )
    assert mine == [name for name in real if name in mine]


@pytest.mark.oracle
def test_each_program_has_of_our_commands_and_events_just_those_that_the_real_one_has(
    program, ours, theirs
):
    mine = {n for n, e in ours.items() if e["meta-type"] in {"command", "event"}}
    assert mine == {name for name in [*COMMANDS, *EVENTS] if name in theirs}
    assert {n for n in EVENTS if contract.has_event(n, program)} == mine & set(EVENTS)


@pytest.mark.oracle
def test_query_commands_lists_in_qemus_order(program):
    (reply,) = ask(program, [{"execute": "query-commands"}])
    real = [entry["name"] for entry in reply["return"]]
    mine = contract.command_names(program)
    assert mine == [name for name in real if name in mine]
    assert all(contract.has_command(name, program) for name in mine)
    assert list(commands_of(program)) == mine


def test_every_type_that_is_named_is_described(ours):
    """A client can follow each name that it reads."""

    def names(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {v for k, v in value.items() if k in {"type", "arg-type", "ret-type"}}
            own |= {value["element-type"]} if "element-type" in value else set()
            return own.union(*map(names, value.values()))
        return set().union(*map(names, value)) if isinstance(value, list) else set()

    assert names(list(ours.values())) <= set(ours)


def test_type_names_are_masked(ours):
    """Only builtin types show their names, so that clients cannot depend on others."""
    builtin = {"str", "int", "bool", "number", "null", "any"}
    for name, entry in ours.items():
        if entry["meta-type"] not in {"command", "event"}:
            assert name.strip("[]").isdigit() or name.strip("[]") in builtin
