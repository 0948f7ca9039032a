"""The picture as text."""

import io
import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from qmpd.show.model import Edge, Job, Node, Picture, User, letters, plain
from qmpd.show.style import ASCII, Style, style_of
from qmpd.show.text import draw
from tests.show.pictures import chain, pictures

WIDE = Style(width=300)
_COLOUR = re.compile("\x1b\\[[0-9;]*m")


def without_colours(lines):
    return [_COLOUR.sub("", line) for line in lines]


def names(lines):
    return [line.split()[1] for line in lines[2:]]


def test_a_chain_goes_straight_down_from_the_active_layer():
    lines = draw(chain(3, lab=True), WIDE)
    assert names(lines) == ["n0", "n1", "n2"]
    assert len({line.index("n") for line in lines[2:]}) == 1


def test_a_chain_of_thousands_is_drawn_without_recursion():
    assert len(draw(chain(5000), WIDE)) == 5002


def test_storage_is_indented_below_its_node_and_before_the_backing_node():
    picture = chain(2)
    storage = Node(7, "storage", "file", file="/images/a", access="rw", locks=(100, 201))
    picture = replace(
        picture,
        nodes={**picture.nodes, 7: storage},
        edges=(*picture.edges, Edge(0, 7, "file", "cw-r", "c-u-")),
        lab=True,
    )
    lines = draw(picture, WIDE)
    assert [line.rstrip() for line in lines[2:]] == [
        "● n0        qcow2   rw",
        "├─ storage  file    rw    file     cw-r/c-u-    rw      100 201  /images/a",
        "● n1        qcow2   rw    backing  c---/cwur",
    ]


def test_a_node_below_two_others_is_drawn_once():
    picture = chain(2)
    picture = replace(
        picture,
        nodes={**picture.nodes, 5: Node(5, "other", "qcow2")},
        edges=(*picture.edges, Edge(5, 1, "backing", "----", "cwur")),
    )
    lines = draw(picture, WIDE)
    assert names(lines) == ["n0", "n1", "other", "n1"]
    assert "see above" in lines[-1]
    assert "see above" not in lines[3]


def test_users_stand_below_what_they_use_devices_first():
    picture = replace(
        chain(1),
        users={8: User(8, "job", "j"), 9: User(9, "device", "disk0")},
        edges=(Edge(8, 0, "main node", "----", "cwur"), Edge(9, 0, "root", "cw--", "c-ur")),
    )
    lines = draw(picture, WIDE)
    assert "◁ device disk0" in lines[3]
    assert lines[3].endswith("root       cw--/c-ur")
    assert "◁ job j" in lines[4]


def test_what_is_in_use_comes_first():
    nodes = {number: Node(number, f"n{number}", "raw") for number in (1, 2)}
    users = {9: User(9, "device", "d")}
    picture = Picture(nodes, users, (Edge(9, 2, "root", "c---", "cwur"),))
    assert picture.roots() == [2, 1]


def test_filters_have_a_sign_of_their_own():
    picture = Picture({1: Node(1, "f", "throttle")})
    assert draw(picture, WIDE)[2].startswith("◇ f")
    assert draw(picture, replace(WIDE, signs=ASCII))[2].startswith("% f")


def test_a_job_shows_its_progress_and_what_holds_it():
    job = Job("j", "commit", "running", 1, 4, held="pending")
    assert draw(replace(chain(1), jobs=(job,)), WIDE)[-1] == (
        "job j  commit  running  █████░░░░░░░░░░░░░░░   25%  held before pending"
    )


def test_a_failed_job_shows_its_error():
    job = Job("j", "commit", "concluded", 0, 0, error="No space left on device")
    assert draw(replace(chain(1), jobs=(job,)), WIDE)[-1].endswith("No space left on device")


def test_without_a_lab_it_says_what_is_missing():
    assert "--lab" in draw(chain(1), WIDE)[0]
    assert "--lab" not in draw(chain(1, lab=True), WIDE)[0]


def test_an_empty_graph_is_said_to_be_empty():
    assert draw(Picture(), WIDE)[1:] == ["no nodes"]


@given(pictures(), st.integers(20, 140))
def test_no_line_is_wider_than_the_terminal(picture, width):
    assert all(len(line) <= width for line in draw(picture, Style(width=width)))


@given(pictures(), st.integers(20, 140))
def test_colours_change_nothing_but_colours(picture, width):
    colourful = draw(picture, Style(width=width, colours=True))
    assert without_colours(colourful) == draw(picture, Style(width=width))


@given(pictures())
def test_every_node_is_drawn_in_full_once(picture):
    lines = draw(picture, Style(width=2000))
    full = [line for line in lines if re.search(r" (ro|rw)\b", line) and "see above" not in line]
    assert len(full) == len(picture.nodes)


@given(pictures(), st.integers(20, 140))
def test_ascii_signs_are_enough(picture, width):
    text = "\n".join(draw(picture, Style(width=width, signs=ASCII)))
    assert text.isascii()


def test_long_file_names_keep_their_end():
    node = Node(1, "n", "file", file="/a/very/long/folder/" + "x" * 60 + "/image.raw")
    lines = draw(Picture({1: node}), Style(width=60))
    assert lines[2].endswith("image.raw")


def test_permissions_are_four_letters():
    assert letters(["write", "consistent-read"]) == "cw--"
    assert letters(["resize", "write-unchanged"]) == "--ur"


def test_file_names_cannot_command_the_terminal():
    assert plain("a\x1b[2Jb\nc\x9bd") == "a?[2Jb?c?d"


def test_a_stream_that_knows_no_unicode_gets_ascii():
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert style_of(narrow).signs is ASCII


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert style_of(Terminal()).colours
    assert not style_of(io.StringIO()).colours
    monkeypatch.setenv("NO_COLOR", "1")
    assert not style_of(Terminal()).colours
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not style_of(Terminal()).colours
