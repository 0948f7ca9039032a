"""The rules of a ``blkdebug`` node: which requests fail, and when."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FAILING = frozenset(("read", "write", "write-zeroes", "discard", "flush"))


class Rule:
    """One entry of ``inject-error`` or ``set-state``."""

    __slots__ = ("errno", "event", "kinds", "new_state", "offset", "once", "state")

    def __init__(self, given: dict[str, Any]) -> None:
        self.event = str(given["event"])
        self.state = int(given.get("state", 0))
        self.new_state = given.get("new_state")
        self.kinds = frozenset((given["iotype"],)) if "iotype" in given else _FAILING
        self.errno = int(given.get("errno", 5))
        sector = int(given.get("sector", -1))
        self.offset = -1 if sector == -1 else sector * 512
        self.once = bool(given.get("once", False))

    def strikes(self, kind: str, offset: int, length: int) -> bool:
        """Whether a request is one that the rule means."""
        if kind not in self.kinds:
            return False
        return self.offset == -1 or offset <= self.offset < offset + length


class Rules:
    """All rules of a node, the state, and which rules are armed.

    An event arms the rules for it, and disarms all others if there are any. An armed rule
    stays so until the next such event, or its only use. Of several that mean a request, or
    would change the state, the first one counts (observed on QEMU 7.2).
    """

    __slots__ = ("_armed", "_rules", "_state")

    def __init__(self, rules: list[Rule]) -> None:
        self._rules = rules
        self._armed: list[Rule] = []
        self._state = 1

    def note(self, event: str) -> None:
        """Something is about to happen."""
        found = [r for r in self._rules if r.event == event and r.state in (0, self._state)]
        arming = [rule for rule in found if rule.new_state is None]
        if arming:
            self._armed = arming
        for rule in found:
            if rule.new_state is not None:
                self._state = int(rule.new_state)
                break

    def check(self, kind: str, offset: int = 0, length: int = 0) -> None:
        """Let a request pass, or not.

        Raises:
            OSError: an armed rule means it.
        """
        for rule in self._armed:
            if rule.strikes(kind, offset, length):
                if rule.errno and rule.once:
                    self._armed.remove(rule)
                    self._rules.remove(rule)
                if rule.errno:
                    raise OSError(rule.errno, os.strerror(rule.errno))
                return
