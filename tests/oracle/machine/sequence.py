"""What every random sequence does: it begins, takes steps on a pair of servers, and cleans up."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.oracle.machine import draws
from tests.oracle.machine.pair import ReferenceDiedError
from tests.oracle.machine.script import Act
from tests.oracle.machine.sets import SETS
from tests.oracle.machine.view import View

_ATTEMPTS = 4
_REFUSALS = b'{"error": {'
_SILENT = ("hide", "restore")


class Sequence(RuleBasedStateMachine):
    """One sequence on a pair of servers that many sequences share.

    Attributes:
        over: whether nothing more can happen, since the original has died.
        images: the family of images.
        files: names of all images; those that snapshots have made come last.
        defined: the definitions by node name.
        inlined: names of nodes that were defined inside another node.
        devices: the driver of each disk by its id.
        view: what the reference showed after the last step.
    """

    pair = None

    def __init__(self):
        super().__init__()
        self.over = True
        self.hidden = []
        self.devices = {}

    @initialize(data=st.data(), name=st.sampled_from(list(SETS)))
    def begin(self, data, name):
        self.images = SETS[name]
        self.files = list(self.images.names)
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

    def step(self, act):
        """Do a step; afterwards the view is that of the reference."""
        if self.over:
            return []
        try:
            lines = self.pair.run(act)
            if act.name not in _SILENT:
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
        unplugging = request["execute"] == "device_del" and self.leaves_at_once(request)
        lines = self.step(Act("unask" if unplugging else "ask", (request,)))
        done = bool(lines) and not any(line.startswith(_REFUSALS) for line in lines)
        if done:
            self.note_all(request["execute"], request["arguments"])
        return done

    def leaves_at_once(self, request):
        """Whether a disk that is told to leave does so without the guest's consent."""
        return self.devices.get(request["arguments"]["id"], "").startswith("scsi")

    # --- what is known ------------------------------------------------------------------

    def note_all(self, command, arguments):
        """Remember what an accepted request has defined."""
        if command == "blockdev-add":
            self.note(arguments)
        elif command == "blockdev-reopen":
            for options in arguments["options"]:
                self.note(options)
        elif command == "blockdev-snapshot-sync":
            self.note_overlay(arguments)
        elif command == "transaction":
            for action in arguments["actions"]:
                self.note_all(action["type"], action["data"])
        elif command == "device_add":
            self.devices[arguments["id"]] = arguments["driver"]
        elif command == "device_del" and self.leaves_at_once({"arguments": arguments}):
            del self.devices[arguments["id"]]

    def note(self, options):
        if "node-name" in options:
            self.defined[options["node-name"]] = options
        for member in ("file", "backing", "image"):
            if isinstance(options.get(member), dict):
                self.note(options[member])
                self.inlined.add(options[member].get("node-name"))

    def note_overlay(self, arguments):
        """A snapshot's overlay is as if it had been defined with its file inside."""
        name = arguments["snapshot-file"].removeprefix("{dir}/").removeprefix("file:")
        if name not in self.files:
            self.files.append(name)
        if "snapshot-node-name" in arguments:
            self.defined[arguments["snapshot-node-name"]] = {
                "driver": arguments.get("format", "qcow2"),
                "node-name": arguments["snapshot-node-name"],
                "file": {"driver": "file", "filename": arguments["snapshot-file"]},
            }

    # --- files that are reopened --------------------------------------------------------

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

    def do_reopening(self, request, nodes, *, even_if_refused=False):
        """Send a request that reopens nodes, by the names that requests have for them."""
        before = self.view.modes
        known = [self.view.known(node) for node in nodes]
        files = {path for name in known if name for path in self.reopened_files(name)}
        if self.do(request) or even_if_refused:
            self.forget_modes({path for path in files if before.get(path) == "rw"})

    # --- the end ------------------------------------------------------------------------

    @precondition(lambda self: self.over)
    @rule()
    def rest(self):
        """The original has died: nothing more happens in this sequence."""

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
        for name in list(self.devices):
            self.do({"execute": "device_del", "arguments": {"id": name}})
        while self.delete_roots():
            pass
        if not self.over:
            self.pair.finish(empty=not self.view.nodes and not self.devices)
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
            self.step(Act("hide", (name,), (("by_directory", by_directory),)))

    @precondition(lambda self: not self.over and self.hidden)
    @rule()
    def show(self):
        name = self.hidden.pop()
        self.step(Act("restore", (name,)))
