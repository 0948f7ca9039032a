"""Figures: what was measured on both sides, and how it compares with what is wanted."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

_UNITS = {"us": 1e3, "ms": 1e6, "s": 1e9, "x": 1}
_MIB = 1 << 20


def p99(values: list[int]) -> float:
    """The value that one in a hundred exceeds."""
    return sorted(values)[max(0, round(0.99 * len(values)) - 1)]


@dataclass
class Figure:
    """One line of the table.

    Attributes:
        name: what ``--only`` calls it.
        work: what was done.
        unit: ``us``, ``ms``, ``s`` (of nanoseconds), ``MiB`` (of bytes) or ``x`` (as it is).
        wanted: how many times better than the original it is to be, if that is the target.
        limit: the most it may be, in ``unit``, if that is the target.
        other: whom it is compared with.
        ours: one value a run, in nanoseconds or bytes.
        theirs: the same of the original.
    """

    name: str
    work: str
    unit: str
    wanted: float | None = None
    limit: float | None = None
    other: str = "qemu-storage-daemon"
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    def _scaled(self, values: list[float]) -> float | None:
        if not values:
            return None
        return statistics.median(values) / _UNITS.get(self.unit, _MIB)

    @property
    def ratio(self) -> float | None:
        """The original's median divided by ours."""
        if not self.ours or not self.theirs:
            return None
        return statistics.median(self.theirs) / statistics.median(self.ours)

    @property
    def reached(self) -> bool | None:
        """Whether the target is met; None if that cannot be told."""
        ours, ratio = self._scaled(self.ours), self.ratio
        if self.limit is not None:
            return None if ours is None else ours <= self.limit
        if self.wanted is None or ratio is None:
            return None
        return ratio >= self.wanted

    @property
    def target(self) -> str:
        """What is wanted, in words."""
        if self.limit is not None:
            return f"<= {self.limit:g} {self.unit}"
        return "" if self.wanted is None else f"{self.wanted:g}x"

    def cells(self) -> list[str]:
        """The table's line."""
        verdict = {True: "yes", False: "NO", None: ""}[self.reached]
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}x"
        return [
            self.name,
            self.work,
            self._show(self.ours),
            self._show(self.theirs),
            ratio,
            self.target,
            verdict,
        ]

    def _show(self, values: list[float]) -> str:
        scaled = self._scaled(values)
        return "" if scaled is None else f"{scaled:.4g} {self.unit}"

    def as_json(self) -> dict[str, Any]:
        """Everything, for a file."""
        return {
            "name": self.name,
            "work": self.work,
            "unit": self.unit,
            "ours": self._scaled(self.ours),
            "theirs": self._scaled(self.theirs),
            "other": self.other,
            "ratio": self.ratio,
            "target": self.target,
            "reached": self.reached,
            "runs": {"ours": self.ours, "theirs": self.theirs},
        }


HEADER = ["name", "work", "qmpd", "QEMU", "QEMU/qmpd", "wanted", "reached"]
WIDTHS = [22, 62, 11, 11, 9, 9, 7]


def line(cells: list[str]) -> str:
    """One line of a Markdown table, padded so that it reads well in a terminal, too."""
    return (
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True))
        + " |"
    )


def rule() -> str:
    """The line below the header."""
    return "|" + "|".join("-" * (width + 2) for width in WIDTHS) + "|"
