"""Drained sections: jobs stop at their next pause point, and go on when the section ends.

A section wakes a job that sleeps for its rate limit, so that each one takes the job a step
further (observed on QEMU 7.2). What a job sets off when a section ends is not done before the
next section begins, or before the command that drains is over: the command changes the graph
meanwhile, and has to see in which order things happen.
"""

from __future__ import annotations

from qmpd.block.node import Node
from qmpd.jobs.manager import nothing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from qmpd.jobs.job import Job
    from qmpd.jobs.manager import JobManager


class Drains:
    """The drained sections of a machine, and the slices of work that wait for their end."""

    __slots__ = ("_kept", "_manager")

    def __init__(self, manager: JobManager) -> None:
        self._manager = manager
        self._kept: dict[Job, Callable[[], Any]] | None = None
        """Slices that jobs have set off since a section of the present command began."""

    def begin(self, nodes: Iterable[Node]) -> Callable[[], None]:
        """Bring all jobs on ``nodes`` and above them to rest; the result lets them go on."""
        if self._kept is None:
            self._kept = {}
            self._manager.afterwards(self._release)
        if self._manager.at_rest():  # as most often: who drains is the only job
            return nothing
        jobs = [job for job in jobs_above(self._manager, nodes) if job.begin_drain()]
        for job in jobs:
            self._bring_to_rest(job)

        def end() -> None:
            for job in jobs:
                job.end_drain()

        return end

    def let_pass(self) -> None:
        """Let the time pass that I/O takes: what limited jobs have set off comes to its end."""
        limited = [job for job in self._manager.jobs.values() if job.rate.speed]
        while self._kept is not None and limited:
            limited = [job for job in limited if self._step(job)]

    def keeps(self, job: Job, work: Callable[[], Any]) -> bool:
        """Whether a slice has to wait for the end of the present command."""
        if self._kept is None:
            return False
        self._kept[job] = work
        return True

    def _release(self) -> None:
        kept, self._kept = self._kept, None
        for job, work in (kept or {}).items():
            self._manager.submit(job, work)

    def _bring_to_rest(self, job: Job) -> None:
        while job.busy and self._step(job):
            pass
        self._manager.complete(job)

    def _step(self, job: Job) -> bool:
        """Take a job to its next stop; False if nothing is under way."""
        work = None if self._kept is None else self._kept.pop(job, None)
        if work is None:
            return job.end_short_sleep() or self._manager.deliver(job)
        job.hurried = True
        try:
            value, failure = work(), None
        except Exception as error:  # noqa: BLE001 - handed to the one who asked, as by the worker
            value, failure = None, error
        job.work_done(value, failure)
        return True


def jobs_above(manager: JobManager, nodes: Iterable[Node]) -> Iterable[Job]:
    """The jobs on ``nodes`` and all above them, node by node."""
    seen = set()
    found: dict[Job, None] = {}
    for node in nodes:
        work = [node]
        while work:
            here = work.pop()
            if here in seen:
                continue
            seen.add(here)
            for edge in here.parents:
                parent = edge.parent
                if isinstance(parent, Node):
                    work.append(parent)
                elif parent.kind == "block-job":
                    found[manager.jobs[parent.label]] = None
    return found
