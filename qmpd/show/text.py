"""The picture as lines of text: chains as trees, the active layer on top.

A chain goes straight down, however long; what a node stands on besides its backing node is
indented below it, and those who use it without being nodes are named below it as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qmpd.show.style import BOLD, CYAN, DIM, GREEN, MAGENTA, RED, YELLOW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmpd.show.model import Edge, Job, Node, Picture
    from qmpd.show.style import Style

TITLES = ("NODE", "DRIVER", "MODE", "EDGE", "PERM/SHARED", "ACCESS", "LOCKS", "FILE")
_DROPPED_FIRST = (7, 6, 3, 1, 5, 2)
"""Columns in the order in which a narrow terminal loses them."""
_GAP = 2
_NAME = 16
"""A name is cut to this before columns are dropped for it."""
_FILE = 12
"""Less of a file name than this is not worth a column."""
_BAR = 20
STATUS_COLOURS = {
    "running": (CYAN,),
    "ready": (GREEN,),
    "pending": (YELLOW,),
    "paused": (YELLOW,),
    "standby": (YELLOW,),
    "aborting": (RED,),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the tree: the cells, and the colours of each."""

    cells: tuple[str, ...]
    colours: tuple[tuple[str, ...], ...] = ()


def draw(picture: Picture, style: Style) -> list[str]:
    """Return the lines."""
    lines = [_headline(picture, style)]
    rows = list(_Tree(picture, style).rows())
    lines += _table(rows, style) if rows else [style.paint("no nodes", DIM)]
    if picture.jobs:
        lines.append("")
        lines += [line for job in picture.jobs for line in _job(job, style)]
    return lines


def _headline(picture: Picture, style: Style) -> str:
    count = len(picture.nodes)
    text = f"QEMU {picture.version}, {count} node{'s' * (count != 1)}"
    if not picture.lab:
        text += "; access modes and locks need a daemon with --lab"
    return style.paint(style.cut(text, style.width), DIM)


class _Tree:
    def __init__(self, picture: Picture, style: Style) -> None:
        self._picture = picture
        self._signs = style.signs
        self._seen: set[int] = set()

    def rows(self) -> Iterator[Row]:
        for root in self._picture.roots():
            yield from self._node(root, None, self._first(root), "")

    def _first(self, node: int) -> str:
        signs = self._signs
        return f"{signs.filter if self._picture.nodes[node].is_filter else signs.node} "

    def _node(self, number: int, edge: Edge | None, first: str, rest: str) -> Iterator[Row]:
        """A node and all below it; a loop walks down chains, which may be very long."""
        while True:
            node = self._picture.nodes[number]
            if number in self._seen:
                yield Row((f"{first}{node.name}", "see above", "", *_edge(edge), "", "", ""))
                return
            self._seen.add(number)
            below = self._picture.below(number)
            yield _row(first + node.name, node, edge, file="" if below else node.file)
            backing = below.pop() if below and below[-1].name == "backing" else None
            more = bool(below) or backing is not None
            yield from self._users(number, rest + (self._signs.line if more else "   "))
            for other in below:
                last = other is below[-1] and backing is None
                yield from self._child(other, rest, last=last)
            if backing is None:
                return
            number, edge = backing.child, backing
            first = rest + self._first(number)

    def _child(self, edge: Edge, rest: str, *, last: bool) -> Iterator[Row]:
        signs = self._signs
        first = rest + (signs.last if last else signs.branch)
        yield from self._node(edge.child, edge, first, rest + ("   " if last else signs.line))

    def _users(self, node: int, lead: str) -> Iterator[Row]:
        for edge in self._picture.uses(node):
            user = self._picture.users[edge.parent]
            yield Row(
                (f"{lead}{self._signs.user} {user.title}", "", "", *_edge(edge), "", "", ""),
                ((MAGENTA,) if user.kind == "job" else (GREEN,),),
            )


def _edge(edge: Edge | None) -> tuple[str, str]:
    return (edge.name, edge.permissions) if edge is not None else ("", "")


def _row(name: str, node: Node, edge: Edge | None, *, file: str) -> Row:
    locks = " ".join(str(number) for number in node.locks)
    return Row(
        (name, node.driver, node.mode, *_edge(edge), node.access, locks, file),
        (
            (MAGENTA,) if node.is_filter else (BOLD,),
            (),
            (DIM,) if node.read_only else (YELLOW,),
            (DIM,),
            (),
            (YELLOW,) if node.access == "rw" else (),
            (DIM,),
            (DIM,),
        ),
    )


def _table(rows: list[Row], style: Style) -> list[str]:
    rows = [Row(TITLES, ((DIM,),) * len(TITLES)), *rows]
    widths = _widths(rows, style.width)
    return [_line(row, widths, style) for row in rows]


def _widths(rows: list[Row], room: int) -> dict[int, int]:
    """The width of each column that has a place, by its number."""
    columns = range(len(TITLES))
    widths = {c: max(len(row.cells[c]) for row in rows) for c in columns}
    for column in columns:
        if not any(row.cells[column] for row in rows[1:]):
            del widths[column]
    file = len(TITLES) - 1
    for dropped in _DROPPED_FIRST:
        over = _total(widths) - room
        if over > 0 and widths.get(file, 0) - over >= _FILE:
            widths[file] -= over
        elif over > 0 and widths[0] - over < _NAME:
            widths.pop(dropped, None)
    widths[0] = max(widths[0] - max(_total(widths) - room, 0), 1)
    return widths


def _total(widths: dict[int, int]) -> int:
    return sum(widths.values()) + _GAP * (len(widths) - 1)


def _line(row: Row, widths: dict[int, int], style: Style) -> str:
    cells = []
    for column, width in widths.items():
        cut = style.cut_left if column == len(TITLES) - 1 else style.cut
        text = cut(row.cells[column], width)
        colours = row.colours[column] if column < len(row.colours) else ()
        blank = " " * (width - len(text))
        cells.append(style.paint(text, *colours) + blank if text else blank)
    return (" " * _GAP).join(cells).rstrip()


def _job(job: Job, style: Style) -> Iterator[str]:
    share = job.current / job.total if job.total else 0.0
    share = min(max(share, 0.0), 1.0)
    done = int(share * _BAR)
    bar = style.signs.done * done + style.signs.left * (_BAR - done)
    percent = f"{share:4.0%}" if job.total else "   -"
    parts: list[tuple[str, tuple[str, ...]]] = [
        (f"job {job.name}", (MAGENTA,)),
        (job.kind, ()),
        (job.status, STATUS_COLOURS.get(job.status, ())),
        (bar, (CYAN,)),
        (percent, ()),
    ]
    if job.held:
        parts.append((f"held before {job.held}", (YELLOW,)))
    if job.error:
        parts.append((job.error, (RED,)))
    yield _joined(parts, style)


def _joined(parts: list[tuple[str, tuple[str, ...]]], style: Style) -> str:
    line, room = "", style.width
    for text, colours in parts:
        gap = " " * (_GAP if line else 0)
        if room <= len(gap):
            break
        shown = style.cut(text, room - len(gap))
        line += gap + style.paint(shown, *colours)
        room -= len(gap) + len(shown)
    return line
