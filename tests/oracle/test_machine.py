"""Random sequences: whatever is asked in whatever order, qmpd answers as QEMU does.

The default run asks the same sequences each time. ``make oracle`` asks new ones; what it
finds is shrunk and printed as a test that can be pasted.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from qmpd.testing.oracle import Difference, Program, StartError
from tests.oracle.machine import disks
from tests.oracle.machine.disks import BUS
from tests.oracle.machine.pair import Pair
from tests.oracle.machine.rules import Changes, Disks, Jobs, Nodes
from tests.oracle.machine.script import Act
from tests.oracle.machine.shrink import shortest

pytestmark = pytest.mark.oracle

STEPS = 25


class OnStorageDaemon(Nodes, Changes, Jobs):
    """What one program without guests is asked."""


class OnSystem(Nodes, Changes, Jobs, Disks):
    """The same with disks that come and go, and a guest that writes to them."""


class WithDisk(OnSystem):
    """The same with the chain on the command line and a disk on it."""

    def start(self, data, name, chain):
        words = []
        for request in chain:
            words += ["-blockdev", json.dumps(request["arguments"])]
        device = data.draw(disks.device(chain[-1]["arguments"]["node-name"]))
        if device:
            self.devices[disks.COMMAND_LINE_NAME] = device[-1].partition(",")[0]
        self.over = not self.begun(name, words + device)
        for request in chain:
            self.note(request["arguments"])
        if not self.over:
            self.step(Act("look"))

    def begun(self, name, words):
        """Start both programs; a command line that the original refuses says nothing here."""
        try:
            self.pair.begin(name, self.images, words)
        except StartError:
            self.pair.stop()
            return False
        return True


def run(machine, program, examples):
    """Run sequences on one pair of servers; print the deaths of the original, if any.

    Raises:
        Difference: the text ends with the script as a test, as short as it could be made.
    """
    pair = Pair(program, BUS if program is Program.SYSTEM else ())
    profile = settings()
    shared = type(machine.__name__, (machine,), {"pair": pair})
    try:
        run_state_machine_as_test(
            shared,
            settings=settings(
                max_examples=profile.max_examples if not profile.derandomize else examples,
                phases=(Phase.explicit, Phase.generate),  # `shortest` is better at shrinking
                report_multiple_bugs=False,
                stateful_step_count=STEPS,
                suppress_health_check=list(HealthCheck),
            ),
        )
    except Exception:
        if pair.failed is None:
            raise
        raise explained(*pair.failed) from None
    finally:
        pair.stop()
        for death in pair.deaths:
            print(death)  # noqa: T201 - shown with the output of a failing test


def explained(script, seen):
    """The difference that a script shows, and the shortest test that shows the like."""
    short, found = shortest(script)
    if found is None:
        found = Difference(f"{seen}\n\nnot seen again on new servers", seen.step, seen.path)
    return Difference(f"{found}\n\n{(short or script).source()}", found.step, found.path)


def test_storage_daemon():
    """Definitions, deletions, reopens, snapshots, jobs and verbs in any order."""
    run(OnStorageDaemon, Program.STORAGE_DAEMON, 45)


def test_system():
    """The same with disks that are plugged and unplugged, and written to by a guest."""
    run(OnSystem, Program.SYSTEM, 20)


def test_disk():
    """The same below a guest's disk from the start."""
    run(WithDisk, Program.SYSTEM, 8)
