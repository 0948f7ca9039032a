"""Standing between a client and a QEMU: nothing is changed, and everything is written down."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from qmpd import cli
from qmpd.replay.splitting import Splitter
from tests.replay import talks

SECONDS = 30
"""How long a test waits for something that ought to come at once."""


def until(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "that never happened"
        time.sleep(0.01)


@contextmanager
def running(*words, ready):
    """Run a program until the end of the block; it has started once ``ready`` exists."""
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as child:
        try:
            until(lambda: ready.exists() or child.poll() is not None)
            yield child
        finally:
            if child.poll() is None:
                child.terminate()
            child.wait(SECONDS)


@pytest.fixture
def record(tmp_path):
    """Start ``qmpd record`` before a monitor; yields the child and the three paths."""

    @contextmanager
    def start(monitor):
        paths = tmp_path / "front", tmp_path / "talk.jsonl"
        words = ["--listen", paths[0], "--connect", monitor, "--output", paths[1]]
        with running(
            sys.executable, "-m", "qmpd", "record", *map(str, words), ready=paths[0]
        ) as child:
            assert child.stderr.readline() == (
                f"qmpd record: listening on {paths[0]}, writing to {paths[1]}; Ctrl-C ends it\n"
            )
            if not Path(monitor).exists():
                warning = f"qmpd record: warning: there is no {monitor} yet\n"
                assert child.stderr.readline() == warning
            yield child, *paths

    return start


@contextmanager
def connected(path):
    with closing(socket.socket(socket.AF_UNIX)) as client:
        client.settimeout(SECONDS)
        client.connect(str(path))
        yield client


@pytest.fixture
def server(tmp_path):
    """A socket that plays the QEMU by hand."""
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.settimeout(SECONDS)
        listener.bind(str(tmp_path / "monitor"))
        listener.listen(1)
        yield listener


def accept(listener):
    connection, _ = listener.accept()
    connection.settimeout(SECONDS)
    return closing(connection)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def told(path):
    return [(line["dir"], line.get("msg", line.get("raw"))) for line in lines(path)]


# --- passing on ------------------------------------------------------------------------


def test_bytes_pass_unchanged_and_are_written_down(record, server, tmp_path):
    with (
        record(tmp_path / "monitor") as (_, front, output),
        connected(front) as client,
        accept(server) as qemu,
    ):
        qemu.sendall(b'{"QMP":  {}}\r\n')
        assert client.recv(100) == b'{"QMP":  {}}\r\n'
        client.sendall(b" {'execute': 'x'}{]{\"a\"")
        assert qemu.recv(100) == b" {'execute': 'x'}{]{\"a\""
        client.sendall(b":1}\n")
        assert qemu.recv(100) == b":1}\n"
        qemu.sendall(b'{"return": {}}\r\n{"event": "E"}\r\n')
        assert client.recv(100) == b'{"return": {}}\r\n{"event": "E"}\r\n'
        client.close()
        assert qemu.recv(100) == b""
        until(lambda: len(lines(output)) == 7)
    assert told(output) == [
        ("G", {"QMP": {}}),
        ("C", "{'execute': 'x'}"),
        ("C", "{]"),
        ("C", {"a": 1}),
        ("R", {"return": {}}),
        ("E", {"event": "E"}),
        ("H", None),
    ]
    times = [line["time"] for line in lines(output)]
    assert times == sorted(times)


def test_descriptors_pass(record, server, tmp_path):
    with (
        record(tmp_path / "monitor") as (_, front, _output),
        connected(front) as client,
        accept(server) as qemu,
    ):
        (tmp_path / "file").write_text("content")
        fd = os.open(tmp_path / "file", os.O_RDONLY)
        socket.send_fds(client, [b'{"execute": "getfd"}'], [fd])
        os.close(fd)
        data, descriptors, _, _ = socket.recv_fds(qemu, 100, 4)
        assert data == b'{"execute": "getfd"}'
        assert os.read(descriptors[0], 100) == b"content"
        os.close(descriptors[0])


def test_a_long_message_passes(record, server, tmp_path):
    text = json.dumps({"return": "x" * 3_000_000}).encode() + b"\r\n"
    with (
        record(tmp_path / "monitor") as (_, front, output),
        connected(front) as client,
        accept(server) as qemu,
    ):
        sender = threading.Thread(target=qemu.sendall, args=(text,))
        sender.start()
        received = b""
        while len(received) < len(text):
            received += client.recv(1 << 16)
        sender.join()
        assert received == text
    assert told(output)[0][1] == json.loads(text)


def test_clients_are_served_one_after_the_other(record, server, tmp_path):
    with record(tmp_path / "monitor") as (_, front, output):
        for number in range(2):
            with connected(front) as client, accept(server) as qemu:
                qemu.sendall(b'{"QMP": {"n": %d}}\r\n' % number)
                assert client.recv(100)
                client.close()
                assert qemu.recv(100) == b""
        until(lambda: len(lines(output)) == 4)
    assert told(output) == [
        ("G", {"QMP": {"n": 0}}),
        ("H", None),
        ("G", {"QMP": {"n": 1}}),
        ("H", None),
    ]


# --- the end ---------------------------------------------------------------------------


def test_it_ends_with_qemu(record, server, tmp_path):
    with record(tmp_path / "monitor") as (child, front, output), connected(front) as client:
        with accept(server):
            pass
        assert client.recv(100) == b""
        assert child.wait(SECONDS) == 0
        assert not front.exists()
    assert told(output) == [("X", None)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "with a client"])
def test_a_signal_ends_it_without_more_words(record, server, tmp_path, number, busy):
    with ExitStack() as stack:
        child, front, output = stack.enter_context(record(tmp_path / "monitor"))
        if busy:
            client = stack.enter_context(connected(front))
            qemu = stack.enter_context(accept(server))
            client.sendall(b'{"execute": "x"}')
            assert qemu.recv(100)
            until(lambda: lines(output))
        child.send_signal(number)
        _, said = child.communicate(timeout=SECONDS)
        assert (child.returncode, said) == (0, "")
        assert not front.exists()


def test_no_qemu_is_told(record, tmp_path):
    with record(tmp_path / "none") as (child, front, _), connected(front):
        _, said = child.communicate(timeout=SECONDS)
        assert child.returncode == 1
    assert said == (
        f"qmpd record: cannot connect to {tmp_path / 'none'}: No such file or directory\n"
    )


def test_a_place_where_nobody_can_listen_is_one_line(tmp_path, capsys):
    words = ["--listen", str(tmp_path), "--connect", "x", "--output", str(tmp_path / "o")]
    assert cli.main(["record", *words]) == 1
    assert capsys.readouterr().err == (
        f"qmpd record: cannot listen on {tmp_path}: Address already in use\n"
    )


@pytest.mark.parametrize("words", [[], ["--listen", "x"], ["--nothing"]])
def test_mistakes_are_one_line(capsys, words):
    assert cli.main(["record", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("qmpd record: ")
    assert said.count("\n") == 1


# --- splitting -------------------------------------------------------------------------

STREAM = b'{"a": "}\\"]"} [1]\n5 x\n{\'b\': "\'{"}{}\r\n'
PARTS = ['{"a": "}\\"]"}', "[1]", "5 x", "{'b': \"'{\"}", "{}"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_values_are_told_apart_wherever_the_stream_is_cut(size):
    splitter = Splitter()
    found = []
    for start in range(0, len(STREAM), size):
        found += splitter.feed(STREAM[start : start + size])
    assert found == PARTS


# --- there and back --------------------------------------------------------------------


def requests():
    """Define a chain, commit its middle, look at it, and quit."""
    below = None
    for name in talks.LAYERS:
        yield (
            "blockdev-add",
            {
                "driver": "qcow2",
                "node-name": name,
                "read-only": name != "top",
                "file": {
                    "driver": "file",
                    "node-name": f"{name}-file",
                    "filename": f"{name}.qcow2",
                    "auto-read-only": True,
                },
                "backing": below,
            },
        )
        below = name
    yield "query-named-block-nodes", {"flat": True}
    yield "block-commit", {**talks.COMMIT, "auto-finalize": False}
    yield "job-cancel", {"id": "nobody"}
    yield "query-block-jobs", {}
    yield "job-finalize", {"id": "j"}
    yield "job-dismiss", {"id": "j"}
    yield "query-jobs", {}
    yield "blockdev-del", {"node-name": "base"}
    yield "blockdev-reopen", {"options": [{"node-name": "nobody", "driver": "raw", "file": "x"}]}
    yield "quit", {}


def talk_to(path):
    """Be the client: one request after the other, and wait for what they set off."""
    awaited = {"block-commit": b"BLOCK_JOB_PENDING"}
    with connected(path) as client, client.makefile("rb") as answers:
        answers.readline()
        steps = [("qmp_capabilities", {}), *requests()]
        for number, (command, arguments) in enumerate(steps):
            request = {"execute": command, "arguments": arguments, "id": number}
            client.sendall(json.dumps(request).encode() + b"\n")
            wanted = {b'"id": %d' % number, awaited.get(command, b"")} - {b""}
            while wanted:
                line = answers.readline()
                assert line, f"the end, before the answer to {command}"
                wanted = {text for text in wanted if text not in line}
        assert answers.read() == b""


@pytest.mark.oracle
def test_a_recorded_storage_daemon_is_replayed_equal(record, tmp_path, monkeypatch, capsys):
    """The original's own conversation, written down and played again with qmpd."""
    images = tmp_path / "images"
    images.mkdir()
    for name in talks.LAYERS:
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", f"{name}.qcow2", "64M"],
            cwd=images,
            check=True,
        )
    monkeypatch.chdir(images)
    monitor = tmp_path / "monitor"
    words = ["--chardev", f"socket,path={monitor},server=on,wait=off,id=m", "--monitor", "m"]
    with (
        running("qemu-storage-daemon", *words, ready=monitor),
        record(monitor) as (child, front, output),
    ):
        talk_to(front)
        assert child.wait(SECONDS) == 0
    status = cli.main(["replay", "--program", "storage-daemon", str(output)])
    shown = capsys.readouterr().out
    assert status == 0, shown
    assert shown.count("QEMU closes the connection") == 2
