"""Random sequences: whatever is asked in whatever order, qmpd answers as QEMU does.

The default run asks the same sequences each time. ``make oracle`` asks new ones; what it
finds is shrunk and printed as a test that can be pasted.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from qmpd.testing.oracle import Program, StartError
from tests.oracle.machine import draws, steps
from tests.oracle.machine.pair import Pair, ReferenceDiedError, request_source
from tests.oracle.machine.sets import SETS
from tests.oracle.machine.view import View

pytestmark = pytest.mark.oracle

STEPS = 25
_ATTEMPTS = 4
_REFUSALS = b'{"error": {'


class Sequence(RuleBasedStateMachine):
    """One sequence on a pair of servers that many sequences share."""

    pair = None

    def __init__(self):
        super().__init__()
        self.over = True
        self.hidden = []

    @initialize(data=st.data(), name=st.sampled_from(list(SETS)))
    def begin(self, data, name):
        self.images = SETS[name]
        self.defined = {}
        self.inlined = set()
        self.view = View()
        chain = data.draw(draws.chain(self.images.layers, raw_base=self.images.raw_base))
        self.start(data, name, chain)

    def start(self, data, name, chain):
        """Begin with a chain that is defined command by command."""
        del data
        self.pair.begin(name, self.images)
        self.over = False
        for request in chain:
            self.do(request)

    # --- one step -----------------------------------------------------------------------

    def step(self, source, step):
        """Do a step; afterwards the view is that of the reference."""
        if self.over:
            return []
        try:
            lines = self.pair.run(source, step)
            if not source.startswith(("hide", "restore")):
                self.view = View(lines, self.pair.directory)
        except ReferenceDiedError:
            self.over = True
            self.pair.stop()
            return []
        except BaseException:
            self.over = True
            self.pair.stop()
            raise
        return lines

    def do(self, request):
        """Send a request; note a definition that was accepted. Return whether it was."""
        lines = self.step(request_source(request), steps.ask(request))
        done = bool(lines) and not any(line.startswith(_REFUSALS) for line in lines)
        if done and request["execute"] == "blockdev-add":
            self.note(request["arguments"])
        if done and request["execute"] == "blockdev-reopen":
            for options in request["arguments"]["options"]:
                self.note(options)
        return done

    def note(self, options):
        if "node-name" in options:
            self.defined[options["node-name"]] = options
        for member in ("file", "backing", "image"):
            if isinstance(options.get(member), dict):
                self.note(options[member])
                self.inlined.add(options[member].get("node-name"))

    # --- nodes --------------------------------------------------------------------------

    @precondition(lambda self: not self.over)
    @rule(data=st.data())
    def add_file(self, data):
        name = data.draw(draws.node_name(draws.FILE_NAMES))
        node = data.draw(draws.file_node(self.images.names, named=name))
        self.do({"execute": "blockdev-add", "arguments": node})

    @precondition(lambda self: not self.over)
    @rule(data=st.data())
    def add_format(self, data):
        node = data.draw(draws.format_node(self.view, self.images.names))
        node["node-name"] = data.draw(draws.node_name(draws.FORMAT_NAMES))
        self.do({"execute": "blockdev-add", "arguments": node})

    @precondition(lambda self: not self.over)
    @rule(data=st.data())
    def add_null(self, data):
        node = data.draw(draws.null_node())
        node["node-name"] = data.draw(draws.node_name(draws.FORMAT_NAMES))
        self.do({"execute": "blockdev-add", "arguments": node})

    @precondition(lambda self: not self.over)
    @rule(data=st.data())
    def add_filter(self, data):
        node = data.draw(draws.filter_node(self.view, self.images.names))
        node["node-name"] = data.draw(draws.node_name(draws.FORMAT_NAMES))
        group = {"qom-type": "throttle-group", "id": "tg"}  # refused if it is there
        self.do({"execute": "object-add", "arguments": group})
        self.do({"execute": "blockdev-add", "arguments": node})

    @precondition(lambda self: not self.over and self.view.nodes)
    @rule(data=st.data())
    def delete(self, data):
        name = data.draw(st.sampled_from([*draws.references(self.view), "nobody"]))
        self.do({"execute": "blockdev-del", "arguments": {"node-name": name}})

    @precondition(lambda self: not self.over and self.defined.keys() & self.view.nodes.keys())
    @rule(data=st.data())
    def reopen(self, data):
        request = data.draw(draws.reopen(self.view, self.defined, self.images.names))
        before = self.view.modes
        nodes = [options["node-name"] for options in request["arguments"]["options"]]
        files = {path for name in nodes for path in self.reopened_files(name)}
        self.do(request)
        self.forget_modes({path for path in files if before.get(path) == "rw"})

    def reopened_files(self, name):
        """The files that are reopened with a node: its own and those of its inline children."""
        if self.view.nodes[name]["drv"] == "file":
            yield self.view.nodes[name]["file"].removeprefix(f"{self.pair.directory}/")
        for child in self.view.children.get(name, {}).values():
            if child.startswith("#") or child in self.inlined:
                yield from self.reopened_files(child)

    def forget_modes(self, paths):
        """Look no more at the modes of these files, which the original may get wrong.

        A file that it reopened without a change is taken for read-only: the descriptor is
        opened again without need and not closed in time (docs/divergences.md). So files are
        not hidden any more either.
        """
        if paths - self.pair.masked:
            self.pair.masked |= paths
            while self.hidden and not self.over:
                self.show()

    @precondition(lambda self: not self.over and self.view.nodes)
    @rule(data=st.data())
    def snapshot(self, data):
        request = data.draw(draws.snapshot(self.view))
        self.do_reopening(request, [request["arguments"]["node"]])

    @precondition(lambda self: not self.over and self.view.nodes)
    @rule(data=st.data())
    def transaction(self, data):
        request = data.draw(draws.transaction(self.view))
        actions = request["arguments"]["actions"]
        self.do_reopening(request, [action["data"]["node"] for action in actions if action["data"]])

    @precondition(lambda self: not self.over and self.view.nodes)
    @rule(data=st.data())
    def change_backing_file(self, data):
        request = data.draw(draws.change_backing_file(self.view, short=self.images.short))
        self.do_reopening(request, [request["arguments"]["image-node-name"]])

    def do_reopening(self, request, nodes):
        """Send a request that reopens nodes, by the names that requests have for them."""
        names = {self.view.request_name(name): name for name in self.view.nodes}
        before = self.view.modes
        known = [names[node] for node in nodes if node in names]
        files = {path for name in known for path in self.reopened_files(name)}
        if self.do(request):
            self.forget_modes({path for path in files if before.get(path) == "rw"})

    # --- jobs ---------------------------------------------------------------------------

    def commit(self, data):
        request = data.draw(draws.commit(self.view, short=self.images.short))
        arguments = request["arguments"]
        if not self.pair.layout and arguments.get("speed") == 1:
            # The original mirrors in parallel. How far a job gets in one piece depends on where
            # an earlier one has put its clusters.
            del arguments["speed"]
        if arguments.get("top-node", arguments["device"]) == arguments["device"]:
            self.pair.layout = False
        before = self.view.modes
        chain = [
            name for name in self.view.chain(self.device(arguments)) if self.view.nodes[name]["ro"]
        ]
        files = {path for name in chain for path in self.reopened_files(name)}
        if self.do(request):  # base and overlay were or will be reopened
            self.forget_modes({path for path in files if before.get(path) == "rw"})

    def device(self, arguments):
        """The reference's name of the node that a commit names."""
        names = {self.view.request_name(name): name for name in self.view.nodes}
        return names[arguments["device"]]

    @precondition(lambda self: not self.over and self.view.nodes)
    @rule(data=st.data())
    def commit_once(self, data):
        self.commit(data)

    @precondition(lambda self: not self.over and self.view.nodes and not self.view.jobs)
    @rule(data=st.data())
    def commit_first(self, data):
        self.commit(data)

    @precondition(lambda self: not self.over and self.view.jobs)
    @rule(data=st.data())
    def verb(self, data):
        self.do(data.draw(draws.verb(self.view)))

    @precondition(lambda self: not self.over and self.view.jobs)
    @rule(number=st.integers(0, 3))
    def forward(self, number):
        jobs = list(self.view.jobs.values())
        self.do(draws.forward(jobs[number % len(jobs)]))

    # --- the host -----------------------------------------------------------------------

    # An overlay whose file is gone when its header has to be written crashes the original,
    # so files only go while no job runs.
    @precondition(lambda self: not self.over and not self.view.jobs and not self.pair.masked)
    @rule(data=st.data(), by_directory=st.booleans())
    def hide(self, data, by_directory):
        names = [name for name in self.images.names if name not in self.hidden]
        if names:
            name = data.draw(st.sampled_from(names))
            self.hidden.append(name)
            source = f"hide({name!r}, by_directory={by_directory})"
            self.step(source, steps.hide(name, by_directory=by_directory))

    @precondition(lambda self: not self.over and self.hidden)
    @rule()
    def show(self):
        name = self.hidden.pop()
        self.step(f"restore({name!r})", steps.restore(name))

    @precondition(lambda self: self.over)
    @rule()
    def rest(self):
        """The original has died: nothing more happens in this sequence."""

    # --- the end ------------------------------------------------------------------------

    def teardown(self):
        if self.over:
            return
        try:
            self._end()
        except BaseException:
            self.pair.stop()
            raise

    def _end(self):
        while self.hidden and not self.over:
            self.show()
        for _ in range(_ATTEMPTS):
            for job in list(self.view.jobs):
                cancel = self.view.jobs.get(job, {}).get("status") != "concluded"
                self.do(
                    {"execute": "job-cancel" if cancel else "job-dismiss", "arguments": {"id": job}}
                )
        while self.delete_roots():
            pass
        if not self.over:
            self.pair.finish(empty=not self.view.nodes)
        self.over = True

    def delete_roots(self):
        """Delete the nodes that nobody uses; whether there were any."""
        roots = [name for name in self.view.roots() if not name.startswith("#")]
        done = [
            self.do({"execute": "blockdev-del", "arguments": {"node-name": name}})
            for name in roots
            if not self.over
        ]
        return any(done)


class SequenceWithDisk(Sequence):
    """The same in the system program, with the chain on the command line and a disk on it."""

    def start(self, data, name, chain):
        words = []
        for request in chain:
            words += ["-blockdev", json.dumps(request["arguments"])]
        words += data.draw(draws.device(chain[-1]["arguments"]["node-name"]))
        self.over = not self.begun(name, words)
        for request in chain:
            self.note(request["arguments"])
        if not self.over:
            self.step("look()", steps.look())

    def begun(self, name, words):
        """Start both programs; a command line that the original refuses says nothing here."""
        try:
            self.pair.begin(name, self.images, words)
        except StartError:
            self.pair.stop()
            return False
        return True


def run(machine, program, examples):
    """Run sequences on one pair of servers; print the deaths of the original, if any."""
    pair = Pair(program)
    profile = settings()
    # The same sequences each time need no shrinking: what fails is made small by `make oracle`.
    fixed = profile.derandomize
    shared = type(machine.__name__, (machine,), {"pair": pair})
    try:
        run_state_machine_as_test(
            shared,
            settings=settings(
                max_examples=examples if fixed else profile.max_examples,
                phases=(Phase.explicit, Phase.generate) if fixed else tuple(Phase),
                stateful_step_count=STEPS,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        pair.stop()
        for death in pair.deaths:
            print(death)  # noqa: T201 - shown with the output of a failing test


def test_storage_daemon():
    """Definitions, deletions, reopens, commits and verbs in any order."""
    run(Sequence, Program.STORAGE_DAEMON, 200)


def test_disk():
    """The same below a guest's disk, which never lets go of its node."""
    run(SequenceWithDisk, Program.SYSTEM, 25)
