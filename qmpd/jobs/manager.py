"""All jobs of a machine: ids, groups that finish together, and the worker thread.

The graph is touched only on the event loop. While a slice of a job's work is on the
worker thread, whoever wants to change the graph waits for it (:meth:`when_quiet`).
"""

from __future__ import annotations

import errno

from qmpd.block.driver import warn
from qmpd.errors import DeviceNotActive, QmpError
from qmpd.jobs import states, wording

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Protocol

    from qmpd.block.node import Node
    from qmpd.jobs.drains import Drains
    from qmpd.jobs.job import Job
    from qmpd.lab.levers import Levers

    class Timer(Protocol):
        """Something that was scheduled and can be called off."""

        def cancel(self) -> None:
            """It will not happen."""

    class Scheduler(Protocol):
        """Time and the worker thread, as the event loop offers them."""

        def now(self) -> int:
            """Nanoseconds of a clock that never goes back."""

        def call_later(self, delay: int, action: Callable[[], None]) -> Timer:
            """Call ``action`` on the loop in ``delay`` nanoseconds."""

        def call_soon(self, action: Callable[[], None]) -> None:
            """Call ``action`` on the loop in its next round."""

        def submit(
            self,
            work: Callable[[], Any],
            done: Callable[[Any, BaseException | None], None],
        ) -> None:
            """Call ``work`` on the worker thread, then ``done`` on the loop."""


_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_REST = _FIRST | frozenset("0123456789-._")


def nothing() -> None:
    """End a section without jobs in it."""


def well_formed(name: str) -> bool:
    """Whether ``name`` follows QEMU's rules for identifiers."""
    return bool(name) and name[0] in _FIRST and _REST.issuperset(name)


class JobManager:
    """Every job, from its creation to its dismissal."""

    def __init__(
        self,
        scheduler: Scheduler,
        emit: Callable[[str, dict[str, Any]], None],
        later: Callable[[Callable[[], None]], None],
        afterwards: Callable[[Callable[[], None]], None],
    ) -> None:
        self.scheduler = scheduler
        self.emit = emit
        self.later = later
        """Run an action after the present command, before its reply."""
        self.afterwards = afterwards
        """Run an action behind the reply of the present command, before the next one."""
        self.jobs: dict[str, Job] = {}
        """By id, oldest first."""
        self._busy: set[Job] = set()
        self._waiting: list[Callable[[], None]] = []
        self._held: dict[Job, Callable[[], None]] = {}
        """What tells a job that it may go on, as long as that has to wait."""
        self._due: set[Job] = set()
        """Jobs whose work has ended, but of which nobody has taken notice yet."""
        self._drains: Drains | None = None
        self._ending: Callable[[], None] | None = None
        """What to do when the last job has ended; set when the machine is told to quit."""
        self.closed = False
        self.levers: Levers | None = None
        self.die: Callable[[], None] | None = None
        """Ends the machine without a word, for levers and for profiles that crash."""
        self.nested_update_aborts = False
        """Whether a job that :attr:`Job.nests_updates` kills the machine when it is finalized."""

    # --- finding -----------------------------------------------------------------------

    def find(self, job_id: str) -> Job:
        """The job called ``job_id``.

        Raises:
            QmpError: there is none.
        """
        job = self.jobs.get(job_id)
        if job is None:
            raise QmpError(wording.JOB_NOT_FOUND)
        return job

    def find_block_job(self, job_id: str) -> Job:
        """The same for commands that know only block jobs.

        Raises:
            DeviceNotActive: there is none.
        """
        job = self.jobs.get(job_id)
        if job is None:
            raise DeviceNotActive(wording.block_job_not_found(job_id))
        return job

    # --- life --------------------------------------------------------------------------

    def create(self, job: Job) -> None:
        """Enter a job under its id.

        Raises:
            QmpError: the id is malformed or taken.
        """
        if not well_formed(job.id):
            raise QmpError(wording.invalid_id(job.id))
        if job.id in self.jobs:
            raise QmpError(wording.id_in_use(job.id))
        self.jobs[job.id] = job
        job.move(states.CREATED)

    def forget(self, job: Job) -> None:
        """A job that failed before its start, or was dismissed, is gone."""
        if self.levers is not None:
            self.levers.forget(job.id)
        job.free()
        job.move(states.NULL)
        self.jobs.pop(job.id, None)
        if self._ending is not None:
            self.later(self._end_next)

    def ended(self, job: Job) -> None:
        """The work of ``job`` has ended: it will be completed after the present command."""
        self._due.add(job)
        self.later(lambda: self.complete(job))

    def complete(self, job: Job) -> None:
        """Take notice of it if the work of ``job`` has ended."""
        if job in self._due:
            self._due.discard(job)
            self.completed(job)

    def completed(self, job: Job) -> None:
        """The work of ``job`` has ended, well or not."""
        if self.closed:
            return
        if not job.code and job.force_cancelled:
            job.fail(errno.ECANCELED)
        if job.code:
            self.reach(job, states.ABORTING, lambda: self.when_quiet(lambda: self.abort(job)))
        else:
            self.reach(job, states.WAITING, lambda: self._wait(job))

    def _wait(self, job: Job) -> None:
        job.move(states.WAITING)
        self.reach(job, states.PENDING, lambda: self._pend(job))

    def _pend(self, job: Job) -> None:
        job.move(states.PENDING)
        if not job.auto_finalize:
            self.emit("BLOCK_JOB_PENDING", {"type": job.type, "id": job.id})
        else:
            self.when_quiet(lambda: self.finalize(job))

    def finalize(self, job: Job) -> None:
        """Make the job's result final, or abort it when that fails."""
        self.reach(job, states.CONCLUDED, lambda: self._finalize(job))

    def _finalize(self, job: Job) -> None:
        if job.status != states.PENDING:
            return  # cancelled while it waited for another job's slice
        if self.nested_update_aborts and job.nests_updates and self.die is not None:
            warn(wording.ASSERTION)
            self.die()
            return
        code = job.prepare()
        if code:
            job.fail(code)
            self.abort(job)
        else:
            self._conclude(job)

    def abort(self, job: Job) -> None:
        """End a job that failed or was cancelled."""
        if job.status == states.CONCLUDED:
            return
        if not job.code:
            job.fail(errno.ECANCELED)
        job.move(states.ABORTING)
        job.abort()
        self._conclude(job)

    def _conclude(self, job: Job) -> None:
        job.clean()
        if job.started:
            self._tell_end(job)
        job.move(states.CONCLUDED)
        if job.auto_dismiss or not job.started:
            self.reach(job, states.NULL, lambda: self.forget(job))

    def _tell_end(self, job: Job) -> None:
        data: dict[str, Any] = self.event_data(job)
        if job.force_cancelled:
            self.emit("BLOCK_JOB_CANCELLED", data)
            return
        if job.error:
            data["error"] = job.error
        self.emit("BLOCK_JOB_COMPLETED", data)

    @staticmethod
    def event_data(job: Job) -> dict[str, Any]:
        """What the block job events say of a job."""
        return {
            "type": job.type,
            "device": job.id,
            "len": job.total,
            "offset": job.current,
            "speed": job.rate.speed,
        }

    # --- levers ------------------------------------------------------------------------

    def reach(self, job: Job, status: str, then: Callable[[], None]) -> None:
        """Go on with ``then``, which takes ``job`` to ``status``, unless a lever holds it."""
        levers = self.levers
        if levers is None or not levers.holds(job.id, status):
            then()
            return
        here = job.status

        def resume() -> None:
            if job.status == here and self.jobs.get(job.id) is job:
                self.when_quiet(then)

        levers.stop(job.id, status, resume)

    def is_held(self, job: Job, status: str) -> bool:
        """Whether ``job``, which waits in its work, may not go to ``status`` yet."""
        if self.levers is None or not self.levers.holds(job.id, status):
            return False
        self.levers.stop(job.id, status, job.enter)
        return True

    def chunk_delay(self, job: Job, delay: int) -> int | None:
        """Nanoseconds to wait before the next chunk; None: until a lever lets it go."""
        levers = self.levers
        progress = levers.progress(job.id) if levers is not None else None
        if levers is None or progress is None:
            return delay
        if progress.mode == "timed":
            return max(delay, progress.delay)
        return 0 if levers.may_go(job.id) else None

    def may_go(self, job: Job) -> bool:
        """Whether ``job``, which waits for a lever before its next chunk, may go on."""
        return self.levers is None or self.levers.may_go(job.id)

    @property
    def stepwise(self) -> bool:
        """Whether somebody wants to see single chunks."""
        return self.levers is not None

    def tell_status(self, job: Job) -> None:
        """``job`` has a new state."""
        levers = self.levers
        if levers is not None:
            levers.journal.add("transition", job=job.id, status=job.status)
            levers.forget(job.id)
        self.emit("JOB_STATUS_CHANGE", {"id": job.id, "status": job.status})
        if levers is not None and levers.kills(job.id, job.status) and self.die is not None:
            self.die()

    def at_rest(self) -> bool:
        """Whether no job has anything to do: none has begun yet, or its work is over."""
        for job in self.jobs.values():
            if job.started and (not job.done or job in self._due):
                return False
        return True

    def begin_drain(self, nodes: Iterable[Node]) -> Callable[[], None]:
        """Begin a drained section of ``nodes`` and all above them; the result ends it."""
        if not self.jobs:
            return nothing
        if self._drains is None:
            from qmpd.jobs.drains import Drains

            self._drains = Drains(self)
        return self._drains.begin(nodes)

    def let_pass(self) -> None:
        """Let the time pass that I/O of a command takes."""
        if self._drains is not None:
            self._drains.let_pass()

    # --- the worker thread -------------------------------------------------------------

    def submit(self, job: Job, work: Callable[[], Any]) -> None:
        """Do a slice of a job's work on the worker thread."""
        if self._drains is not None and self._drains.keeps(job, work):
            return
        job.hurried = bool(self._busy)
        self._hurry()
        self._busy.add(job)

        def done(value: Any, error: BaseException | None) -> None:
            self._busy.discard(job)
            if self.closed:
                return
            if self._waiting:
                self._held[job] = lambda: job.work_done(value, error)
                self._quiet()
            else:
                job.work_done(value, error)

        self.scheduler.submit(work, done)

    def put_off(self, job: Job) -> None:
        """Let a job go on behind the reply of the present command, or when it is drained."""
        self._held[job] = lambda: job.work_done(None, None)
        self.afterwards(lambda: self._deliver_soon(job))

    def _deliver_soon(self, job: Job) -> None:
        if not self.closed:
            self.deliver(job)

    def deliver(self, job: Job) -> bool:
        """Give a job the result of its slice that was held back; False if there is none."""
        result = self._held.pop(job, None)
        if result is not None:
            result()
        return result is not None

    def when_quiet(self, action: Callable[[], None]) -> None:
        """Call ``action`` when no slice is on the worker thread: at once, or soon."""
        if not self._busy and not self._waiting:
            action()
        else:
            self._waiting.append(action)
            self._hurry()
            self._quiet()

    def _hurry(self) -> None:
        for job in self._busy:
            job.hurried = True

    def _quiet(self) -> None:
        while self._waiting and not self._busy:
            self._waiting.pop(0)()
        if self._waiting:
            return  # what has been done may have set another slice off
        for job in self._held:
            self.scheduler.call_soon(lambda job=job: self._deliver_soon(job))  # type: ignore[misc]

    @property
    def quiet(self) -> bool:
        """Whether the graph may be changed right now."""
        return not self._busy

    # --- the end -----------------------------------------------------------------------

    def cancel_all(self, nodes: Iterable[Node], then: Callable[[], None]) -> None:
        """Cancel every job by force; ``then`` is called when the last one has ended.

        First all of them stop, as ``nodes`` (all there are) are drained; then one after the
        other goes on to its end, the newest first.
        """
        from qmpd.jobs.drains import jobs_above

        def begin() -> None:
            for job in jobs_above(self, nodes):
                job.hold()
            for job in self.jobs.values():
                job.auto_dismiss = True
            self._ending = then
            self._end_next()

        self.when_quiet(begin)

    def _end_next(self) -> None:
        then = self._ending
        if then is None or self.closed:
            return
        if not self.jobs:
            self._ending = None
            then()
            return
        job = next(reversed(self.jobs.values()))
        if job.status == states.CONCLUDED:
            self.forget(job)
        elif job.status != states.ABORTING:
            job.cancel(force=True)

    def close(self) -> None:
        """Forget everything; results that still arrive go nowhere."""
        self.closed = True
        for job in list(self.jobs.values()):
            job.discard()
        self._waiting.clear()
        self._held.clear()
