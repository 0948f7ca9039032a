"""A machine that a test drives by hand: images in RAM, time and worker thread stepped."""

from __future__ import annotations

import copy
import heapq
import json

import pytest

from qmpd.commands.dispatch import Encoded
from qmpd.errors import QmpError
from qmpd.machine import STORAGE_DAEMON, Machine
from qmpd.protocol.messages import Request
from qmpd.scenario import ImageSpec, make_image
from qmpd.schema.visitor import visit_arguments
from qmpd.storage.memory import MemoryStorage
from qmpd.storage.policy import AccessPolicy

MIB = 1 << 20
KIB = 1 << 10


class _Timer:
    def __init__(self, when, number, action):
        self.key = (when, number)
        self.action = action
        self.cancelled = False

    def __lt__(self, other):
        return self.key < other.key

    def cancel(self):
        self.cancelled = True


class Stepped:
    """A scheduler in which nothing happens unless a test says so."""

    def __init__(self):
        self.time = 0
        self._number = 0
        self._timers = []
        self._soon = []
        self.work = []
        """What is on the worker thread: (function, done), oldest first."""

    def now(self):
        return self.time

    def wall(self):
        return self.time

    def call_later(self, delay, action):
        self._number += 1
        timer = _Timer(self.time + max(delay, 0), self._number, action)
        heapq.heappush(self._timers, timer)
        return timer

    def call_soon(self, action):
        self._soon.append(action)

    def submit(self, work, done):
        self.work.append((work, done))

    def close(self):
        self.work.clear()

    # --- what tests do -----------------------------------------------------------------

    def round(self):
        """One round of the loop: what was put off, and what is due."""
        soon, self._soon = self._soon, []
        for action in soon:
            action()
        while self._timers and self._timers[0].key[0] <= self.time:
            timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                timer.action()
        return bool(self._soon) or bool(
            self._timers and not self._timers[0].cancelled and self._timers[0].key[0] <= self.time
        )

    def settle(self):
        """Rounds until there is nothing to do but work and waiting."""
        for _ in range(10000):
            if not self.round() and not self._soon:
                return
        raise AssertionError("the loop does not come to rest")

    def finish_work(self):
        """The oldest slice on the worker thread runs and reports."""
        work, done = self.work.pop(0)
        value = error = None
        try:
            value = work()
        except BaseException as failure:  # noqa: BLE001 - handed on as the real thread does
            error = failure
        done(value, error)

    def sleep(self):
        """Let the clock run to the next timer; False if there is none."""
        while self._timers and self._timers[0].cancelled:
            heapq.heappop(self._timers)
        if not self._timers:
            return False
        self.time = max(self.time, self._timers[0].key[0])
        return True


class _Listener:
    """What the machine takes for a monitor: collects events."""

    def __init__(self, events):
        self._events = events

    def send_event(self, name, data, wall):
        del wall
        self._events.append((name, data))

    def close(self):
        """Nothing is open."""


class Refused(Exception):  # noqa: N818 - it is a reply, not a failure of the test
    """A command's error reply."""

    def __init__(self, error):
        super().__init__(error.desc)
        self.error_class = error.error_class
        self.desc = error.desc


class World:
    """One machine with images in RAM."""

    def __init__(self, storage=None, program=STORAGE_DAEMON):
        self.storage = storage or MemoryStorage(AccessPolicy())
        self.machine = Machine(program=program, storage=self.storage, digits=iter(lambda: 7, None))
        self.loop = Stepped()
        self.machine.scheduler = self.machine.jobs.scheduler = self.loop
        self.events = []
        self.machine.monitors.append(_Listener(self.events))

    @property
    def graph(self):
        return self.machine.graph

    @property
    def policy(self):
        return self.storage.policy

    def node(self, name):
        return self.graph.nodes[name]

    # --- images ------------------------------------------------------------------------

    def image(self, path, **settings):
        """Make an image; ``data`` is a list of (offset, length, pattern)."""
        data = settings.pop("data", [])
        settings = {key.replace("_", "-"): value for key, value in settings.items()}
        settings["data"] = [
            {"offset": offset, "length": length, "pattern": pattern}
            for offset, length, pattern in data
        ]
        make_image(self.storage, ImageSpec(path, {"size": MIB, **settings}))

    def images(self, names, *, size=MIB, data=True):
        """A chain of headers, base first; layer *i* has its own 64 KiB at *i* · 64 KiB."""
        below = None
        for number, name in enumerate(names):
            own = [(number * 64 * KIB, 64 * KIB, number + 1)] if data else []
            self.image(name, format="qcow2", size=size, backing=below, data=own)
            below = name

    # --- commands ----------------------------------------------------------------------

    def submit(self, command, **arguments):
        """Hand in a command; the list gets (value, error) when it is answered."""
        answers = []
        given = {key.replace("_", "-"): value for key, value in arguments.items()}
        request = Request(command, given)
        before = copy.deepcopy(given)
        self.machine.dispatcher.submit(request, lambda *answer: answers.append(answer))
        # Whoever sends the same again gets what was visited this time.
        if request.visited is not None and self.machine.profile is None:
            assert request.visited == visit_arguments(command, before)
        return answers

    def do(self, command, **arguments):
        """Execute a command now; raises :class:`Refused`."""
        answers = self.submit(command, **arguments)
        assert answers, f"{command} waits for the worker thread"
        value, error = answers[0]
        if error is not None:
            raise Refused(error)
        return json.loads(value.data) if isinstance(value, Encoded) else value

    def refusal(self, command, **arguments):
        """Execute a command that must fail; its text."""
        with pytest.raises(Refused) as caught:
            self.do(command, **arguments)
        assert not caught.value.desc.startswith("Internal error"), caught.value.desc
        return caught.value.desc

    def add_file(self, name, path, **more):
        self.do("blockdev-add", driver="file", node_name=name, filename=path, **more)

    def add_chain(self, names, *, writable_top=True):
        """Separate nodes for a chain of images, base first: ``s-x`` below each ``x``."""
        below = None
        for name in names:
            self.add_file(f"s-{name}", name, auto_read_only=True)
            read_only = not (writable_top and name == names[-1])
            self.do(
                "blockdev-add",
                driver="qcow2",
                node_name=name,
                file=f"s-{name}",
                backing=below,
                read_only=read_only,
            )
            below = name

    def commit(self, device, top, base, **more):
        self.do("block-commit", job_id="j", device=device, top_node=top, base_node=base, **more)

    @property
    def job(self):
        return self.machine.jobs.jobs["j"]

    def status(self):
        """The status of job ``j``, None if there is none."""
        job = self.machine.jobs.jobs.get("j")
        return job.status if job is not None else None

    # --- time --------------------------------------------------------------------------

    def run(self, *, steps=100000):
        """Let work and time go on until nothing is left to do."""
        for _ in range(steps):
            self.loop.settle()
            if self.loop.work:
                self.loop.finish_work()
            elif not self.loop.sleep():
                return
        raise AssertionError("it goes on and on")

    def idle(self):
        """Bring slices home until the job sleeps, waits or has ended; the clock stands."""
        self.loop.settle()
        while self.loop.work:
            self.loop.finish_work()
            self.loop.settle()

    def statuses(self, job="j"):
        """The states that a job went through."""
        return [
            data["status"]
            for name, data in self.events
            if name == "JOB_STATUS_CHANGE" and data["id"] == job
        ]

    def event_names(self):
        return [name for name, _ in self.events]

    # --- the end -----------------------------------------------------------------------

    def delete_everything(self):
        """Delete the monitor's nodes, users of others first."""
        while True:
            left = [name for name, node in self.graph.nodes.items() if node.monitor_owned]
            gone = 0
            for name in reversed(left):
                try:
                    self.do("blockdev-del", node_name=name)
                except Refused:
                    continue
                gone += 1
            if not gone:
                return left

    def close(self):
        self.machine.close()


__all__ = ["KIB", "MIB", "QmpError", "Refused", "Stepped", "World"]
