"""Commit jobs: pace, errors, the order of the end, and what is left when the end fails."""

import errno
import os

import pytest

from qmpd.block.drivers.file import FileDriver
from qmpd.errors import QmpError
from qmpd.jobs import blockjob, commit
from qmpd.jobs.pace import SLICE_NS, RateLimit
from tests.machine.snapshot import check, descriptors, snapshot
from tests.machine.world import KIB, MIB, World

CHAIN = ["c0", "c1", "c2", "c3"]
SECOND = 1_000_000_000


def chain(size=MIB, data=None):
    world = World()
    below = None
    for number, name in enumerate(CHAIN):
        own = [(number * 64 * KIB, 64 * KIB, number + 1)] if data is None else data
        world.image(name, format="qcow2", size=size, backing=below, data=own)
        below = name
    world.add_chain(CHAIN)
    return world


def view(world, name):
    """What a reader of a node sees."""
    return world.node(name).driver.pread(0, world.node(name).driver.length())


def job_info(world):
    (info,) = world.do("query-block-jobs")
    return info


# --- pace ------------------------------------------------------------------------------------


def test_no_limit_is_no_delay():
    assert RateLimit().delay(0, 1 << 40) == 0


def test_the_first_chunk_is_free_and_the_second_one_pays():
    """1 MiB/s in chunks of 512 KiB: a delay of half a second after the first one."""
    rate = RateLimit(MIB)
    assert rate.delay(1, 512 * KIB) == pytest.approx(SECOND // 2, rel=0.01)


def test_small_chunks_fill_their_slice_first():
    rate = RateLimit(10 * MIB)
    assert [rate.delay(1, 256 * KIB) for _ in range(3)] == [0, 0, 0]
    assert 0 < rate.delay(1, 256 * KIB) <= SLICE_NS


@pytest.mark.parametrize("speed", [64 * KIB, MIB, 100 * MIB])
def test_the_limit_holds_over_time(speed):
    """Over many chunks the rate is the one asked for, to a slice."""
    rate, now, size = RateLimit(speed), 1, 64 * KIB
    for _ in range(2000):
        now += rate.delay(now, size)
    seconds = now / SECOND
    assert 2000 * size / seconds == pytest.approx(speed, rel=0.2)


def test_a_limited_commit_takes_its_time():
    """3 MiB at 1 MiB/s: the clock shows between two and four seconds at the end."""
    world = chain(size=4 * MIB, data=[(0, 3 * MIB, 7)])
    world.commit("c3", "c2", "c0", speed=MIB)
    world.run()
    assert world.statuses()[-1] == "null"
    assert 2 * SECOND < world.loop.time < 4 * SECOND
    world.close()


def sleeping(speed=1, **more):
    """A commit that has done its first chunk and now sleeps."""
    world = chain(size=4 * MIB, data=[(0, 3 * MIB, 7)])
    world.commit("c3", "c2", "c0", speed=speed, **more)
    world.idle()
    return world


def test_a_pause_ends_the_sleep_and_a_resume_goes_on_at_once():
    """As observed: the next chunk is copied at the resume, whatever was left to sleep."""
    world = sleeping()
    offset = job_info(world)["offset"]
    assert 0 < offset < 4 * MIB
    world.do("job-pause", id="j")
    assert job_info(world)["paused"] is True
    world.run()
    assert job_info(world)["offset"] == offset
    world.do("job-resume", id="j")
    world.idle()
    assert offset < job_info(world)["offset"] < 4 * MIB
    assert world.loop.time == 0
    world.close()


@pytest.mark.parametrize("speed", [0, 2])
def test_more_speed_wakes_the_job(speed):
    world = sleeping()
    offset = job_info(world)["offset"]
    world.do("block-job-set-speed", device="j", speed=speed)
    world.idle()
    assert not world.do("query-jobs") or job_info(world)["offset"] > offset
    assert world.loop.time == 0
    world.close()


def test_less_speed_lets_it_sleep():
    world = sleeping(speed=64 * KIB)
    offset = job_info(world)["offset"]
    world.do("block-job-set-speed", device="j", speed=1)
    world.idle()
    info = job_info(world)
    assert (info["offset"], info["speed"]) == (offset, 1)
    world.close()


def test_speed_can_change_while_paused():
    world = sleeping()
    world.do("job-pause", id="j")
    world.do("block-job-set-speed", device="j", speed=0)
    assert world.status() == "paused"
    world.do("job-resume", id="j")
    world.run()
    assert world.statuses()[-1] == "null"
    world.close()


def test_a_pause_during_a_slice_waits_for_its_end(monkeypatch):
    """Nothing is copied twice and nothing left out when a pause meets a slice of work."""
    monkeypatch.setattr(blockjob, "TURN_NS", 0)  # one step, however fast it is
    world = chain(size=16 * MIB, data=[(0, 16 * MIB, 7)])
    before = view(world, "c3")
    world.commit("c3", "c2", "c0")
    world.loop.settle()
    assert world.loop.work
    answers = world.submit("job-pause", id="j")
    assert answers == []  # commands wait until the slice is home
    world.idle()
    assert answers == [({}, None)]
    assert world.status() == "paused"
    world.do("job-resume", id="j")
    world.run()
    assert view(world, "c3") == before
    world.close()


@pytest.mark.parametrize("verb", ["job-cancel", "block-job-cancel"])
def test_a_cancelled_commit_leaves_the_chain_as_it_was(verb):
    """Graph, headers and modes are those of before; what was copied stays in the base."""
    world = chain(size=4 * MIB, data=[(0, 3 * MIB, 7)])
    before = snapshot(world.machine)
    data = view(world, "c3")
    world.commit("c3", "c2", "c0", speed=1)
    world.idle()
    member = "id" if verb == "job-cancel" else "device"
    world.do(verb, **{member: "j"})
    world.run()
    after = snapshot(world.machine)
    changed = {path for path in after["images"] if after["images"][path] != before["images"][path]}
    assert changed <= {"c0"}
    before.pop("images")
    after.pop("images")
    assert after == before
    assert view(world, "c3") == data
    assert "BLOCK_JOB_CANCELLED" in world.event_names()
    world.close()


# --- the end ---------------------------------------------------------------------------------


def test_the_order_of_the_end(monkeypatch):
    """The data are durable, then the header points to the base, then the base is read-only."""
    world = chain()
    log = []
    image = type(world.node("c0").driver.image)
    names = {world.node(name).driver.image: name for name in CHAIN}

    def watch(method):
        real = getattr(image, method)

        def wrapper(self, *arguments, **keywords):
            result = real(self, *arguments, **keywords)
            log.append((method, names[self]))
            return result

        monkeypatch.setattr(image, method, wrapper)

    for method in ("flush", "update_backing"):
        watch(method)
    world.policy.hooks.append(lambda path, flags: log.append((flags & os.O_ACCMODE, path)))
    world.commit("c3", "c2", "c0", auto_finalize=False)
    world.run()
    assert ("flush", "c0") in log
    log.clear()
    world.do("job-finalize", id="j")
    # The overlay c3 is writable already. Flushes of a reopen come with it.
    steps = [entry for entry in log if entry[0] != "flush"]
    assert steps == [("update_backing", "c3"), (os.O_RDONLY, "c0")]
    world.close()


def test_a_read_only_overlay_is_opened_for_its_header_only():
    """c2's header changes though it is read-only; afterwards it is as before."""
    world = chain()
    opened = []
    world.commit("c3", "c1", "c0", auto_finalize=False)
    world.run()
    world.policy.hooks.append(lambda path, flags: opened.append((path, flags & os.O_ACCMODE)))
    world.do("job-finalize", id="j")
    assert opened == [("c2", os.O_RDWR), ("c2", os.O_RDONLY), ("c0", os.O_RDONLY)]
    assert world.node("c2").flags.read_only
    assert world.node("c2").driver.backing_file == "c0"
    check(world.machine)
    world.close()


def test_what_a_commit_leaves():
    """The filter is gone, the base read-only, the overlay on the base, the data the same."""
    world = chain()
    before = view(world, "c3")
    world.commit("c3", "c2", "c0", filter_node_name="flt")
    world.run()
    assert "flt" not in world.graph.nodes
    assert world.node("c0").flags.read_only
    assert world.node("s-c0").driver.access_mode == "r"
    assert world.node("c3").backing is world.node("c0")
    assert world.node("c2").parents == []
    assert view(world, "c3") == before
    check(world.machine)
    assert world.delete_everything() == []
    world.close()


def test_a_base_that_was_writable_stays_writable():
    world = World()
    world.images(CHAIN)
    below = None
    for name in CHAIN:
        world.add_file(f"s-{name}", name, auto_read_only=True)
        given = {"file": f"s-{name}", "backing": below}
        world.do("blockdev-add", driver="qcow2", node_name=name, **given)
        below = name
    world.commit("c3", "c2", "c0")
    world.run()
    assert not world.node("c0").flags.read_only
    assert world.node("s-c0").driver.access_mode == "rw"
    world.close()


def test_nodes_stay_held_until_the_job_is_dismissed():
    """With auto-dismiss=false the committed nodes keep their locks and cannot be deleted."""
    world = chain()
    world.commit("c3", "c2", "c0", auto_dismiss=False)
    world.run()
    assert world.status() == "concluded"
    assert "busy" in world.refusal("blockdev-del", node_name="c2")
    world.do("job-dismiss", id="j")
    world.do("blockdev-del", node_name="c2")
    check(world.machine)
    world.close()


FINALIZE_FAILS = {
    "no write access": ("Operation not permitted", {}),
    "1023 bytes": (None, {"backing_file": "x" * 1023}),
    "1024 bytes": ("Invalid argument", {"backing_file": "x" * 1024}),
    "empty": (None, {"backing_file": ""}),
}


@pytest.mark.parametrize("case", FINALIZE_FAILS)
@pytest.mark.parametrize("finalize", [True, False])
def test_a_header_that_cannot_be_written(case, finalize):
    """The job fails, nothing else: graph on the base, header as it was, base read-only."""
    error, more = FINALIZE_FAILS[case]
    world = chain()
    before = view(world, "c2")
    world.commit("c3", "c1", "c0", auto_finalize=finalize, auto_dismiss=False, **more)
    if case == "no write access":
        world.policy.deny_write("c2")
    world.run()
    if not finalize:
        world.do("job-finalize", id="j")
    (info,) = world.do("query-jobs")
    assert info["status"] == "concluded"
    assert info.get("error") == error
    assert ("aborting" in world.statuses()) == bool(error)
    expected = "c1" if error else more["backing_file"]
    assert world.node("c2").driver.backing_file == expected
    assert world.node("c2").driver.image.backing_file == expected
    assert world.node("c2").backing is world.node("c0")
    assert world.node("c2").flags.read_only
    assert world.node("c0").flags.read_only
    assert view(world, "c2") == before
    assert not [name for name, node in world.graph.nodes.items() if node.driver.is_filter]
    world.do("job-dismiss", id="j")
    check(world.machine)
    assert world.delete_everything() == []
    world.close()


def test_the_switch_to_the_base_fails(monkeypatch):
    """The last refresh of permissions fails: aborted, and the graph is as before the job."""
    world = chain()
    before = snapshot(world.machine)
    world.commit("c3", "c2", "c0", auto_finalize=False)
    world.run()
    fails = [QmpError("not now")]
    real = commit.replace_node

    def replace(*arguments, **keywords):
        if fails:
            raise fails.pop()
        real(*arguments, **keywords)

    monkeypatch.setattr(commit, "replace_node", replace)
    world.do("job-finalize", id="j")
    assert fails == []
    assert world.statuses()[-3:] == ["aborting", "concluded", "null"]
    assert dict(world.events)["BLOCK_JOB_COMPLETED"]["error"]
    after = snapshot(world.machine)
    for found in (before, after):
        del found["images"], found["nodes"]["s-c0"]["size"]  # what was copied stays
    assert after == before
    check(world.machine)
    world.close()


# --- errors while copying ----------------------------------------------------------------------


class Failing:
    """Makes data that go into one image fail while ``code`` is set.

    Whether the kernel copies them from file to file, or a buffer is written.
    """

    def __init__(self, monkeypatch, path, code, *, offload):
        self.path, self.code, self.hits = path, code, 0
        if offload:
            real_copy = os.copy_file_range

            def copy(source, target, *arguments):
                self._strike(os.readlink(f"/proc/self/fd/{target}") == f"/memfd:{path} (deleted)")
                return real_copy(source, target, *arguments)

            monkeypatch.setattr(os, "copy_file_range", copy)
            return
        real_write = FileDriver.pwrite

        def pwrite(driver, offset, data):
            self._strike(driver.path == self.path)
            return real_write(driver, offset, data)

        monkeypatch.setattr(FileDriver, "pwrite", pwrite)
        monkeypatch.setattr(FileDriver, "locate", lambda *_: None)

    def _strike(self, here):
        if here and self.code:
            self.hits += 1
            raise OSError(self.code, os.strerror(self.code))


POLICIES = [
    # policy, errno, action, what becomes of the job
    ("report", errno.ENOSPC, "report", "failed"),
    ("report", errno.EIO, "report", "failed"),
    ("stop", errno.ENOSPC, "stop", "nospace"),
    ("stop", errno.EIO, "stop", "failed"),
    ("enospc", errno.ENOSPC, "stop", "nospace"),
    ("enospc", errno.EIO, "report", "failed"),
    ("ignore", errno.EIO, "ignore", "goes on"),
    ("ignore", errno.ENOSPC, "ignore", "goes on"),
]


@pytest.mark.parametrize(("policy", "code", "action", "outcome"), POLICIES)
@pytest.mark.parametrize("active", [False, True])
@pytest.mark.parametrize("offload", [False, True])
def test_policies(monkeypatch, policy, code, action, outcome, active, offload):
    """What each policy makes of each error, that a retry works, and that no byte is lost."""
    world = chain(size=4 * MIB, data=[(0, 3 * MIB, 9)])
    before = view(world, "c3")
    failing = Failing(monkeypatch, "c0", code, offload=offload)
    top = "c3" if active else "c2"
    world.commit("c3", top, "c0", on_error=policy, auto_dismiss=False)
    for _ in range(50):
        world.loop.settle()
        if failing.hits and (action != "ignore" or failing.hits > 3):
            break
        if world.loop.work:
            world.loop.finish_work()
    if action == "ignore":
        failing.code = 0
    world.idle()
    told = [data for name, data in world.events if name == "BLOCK_JOB_ERROR"]
    assert told
    at_once = 3 if active else 1  # pieces of a mirror; each tells of its failure
    assert all(t == {"device": "j", "operation": "write", "action": action} for t in told)
    if action == "report":
        assert len(told) == at_once
        assert job_info(world)["error"] == os.strerror(code)
        assert world.status() == "concluded"
    elif action == "stop":
        info = job_info(world)
        assert (info["status"], info["io-status"], info["paused"]) == ("paused", outcome, True)
        world.do("job-resume", id="j")
        world.idle()
        assert world.status() == "paused"
        assert world.event_names().count("BLOCK_JOB_ERROR") == 2 * at_once
        failing.code = 0
        world.do("job-resume", id="j")
        assert job_info(world)["io-status"] == "ok"
    world.run()
    if action != "report":
        if active:
            assert world.status() == "ready"
            world.do("job-complete", id="j")
            world.run()
        assert world.status() == "concluded"
        assert "error" not in job_info(world)
        assert view(world, "c0" if active else "c3") == before
    assert view(world, "c3") == before
    check(world.machine)
    world.do("job-dismiss", id="j")
    check(world.machine)
    world.close()


def test_a_stopped_job_can_be_cancelled(monkeypatch):
    world = chain()
    Failing(monkeypatch, "c0", errno.ENOSPC, offload=True)
    world.commit("c3", "c2", "c0", on_error="stop")
    world.idle()
    assert world.status() == "paused"
    world.do("block-job-cancel", device="j", force=True)
    world.run()
    assert world.statuses()[-4:] == ["running", "aborting", "concluded", "null"]
    check(world.machine)
    world.close()


def test_reading_fails(monkeypatch):
    """An unreadable layer is a read error, and the job fails with it."""
    world = chain(data=[(0, 64 * KIB, 3)])
    real = FileDriver.pread

    def pread(driver, offset, length):
        if driver.path == "c2" and world.machine.jobs.jobs:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(driver, offset, length)

    monkeypatch.setattr(FileDriver, "pread", pread)
    monkeypatch.setattr(FileDriver, "locate", lambda *_: None)
    world.commit("c3", "c2", "c0")
    world.run()
    events = dict(world.events)
    assert events["BLOCK_JOB_ERROR"]["operation"] == "read"
    assert events["BLOCK_JOB_COMPLETED"]["error"] == "Input/output error"
    check(world.machine)
    world.close()


@pytest.mark.parametrize("active", [False, True])
def test_a_base_that_cannot_grow(active):
    """null-co has a fixed size: the job fails with ENOTSUP instead of hanging."""
    world = World()
    world.image("m", format="qcow2", size=2 * MIB, data=[(0, 64 * KIB, 1)])
    world.image("t", format="qcow2", size=2 * MIB)
    world.do("blockdev-add", driver="null-co", node_name="b", size=MIB)
    for name, below in (("m", "b"), ("t", "m")):
        file = {"driver": "file", "filename": name}
        world.do("blockdev-add", driver="qcow2", node_name=name, file=file, backing=below)
    try:
        world.commit("t", "t" if active else "m", "b", auto_dismiss=False)
        world.run()
        assert job_info(world)["error"] == os.strerror(errno.EOPNOTSUPP)
    finally:
        world.close()


def test_a_smaller_base_grows():
    """Its size is the top's at the end, and the bytes behind its old end are the top's."""
    world = World()
    world.image("b", format="qcow2", size=MIB, data=[(0, MIB, 1)])
    world.image("m", format="qcow2", size=3 * MIB, backing="b", data=[(2 * MIB, 64 * KIB, 2)])
    world.image("t", format="qcow2", size=3 * MIB, backing="m")
    world.add_chain(["b", "m", "t"])
    before = view(world, "t")
    world.commit("t", "m", "b")
    world.run()
    assert world.node("b").driver.length() == 3 * MIB
    assert view(world, "t") == before
    world.close()


# --- the machine goes away -----------------------------------------------------------------------


@pytest.mark.parametrize("active", [False, True])
@pytest.mark.parametrize("until", ["start", "slice", "sleep", "end"])
def test_quitting_ends_jobs_first(active, until):
    """Whatever the job does: it ends as cancelled, then everything is closed."""
    start = descriptors()
    world = chain(size=4 * MIB, data=[(0, 3 * MIB, 7)])
    speed = 1 if until == "sleep" else 0
    world.commit(
        "c3", "c3" if active else "c2", "c0", speed=speed, auto_finalize=False, auto_dismiss=False
    )
    if until == "slice":
        world.loop.settle()
        assert world.loop.work
    elif until == "sleep":
        world.idle()
    elif until == "end":
        world.run()
    ended = []
    world.machine.on_quit = lambda: ended.append(world.statuses()[-1])
    if world.loop.work:
        world.machine.quit("host-signal")
        world.run()
    else:
        answers = world.submit("quit")
        world.run()
        assert answers == [({}, None)]
    assert ended == ["null"]
    assert not world.machine.jobs.jobs
    world.close()
    assert descriptors() == start


@pytest.mark.parametrize("finalize", [True, False])
def test_closing_a_machine_with_a_job_leaves_no_descriptor(finalize):
    """A test that ends in the middle of a job closes the machine without quitting."""
    start = descriptors()
    world = chain()
    world.commit("c3", "c2", "c0", auto_finalize=finalize)
    if not finalize:
        world.run()
    world.close()
    left = descriptors()
    for fd in set(left) - set(start):
        os.close(fd)
    assert left == start
