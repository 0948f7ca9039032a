"""qmpd as a process: how it starts, how it ends, and what it leaves behind.

``QMPD_CRASH_RUNS`` sets how often it is killed in the middle of a commit (25).
"""

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.monitor.daemon import SECONDS, Daemon, chain, open_chain, qmp

RUNS = int(os.environ.get("QMPD_CRASH_RUNS", "25"))
MIB = 1 << 20


@pytest.fixture
def start(tmp_path):
    started = []

    def begin(*words, **keywords):
        daemon = Daemon(*words, directory=tmp_path, **keywords)
        started.append(daemon)
        return daemon

    yield begin
    for daemon in started:
        daemon.close()


def img(directory, *words, ok=(0,)):
    done = subprocess.run(
        ["qemu-img", *words], cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode in ok, done.stdout + done.stderr
    return done.stdout


def sound(directory, *names):
    """No corruption; leaks are harmless."""
    for name in names:
        img(directory, "check", "-q", "-f", "qcow2", name, ok=(0, 3))


# --- the loop --------------------------------------------------------------------------------


def test_the_loop_is_imported_once_a_job_could_need_it(start, tmp_path):
    """It is half of the memory, and a client that only looks has no use for it."""
    img(tmp_path, "create", "-q", "-f", "qcow2", "image", "1M")
    daemon = start(*qmp())
    client = daemon.connect().greet()
    client.do("blockdev-add", driver="null-co", node_name="n")
    time.sleep(0.1)

    def imported():
        with open(f"/proc/{daemon.process.pid}/maps", encoding="ascii") as maps:
            return "uvloop" in maps.read()

    assert not imported()
    file = {"driver": "file", "filename": "image"}
    client.do("blockdev-add", driver="qcow2", file=file, node_name="q")
    deadline = time.monotonic() + SECONDS
    while not imported():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert client.do("query-version")["return"]["qemu"]["major"] == 7


# --- ends ------------------------------------------------------------------------------------


def test_a_signal_together_with_the_end_of_loading():
    """Both wake the porch in the same moment: neither is forgotten."""
    from qmpd.monitor.porch import Porch
    from qmpd.monitor.reactor import Reactor

    reactor, done = Reactor(), []
    reactor.make_loop = asyncio.new_event_loop
    porch = Porch(reactor, lambda: None, lambda: True)
    porch._loading = porch._loaded = True
    os.eventfd_write(porch._wake, 1)  # what the loading thread does at its end
    porch.interrupt(lambda: done.append("signal"))
    porch._handle(porch._wake, 1)
    porch.close()
    assert done == ["signal"]
    assert reactor.attached
    reactor.loop.close()


@pytest.mark.oracle
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("speed", [1, 0])
def test_a_signal_in_the_middle_of_a_job(start, tmp_path, number, speed):
    """The job ends as cancelled before anything is closed; status 0, files gone, images sound."""
    chain(tmp_path, "c0", "c1", "c2", size="64M", writes={"c1": ["write -q -P 7 0 48M"]})
    daemon = start(*qmp(), "--pidfile", "pid")
    client = daemon.connect().greet()
    assert (tmp_path / "pid").read_text() == f"{daemon.process.pid}\n"
    open_chain(client, tmp_path, "c0", "c1", "c2")
    commit = {"job-id": "j", "device": "c2", "top-node": "c1", "base-node": "c0", "speed": speed}
    client.send({"execute": "block-commit", "arguments": {**commit, "auto-finalize": False}})
    client.event("JOB_STATUS_CHANGE", status="running")
    daemon.process.send_signal(number)
    told = []
    while line := client.line():
        message = json.loads(line)
        if "event" in message:
            told.append(message["data"].get("status", message["event"]))
    assert told[-4:] == ["aborting", "BLOCK_JOB_CANCELLED", "concluded", "null"]
    assert daemon.wait() == 0
    assert daemon.stderr() == ""
    assert not (tmp_path / "qmp").exists()
    assert not (tmp_path / "pid").exists()
    sound(tmp_path, "c0", "c1", "c2")
    img(tmp_path, "compare", "-q", "-f", "qcow2", "-F", "qcow2", "c1", "c2")
    client.close()


def test_quit_answers_before_it_ends(start, tmp_path):
    daemon = start(*qmp(), "--pidfile", "pid")
    client = daemon.connect().greet()
    assert client.do("quit") == {"return": {}}
    assert client.line() == b""
    assert daemon.wait() == 0
    assert not (tmp_path / "qmp").exists()
    assert not (tmp_path / "pid").exists()
    client.close()


def test_a_socket_of_somebody_else_is_left_alone(start, tmp_path):
    """Somebody replaced the socket while qmpd ran: theirs stays."""
    daemon = start(*qmp())
    client = daemon.connect().greet()
    (tmp_path / "qmp").unlink()
    (tmp_path / "qmp").write_text("theirs")
    client.do("quit")
    assert daemon.wait() == 0
    assert (tmp_path / "qmp").read_text() == "theirs"
    client.close()


# --- starts ----------------------------------------------------------------------------------


def daemonized(directory, *words):
    """Run qmpd with -daemonize; returns when its parent has ended, with the pid's text."""
    done = subprocess.run(
        [sys.executable, "-m", "qmpd", *words, "--daemonize", "--pidfile", "pid"],
        cwd=directory,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    return (directory / "pid").read_text()


def gone(path):
    deadline = time.monotonic() + SECONDS
    while path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("repeat", range(5))
def test_daemonize_is_over_when_everything_is_there(tmp_path, repeat):
    """When the parent ends, the socket listens and the pidfile names the daemon."""
    from tests.monitor.daemon import Client

    del repeat
    text = daemonized(tmp_path, *qmp())
    client = Client(tmp_path / "qmp").greet()
    with open(f"/proc/{int(text)}/cmdline") as file:
        assert "qmpd" in file.read()
    assert os.getsid(int(text)) == int(text)
    client.do("quit")
    client.close()
    gone(tmp_path / "pid")
    assert not (tmp_path / "qmp").exists()


def test_a_pidfile_that_is_in_use(start, tmp_path):
    """The second one does not start, and the first one's file stays as it is."""
    first = start(*qmp("a"), "--pidfile", "pid")
    client = first.connect("a").greet()
    second = start(*qmp("b"), "--pidfile", "pid")
    assert second.wait() == 1
    assert len(second.stderr().splitlines()) == 1
    assert not (tmp_path / "b").exists()
    assert (tmp_path / "pid").read_text() == f"{first.process.pid}\n"
    client.close()


WRONG = {
    "unknown option": ["--nonsense"],
    "no such image": ["--blockdev", "driver=file,node-name=f,filename=nope"],
    "no such node": ["--blockdev", "driver=raw,node-name=r,file=nope"],
    "bad JSON": ["--blockdev", "{nope"],
    "pidfile nowhere": ["--pidfile", "no/such/folder"],
    "no scenario": ["--scenario", "nope"],
    "folder as image": ["--blockdev", "driver=file,node-name=f,filename=."],
    "zeros in a json name": [
        "--blockdev",
        '{"driver": "file", "node-name": "f", "filename": "a\\u0000b"}',
    ],
    "second socket on one path": qmp(name="again"),
}


@pytest.mark.parametrize(
    "case",
    list(WRONG),
)
@pytest.mark.parametrize("daemonize", [False, True])
def test_wrong_input(start, tmp_path, case, daemonize):
    """One line on standard error, status 1, and nothing left: no socket, no pidfile."""
    words = [*qmp(), *(["--daemonize"] if daemonize else [])]
    if case != "pidfile nowhere":
        words += ["--pidfile", "pid"]
    daemon = start(*words, *WRONG[case])
    assert daemon.wait() == 1
    (line,) = daemon.stderr().splitlines()
    assert line.startswith("qmpd: ")
    assert not (tmp_path / "qmp").exists()
    assert not (tmp_path / "pid").exists()


# --- kill -9 ---------------------------------------------------------------------------------

LAYERS = ["c0", "c1", "c2", "c3"]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """A chain whose layers overlap, and the raw data that a guest sees at the top."""
    directory = tmp_path_factory.mktemp("pristine")
    writes = {
        "c0": ["write -q -P 1 0 12M"],
        "c1": ["write -q -P 2 4M 12M", "write -q -P 3 30M 1M"],
        "c2": ["write -q -P 4 10M 10M", "write -q -z 1M 1M", "write -q -P 5 40M 100k"],
        "c3": ["write -q -P 6 15M 64k"],
    }
    chain(directory, *LAYERS, size="64M", writes=writes)
    img(directory, "convert", "-f", "qcow2", "-O", "raw", "c3", "expected")
    return directory


@pytest.mark.oracle
@pytest.mark.parametrize("run", range(RUNS))
def test_killed_in_a_commit(start, tmp_path, pristine, run):
    """At any moment: no image is corrupt, and the top reads as before, by whatever header."""
    dice = random.Random(run)  # noqa: S311 - the same moments each time
    for name in LAYERS:
        shutil.copy(pristine / name, tmp_path)
    daemon = start(*qmp())
    client = daemon.connect().greet()
    open_chain(client, tmp_path, *LAYERS)
    active = run % 3 == 2
    commit = {
        "job-id": "j",
        "device": "c3",
        "base-node": "c0",
        "top-node": "c3" if active else "c2",
    }
    begin = time.monotonic()
    client.send({"execute": "block-commit", "arguments": commit})
    if active:
        client.event("BLOCK_JOB_READY")
        client.send({"execute": "job-complete", "arguments": {"id": "j"}})
    if run == 0:
        client.event("JOB_STATUS_CHANGE", status="null")
        return  # the time that a whole run takes is seen below
    moment = dice.random() * 0.06
    while time.monotonic() - begin < moment:
        pass
    daemon.process.kill()
    daemon.process.wait()
    client.close()
    sound(tmp_path, *LAYERS)
    words = ("compare", "-q", "-f", "qcow2", "-F", "raw")
    img(tmp_path, *words, "c3", str(pristine / "expected"))
