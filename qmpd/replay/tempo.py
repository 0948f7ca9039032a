"""Jobs that move only as far as a recorded conversation shows that they had moved.

A job here may be faster than the recorded one, whose client asked in the meantime. So
each transition waits until the conversation is about to show it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from qmpd.lab.levers import Levers

if TYPE_CHECKING:
    from collections.abc import Callable


class Tempo(Levers):
    """Levers that hold every transition that nobody has announced."""

    def __init__(self, wall: Callable[[], int]) -> None:
        super().__init__(wall)
        self._announced: Counter[tuple[str, str]] = Counter()
        self._free = False

    def holds(self, job: str, status: str) -> bool:
        """Whether ``job`` is to wait before ``status``."""
        return not self._free and not self._announced[job, status]

    def announce(self, job: str, status: str) -> None:
        """Let ``job`` go to ``status`` once."""
        self._announced[job, status] += 1
        if self.stopped_before(job) == status:
            self._resume(job)

    def happened(self, job: str, status: str) -> None:
        """``job`` has gone to ``status``."""
        if self._announced[job, status]:
            self._announced[job, status] -= 1

    def nudge(self) -> bool:
        """Let every job that stands take one step; False if there is none."""
        standing = [(job, status) for job, (status, _) in self._stopped.items()]
        for job, status in standing:
            self.announce(job, status)
        return bool(standing)

    def let_go(self) -> None:
        """Hold nothing any more: the conversation is over."""
        self._free = True
        for job in list(self._stopped):
            self._resume(job)

    def _resume(self, job: str) -> None:
        _, resume = self._stopped.pop(job)
        resume()
