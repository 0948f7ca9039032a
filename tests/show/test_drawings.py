"""The picture as dot and as SVG."""

import re
from itertools import combinations
from xml.etree import ElementTree as ET

from hypothesis import given

from qmpd.show.dot import dot
from qmpd.show.layout import MARGIN, lay_out
from qmpd.show.model import Job, Node, Picture, User
from qmpd.show.svg import svg
from tests.show.pictures import chain, pictures

SVG = "{http://www.w3.org/2000/svg}"


def drawn_edges(picture):
    known = picture.nodes.keys() | {e.parent for e in picture.edges if e.child in picture.nodes}
    return [edge for edge in picture.edges if edge.child in known]


@given(pictures())
def test_boxes_never_overlap_and_stay_inside(picture):
    layout = lay_out(picture)
    for one, other in combinations(layout.boxes, 2):
        apart = (
            one.right < other.x
            or other.right < one.x
            or one.bottom < other.y
            or other.bottom < one.y
        )
        assert apart, (one, other)
    for box in layout.boxes:
        assert box.x >= MARGIN
        assert box.y >= MARGIN
        assert box.right <= layout.width
        assert box.bottom <= layout.height


@given(pictures())
def test_every_node_has_a_box_and_every_edge_an_arrow(picture):
    layout = lay_out(picture)
    assert {box.number for box in layout.boxes} >= picture.nodes.keys()
    assert sorted(map(str, (arrow.edge for arrow in layout.arrows))) == sorted(
        map(str, drawn_edges(picture))
    )


@given(pictures())
def test_arrows_end_at_the_box_they_point_to(picture):
    layout = lay_out(picture)
    boxes = {box.number: box for box in layout.boxes}
    for arrow in layout.arrows:
        box = boxes[arrow.edge.child]
        x, y = arrow.end
        assert box.x <= x <= box.right
        assert box.y <= y <= box.bottom


@given(pictures())
def test_the_svg_is_well_formed_and_complete(picture):
    root = ET.fromstring(svg(picture))  # noqa: S314 - our own text
    layout = lay_out(picture)
    assert len(root.findall(f"{SVG}rect")) == len(layout.boxes) + 1  # and the background
    assert len(root.findall(f"{SVG}path")) == len(layout.arrows)


def test_a_long_chain_is_one_column():
    boxes = lay_out(chain(3000)).boxes
    assert len({box.x for box in boxes}) == 1


def test_special_characters_survive_in_both():
    user = User(9, "job", 'a<b>&"c\\')
    picture = Picture(
        {1: Node(1, "n", "raw")}, {9: user}, jobs=(Job(user.name, "x", "ready", 1, 2),)
    )
    assert '\\"c\\\\' in dot(picture)
    ET.fromstring(svg(picture))  # noqa: S314 - our own text


@given(pictures())
def test_dot_names_every_node_user_and_edge(picture):
    text = dot(picture)
    defined = {int(number) for number in re.findall(r"^  n(\d+) \[", text, re.MULTILINE)}
    assert defined == picture.nodes.keys() | picture.users.keys()
    edges = re.findall(r"^  n(\d+) -> n(\d+) \[", text, re.MULTILINE)
    assert [(int(a), int(b)) for a, b in edges] == [(e.parent, e.child) for e in picture.edges]
