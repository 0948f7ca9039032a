"""Say where two transcripts part: the step, both lines, the first differing member."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

from qmpd.testing.oracle.normalise import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

_NOTHING = b"(nothing)"
_ORDER = "(order of members)"
_WIDTH = 160


class Difference(AssertionError):  # noqa: N818 - it is a finding, not a mistake of the program
    """The two sides parted; ``str()`` of it is the report to act on.

    Attributes:
        step: what both were asked to do.
        path: the first differing member as a dotted path; empty for the line as a whole.
    """

    def __init__(self, report: str, step: str, path: str) -> None:
        """Carry the finished report."""
        super().__init__(report)
        self.step = step
        self.path = path


def first_difference(one: Any, other: Any, path: str = "") -> str | None:
    """Return the dotted path of the first member in which two JSON values differ.

    List elements are numbered from 0; a member that only one side has counts, and so
    does an order of members that differs while all values agree. None: no difference.

    >>> first_difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]})
    'a.1.b'
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return _in_objects(one, other, path)
    if isinstance(one, list) and isinstance(other, list):
        for index, (left, right) in enumerate(zip_longest(one, other, fillvalue=_NOTHING)):
            found = first_difference(left, right, _join(path, str(index)))
            if found is not None:
                return found
        return None
    # 1, 1.0 and True are equal in Python and different on the wire.
    return None if one == other and type(one) is type(other) else path


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _in_objects(one: dict[str, Any], other: dict[str, Any], path: str) -> str | None:
    for key in [*one, *(key for key in other if key not in one)]:
        found = first_difference(one.get(key, _NOTHING), other.get(key, _NOTHING), _join(path, key))
        if found is not None:
            return found
    if list(one) != list(other):
        return _join(path, _ORDER)
    return None


class Said(NamedTuple):
    """The normalised lines of one side for one step.

    Attributes:
        name: what the report calls the side.
        lines: what it said.
    """

    name: str
    lines: Sequence[bytes]

    def line(self, index: int) -> bytes:
        """Return a line, or a word for its absence."""
        return self.lines[index] if index < len(self.lines) else _NOTHING


def check_equal(step: str, one: Said, other: Said) -> None:
    """Compare what both sides said in one step.

    Args:
        step: what was done, for the report.
        one: the reference side.
        other: the other side.

    Raises:
        Difference: at the first line that is not the same bytes.
    """
    for index in range(max(len(one.lines), len(other.lines))):
        left, right = one.line(index), other.line(index)
        if left != right:
            path, values = _differing_member(left, right)
            head = [step, f"line {index + 1} differs" + (f", first at: {path}" if path else "")]
            report = [*head, *_pair(one, other, index, values), *_context(one, other, index)]
            raise Difference("\n".join(report), step, path)


def _differing_member(left: bytes, right: bytes) -> tuple[str, list[Any]]:
    """Return path and both values of the first differing member, if the lines have any."""
    one, other = parse(left), parse(right)
    if one is None or other is None:
        # Sentences about images are "NAME TOOL JSON".
        one, other = (parse(line.split(b" ", 2)[-1]) for line in (left, right))
    if one is None or other is None:
        return "", []
    path = first_difference(one, other) or ""
    return path, [_value_at(value, path) for value in (one, other)]


def _value_at(value: Any, path: str) -> Any:
    for name in path.split("."):
        if isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        elif isinstance(value, dict) and name in value:
            value = value[name]
        elif name == _ORDER:
            return list(value)
        else:
            return "(absent)"
    return value


def _pair(one: Said, other: Said, index: int, values: list[Any]) -> list[str]:
    lines = [f"  {side.name}: {_text(side.line(index))}" for side in (one, other)]
    if values:
        pairs = zip((one, other), values, strict=True)
        return lines + [f"  {side.name} has there: {value!r}" for side, value in pairs]
    return [*lines, f"  first differing byte: {_first_byte(one.line(index), other.line(index))}"]


def _context(one: Said, other: Said, index: int) -> list[str]:
    """Show the whole step: what only one side said, then all lines, cut to a readable width."""
    lines: list[str] = []
    for side, opposite in ((one, other), (other, one)):
        alone = [line for line in side.lines if line not in opposite.lines]
        lines += [f"only {side.name} said: {_text(line)[:_WIDTH]}" for line in alone]
    for side in (one, other):
        lines.append(f"all {len(side.lines)} lines of {side.name}:")
        lines += [
            f"  {'>' if number == index else ' '} {_text(line)[:_WIDTH]}"
            for number, line in enumerate(side.lines)
        ]
    return lines


def _text(line: bytes) -> str:
    return line.decode("ascii", "backslashreplace").rstrip("\r\n")


def _first_byte(left: bytes, right: bytes) -> int:
    for index, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return index
    return min(len(left), len(right))
