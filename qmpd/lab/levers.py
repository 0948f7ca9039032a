"""All levers of one machine in one place."""

from __future__ import annotations

from qmpd.lab.faults import Faults
from qmpd.lab.journal import Journal
from qmpd.lab.wire import WireFaults

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

IMMEDIATE, TIMED, STEPPED, HELD = "immediate", "timed", "stepped", "held"
PROGRESSIONS = (IMMEDIATE, TIMED, STEPPED, HELD)
ANY = "*"
"""Stands for any job in holds and progressions."""
QUESTIONS = frozenset(("x-qmpd-journal", "x-qmpd-jobs", "x-qmpd-files"))
"""Lab commands that pull no lever."""


class Progress:
    """How a job moves from chunk to chunk."""

    __slots__ = ("delay", "mode", "steps")

    def __init__(self, mode: str, delay: int = 0) -> None:
        self.mode = mode
        self.delay = delay
        """Nanoseconds between chunks, for ``timed``."""
        self.steps = 0
        """Chunks that may still go, for ``stepped``."""


class Levers:
    """What a test holds in its hands."""

    def __init__(self, wall: Callable[[], int]) -> None:
        self.journal = Journal(wall)
        self.faults = Faults()
        self.wire = WireFaults()
        self._holds: set[tuple[str, str]] = set()
        self._stopped: dict[str, tuple[str, Callable[[], None]]] = {}
        self._progress: dict[str, Progress] = {}
        self._deaths: set[tuple[str, str]] = set()
        self._clients = 0

    def number_client(self) -> int:
        """The number of a new client, counted from 1."""
        self._clients += 1
        return self._clients

    def note_pull(self, command: str, arguments: dict[str, Any]) -> None:
        """Put the pulling of a lever into the journal; mere questions are left out."""
        if command not in QUESTIONS:
            self.journal.add("lever", command=command, arguments=arguments)

    # --- transitions -------------------------------------------------------------------

    def hold(self, job: str, status: str) -> None:
        """Stop ``job`` before it goes to ``status``."""
        self._holds.add((job, status))

    def holds(self, job: str, status: str) -> bool:
        """Whether ``job`` is to stop before ``status``."""
        return (job, status) in self._holds or (ANY, status) in self._holds

    def stop(self, job: str, status: str, resume: Callable[[], None]) -> None:
        """Note that ``job`` stands before ``status``, and how it goes on."""
        self._stopped[job] = (status, resume)
        self.journal.add("lever", action="held", job=job, before=status)

    def stopped_before(self, job: str) -> str | None:
        """The state before which ``job`` stands, None if it does not."""
        found = self._stopped.get(job)
        return found[0] if found is not None else None

    def release(self, job: str) -> None:
        """Take the holds on ``job`` back and let it go on."""
        self._holds = {hold for hold in self._holds if hold[0] != job}
        waiting = [name for name in self._stopped if job in (ANY, name)]
        for name in waiting:
            status, resume = self._stopped[name]
            if not self.holds(name, status):
                del self._stopped[name]
                resume()

    def forget(self, job: str) -> None:
        """The job is gone, or has left the place where it stood."""
        self._stopped.pop(job, None)

    # --- progress ----------------------------------------------------------------------

    def set_progress(self, job: str, progress: Progress) -> None:
        """Say how ``job`` is to move."""
        if progress.mode == IMMEDIATE:
            self._progress.pop(job, None)
        else:
            self._progress[job] = progress

    def progress(self, job: str) -> Progress | None:
        """How ``job`` is to move; None is QEMU's own way."""
        return self._progress.get(job) or self._progress.get(ANY)

    def allow_steps(self, job: str, count: int) -> None:
        """Let ``job`` do ``count`` more chunks, if it is stepped."""
        progress = self.progress(job)
        if progress is None or progress.mode != STEPPED:
            progress = Progress(STEPPED)
            self._progress[job] = progress
        progress.steps += count

    def may_go(self, job: str) -> bool:
        """Whether ``job`` may do its next chunk; uses up one step."""
        progress = self.progress(job)
        if progress is None or progress.mode == TIMED:
            return True
        if progress.steps > 0:
            progress.steps -= 1
            return True
        return False

    # --- death -------------------------------------------------------------------------

    def die_at(self, job: str, status: str) -> None:
        """End the machine without a word right after ``job`` went to ``status``."""
        self._deaths.add((job, status))

    def kills(self, job: str, status: str) -> bool:
        """Whether the machine is to die now."""
        return (job, status) in self._deaths or (ANY, status) in self._deaths
