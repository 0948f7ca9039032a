"""qmp-shell of qemu.qmp works with qmpd as with QEMU."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest

from tests.show.daemon import SECONDS, chain, running

PROMPT = "(QEMU) "
_CONTROL = re.compile(r"\x1b\[[?0-9;]*[a-zA-Z]|\x07|\r")


class Shell:
    """qmp-shell in a pseudo-terminal."""

    def __init__(self, home, *words):
        self.master, slave = pty.openpty()
        self.child = subprocess.Popen(
            [sys.executable, "-m", "qemu.qmp.qmp_shell", *map(str, words)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=os.environ | {"HOME": str(home), "TERM": "xterm", "INPUTRC": "/dev/null"},
            start_new_session=True,
        )
        os.close(slave)

    def read_until(self, text):
        seen = ""
        deadline = time.monotonic() + SECONDS
        while not seen.endswith(text):
            assert time.monotonic() < deadline, seen
            if select.select([self.master], [], [], 0.1)[0]:
                data = os.read(self.master, 1 << 16).decode()
                seen = _CONTROL.sub("", seen + data)
        return seen

    def type(self, keys, until=PROMPT):
        """Type; return what appears up to ``until``."""
        os.write(self.master, keys.encode())
        return self.read_until(until)

    def close(self):
        self.child.kill()
        self.child.wait(SECONDS)
        os.close(self.master)


@pytest.fixture
def shell(tmp_path):
    with running(*chain("base", "middle", "top")) as folder:
        shell = Shell(tmp_path, "-v", "-p", folder / "a.sock")
        try:
            banner = shell.read_until(PROMPT)
            assert "Connected to QEMU 7.2.22" in banner
            yield shell
        finally:
            shell.close()


def documents(text):
    """The JSON objects that qmp-shell -v -p has printed: what was sent, what came back."""
    decoder, found, at = json.JSONDecoder(), [], text.find("{")
    while at >= 0:
        value, end = decoder.raw_decode(text, at)
        found.append(value)
        at = text.find("{", end)
    return found


def test_a_command_is_completed(shell):
    shell.type("x-qmpd-fi\t", until="x-qmpd-files")
    sent, reply = documents(shell.type("\n"))
    assert sent == {"execute": "x-qmpd-files", "arguments": {}}
    assert [file["node-name"] for file in reply["return"]] == [
        "base-storage", "middle-storage", "top-storage"
    ]  # fmt: skip


def test_several_possibilities_are_listed(shell):
    shell.type("query-b\t", until="query-block")
    listed = shell.type("\t\t", until=f"{PROMPT}query-block").split()
    assert {"query-block", "query-block-jobs", "query-blockstats"} <= set(listed)


def test_arguments_are_given_as_words(shell):
    line = "block-commit device=top job-id=j top-node=middle base-node=base auto-finalize=false"
    sent, reply = documents(shell.type(f"{line}\n"))
    assert sent["arguments"]["auto-finalize"] is False
    assert reply == {"return": {}}
    listed = []
    while not listed or listed[0]["status"] != "pending":
        listed = documents(shell.type("query-jobs\n"))[-1]["return"]
    assert listed[0]["id"] == "j"


def test_a_mistake_is_answered_with_an_error(shell):
    reply = documents(shell.type("x-qmpd-hold job=j before=lunch\n"))[-1]
    assert reply["error"]["desc"] == "Parameter 'before' does not accept value 'lunch'"


def test_events_come_with_the_next_prompt(shell):
    shell.type("block-commit device=top job-id=j top-node=middle base-node=base\n")
    seen = ""
    while "BLOCK_JOB_COMPLETED" not in seen:
        seen += shell.type("\n")
    assert "JOB_STATUS_CHANGE" in seen
