"""One job's life: its states, its verbs, and how its work is resumed.

The work is a generator that yields what it waits for: :class:`Sleep`, :class:`Work` on
the worker thread, or :data:`WAIT` until somebody enters the job. Entering is synchronous,
so that a command which wakes a sleeping job sees the consequences before its reply, as in
QEMU (observed event orders).
"""

from __future__ import annotations

import errno
import os

from qmpd.block.driver import warn
from qmpd.block.node import Parent
from qmpd.errors import QmpError
from qmpd.jobs import states, wording
from qmpd.jobs.pace import RateLimit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    from qmpd.block.node import Node
    from qmpd.jobs.manager import JobManager, Timer

    Run = Generator["Sleep | Work | Afterwards | Wait", Any, None]


class Sleep:
    """Go on after ``ns`` nanoseconds, or when entered."""

    __slots__ = ("ns",)

    def __init__(self, ns: int) -> None:
        self.ns = ns


class Work:
    """Go on with the result of ``function``, called on the worker thread."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function


class Afterwards:
    """Go on when the command that is being executed has been answered, or soon."""

    __slots__ = ()


class Wait:
    """Go on when entered."""

    __slots__ = ()


AFTERWARDS = Afterwards()
WAIT = Wait()


class Job(Parent):
    """A job; kinds override the hooks at the end.

    ``error`` is the text of a failure, ``code`` its errno (0: success so far).
    """

    kind = "block-job"
    type = ""

    def __init__(
        self,
        manager: JobManager,
        job_id: str,
        *,
        speed: int = 0,
        auto_finalize: bool = True,
        auto_dismiss: bool = True,
    ) -> None:
        super().__init__()
        self.manager = manager
        self.id = job_id
        self.auto_finalize = auto_finalize
        self.auto_dismiss = auto_dismiss
        self.status = states.UNDEFINED
        self.rate = RateLimit()
        self.initial_speed = speed
        self.current = 0
        self.total = 0
        self.code = 0
        self.error = ""
        self.io_status = "ok"
        self.user_paused = False
        self.pause_count = 1
        self.paused = False
        self.cancel_requested = False
        self.force_cancelled = False
        self.started = False
        self.done = False
        """The work has ended; what remains happens in the main loop."""
        self.busy = False
        """A slice of the work is on the worker thread."""
        self.hurried = False
        """Somebody waits for the end of that slice (set on the loop, read by the worker)."""
        self._before_pause = states.RUNNING
        self._timer: Timer | None = None
        self._run: Run | None = None
        self._chunk_waits = False
        self._sleeps_shortly = False
        """Whether its timer is one that has run out already."""

    # --- identity ----------------------------------------------------------------------

    def describe(self) -> str:
        """``commit job 'j'``."""
        return f"{self.type} job '{self.id}'"

    @property
    def label(self) -> str:
        """The job's id."""
        return self.id

    def edge_key(self, name: str, child: Node) -> str:
        """A job has several edges of one name."""
        return f"{name} {child.name}"

    # --- states ------------------------------------------------------------------------

    def move(self, status: str) -> None:
        """Change the state; every change to another one is an event."""
        if status not in states.TRANSITIONS[self.status]:
            raise RuntimeError(f"a job does not go from {self.status} to {status}")
        if status == self.status:
            return
        self.status = status
        self.manager.tell_status(self)

    def apply_verb(self, verb: str) -> None:
        """Check that the state allows ``verb``.

        Raises:
            QmpError: it does not.
        """
        if self.status not in states.VERBS[verb]:
            raise QmpError(wording.refused_verb(self.id, self.status, verb))

    # --- running -----------------------------------------------------------------------

    def start(self) -> None:
        """Begin the work, unless a lever holds the job; its first step runs now."""
        self.manager.reach(self, states.RUNNING, self._start)

    def _start(self) -> None:
        self.started = True
        self.pause_count -= 1
        self.move(states.RUNNING)
        self._run = self.run()
        self._resume(None)

    def enter(self) -> None:
        """Wake the work if it sleeps or waits; a busy or finished job is left alone."""
        if self.busy:
            self.hurried = True
        elif self.started and not self.done:
            self._cancel_timer()
            self._wake()

    def _wake(self) -> None:
        if self.pause_count > 0 and not self.force_cancelled:
            if not self.paused:
                self._before_pause = self.status
                self.paused = True
                self.move(states.STANDBY if self.status == states.READY else states.PAUSED)
            return
        if self.paused:
            self.paused = False
            self.move(self._before_pause)
        if self._chunk_waits and not self.force_cancelled:
            if not self.manager.may_go(self):
                return
            self._chunk_waits = False
        self._resume(None)

    def hold_before(self, status: str) -> Run:
        """Wait in the work as long as a lever holds the job before ``status``."""
        while self.manager.is_held(self, status) and not self.cancel_requested:
            yield WAIT

    def _resume(self, value: Any, error: BaseException | None = None) -> None:
        """Run until the work waits for something that is not there yet."""
        wants = self._advance(value, error)
        lasting = (Work, Afterwards)
        while wants is not None and self.force_cancelled and not isinstance(wants, lasting):
            wants = self._advance(None)
        if wants is None:
            return
        if isinstance(wants, Work):
            self.busy = True
            self.manager.submit(self, wants.function)
        elif isinstance(wants, Afterwards):
            self.busy = True
            self.manager.put_off(self)
        elif self.pause_count > 0:
            self._wake()
        elif isinstance(wants, Sleep):
            delay = self.manager.chunk_delay(self, wants.ns)
            self._chunk_waits = delay is None
            self._sleeps_shortly = delay == 0
            if delay is not None:
                self._timer = self.manager.scheduler.call_later(delay, self._alarm)

    def _advance(
        self, value: Any, error: BaseException | None = None
    ) -> Sleep | Work | Afterwards | Wait | None:
        """Take the work one step further; None when it has ended, well or not."""
        run = self._run
        if run is None:
            return None
        try:
            return run.send(value) if error is None else run.throw(error)
        except StopIteration:
            pass
        except OSError as failure:
            self.fail(failure.errno or errno.EIO)
        except Exception as failure:  # noqa: BLE001 - a fault of ours must not hang the job
            warn(f"internal error in job '{self.id}': {type(failure).__name__}: {failure}")
            self.fail(errno.EIO)
        self._finished()
        return None

    def begin_drain(self) -> bool:
        """Stop, now or at the end of a slice of work; whether :meth:`end_drain` has to follow."""
        if not self.started:
            return False
        self.pause_count += 1
        if not self.busy and not self.paused:
            self.enter()
        return True

    def end_short_sleep(self) -> bool:
        """Wake the work if it sleeps for no time at all; False if it does not."""
        if self._timer is None or not self._sleeps_shortly:
            return False
        self._cancel_timer()
        self._alarm()
        return True

    def end_drain(self) -> None:
        """Go on."""
        self.pause_count -= 1
        self.enter()

    def hold(self) -> None:
        """A drained section begins that the job will not leave alive."""
        if self.started and not self.done:
            self.pause_count += 1
            if not self.paused:
                self.enter()

    def _alarm(self) -> None:
        self._timer = None
        self._wake()

    def work_done(self, value: Any, error: BaseException | None) -> None:
        """The worker thread has a result (called on the loop, while the graph may change)."""
        self.busy = False
        self._resume(value, error)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def must_end(self) -> bool:
        """Whether the job was cancelled by force: the work looks after every pause."""
        return self.force_cancelled

    def _finished(self) -> None:
        self._run = None
        self.done = True
        self.manager.ended(self)

    def fail(self, code: int, text: str = "") -> None:
        """Note why the job fails; the first reason stays."""
        if not self.code:
            self.code = code
            self.error = text or os.strerror(code)

    def discard(self) -> None:
        """The machine goes away: drop timer and work without a word."""
        self._cancel_timer()
        run, self._run = self._run, None
        # The machine may die in the middle of the work; what runs cannot be closed.
        if run is not None and not getattr(run, "gi_running", False):
            run.close()

    # --- verbs -------------------------------------------------------------------------

    def user_pause(self) -> None:
        """``job-pause``.

        Raises:
            QmpError: not in this state, or paused already.
        """
        self.apply_verb("pause")
        if self.user_paused:
            raise QmpError(wording.ALREADY_PAUSED)
        self.user_paused = True
        self.pause_count += 1
        if not self.paused:
            self.enter()

    def user_resume(self) -> None:
        """``job-resume``.

        Raises:
            QmpError: nobody paused it.
        """
        if not self.user_paused:
            raise QmpError(wording.NOT_PAUSED)
        self.apply_verb("resume")
        self.io_status = "ok"
        self.user_paused = False
        self.pause_count -= 1
        if self.pause_count == 0 and self._timer is None:
            self.enter()

    def set_speed(self, speed: int) -> None:
        """``block-job-set-speed``: bytes per second, 0 is unlimited.

        Raises:
            QmpError: not in this state, or negative.
        """
        self.apply_verb("set-speed")
        if speed < 0:
            raise QmpError(wording.SPEED_NEGATIVE)
        old, self.rate.speed = self.rate.speed, speed
        self.hurried = True
        if (speed == 0 or speed > old) and self._timer is not None:
            self.enter()

    def user_cancel(self, *, force: bool) -> None:
        """``job-cancel`` (always by force) and ``block-job-cancel``.

        Raises:
            QmpError: not in this state.
        """
        self.apply_verb("cancel")
        self.cancel(force=force)

    def cancel(self, *, force: bool) -> None:
        """Ask the job to end; by force it ends as cancelled whatever it has reached."""
        force = self.wants_force(force=force)
        if self.user_paused:
            self.user_paused = False
            self.io_status = "ok"
            self.pause_count -= 1
        if force or not self.done:
            self.cancel_requested = True
            self.force_cancelled = self.force_cancelled or force
        if not self.started:
            self.manager.completed(self)
        elif self.done:
            if self.force_cancelled:
                self.manager.abort(self)
        else:
            self.enter()

    def user_complete(self) -> None:
        """``job-complete``.

        Raises:
            QmpError: not in this state, or the job has no such thing.
        """
        self.apply_verb("complete")
        if self.cancel_requested or not self.complete():
            raise QmpError(wording.cannot_complete(self.id))

    # --- what the kinds do -------------------------------------------------------------

    def run(self) -> Run:
        """Do the work; raising OSError is failing."""
        raise NotImplementedError

    def wants_force(self, *, force: bool) -> bool:
        """Whether a cancellation is one by force: a job without READY knows no other."""
        del force
        return True

    def complete(self) -> bool:
        """Begin manual completion; False if the kind has none."""
        return False

    @property
    def nests_updates(self) -> bool:
        """Whether finalizing looks at the base's permissions twice at once, as 3.1.50 did."""
        return False

    def prepare(self) -> int:
        """Finalize, where failing is still possible; returns 0 or an errno."""
        return 0

    def abort(self) -> None:
        """Undo, after a failure or a cancellation."""

    def clean(self) -> None:
        """Let go of what only the work needed, after success and failure alike."""

    def free(self) -> None:
        """Let go of everything: the job is dismissed."""
