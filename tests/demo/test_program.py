"""The demonstration as people meet it: a program in a terminal."""

import os
import pty
import re
import signal
import socket
import subprocess
import sys
from contextlib import closing

import pytest

from qmpd.demo.daemon import Daemon, DaemonError, _placed_at

DEMO = [sys.executable, "-m", "qmpd.demo"]
PATIENCE = 60


def run(*words):
    return subprocess.run(
        [*DEMO, *words], capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def run_in_terminal(**environment):
    """Run on a terminal of its own; return what appeared on it."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        DEMO, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | environment
    ) as child:
        os.close(theirs)
        shown = bytearray()
        while chunk := read_terminal(ours):
            shown += chunk
        child.wait(PATIENCE)
    os.close(ours)
    assert child.returncode == 0
    return shown.decode()


def read_terminal(fd):
    try:
        return os.read(fd, 65536)
    except OSError:
        return b""  # the last process that had the terminal open has ended


def without_colours():
    return {"NO_COLOR": "", "TERM": "xterm-256color"}


def test_it_plays_the_report_and_ends():
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    told = re.findall(r"\* (?:JOB_STATUS_CHANGE +)?(\w+)", done.stdout)
    assert told == [
        "event",  # the legend
        *("created", "running", "waiting", "pending", "BLOCK_JOB_COMPLETED", "concluded"),
        *("null", "SHUTDOWN"),
    ]
    assert re.search(r"libvirt-12-storage .* O_RDONLY .* O_RDWR .* O_RDONLY", done.stdout)
    assert "now /tmp/commit0.qcow2" in done.stdout


def test_it_fits_a_terminal():
    lines = run().stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) <= 60


def test_colours_are_for_terminals():
    assert "\x1b" not in run().stdout
    assert "\x1b[1m" in run_in_terminal(**without_colours())


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_declined(environment):
    assert "\x1b" not in run_in_terminal(**(without_colours() | environment))


@pytest.fixture
def serving(tmp_path):
    """Start ``--serve``; yields the process, the socket, and the daemon's process number."""
    path = tmp_path / "monitor.sock"
    with subprocess.Popen(
        [*DEMO, "--serve", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        announced = process.stdout.readline()
        yield process, path, int(re.search(r"pid (\d+)", announced)[1])
        if process.poll() is None:
            process.terminate()


def greeting(path):
    with closing(socket.socket(socket.AF_UNIX)) as client:
        client.settimeout(PATIENCE)
        client.connect(str(path))
        return client.recv(4)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_daemon_that_serves(serving, number):
    process, path, daemon = serving
    assert greeting(path) == b'{"QM'
    process.send_signal(number)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert not path.exists()
    assert not is_running(daemon)


def test_quit_ends_the_server_too(serving):
    process, path, _ = serving
    with closing(socket.socket(socket.AF_UNIX)) as client:
        client.settimeout(PATIENCE)
        client.connect(str(path))
        client.sendall(b'{"execute": "qmp_capabilities"}{"execute": "quit"}')
        while client.recv(65536):
            pass
    assert process.communicate(timeout=PATIENCE)[0].endswith("qmpd was told to quit\n")
    assert process.returncode == 0


def test_a_second_server_on_the_socket_says_so_and_leaves_the_first_alone(serving):
    _, path, _ = serving
    second = run("--serve", str(path))
    assert second.returncode == 1
    assert second.stderr == f"qmpd.demo: cannot listen on {path}: Address already in use\n"
    assert greeting(path) == b'{"QM'


def test_a_socket_that_was_left_behind_is_replaced(tmp_path):
    path = tmp_path / "monitor.sock"
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(path))
    with Daemon(path):
        assert greeting(path) == b'{"QM'


@pytest.mark.parametrize("name", ["file", "s" * 120], ids=["a file", "too long"])
def test_a_place_for_no_socket_is_refused_and_kept(tmp_path, name):
    path = tmp_path / name
    path.write_text("precious")
    with pytest.raises(DaemonError, match="cannot listen on"):
        Daemon(path)
    assert path.read_text() == "precious"


def test_a_descriptor_in_the_way_comes_back(tmp_path):
    occupant = os.open(tmp_path, os.O_RDONLY)
    guest = os.open(os.devnull, os.O_RDONLY)
    try:
        with _placed_at(occupant, guest):
            assert os.path.samestat(os.fstat(occupant), os.fstat(guest))
        assert os.path.samestat(os.fstat(occupant), tmp_path.stat())
    finally:
        os.close(occupant)
        os.close(guest)
