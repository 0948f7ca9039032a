"""What a random sequence may do at each step, by what it is about."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.oracle.machine import changes, disks, draws, jobs
from tests.oracle.machine.sequence import Sequence
from tests.oracle.machine.sets import SPARES

_NEW = 3  # images that one transaction makes at most


class Nodes(Sequence):
    """Nodes are defined and deleted."""

    @precondition(lambda self: not self.over)
    @rule(data=st.data())
    def add_file(self, data):
        name = data.draw(draws.node_name(draws.FILE_NAMES))
        node = data.draw(draws.file_node(self.files, named=name))
        self.do({"execute": "blockdev-add", "arguments": node})

    @precondition(lambda self: not self.over)
    @rule(data=st.data())
    def add_format(self, data):
        node = data.draw(draws.format_node(self.view, self.files))
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
        node = data.draw(draws.filter_node(self.view, self.files))
        node["node-name"] = data.draw(draws.node_name(draws.FORMAT_NAMES))
        group = {"qom-type": "throttle-group", "id": "tg"}  # refused if it is there
        self.do({"execute": "object-add", "arguments": group})
        self.do({"execute": "blockdev-add", "arguments": node})

    @precondition(lambda self: not self.over and self.view.nodes)
    @rule(data=st.data())
    def delete(self, data):
        name = data.draw(st.sampled_from([*draws.references(self.view), "nobody"]))
        self.do({"execute": "blockdev-del", "arguments": {"node-name": name}})


class Changes(Sequence):
    """Nodes are reopened, get overlays, and other names in their headers."""

    def new_files(self, count):
        """Names of images that are not there."""
        return [f"new{len(self.files) + number}" for number in range(count)]

    def add_spare(self, data):
        """Define an overlay that a snapshot may have, as long as there are images for it."""
        used = {
            node["file"].removeprefix(f"{self.pair.directory}/")
            for node in self.view.nodes.values()
        }
        files = [name for name in SPARES if name not in used]
        if files and data.draw(st.integers(0, 3)):
            node = data.draw(changes.spare(self.view, files))
            self.do({"execute": "blockdev-add", "arguments": node})

    @precondition(lambda self: not self.over and self.defined.keys() & self.view.nodes.keys())
    @rule(data=st.data())
    def reopen(self, data):
        request = data.draw(changes.reopen(self.view, self.defined, self.files))
        nodes = [options["node-name"] for options in request["arguments"]["options"]]
        self.do_reopening(request, nodes, even_if_refused=True)

    @precondition(lambda self: not self.over and self.view.nodes)
    @rule(data=st.data())
    def snapshot(self, data):
        self.add_spare(data)
        request = data.draw(changes.snapshot(self.view))
        self.do_reopening(request, [request["arguments"]["node"]])

    @precondition(lambda self: not self.over and self.view.nodes)
    @rule(data=st.data())
    def snapshot_sync(self, data):
        (new,) = self.new_files(1)
        request = data.draw(changes.snapshot_sync(self.view, new=new, names=self.files))
        self.do_reopening(request, changes.reopened_by(request))

    @precondition(lambda self: not self.over and self.view.nodes)
    @rule(data=st.data())
    def transaction(self, data):
        self.add_spare(data)
        new = self.new_files(_NEW)
        request = data.draw(changes.transaction(self.view, new=new, names=self.files))
        self.do_reopening(request, changes.reopened_by(request))

    @precondition(lambda self: not self.over and self.view.nodes)
    @rule(data=st.data())
    def change_backing_file(self, data):
        request = data.draw(changes.change_backing_file(self.view, short=self.images.short))
        self.do_reopening(request, [request["arguments"]["image-node-name"]])


class Jobs(Sequence):
    """Jobs are started, and told what to do."""

    def commit(self, data):
        request = data.draw(jobs.commit(self.view, short=self.images.short))
        arguments = request["arguments"]
        if not self.pair.layout and arguments.get("speed") == 1:
            # The original mirrors in parallel. How far a job gets in one piece depends on where
            # an earlier one has put its clusters.
            del arguments["speed"]
        if arguments.get("top-node", arguments["device"]) == arguments["device"]:
            self.pair.layout = False
        self.do_reopening(request, self.read_only_below(arguments["device"]))

    def read_only_below(self, device):
        """The read-only nodes of a chain: base and overlay of a job are or will be reopened."""
        chain = self.view.chain(self.view.known(device))
        return [self.view.request_name(name) for name in chain if self.view.nodes[name]["ro"]]

    @precondition(lambda self: not self.over and self.view.nodes)
    @rule(data=st.data())
    def commit_once(self, data):
        self.commit(data)

    @precondition(lambda self: not self.over and self.view.nodes and not self.view.jobs)
    @rule(data=st.data())
    def commit_first(self, data):
        self.commit(data)

    @precondition(lambda self: not self.over and self.view.nodes)
    @rule(data=st.data())
    def stream(self, data):
        request = data.draw(jobs.stream(self.view, short=self.images.short))
        self.do_reopening(request, self.read_only_below(request["arguments"]["device"]))

    @precondition(lambda self: not self.over and self.view.jobs)
    @rule(data=st.data())
    def verb(self, data):
        self.do(data.draw(jobs.verb(self.view)))

    @precondition(lambda self: not self.over and self.view.jobs)
    @rule(number=st.integers(0, 3))
    def forward(self, number):
        running = list(self.view.jobs.values())
        self.do(jobs.forward(running[number % len(running)]))


class Disks(Sequence):
    """Disks come and go, and are written to by their guest."""

    # How often this drains a job, which wakes it, is not the same yet (docs/divergences.md).
    @precondition(lambda self: not self.over and self.view.nodes and not self.view.sleeping())
    @rule(data=st.data())
    def plug(self, data):
        self.do(data.draw(disks.plug(self.view)))

    @precondition(lambda self: not self.over and self.devices)
    @rule(data=st.data())
    def unplug(self, data):
        self.do(data.draw(disks.unplug(list(self.devices))))

    # A write to a mirror that is pending makes the original wait for ever.
    @precondition(lambda self: not self.over and self.view.nodes and not self.view.pending())
    @rule(data=st.data())
    def guest(self, data):
        paths = [disks.path(name, driver) for name, driver in self.devices.items()]
        self.do(data.draw(disks.guest(self.view, paths)))
