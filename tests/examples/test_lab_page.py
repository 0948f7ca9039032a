"""docs/lab.md tells of every lever, and its sessions go as they are told."""

import json
import re
from pathlib import Path

import pytest

from qmpd import scenario
from qmpd.schema.compiled import COMMANDS, OBJECTS
from tests.show.daemon import Puller

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "lab.md").read_text()
SESSIONS = re.findall(r"^```qmp\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
LEVERS = sorted(name for name in COMMANDS if name.startswith("x-qmpd-"))


class Session(Puller):
    """A client that reads lines as the page shows them."""

    def follow(self, line):
        sign, _, text = line.partition(" ")
        if sign == "->":
            self.lines.write(f"{text}\n".encode())
            self.lines.flush()
        elif sign == "<-":
            assert self.answer() == json.loads(text)
        else:
            name, status = text.split()
            while (seen := self.event())["event"] != name or seen["data"]["status"] != status:
                pass

    def answer(self):
        while "event" in (message := json.loads(self.lines.readline())):
            self.heard.append(message)
        for entry in message["return"] if isinstance(message.get("return"), list) else ():
            if "wall" in entry:
                entry["wall"] = 0
        return message

    def event(self):
        return self.heard.pop(0) if self.heard else json.loads(self.lines.readline())


@pytest.mark.parametrize("text", SESSIONS)
def test_a_session_goes_as_it_is_told(lab_of_page, text):
    with Session(lab_of_page / "lab.sock") as session:
        session.heard = []
        for line in text.splitlines():
            session.follow(line)


@pytest.mark.parametrize("name", LEVERS)
def test_every_lever_is_in_a_session_and_in_a_table_with_its_arguments(name):
    assert f'"execute": "{name}"' in "".join(SESSIONS)
    (arguments,) = re.findall(rf"^\| `{name}` \| (.*?) ?\|", PAGE, re.MULTILINE)
    members, _, _ = OBJECTS[COMMANDS[name][0]]
    assert re.findall(r"`([\w-]+)`", arguments) == [member[0] for member in members]


def test_every_action_on_the_wire_is_told():
    from qmpd.lab.wire import ACTIONS

    table = PAGE.partition("| action |")[2].partition("```")[0]
    assert tuple(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)) == ACTIONS


def test_the_levers_of_the_scenario_can_be_loaded(tmp_path):
    (text,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "scenario.toml").write_text(text)
    levers = scenario.load(str(tmp_path / "scenario.toml")).levers
    assert [lever.command for lever in levers] == ["x-qmpd-hold", "x-qmpd-fault"]
