"""Faults as data: when I/O goes wrong, and how."""

from __future__ import annotations

import errno
import os

OPERATIONS = ("read", "write", "flush", "open", "truncate")
EVERYWHERE = 1 << 63


class Fault:
    """One rule.

    Args:
        operation: one of :data:`OPERATIONS`.
        node: the node's name, or None for any.
        path: the file's name, or None for any (this is the one to use with ``open``).
        number: errno to fail with; 0 only delays.
        offset: where the range begins (bytes, as the node counts them).
        length: how long it is.
        count: how many times the rule applies; 0 is for ever.
        delay: seconds to wait before the operation goes on or fails.
    """

    __slots__ = (
        "count",
        "delay",
        "hits",
        "length",
        "node",
        "number",
        "offset",
        "operation",
        "path",
        "serial",
    )

    def __init__(
        self,
        operation: str,
        *,
        node: str | None = None,
        path: str | None = None,
        number: int = errno.EIO,
        offset: int = 0,
        length: int = EVERYWHERE,
        count: int = 0,
        delay: float = 0.0,
    ) -> None:
        self.operation = operation
        self.node = node
        self.path = path
        self.number = number
        self.offset = offset
        self.length = length
        self.count = count
        self.delay = delay
        self.hits = 0
        self.serial = 0

    def matches(self, operation: str, node: str, path: str, offset: int, length: int) -> bool:
        """Whether the rule applies to an operation."""
        if operation != self.operation or (self.count and self.hits >= self.count):
            return False
        if self.node is not None and node != self.node:
            return False
        if self.path is not None and path != self.path:
            return False
        return offset < self.offset + self.length and self.offset < offset + max(length, 1)


class Faults:
    """All rules of a machine; true while there are any."""

    __slots__ = ("_rules", "_serial")

    def __init__(self) -> None:
        self._rules: list[Fault] = []
        self._serial = 0

    def __bool__(self) -> bool:
        """Whether anything can go wrong."""
        return bool(self._rules)

    def add(self, fault: Fault) -> int:
        """Add a rule; returns the number to clear it by."""
        self._serial += 1
        fault.serial = self._serial
        self._rules.append(fault)
        return fault.serial

    def clear(self, serial: int | None = None) -> None:
        """Remove one rule, or all."""
        self._rules = [] if serial is None else [r for r in self._rules if r.serial != serial]

    def check(
        self, operation: str, node: str = "", path: str = "", offset: int = 0, length: int = 0
    ) -> None:
        """Let an operation pass, late, or not at all.

        Raises:
            OSError: the first rule that applies says so.
        """
        for rule in self._rules:
            if rule.matches(operation, node, path, offset, length):
                rule.hits += 1
                if rule.delay:
                    from time import sleep

                    sleep(rule.delay)
                if rule.number:
                    raise OSError(rule.number, os.strerror(rule.number))
                return
