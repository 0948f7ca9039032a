"""The picture as SVG; nothing else is needed to draw it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from qmpd.show.layout import DOWN, LEFT, LINE, LOOP, MARGIN, PAD, RIGHT, label_width, lay_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmpd.show.layout import Arrow, Box, Layout
    from qmpd.show.model import Picture

_STYLE = """\
text { font: 11.6px "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1b1f24 }
.box { stroke-width: 1.2; rx: 5px }
.node { fill: #eaf2fb; stroke: #3b6ea8 }
.filter { fill: #f6effb; stroke: #8250a8; stroke-dasharray: 5 3 }
.device { fill: #e9f6ec; stroke: #2f855a }
.backend { fill: #f4f5f6; stroke: #6b7280 }
.job { fill: #fff5e0; stroke: #b7791f }
.title { font-weight: bold }
.arrow { fill: none; stroke: #57606a; stroke-width: 1.2; marker-end: url(#head) }
.label { font-size: 10px; fill: #57606a; paint-order: stroke; stroke: #fff; stroke-width: 3px }
.end { text-anchor: end }"""
_HEAD = """\
<marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" \
orient="auto"><path d="M0 1 L10 5 L0 9 z" fill="#57606a"/></marker>"""


def svg(picture: Picture) -> str:
    """Return a document."""
    return "\n".join(_document(lay_out(picture))) + "\n"


def _document(layout: Layout) -> Iterator[str]:
    width, height = f"{layout.width:.0f}", f"{layout.height:.0f}"
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}">'
    )
    yield f"<style>\n{_STYLE}\n</style>"
    yield f"<defs>{_HEAD}</defs>"
    yield f'<rect width="{width}" height="{height}" fill="#fff"/>'
    for arrow in layout.arrows:
        yield _line(arrow)
    for box in layout.boxes:
        yield from _box(box)
    for arrow in layout.arrows:
        yield from _label(arrow)
    yield (
        f'<text class="label" x="{MARGIN}" y="{layout.height - LINE / 2:.1f}">'
        "used/shared permissions: c consistent read, w write, u write unchanged, r resize</text>"
    )
    yield "</svg>"


def _line(arrow: Arrow) -> str:
    (x, y), (to_x, to_y) = arrow.start, arrow.end
    if arrow.way == DOWN or y == to_y:
        path = f"M{x:.1f} {y:.1f} L{to_x:.1f} {to_y:.1f}"
    else:
        room = label_width(arrow.edge) + 16
        level = to_x - room if arrow.way == RIGHT else to_x + room
        straight = arrow.way == LEFT or x < level
        bend = (x + level) / 2 if straight else level - LOOP
        path = (
            f"M{x:.1f} {y:.1f} C{bend:.1f} {y:.1f} {bend:.1f} {to_y:.1f} {level:.1f} {to_y:.1f}"
            f" L{to_x:.1f} {to_y:.1f}"
        )
    return f'<path class="arrow" d="{path}"/>'


def _box(box: Box) -> Iterator[str]:
    yield (
        f'<rect class="box {box.kind}" x="{box.x:.1f}" y="{box.y:.1f}"'
        f' width="{box.width:.1f}" height="{box.height:.1f}"/>'
    )
    y = box.middle - (len(box.lines) - 1) * LINE / 2 + 4
    for number, line in enumerate(box.lines):
        kind = ' class="title"' if number == 0 else ""
        yield f'<text{kind} x="{box.x + PAD:.1f}" y="{y:.1f}">{escape(line)}</text>'
        y += LINE


def _label(arrow: Arrow) -> Iterator[str]:
    x, y = arrow.label
    name, permissions = arrow.edge.name, arrow.edge.permissions
    lines = (name, permissions) if arrow.way == DOWN else (f"{name} {permissions}",)
    kind = "label end" if arrow.way == RIGHT else "label"
    for number, text in enumerate(lines):
        yield f'<text class="{kind}" x="{x:.1f}" y="{y + 12 * number:.1f}">{escape(text)}</text>'
