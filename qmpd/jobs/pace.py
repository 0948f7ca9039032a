"""How fast a job may go: the rate limit.

Time is cut into slices of 100 ms with a quota each. The first chunk of a slice is never
held back; the delay comes after the chunk that used the quota up (observed on QEMU 7.2:
the limit applies after a chunk).
"""

from __future__ import annotations

SLICE_NS = 100_000_000


class RateLimit:
    """Bytes per second as delays between chunks."""

    __slots__ = ("_dispatched", "_slice_end", "_slice_start", "speed")

    def __init__(self, speed: int = 0) -> None:
        self.speed = speed
        """Bytes per second; 0 is unlimited."""
        self._slice_start = 0
        self._slice_end = 0
        self._dispatched = 0

    def is_used_up_by(self, size: int) -> bool:
        """Whether ``size`` bytes take a slice of their own, so that a pause follows them."""
        return 0 < self.speed * SLICE_NS <= size * 1_000_000_000

    def delay(self, now: int, size: int) -> int:
        """Account ``size`` bytes at ``now``; how many ns to wait before the next chunk."""
        if self.speed == 0:
            return 0
        quota = max(self.speed * SLICE_NS // 1_000_000_000, 1)
        if self._slice_end < now:
            self._slice_start, self._slice_end = now, now + SLICE_NS
            self._dispatched = 0
        self._dispatched += size
        if self._dispatched < quota:
            return 0
        self._slice_end = self._slice_start + self._dispatched * SLICE_NS // quota
        return max(self._slice_end - now, 0)
