"""Time that a test can step.

A stepped clock stands still until somebody advances it; timers fire in order while it
moves, and timestamps of events follow it, so that a transcript is the same each time.
"""

from __future__ import annotations

from _heapq import heappop, heappush

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH = 1_600_000_000_000_000_000
"""The wall time (ns) at which a stepped clock starts unless told otherwise."""


class SteppedTimer:
    """A timer on a stepped clock."""

    __slots__ = ("action", "cancelled")

    def __init__(self, action: Callable[[], None]) -> None:
        self.action = action
        self.cancelled = False

    def cancel(self) -> None:
        """It will not happen."""
        self.cancelled = True


class SteppedClock:
    """Nanoseconds that pass only when told to."""

    __slots__ = ("_now", "_serial", "_start", "_timers")

    def __init__(self, start: int = EPOCH) -> None:
        self._start = start
        self._now = 0
        self._serial = 0
        self._timers: list[tuple[int, int, SteppedTimer]] = []

    def now(self) -> int:
        """Nanoseconds since the clock was made."""
        return self._now

    def wall(self) -> int:
        """Nanoseconds since the epoch."""
        return self._start + self._now

    def call_later(self, delay: int, action: Callable[[], None]) -> SteppedTimer:
        """Call ``action`` when the clock has moved by ``delay`` nanoseconds."""
        timer = SteppedTimer(action)
        self._serial += 1
        heappush(self._timers, (self._now + delay, self._serial, timer))
        return timer

    def advance(self, nanoseconds: int) -> None:
        """Move on, firing what becomes due, each at its own time."""
        target = self._now + nanoseconds
        while self._timers and self._timers[0][0] <= target:
            due, _, timer = heappop(self._timers)
            self._now = max(self._now, due)
            if not timer.cancelled:
                timer.action()
        self._now = target

    def next_due(self) -> int | None:
        """Nanoseconds until the next timer, None if none waits."""
        while self._timers and self._timers[0][2].cancelled:
            heappop(self._timers)
        return max(self._timers[0][0] - self._now, 0) if self._timers else None

    @property
    def pending(self) -> int:
        """How many timers wait."""
        return sum(not timer.cancelled for _, _, timer in self._timers)
