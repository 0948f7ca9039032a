"""Following a daemon live."""

import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from qmpd.show.client import Client, HungUpError
from qmpd.show.watch import Watcher
from tests.show.daemon import SECONDS, Puller, chain, running, show, until


@pytest.fixture
def folder():
    with running(*chain("base", "middle", "top")) as folder:
        yield folder


def following(watcher, picture, condition):
    """The first picture for which ``condition`` holds."""
    found = [picture]

    def seen():
        found[0] = watcher.next(found[0])
        return condition(found[0])

    until(seen)
    return found[0]


def test_as_long_as_nothing_happens_nothing_is_asked_again(folder):
    with Client(str(folder / "b.sock")) as client:
        watcher = Watcher(client, lab=True)
        picture = watcher.first()
        picture = watcher.next(picture)  # may have seen its own first questions
        for _ in range(3):
            assert watcher.next(picture) is picture


@pytest.mark.parametrize("lab", [True, False])
def test_a_node_that_comes_is_seen_although_no_event_tells(folder, lab):
    with Puller(folder / "a.sock") as puller, Client(str(folder / "b.sock")) as client:
        watcher = Watcher(client, lab=lab)
        picture = watcher.first()
        puller.execute("blockdev-add", driver="null-co", node_name="new")
        picture = following(watcher, picture, lambda p: len(p.nodes) == 7)
        assert "new" in {node.name for node in picture.nodes.values()}


def test_a_job_that_is_held_and_let_go_is_seen(folder):
    with Puller(folder / "a.sock") as puller, Client(str(folder / "b.sock")) as client:
        watcher = Watcher(client, lab=True)
        picture = watcher.first()
        puller.hold_commit()
        picture = following(watcher, picture, lambda p: p.jobs and p.jobs[0].held == "pending")
        puller.execute("x-qmpd-release", job="j")
        following(watcher, picture, lambda p: not p.jobs and len(p.nodes) == 6)


def test_the_progress_of_a_stepped_job_is_seen(folder):
    with Puller(folder / "a.sock") as puller, Client(str(folder / "b.sock")) as client:
        watcher = Watcher(client, lab=True)
        puller.execute("x-qmpd-progress", job="j", mode="stepped")
        puller.execute(
            "block-commit", job_id="j", device="top", top_node="middle", base_node="base"
        )
        picture = following(watcher, watcher.first(), lambda p: bool(p.jobs))
        assert picture.jobs[0].current == 0
        puller.execute("x-qmpd-step", job="j")
        following(watcher, picture, lambda p: p.jobs and p.jobs[0].current > 0)


def test_the_end_of_the_daemon_is_noticed(folder):
    with Puller(folder / "a.sock") as puller, Client(str(folder / "b.sock")) as client:
        watcher = Watcher(client, lab=True)
        picture = watcher.first()
        puller.execute("quit")
        with pytest.raises(HungUpError, match="has gone"):
            following(watcher, picture, lambda _: False)


def test_into_a_pipe_pictures_follow_each_other_until_the_daemon_ends(folder):
    with Puller(folder / "a.sock") as puller:
        puller.execute("x-qmpd-die", job="j", at="waiting")
        child = subprocess.Popen(
            [sys.executable, "-m", "qmpd", "show", str(folder / "b.sock")],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"},
        )
        assert child.stdout.readline().startswith(b"QEMU 7.2.22, 6 nodes")
        puller.lines.write(
            b'{"execute": "block-commit", "arguments":'
            b' {"job-id": "j", "device": "top", "top-node": "middle", "base-node": "base"}}\n'
        )
        puller.lines.flush()
        rest, _ = child.communicate(timeout=SECONDS)
    assert child.returncode == 0
    assert b"\x1b" not in rest


class Terminal:
    """``qmpd show`` in a pseudo-terminal."""

    def __init__(self, *words):
        self.master, slave = pty.openpty()
        environment = {name: v for name, v in os.environ.items() if name != "NO_COLOR"}
        self.child = subprocess.Popen(
            [sys.executable, "-m", "qmpd", "show", *map(str, words)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment | {"TERM": "xterm", "PYTHONUTF8": "1", "COLUMNS": "100", "LINES": "8"},
            start_new_session=True,
        )
        os.close(slave)
        self.seen = ""

    def expect(self, text):
        deadline = time.monotonic() + SECONDS
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.master, 1 << 16).decode(errors="replace")
                except OSError as error:  # the other end has been closed
                    raise AssertionError(self.seen) from error

    def close(self):
        self.child.kill()
        self.child.wait(SECONDS)
        os.close(self.master)


@pytest.fixture
def terminal(folder):
    terminal = Terminal(folder / "b.sock")
    yield terminal
    terminal.close()


def test_a_terminal_is_taken_drawn_on_again_and_given_back_at_ctrl_c(folder, terminal):
    terminal.expect("\x1b[?1049h")
    terminal.expect("QEMU 7.2.22, 6 nodes")
    terminal.seen = ""
    with Puller(folder / "a.sock") as puller:
        puller.execute("blockdev-add", driver="null-co", node_name="new")
    terminal.expect("QEMU 7.2.22, 7 nodes")
    terminal.expect("more line")
    terminal.child.send_signal(signal.SIGINT)
    terminal.expect("\x1b[?1049l")
    assert terminal.child.wait(SECONDS) == 0
    assert "Traceback" not in terminal.seen


def test_a_terminal_is_given_back_when_told_to_end(terminal):
    terminal.expect("QEMU 7.2.22, 6 nodes")
    terminal.child.terminate()
    terminal.expect("\x1b[?1049l")
    assert terminal.child.wait(SECONDS) == 128 + signal.SIGTERM


def test_no_color_is_respected_in_pipes_and_asked_for(folder):
    assert "\x1b" not in show(folder / "b.sock", "--once", NO_COLOR="1").stdout
