"""What examples/ and the documents show works as they show it."""

import ast
import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from qmpd import scenario
from qmpd.demo.client import Client, ConversationError
from qmpd.demo.daemon import Daemon
from qmpd.monitor import chardev, connection
from qmpd.protocol import lexer

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PATIENCE = 60


def python(*words):
    return subprocess.run(
        [sys.executable, "-W", "error", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def page(name):
    return (ROOT / name).read_text()


def blocks(text, language=""):
    """Return the fenced blocks of a page that are in a language."""
    return [
        block
        for mark, block in re.findall(r"^```(.*?)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        if mark == language
    ]


def test_the_client_commits_the_middle_of_its_chain():
    done = python(str(ROOT / "examples" / "commit.py"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "before: /images/top.qcow2 -> /images/middle.qcow2 -> /images/base.qcow2",
        *(
            f"  commit-middle: {status}"
            for status in ("created", "running", "waiting", "pending", "concluded")
        ),
        "after:  /images/top.qcow2 -> /images/base.qcow2",
    ]


def test_the_sealed_image_of_the_scenario_cannot_be_written():
    done = python(
        *("-m", "qmpd", "--storage", "memory"),
        *("--scenario", str(ROOT / "examples" / "chain.toml")),
        *("--blockdev", "file,node-name=sealed,filename=/images/sealed.qcow2"),
    )
    assert done.returncode == 1
    assert done.stderr.endswith("Could not open '/images/sealed.qcow2': Permission denied\n")


def test_the_scenario_on_the_page_can_be_loaded(tmp_path):
    (text,) = blocks(page("docs/cli.md"), "toml")
    (tmp_path / "scenario.toml").write_text(text)
    loaded = scenario.load(str(tmp_path / "scenario.toml"))
    assert [image.path for image in loaded.images] == re.findall(r'path = "(.*)"', text)
    loaded.storage("memory").close()


def test_the_page_has_every_key_of_an_image():
    text = page("docs/cli.md").partition("An image has")[2]
    assert set(re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)) == scenario._IMAGE_KEYS


def test_the_page_has_the_bounds_that_hold():
    bounds = [
        f"{connection.REPLY_BACKLOG >> 10} KiB",
        f"{connection.EVENT_LIMIT >> 20} MiB",
        f"{lexer.MAX_TOKEN_SIZE >> 20} MiB",
        str(lexer.MAX_TOKENS),
        str(lexer.MAX_NESTING),
        str(connection.OOB_QUEUE),
        str(chardev.BACKLOG),
    ]
    assert re.findall(r"\*\*(.*?)\*\*", page("docs/buffers.md")) == bounds


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_to_files_that_exist(path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
        assert target.startswith("https://") or (path.parent / target).exists(), target


def test_targets_that_pages_name_are_in_the_makefile():
    known = set(re.findall(r"^(\w+):", page("Makefile"), re.MULTILINE))
    for path in PAGES:
        named = re.findall(r"(?:^|`|\$ )make ([a-z]+)\b", path.read_text(), re.MULTILINE)
        assert set(named) <= known, path.name


def without_times(line):
    return re.sub(r"^ +[\d.]+  ", "", line).rstrip()


def test_the_readme_shows_what_is_to_be_seen():
    command, *shown = blocks(page("README.md"))[0].splitlines()
    assert command == "$ make run"
    real = iter([without_times(line) for line in python("-m", "qmpd.demo").stdout.splitlines()])
    for line in shown:
        assert without_times(line) in real, line  # the iterator keeps the order


def shell_value(text):
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def shell_request(line):
    command, *words = line.removeprefix("(QEMU)").split()
    arguments = (word.partition("=") for word in words)
    return {
        "execute": command,
        "arguments": {name: shell_value(value) for name, _, value in arguments},
    }


def answer(client, request):
    try:
        return {"return": client.execute(request)}
    except ConversationError as error:
        return str(error).removeprefix(f"{request['execute']}: ")


def test_the_session_at_the_prompt_goes_as_it_is_told():
    """Every request on the page is made, and answered as there; so are the events."""
    lines = [line for block in blocks(page("docs/qmp-shell.md")) for line in block.splitlines()]
    after = {"block-commit": "pending", "job-finalize": "null"}
    with Daemon() as daemon, Client(daemon.path) as client:
        client.read()
        client.execute({"execute": "qmp_capabilities"})
        asked = 0
        for line, reply in pairwise(lines):
            if not line.startswith("(QEMU) "):
                continue
            request, told = shell_request(line), json.loads(reply)
            assert answer(client, request) == (told if "return" in told else told["error"]["desc"])
            client.wait_status(after.get(request["execute"], "created"))
            asked += 1
        events = [line.message for line in client.log if "event" in line.message]
    assert asked == 8
    shown = [ast.literal_eval(line) for line in lines if line.startswith("{'timestamp'")]
    assert [(event["event"], event["data"]) for event in events] == [
        (event["event"], event["data"]) for event in shown
    ]
