"""Any commands in any order: who fails changes nothing, and what is deleted is gone."""

from __future__ import annotations

from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from qmpd.block.node import User
from qmpd.errors import QmpError
from tests.machine.snapshot import check, descriptors, snapshot
from tests.machine.world import KIB, Refused, World

IMAGES = ["c0", "c1", "c2", "c3"]
NAMES = ["n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7"]

paths = st.sampled_from(IMAGES)
names = st.sampled_from(NAMES)
flag = st.sampled_from([None, None, True, False])
new_names = st.sampled_from([*NAMES, *NAMES, "0bad", "x" * 32])


def common(read_only, auto):
    given = {"read-only": read_only, "auto-read-only": auto}
    return {key: value for key, value in given.items() if value is not None}


inline_files = st.builds(
    lambda path, ro, auto: {"driver": "file", "filename": path, **common(ro, auto)},
    paths,
    flag,
    st.sampled_from([None, True, True]),
)
files = st.one_of(names, names, inline_files)
inline_formats = st.builds(
    lambda file, ro, backing: {
        "driver": "qcow2",
        "file": file,
        **common(ro, None),
        **({} if backing == "header" else {"backing": backing}),
    },
    files,
    flag,
    st.sampled_from([None, "header"]),
)
backings = st.one_of(st.just("header"), st.none(), names, names, inline_formats)


class Commands(RuleBasedStateMachine):
    """A machine with four images that are each other's backing files."""

    @initialize()
    def start(self):
        self.start_descriptors = descriptors()
        self.world = World()
        self.world.images(IMAGES, size=512 * KIB)
        self.denied = set()
        self.users = []

    # --- what every command is held to -------------------------------------------------

    def settle(self):
        """Bring slices home, so that a command does not wait for one."""
        self.world.idle()

    def command(self, command, **arguments):
        self.settle()
        before = snapshot(self.world.machine)
        try:
            self.world.do(command, **arguments)
        except Refused as refused:
            note(f"{command}: {refused.desc}")
            assert not refused.desc.startswith("Internal error"), refused.desc  # noqa: PT017 - in a loop of many commands
            assert snapshot(self.world.machine) == before
            return False
        return True

    @invariant()
    def consistent(self):
        if hasattr(self, "world"):
            check(self.world.machine)

    # --- nodes -------------------------------------------------------------------------

    @rule(name=new_names, file=inline_files)
    def add_file(self, name, file):
        self.command("blockdev-add", node_name=name, **file)

    @rule(name=new_names, file=files, ro=flag, backing=backings)
    def add_format(self, name, file, ro, backing):
        more = {} if backing == "header" else {"backing": backing}
        given = {"driver": "qcow2", "node_name": name, "file": file}
        self.command("blockdev-add", **given, **common(ro, None), **more)

    @rule(name=new_names, file=files, ro=flag, window=st.sampled_from([{}, {"size": 65536}]))
    def add_raw(self, name, file, ro, window):
        given = {"driver": "raw", "node_name": name, "file": file}
        self.command("blockdev-add", **given, **common(ro, None), **window)

    @rule(name=names)
    def delete(self, name):
        self.command("blockdev-del", node_name=name)

    @rule(
        changes=st.lists(st.tuples(names, flag, st.sampled_from(["same", None, "n0", "n1", "n2"])))
    )
    def reopen(self, changes):
        options = []
        for name, read_only, backing in changes:
            node = self.world.graph.nodes.get(name)
            if node is None:
                continue
            given = {"driver": node.driver.name, "node-name": name, **common(read_only, None)}
            if node.driver.name == "file":
                given.update(filename=node.driver.path)
                given.update(common(None, node.options.explicit.get("auto-read-only")))
            else:
                given["file"] = node.children["file"].child.name
            if node.driver.name == "qcow2":
                kept = node.backing.name if node.backing is not None else None
                given["backing"] = kept if backing == "same" else backing
            options.append(given)
        self.command("blockdev-reopen", options=options)

    # --- jobs --------------------------------------------------------------------------

    def chain(self, name):
        """The names of the nodes below one, as far as they are backing files."""
        node = self.world.graph.nodes.get(name)
        found = []
        while node is not None:
            found.append(node.name)
            node = node.filtered or node.backing
        return found

    @rule(
        device=names,
        top=st.integers(0, 3),
        base=st.integers(0, 3),
        flt=st.sampled_from([None, None, "flt", "n0", "0bad"]),
        speed=st.sampled_from([0, 0, 1, 1 << 20, -1]),
        finalize=st.booleans(),
        dismiss=st.booleans(),
        job=st.sampled_from(["j", "k"]),
    )
    def commit(self, device, top, base, flt, speed, finalize, dismiss, job):
        layers = self.chain(device) or [device]
        arguments = {"job_id": job, "device": device, "speed": speed}
        arguments["top_node"] = layers[top % len(layers)]
        arguments["base_node"] = layers[-1 - base % len(layers)]
        if flt is not None:
            arguments["filter_node_name"] = flt
        self.command("block-commit", auto_finalize=finalize, auto_dismiss=dismiss, **arguments)

    @precondition(lambda self: self.world.machine.jobs.jobs)
    @rule(
        verb=st.sampled_from(["pause", "resume", "cancel", "complete", "finalize", "dismiss"]),
        job=st.sampled_from(["j", "j", "k"]),
    )
    def verb(self, verb, job):
        self.command(f"job-{verb}", id=job)

    @precondition(lambda self: self.world.machine.jobs.jobs)
    @rule(force=st.booleans(), job=st.sampled_from(["j", "k"]))
    def cancel_softly(self, force, job):
        self.command("block-job-cancel", device=job, force=force)

    @precondition(lambda self: self.world.machine.jobs.jobs)
    @rule(speed=st.sampled_from([-1, 0, 1, 1 << 20]), job=st.sampled_from(["j", "k"]))
    def set_speed(self, speed, job):
        self.command("block-job-set-speed", device=job, speed=speed)

    @precondition(lambda self: self.world.machine.jobs.jobs)
    @rule()
    def let_time_pass(self):
        self.settle()
        self.world.loop.sleep()
        self.settle()

    # --- what the host and the guest do ------------------------------------------------

    @rule(path=paths)
    def deny(self, path):
        self.denied.add(path)
        self.world.policy.deny_write(path)

    @rule()
    def allow_all(self):
        for path in self.denied:
            self.world.policy.allow(path)
        self.denied.clear()

    @rule(name=names, perm=st.integers(0, 15), shared=st.integers(0, 15))
    def plug(self, name, perm, shared):
        self.settle()
        node = self.world.graph.nodes.get(name)
        if node is None:
            return
        before = snapshot(self.world.machine)
        user = User(f"d{len(self.users)}")
        try:
            self.world.machine.plug(user, node, perm, shared, removable=False)
        except QmpError:
            assert snapshot(self.world.machine) == before
        else:
            self.users.append(user)

    @precondition(lambda self: self.users)
    @rule()
    def unplug(self):
        self.settle()
        user = self.users.pop()
        self.world.graph.users.pop(user, None)
        for edge in list(user.children.values()):
            self.world.graph.detach_loosely(edge)
            self.world.graph.collect([edge.child])

    # --- the end -----------------------------------------------------------------------

    def teardown(self):
        if not hasattr(self, "world"):
            return
        self.allow_all()
        for _ in range(3):
            for job in list(self.world.machine.jobs.jobs):
                self.command("job-cancel", id=job)
                self.settle()
                self.command("job-dismiss", id=job)
        assert not self.world.machine.jobs.jobs
        while self.users:
            self.unplug()
        assert self.world.delete_everything() == []
        assert self.world.graph.nodes == {}
        assert self.world.graph.users == {}
        images = set(self.world.storage._images.values())
        assert set(descriptors()) - images == set(self.start_descriptors)
        self.world.close()
        assert descriptors() == self.start_descriptors


TestCommands = Commands.TestCase
TestCommands.settings = settings(stateful_step_count=40)
