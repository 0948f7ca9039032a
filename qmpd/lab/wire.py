"""Faults on the wire: what a client must survive although it never should happen."""

from __future__ import annotations

ACTIONS = (
    "delay",
    "split",
    "drop",
    "duplicate",
    "reorder",
    "stale-id",
    "hang-up",
    "silence",
)
KINDS = ("greeting", "reply", "event")


class WireFault:
    """One rule.

    Args:
        kind: ``greeting``, ``reply`` or ``event``.
        action: one of :data:`ACTIONS`. ``split`` sends the line in two pieces with ``delay``
            between them; ``hang-up`` disconnects in the middle of the line; ``reorder`` sends
            the line after the following one; ``silence`` keeps everything back from here on;
            ``stale-id`` answers with the id of the request before.
        name: the command or event concerned, or None for any.
        count: how many times the rule applies; 0 is for ever.
        delay: seconds, for ``delay`` and ``split``.
    """

    __slots__ = ("action", "count", "delay", "hits", "kind", "name")

    def __init__(
        self,
        kind: str,
        action: str,
        *,
        name: str | None = None,
        count: int = 1,
        delay: float = 0.0,
    ) -> None:
        self.kind = kind
        self.action = action
        self.name = name
        self.count = count
        self.delay = delay
        self.hits = 0

    def matches(self, kind: str, name: str) -> bool:
        """Whether the rule applies to a line."""
        if kind != self.kind or (self.count and self.hits >= self.count):
            return False
        return self.name is None or name == self.name


class WireFaults:
    """All rules of a machine; true while there are any."""

    __slots__ = ("rules",)

    def __init__(self) -> None:
        self.rules: list[WireFault] = []

    def __bool__(self) -> bool:
        """Whether lines have to be looked at."""
        return bool(self.rules)

    def find(self, kind: str, name: str) -> WireFault | None:
        """The rule for a line, counted as applied."""
        for rule in self.rules:
            if rule.matches(kind, name):
                rule.hits += 1
                return rule
        return None
