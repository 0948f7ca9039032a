"""The graph stays still while a slice of work is on the worker thread."""

import pytest

from qmpd.jobs.job import Job, Sleep, Work
from qmpd.jobs.manager import JobManager, well_formed
from tests.machine.world import Stepped


class Worker(Job):
    """A job of a few slices that says what it does."""

    type = "test"

    def __init__(self, manager, job_id, log, slices=3, **more):
        super().__init__(manager, job_id, **more)
        self.log = log
        self.slices = slices

    def run(self):
        for number in range(self.slices):
            yield Sleep(1000)
            yield Work(lambda number=number: self.log.append((self.id, number)))

    def prepare(self):
        self.log.append((self.id, "finalize"))
        return 0


@pytest.fixture
def shop():
    loop = Stepped()
    log = []
    manager = JobManager(
        loop, lambda name, data: log.append((name, data)), loop.call_soon, loop.call_soon
    )
    return loop, manager, log


def begin(manager, name, log, **more):
    job = Worker(manager, name, log, **more)
    manager.create(job)
    job.start()
    return job


def to_work(loop):
    while not loop.work:
        assert loop.sleep()
        loop.settle()


def test_at_rest_an_action_happens_at_once(shop):
    _, manager, _ = shop
    done = []
    manager.when_quiet(lambda: done.append(manager.quiet))
    assert done == [True]


def test_an_action_waits_for_the_slice(shop):
    loop, manager, log = shop
    begin(manager, "a", log)
    to_work(loop)
    done = []
    manager.when_quiet(lambda: done.append(manager.quiet))
    assert done == []
    loop.finish_work()
    assert done == [True]


def test_actions_keep_their_order(shop):
    loop, manager, log = shop
    begin(manager, "a", log)
    to_work(loop)
    done = []
    for number in range(5):
        manager.when_quiet(lambda number=number: done.append(number))
    loop.finish_work()
    assert done == list(range(5))


def test_an_action_waits_for_every_job(shop):
    """Two jobs with a slice each: the action comes when both are home, and nobody goes on first."""
    loop, manager, log = shop
    begin(manager, "a", log)
    begin(manager, "b", log)
    to_work(loop)
    loop.settle()
    assert len(loop.work) == 2
    done = []
    manager.when_quiet(lambda: done.append(len(loop.work)))
    loop.finish_work()
    loop.settle()
    assert done == []
    loop.finish_work()
    assert done == [0]


def test_the_jobs_go_on_afterwards(shop):
    loop, manager, log = shop
    begin(manager, "a", log)
    begin(manager, "b", log)
    for _ in range(100):
        loop.settle()
        if loop.work:
            manager.when_quiet(lambda: None)
            loop.finish_work()
        elif not loop.sleep():
            break
    slices = [entry for entry in log if isinstance(entry[1], int)]
    assert sorted(slices) == [(name, number) for name in "ab" for number in range(3)]
    assert not manager.jobs


def test_an_action_that_starts_work_holds_the_next_one(shop):
    """A command wakes a job, which goes to the worker: the next action has to wait for it."""
    loop, manager, log = shop
    begin(manager, "a", log)
    to_work(loop)
    seen = []

    def wake():
        job = Worker(manager, "b", log)
        job.run = _immediate
        manager.create(job)
        job.start()

    manager.when_quiet(wake)
    manager.when_quiet(lambda: seen.append(manager.quiet))
    loop.finish_work()
    while loop.work:
        loop.finish_work()
        loop.settle()
    assert seen == [True]


def _immediate():
    yield Work(lambda: None)


def test_results_after_the_end_go_nowhere(shop):
    loop, manager, log = shop
    begin(manager, "a", log)
    to_work(loop)
    manager.close()
    count = len(log)
    loop.finish_work()
    loop.settle()
    assert log[count:] == [("a", 0)]  # the slice itself ran; nobody heard of it


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("j", True),
        ("J1-._", True),
        ("", False),
        ("1j", False),
        ("_j", False),
        ("j/", False),
        ("j j", False),
        ("jé", False),
        ("x" * 1000, True),
    ],
)
def test_identifiers(name, good):
    assert well_formed(name) is good
