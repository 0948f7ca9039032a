"""Where boxes and arrows go: users on the left, chains downwards, storage on the right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qmpd.show.dot import describe, progress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qmpd.show.model import Edge, Picture

DOWN, RIGHT, LEFT = "down", "right", "left"

# All measures are in pixels; text is set in a fixed pitch, so that its width is known.
CHAR = 7.0
SMALL = 6.1
"""The width of a character in a label."""
LINE = 16
PAD = 10
BEND = 90
"""Room for arrows to cross over before they come to their labels."""
LOOP = 50
"""How far an arrow swings out that comes back to where it began."""
PORT = 24
"""Room on a box's left side for one arrow and its label."""
ROW_GAP = 44
"""Room between rows for the label of a downward arrow."""
MARGIN = 24


@dataclass(slots=True)
class Box:
    """A rectangle with lines of text; ``x`` and ``y`` are its upper left corner."""

    number: int
    lines: tuple[str, ...]
    kind: str
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0

    @property
    def right(self) -> float:
        """The right side."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The lower side."""
        return self.y + self.height

    @property
    def middle(self) -> float:
        """Half-way down."""
        return self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class Arrow:
    """A line from one point to another, which it enters in the direction of ``way``."""

    start: tuple[float, float]
    end: tuple[float, float]
    edge: Edge
    way: str
    label: tuple[float, float]
    """Where the first line of its label begins, or ends if the way is right."""


@dataclass(frozen=True, slots=True)
class Layout:
    """All boxes and arrows, and the size of the whole."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    width: float
    height: float


def lay_out(picture: Picture) -> Layout:
    """Find a place for everything."""
    return _Placing(picture).run()


class _Placing:
    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._boxes: dict[int, Box] = {}
        self._columns: dict[int, int] = {}
        """Node to column; chains are in column 1, users in column 0."""
        self._tree: set[Edge] = set()
        """The edges along which nodes were placed."""
        self._ports: dict[int, list[Edge]] = {}
        """The edges that enter a node from the left, from above to below."""
        self._y: float = MARGIN

    def run(self) -> Layout:
        picture = self._picture
        for root in picture.roots():
            self._columns.setdefault(root, 1)
            self._walk(root, 1)
        for edge in picture.edges:
            if edge not in self._tree and edge.child in picture.nodes and not self._back(edge):
                self._ports.setdefault(edge.child, []).append(edge)
        placed: set[int] = set()
        for root in picture.roots():
            self._y = self._place(root, self._y, placed) + ROW_GAP
        self._place_users()
        self._widen()
        arrows = tuple(self._arrows())
        boxes = tuple(self._boxes.values())
        width = max((box.right for box in boxes), default=0.0) + MARGIN
        height = max((box.bottom for box in boxes), default=0.0) + MARGIN + LINE
        return Layout(boxes, arrows, width, height)

    def _back(self, edge: Edge) -> bool:
        """Whether an edge leads to a column further left."""
        return self._columns.get(edge.parent, 0) > self._columns[edge.child]

    # --- columns -----------------------------------------------------------------------

    def _walk(self, node: int, column: int) -> None:
        while True:
            following = None
            for edge in self._picture.below(node):
                if edge.child in self._columns:
                    continue
                self._tree.add(edge)
                if edge.name == "backing":
                    self._columns[edge.child] = column
                    following = edge.child
                else:
                    self._columns[edge.child] = column + 1
                    self._walk(edge.child, column + 1)
            if following is None:
                return
            node = following

    # --- rows --------------------------------------------------------------------------

    def _place(self, node: int, y: float, placed: set[int]) -> float:
        """Place a node and what is below it; returns where the next row may begin."""
        bottom = y
        while node not in placed:
            placed.add(node)
            box = self._node_box(node)
            box.y = y
            bottom = box.bottom
            following, side = None, y
            for edge in self._picture.below(node):
                if edge not in self._tree:
                    continue
                if edge.name == "backing":
                    following = edge.child
                else:
                    side = self._place(edge.child, side, placed) + ROW_GAP / 2
            bottom = max(bottom, side - ROW_GAP / 2)
            if following is None:
                break
            node, y = following, bottom + ROW_GAP
        return bottom

    def _node_box(self, number: int) -> Box:
        node = self._picture.nodes[number]
        box = _sized(Box(number, tuple(describe(node)), "filter" if node.is_filter else "node"))
        ports = len(self._ports.get(number, ()))
        box.height = max(box.height, ports * PORT + PAD)
        self._boxes[number] = box
        return box

    def _place_users(self) -> None:
        """Put users beside what they use, in the order of the rows, without overlapping."""
        picture = self._picture
        wanted = []
        for user in picture.users.values():
            targets = [
                self._boxes[edge.child].middle
                for edge in picture.edges
                if edge.parent == user.id and edge.child in self._boxes
            ]
            if targets:
                lines = (user.title, *progress(picture, user))
                box = _sized(Box(user.id, lines, user.kind))
                wanted.append((sum(targets) / len(targets), user.id, box))
        free: float = MARGIN
        for middle, number, box in sorted(wanted, key=lambda entry: entry[:2]):
            box.y = max(middle - box.height / 2, free)
            free = box.bottom + LINE
            self._boxes[number] = box
        self._sort_ports()

    def _sort_ports(self) -> None:
        for edges in self._ports.values():
            edges.sort(key=lambda edge: self._boxes[edge.parent].middle)

    # --- widths ------------------------------------------------------------------------

    def _widen(self) -> None:
        """Give columns their places, with room between them for the widest label."""
        columns: dict[int, list[Box]] = {}
        for box in self._boxes.values():
            columns.setdefault(self._columns.get(box.number, 0), []).append(box)
        x: float = MARGIN
        if 0 not in columns and any(self._ports.values()):  # they enter from the margin
            x += self._gap(0)
        for column in sorted(columns):
            width = max(box.width for box in columns[column])
            for box in columns[column]:
                box.x, box.width = x, width
            x += width + self._gap(column)

    def _gap(self, column: int) -> float:
        """Room right of a column for the labels that stand there, beside their targets."""
        widths = [
            label_width(edge)
            for edge in self._picture.edges
            if edge.child in self._columns
            and column == self._columns[edge.child] - (not self._back(edge))
        ]
        return max(widths, default=0.0) + BEND

    # --- arrows ------------------------------------------------------------------------

    def _arrows(self) -> Iterable[Arrow]:
        for edge in self._picture.edges:
            parent, child = self._boxes.get(edge.parent), self._boxes.get(edge.child)
            if parent is None or child is None:
                continue
            if edge not in self._tree:
                back = self._back(edge)
                yield self._backward(edge, parent, child) if back else self._into_port(edge)
            elif edge.name == "backing":
                x = child.x + child.width / 2
                label = (x + 8, child.y - ROW_GAP / 2 - 1)
                yield Arrow((x, parent.bottom), (x, child.y), edge, DOWN, label)
            else:
                end = (child.x, child.middle)
                start = (parent.right, min(max(child.middle, parent.y + 6), parent.bottom - 6))
                yield Arrow(start, end, edge, RIGHT, (child.x - 12, child.middle - 5))

    def _into_port(self, edge: Edge) -> Arrow:
        """An arrow to its own port, from the right of a user or from the left of a node."""
        parent, child = self._boxes[edge.parent], self._boxes[edge.child]
        ports = self._ports[edge.child]
        y = child.middle + PORT * (ports.index(edge) - (len(ports) - 1) / 2)
        mine = [e for es in self._ports.values() for e in es if e.parent == edge.parent]
        mine.sort(key=lambda e: self._boxes[e.child].y)
        out = parent.y + parent.height * (mine.index(edge) + 1) / (len(mine) + 1)
        x = parent.right if parent.right < child.x else parent.x
        return Arrow((x, out), (child.x, y), edge, RIGHT, (child.x - 12, y - 5))

    @staticmethod
    def _backward(edge: Edge, parent: Box, child: Box) -> Arrow:
        y = child.bottom - 8
        return Arrow(
            (parent.x, parent.bottom - 8), (child.right, y), edge, LEFT, (child.right + 14, y + 13)
        )


def _sized(box: Box) -> Box:
    box.width = max(len(line) for line in box.lines) * CHAR + 2 * PAD
    box.height = len(box.lines) * LINE + 2 * PAD - 4
    return box


def label_width(edge: Edge) -> float:
    """The width of a label in one line."""
    return (len(edge.name) + 1 + len(edge.permissions)) * SMALL
