"""The reference in docs/ is the one that the program gives."""

import re

import pytest

from qmpd import docgen
from qmpd.jobs import states
from qmpd.protocol import session
from qmpd.schema.models import COMMANDS, EVENTS


@pytest.fixture(scope="module")
def texts():
    return docgen.Pages().texts


def test_the_committed_pages_are_up_to_date(texts):
    committed = {page.name: page.read_text() for page in docgen.FOLDER.glob("*.md")}
    stale = [name for name in texts.keys() | committed if texts.get(name) != committed.get(name)]
    assert not stale, "run `make docs`"


def test_every_command_and_event_has_a_section(texts):
    for page, known in (("commands.md", COMMANDS), ("events.md", EVENTS)):
        assert re.findall(r"^## (.*)$", texts[page], re.MULTILINE) == sorted(known)


def test_every_link_leads_somewhere(texts):
    anchors = {
        f"{page}#{heading.lower()}"
        for page, text in texts.items()
        for heading in re.findall(r"^## (.*)$", text, re.MULTILINE)
    }
    for page, text in texts.items():
        for target in re.findall(r"\]\(([^)]*)\)", text):
            assert (page + target if target.startswith("#") else target) in anchors


def test_the_diagrams_have_every_transition(texts):
    drawn = re.findall(r"^    (\w+) --> (\w+)$", texts["jobs.md"], re.MULTILINE)
    assert set(drawn) == {
        (state, then)
        for state, successors in states.TRANSITIONS.items()
        for then in successors
        if state != states.UNDEFINED
    }
    arrows = re.findall(r"^    (\w+) --> (\w+): ", texts["session.md"], re.MULTILINE)
    assert arrows == [(state, then) for (state, _), (then, _) in session.TRANSITIONS.items()]


def test_pages_that_nobody_makes_any_more_go(tmp_path):
    (tmp_path / "old.md").write_text("old")
    docgen.main(tmp_path)
    assert {page.name for page in tmp_path.iterdir()} == docgen.Pages().texts.keys()
