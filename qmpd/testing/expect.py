"""Expectations: what the client under test is to do, in the order in which it happens.

Steps are requests, events and errors, in ordered or unordered groups that may be nested.
Checking reads the journal afterwards; nothing here talks to the daemon.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from qmpd.testing.inbox import wire_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qmpd.lab.journal import Entry

HELPER = 1
"""The number of the fixture's own connection in the journal: it is always the first."""
TAIL = 20
"""Entries of the journal that a failure shows."""
WIDTH = 200
"""Characters of each that it shows."""
REQUEST, EVENT, ERROR = "request", "event", "error"
_CALLS = {REQUEST: "expect", EVENT: "expect_event", ERROR: "expect_error"}
_ABSENT = object()


class ExpectationError(AssertionError):
    """The client did something else than the test expects, or left something behind."""


def _python_name(member: str) -> str:
    return "class_" if member == "class" else member.replace("-", "_")


class Happened:
    """One thing that the client under test did or heard."""

    __slots__ = ("kind", "members", "name", "serial")

    def __init__(self, serial: int, kind: str, name: str, members: dict[str, Any]) -> None:
        self.serial = serial
        self.kind = kind
        self.name = name
        self.members = members

    def __repr__(self) -> str:
        """As messages show it."""
        return f"#{self.serial} {self.kind} {self.name} {json.dumps(self.members)}"


class Expectation:
    """One step: something of this kind and name, with at least these members.

    A member's wanted value may be any object that compares equal (``unittest.mock.ANY``),
    or a function that says whether the value will do.
    """

    def __init__(self, kind: str, name: str, members: dict[str, Any], times: int) -> None:
        self.kind = kind
        self.name = name
        self.members = members
        self.left = times

    def __repr__(self) -> str:
        """As the test wrote it."""
        given = [f"{_python_name(name)}={value!r}" for name, value in self.members.items()]
        return f"{_CALLS[self.kind]}({', '.join([repr(self.name), *given])})"

    def differences(self, happened: Happened) -> list[str]:
        """The members that are not as wanted, in words."""
        found = []
        for name, wanted in self.members.items():
            value = happened.members.get(name, _ABSENT)
            if value is _ABSENT:
                found.append(f"{name!r} is missing")
            elif not (wanted(value) if callable(wanted) else bool(wanted == value)):
                found.append(f"{name!r} is {value!r}, not {wanted!r}")
        return found

    def is_about(self, happened: Happened) -> bool:
        """Whether kind and name fit, whatever the members."""
        return self.kind == happened.kind and self.name == happened.name

    @property
    def done(self) -> bool:
        """Whether it happened as often as it is to."""
        return self.left == 0

    def take(self, happened: Happened) -> bool:
        """Count what happened, if it is this."""
        if self.done or not self.is_about(happened) or self.differences(happened):
            return False
        self.left -= 1
        return True

    def due(self) -> Iterator[Expectation]:
        """What could happen next."""
        if not self.done:
            yield self

    def open(self) -> Iterator[Expectation]:
        """All that has not happened."""
        return self.due()


class Group:
    """Steps that happen one after the other, or in any order."""

    def __init__(self, *, ordered: bool) -> None:
        self._ordered = ordered
        self.steps: list[Expectation | Group] = []

    @property
    def done(self) -> bool:
        """Whether everything happened."""
        return all(step.done for step in self.steps)

    def _reachable(self) -> Iterator[Expectation | Group]:
        for step in self.steps:
            if not step.done:
                yield step
                if self._ordered:
                    return

    def take(self, happened: Happened) -> bool:
        """Give what happened to the step whose turn it is."""
        return any(step.take(happened) for step in self._reachable())

    def due(self) -> Iterator[Expectation]:
        """What could happen next."""
        for step in self._reachable():
            yield from step.due()

    def open(self) -> Iterator[Expectation]:
        """All that has not happened."""
        for step in self.steps:
            yield from step.open()


class Expecting:
    """The part of a daemon with which a test says what is to happen."""

    def __init__(self) -> None:
        self._root = Group(ordered=True)
        self._groups = [self._root]
        self._ignored = ["qmp_capabilities"]
        self.relaxed = False
        """Check nothing at all at the end."""
        self.strict: bool | None = None
        """Whether requests that nobody expects are failures; None: if there are expectations."""

    # --- saying ------------------------------------------------------------------------

    def expect(self, command: str, /, *, times: int = 1, **arguments: Any) -> Expectation:
        """The client is to send ``command`` next, with at least these arguments.

        Underscores in the names of arguments stand for dashes.
        """
        return self._add(REQUEST, command, wire_names(arguments), times)

    def expect_event(self, name: str, /, *, times: int = 1, **data: Any) -> Expectation:
        """The client is to be sent the event ``name`` next, with at least this data."""
        return self._add(EVENT, name, wire_names(data), times)

    def expect_error(self, command: str, /, *, times: int = 1, **members: Any) -> Expectation:
        """``command`` is to be answered with an error next; ``desc`` and ``class_`` may be given."""
        named = {name.rstrip("_"): value for name, value in members.items()}
        return self._add(ERROR, command, named, times)

    def _add(self, kind: str, name: str, members: dict[str, Any], times: int) -> Expectation:
        step = Expectation(kind, name, members, times)
        self._groups[-1].steps.append(step)
        return step

    @contextmanager
    def in_any_order(self) -> Iterator[None]:
        """What is expected inside may happen in any order."""
        with self._group(ordered=False):
            yield

    @contextmanager
    def in_order(self) -> Iterator[None]:
        """What is expected inside happens one after the other; for use in an unordered group."""
        with self._group(ordered=True):
            yield

    @contextmanager
    def _group(self, *, ordered: bool) -> Iterator[None]:
        group = Group(ordered=ordered)
        self._groups[-1].steps.append(group)
        self._groups.append(group)
        try:
            yield
        finally:
            self._groups.pop()

    def ignore(self, *commands: str) -> None:
        """The client may send these at any time, any number of times; ``query-*`` is a pattern."""
        self._ignored += commands

    @property
    def has_expectations(self) -> bool:
        """Whether anything was expected."""
        return bool(self._root.steps)

    # --- checking ----------------------------------------------------------------------

    def check(self, entries: Sequence[Entry], jobs: Sequence[tuple[str, str]]) -> None:
        """Compare what happened with what was expected.

        Args:
            entries: the journal.
            jobs: the jobs that are still there, each with its state.

        Raises:
            ExpectationError: says what differs, the nearest miss, and the journal's end.
        """
        __tracebackhide__ = True
        if self.relaxed:
            return
        happened = list(understand(entries))
        complaints = self._compare(happened)
        complaints += [f"left behind: job {name!r}, which is {status}" for name, status in jobs]
        if complaints:
            raise ExpectationError(
                "\n".join(
                    ["what happened is not what the test expects", *complaints, tail(entries)]
                )
            )

    def _compare(self, happened: list[Happened]) -> list[str]:
        strict = self.has_expectations if self.strict is None else self.strict
        complaints, strangers = [], []
        for event in happened:
            due = list(self._root.due())
            if self._root.take(event):
                continue
            if event.kind == REQUEST and not self._is_ignored(event.name):
                strangers.append(event)
                if strict:
                    complaints.append(_unexpected(event, due, list(self._root.open())))
            elif event.kind != REQUEST:
                strangers.append(event)
        complaints += [_missing(step, strangers) for step in self._root.open()]
        return complaints

    def _is_ignored(self, command: str) -> bool:
        return any(fnmatchcase(command, pattern) for pattern in self._ignored)


def understand(entries: Sequence[Entry]) -> Iterator[Happened]:
    """What the journal says of the client under test: all clients but the fixture's own."""
    for entry in entries:
        data = entry.data
        if data.get("client", HELPER) == HELPER:
            continue
        if entry.kind == "request":
            yield Happened(entry.serial, REQUEST, data["command"], data["arguments"])
        elif entry.kind == "event":
            members = json.loads(data["text"]).get("data", {})
            yield Happened(entry.serial, EVENT, data["name"], members)
        elif entry.kind == "reply":
            error = json.loads(data["text"]).get("error")
            if error is not None:
                yield Happened(entry.serial, ERROR, data["name"], error)


def _unexpected(event: Happened, due: list[Expectation], later: list[Expectation]) -> str:
    lines = [f"unexpected: {event!r}"]
    about = [step for step in due if step.is_about(event)]
    if about:
        step = min(about, key=lambda step: len(step.differences(event)))
        lines.append(f"  nearest: {step!r}: {'; '.join(step.differences(event))}")
    elif any(step.is_about(event) and not step.differences(event) for step in later):
        lines.append(f"  too early: first comes {_any_of(due)}")
    elif due:
        lines.append(f"  expected here: {_any_of(due)}")
    else:
        lines.append("  expected here: no more requests")
    return "\n".join(lines)


def _any_of(steps: list[Expectation]) -> str:
    return " or ".join(map(repr, steps))


def _missing(step: Expectation, strangers: list[Happened]) -> str:
    lines = [f"missing: {step!r}" + (f", {step.left} times" if step.left > 1 else "")]
    about = [event for event in strangers if step.is_about(event)]
    if about:
        near = min(about, key=lambda event: len(step.differences(event)))
        why = "; ".join(step.differences(near)) or "it came at another place"
        lines.append(f"  nearest: {near!r}: {why}")
    else:
        names = {event.name for event in strangers if event.kind == step.kind}
        close = get_close_matches(step.name, names, 1)
        if close:
            lines.append(f"  nearest name: {close[0]!r}")
    return "\n".join(lines)


def tail(entries: Sequence[Entry]) -> str:
    """The journal's last lines, for people."""
    last = [f"  {_line(entry)}" for entry in entries[-TAIL:]]
    return "\n".join(["the journal's last lines:", *last] if last else ["the journal is empty"])


def _line(entry: Entry) -> str:
    data = entry.data
    if entry.kind == "request":
        said = f"client {data['client']}: {data['command']} {json.dumps(data['arguments'])}"
    elif "text" in data:
        message = json.loads(data["text"])
        message.pop("timestamp", None)
        said = f"client {data['client']}: {json.dumps(message)}"
    else:
        said = " ".join(f"{key}={value!r}" for key, value in data.items())
    return f"{entry.serial:5} {entry.kind:10} {said}"[:WIDTH]
