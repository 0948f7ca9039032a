"""What happened, in order: requests, replies, events, transitions, opens, locks, levers."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

LIMIT = 100_000
"""Entries kept; the oldest go first."""

KINDS = (
    "connect",
    "disconnect",
    "request",
    "reply",
    "event",
    "transition",
    "open",
    "lock",
    "lever",
)


class Entry:
    """One thing that happened: a number, ns since the epoch, a kind and its details."""

    __slots__ = ("data", "kind", "serial", "wall")

    def __init__(self, serial: int, wall: int, kind: str, data: dict[str, Any]) -> None:
        self.serial = serial
        self.wall = wall
        self.kind = kind
        self.data = data

    def __repr__(self) -> str:
        """One line, as failure messages show it."""
        details = " ".join(f"{key}={value!r}" for key, value in self.data.items())
        return f"{self.serial:5} {self.kind:10} {details}"


class Journal:
    """The entries of one machine, oldest first."""

    def __init__(self, wall: Callable[[], int]) -> None:
        self._wall = wall
        self._serial = 0
        self.entries: list[Entry] = []
        self.listeners: list[Callable[[Entry], None]] = []
        """Called with each new entry; may be called on the worker thread for opens."""

    def add(self, kind: str, **data: Any) -> None:
        """Note something."""
        self._serial += 1
        entry = Entry(self._serial, self._wall(), kind, data)
        self.entries.append(entry)
        if len(self.entries) > LIMIT:
            del self.entries[: LIMIT // 10]
        for listener in list(self.listeners):
            listener(entry)

    def since(self, serial: int, kinds: Iterable[str] | None = None) -> list[Entry]:
        """Entries behind number ``serial``, of the given kinds or of all."""
        wanted = None if kinds is None else frozenset(kinds)
        return [
            entry
            for entry in self.entries
            if entry.serial > serial and (wanted is None or entry.kind in wanted)
        ]
