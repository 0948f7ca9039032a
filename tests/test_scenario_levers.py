"""Levers in a scenario file: pulled before the first option is acted on, as by a client."""

import json

import pytest

from qmpd.boot import build
from qmpd.cli import main
from qmpd.options.argv import CommandLine

HOLD = """
[[lever]]
command = "x-qmpd-hold"
arguments = { job = "j", before = "pending" }
"""
NODE = '{"driver": "file", "node-name": "n", "filename": "/images/a.raw"}'


@pytest.fixture
def words(tmp_path):
    """Return options for a scenario with the given text."""

    def make(text, *more):
        path = tmp_path / "scenario.toml"
        path.write_text(text)
        return ["--storage", "memory", "--scenario", str(path), *more]

    return make


@pytest.fixture
def machine_of(words):
    """Build machines, and close them at the end."""
    machines = []

    def make(text, *more):
        machines.append(build(CommandLine(words(text, "--lab", *more))))
        return machines[-1]

    yield make
    for machine in machines:
        machine.close()


def complaint(words, capsys):
    assert main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_lever_is_pulled_and_noted(machine_of):
    levers = machine_of(HOLD).levers
    assert levers.holds("j", "pending")
    assert not levers.holds("j", "waiting")
    (entry,) = levers.journal.since(0, ["lever"])
    assert entry.data == {
        "command": "x-qmpd-hold",
        "arguments": {"job": "j", "before": "pending"},
    }


def test_levers_are_pulled_in_their_order(machine_of):
    stepped = '[[lever]]\ncommand = "x-qmpd-clock"\narguments = { mode = "stepped", start = 1 }\n'
    advance = '[[lever]]\ncommand = "x-qmpd-advance"\narguments = { ms = 500 }\n'
    assert machine_of(stepped + advance).scheduler.wall() == 1_500_000_000


def test_levers_come_before_options(words, capsys):
    """What a lever refuses is refused to the command line's own nodes as well."""
    text = (
        '[[image]]\npath = "/images/a.raw"\n[[lever]]\ncommand = "x-qmpd-deny"\n'
        'arguments = { path = "/images/a.raw", access = "read" }\n'
    )
    line = complaint(words(text, "--lab", "--blockdev", NODE), capsys)
    assert line.endswith("Could not open '/images/a.raw': Permission denied")


def test_without_a_lab_there_are_no_levers(words, capsys):
    assert complaint(words(HOLD), capsys).endswith("scenario.toml: [[lever]] needs --lab")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[[lever]]\ncommand = "x-qmpd-shake"', "there is no lever 'x-qmpd-shake'"),
        ('[[lever]]\ncommand = "quit"', "there is no lever 'quit'"),
        ("[[lever]]\narguments = {}", "a lever needs a command"),
        ('[[lever]]\ncommand = "x-qmpd-step"\njob = "j"', "lever 'x-qmpd-step': unknown key 'job'"),
        (
            '[[lever]]\ncommand = "x-qmpd-step"\narguments = 1',
            "lever 'x-qmpd-step': 'arguments' is no table",
        ),
        (
            '[[lever]]\ncommand = "x-qmpd-step"\narguments = { job = 1 }',
            "lever 'x-qmpd-step': Invalid parameter type for 'job', expected: string",
        ),
        (
            '[[lever]]\ncommand = "x-qmpd-hold"\narguments = { job = "j", before = 1979-05-27 }',
            "lever 'x-qmpd-hold': Invalid parameter type for 'before', expected: string",
        ),
        (
            '[[lever]]\ncommand = "x-qmpd-advance"\narguments = { ms = 1 }',
            "lever 'x-qmpd-advance': The clock is not stepped",
        ),
        ('[lever]\ncommand = "x-qmpd-wire-clear"', "'lever' is to be written as [[lever]]"),
        ('[image]\npath = "/a"', "'image' is to be written as [[image]]"),
    ],
)
def test_what_makes_no_sense_is_one_line(words, capsys, text, reason):
    line = complaint(words(text, "--lab"), capsys)
    assert line.partition("scenario.toml: ")[2] == reason


def test_a_client_can_take_back_what_a_scenario_did(machine_of):
    machine = machine_of(HOLD)
    machine.levers.release("j")
    assert not machine.levers.holds("j", "pending")
    assert json.dumps(machine.levers.journal.since(0)[0].data)
