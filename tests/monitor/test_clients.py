"""Clients of monitors: one at a time, in order, and none can harm the daemon."""

import json
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.monitor.daemon import SECONDS, Client, chain, open_chain, qmp

QUERY = {"execute": "query-version"}


def test_a_second_client_waits_in_silence(start):
    """It hears nothing, not even a greeting, until the first one leaves; then all it sent counts."""
    daemon = start(*qmp())
    first = daemon.connect().greet()
    second = daemon.connect()
    second.send({"execute": "qmp_capabilities"}, {**QUERY, "id": "early"})
    assert first.do("query-version")["return"]
    assert not second.readable(0.2)
    first.close()
    assert "QMP" in second.message()
    assert second.message() == {"return": {}}
    assert second.message()["id"] == "early"
    second.close()


def test_a_disconnect_forgets_the_session(start):
    """Negotiation and half a command are gone, nodes stay."""
    daemon = start(*qmp())
    first = daemon.connect().greet()
    first.do("blockdev-add", driver="null-co", node_name="n")
    first.raw(b'{"execute": "query-ver')
    first.close()
    second = daemon.connect()
    second.message()
    assert second.do("query-version")["error"]["class"] == "CommandNotFound"
    second.do("qmp_capabilities")
    (node,) = second.do("query-named-block-nodes")["return"]
    assert node["node-name"] == "n"
    second.close()


def test_pipelined_requests_are_answered_in_order(start):
    """A thousand in one write, errors among them."""
    daemon = start(*qmp())
    client = daemon.connect().greet()
    requests = []
    for number in range(1000):
        command = "nosuch" if number % 10 == 3 else "query-version"
        requests.append({"execute": command, "id": number})
    client.send(*requests)
    for number in range(1000):
        message = client.reply()
        assert message["id"] == number
        assert ("error" in message) == (number % 10 == 3)
    client.close()


def test_bytes_may_come_one_by_one(start):
    daemon = start(*qmp())
    client = daemon.connect().greet()
    for byte in json.dumps({**QUERY, "id": 1}).encode():
        client.raw(bytes([byte]))
    assert client.reply()["id"] == 1
    client.close()


def test_half_a_close_still_gets_its_replies(start):
    """After shutdown(WR) everything is answered, then the daemon hangs up."""
    daemon = start(*qmp())
    client = daemon.connect().greet()
    client.send(*({**QUERY, "id": number} for number in range(300)))
    client.socket.shutdown(socket.SHUT_WR)
    assert [client.reply()["id"] for _ in range(300)] == list(range(300))
    assert client.line() == b""
    daemon.connect().greet().close()
    client.close()


def test_events_go_to_all_who_negotiated(start):
    """Several monitors: replies to the asker only, events to everybody in command mode."""
    daemon = start(*qmp("qa", name="a"), *qmp("qb", name="b"), *qmp("qc", name="c"))
    one, two = daemon.connect("qa").greet(), daemon.connect("qb").greet()
    silent = daemon.connect("qc")
    silent.message()
    one.do("blockdev-add", driver="null-co", node_name="x", size=65536)
    one.do("blockdev-add", driver="raw", node_name="y", file="x")
    assert two.do("query-version")["return"]
    assert two.events == []
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "b", "1M"], cwd=daemon.directory, check=True
    )
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", "b", "-F", "qcow2", "t"],
        cwd=daemon.directory,
        check=True,
    )
    for name, below in (("b", None), ("t", "b")):
        file = {"driver": "file", "filename": str(daemon.directory / name)}
        one.do("blockdev-add", driver="qcow2", node_name=name, file=file, backing=below)
    assert one.do("block-commit", job_id="j", device="t", base_node="b") == {"return": {}}
    for client in (one, two):
        client.event("BLOCK_JOB_READY", device="j")
    assert not silent.readable(0.05)
    assert silent.do("query-version")["error"]
    for client in (one, two, silent):
        client.close()


def test_pretty(start):
    """Four blanks a level, and lines that end as the wire's do."""
    daemon = start(*qmp(pretty="on"))
    client = daemon.connect()
    assert client.line() == b"{\r\n"
    assert client.line() == b'    "QMP": {\r\n'
    text = b""
    while not text.endswith(b"\r\n}\r\n"):
        text += client.line()
    client.send({"execute": "qmp_capabilities"})
    assert [client.line() for _ in range(4)] == [
        b"{\r\n",
        b'    "return": {\r\n',
        b"    }\r\n",
        b"}\r\n",
    ]
    client.close()


# --- slow and vanishing readers ------------------------------------------------------------------


def test_a_request_behind_a_long_reply(start, tmp_path):
    """Requests in one write, the first one with a long reply: all are answered.

    The replies go to a file, which takes everything at once, as a fast reader does.
    """
    words = ["--chardev", "stdio,id=c", "--monitor", "c"]
    for number in range(900):
        words += ["--blockdev", f"driver=null-co,node-name=n{number}"]
    with (tmp_path / "replies").open("w+b") as replies:
        daemon = start(*words, stdin=subprocess.PIPE, stdout=replies)
        commands = ["qmp_capabilities", "query-named-block-nodes", "query-version", "quit"]
        text = "".join(json.dumps({"execute": command}) + "\n" for command in commands)
        daemon.process.stdin.write(text.encode())
        daemon.process.stdin.flush()
        try:
            daemon.process.wait(5)
        except subprocess.TimeoutExpired:
            daemon.process.kill()
        replies.seek(0)
        assert replies.read().count(b'"return"') == len(commands)


def test_a_client_that_does_not_read_is_not_served_further(start):
    """Its requests stay in the socket, so that memory stays bounded; reading goes on later."""
    daemon = start(*qmp())
    client = daemon.connect().greet()
    for number in range(500):
        client.do("blockdev-add", driver="null-co", node_name=f"n{number}")
    before = daemon.memory()
    request = {"execute": "query-named-block-nodes", "id": "x" * 8000}
    line = json.dumps(request).encode() + b"\n"
    client.socket.settimeout(0)
    sent = 0
    try:
        while sent < 20000 * len(line):
            part = sent % len(line)
            sent += client.socket.send(line[part:])
    except BlockingIOError:
        pass
    client.socket.settimeout(None)
    whole = sent // len(line)
    assert 3 < whole < 1000
    assert daemon.memory() - before < 64 << 20
    for _ in range(whole):
        assert len(client.reply()["return"]) == 500
    client.close()
    daemon.connect().greet().close()


def events_daemon(start):
    """A daemon with a job that can be paused and resumed for events, and two monitors."""
    daemon = start(*qmp("qa", name="a"), *qmp("qb", name="b"))
    busy, slow = daemon.connect("qa").greet(), daemon.connect("qb").greet()
    chain(daemon.directory, "b", "t")
    open_chain(busy, daemon.directory, "b", "t")
    job = "j" * 30000  # long names make big events
    assert busy.do("block-commit", job_id=job, device="t", base_node="b") == {"return": {}}
    busy.event("BLOCK_JOB_READY")
    return daemon, busy, slow, job


def test_a_client_that_reads_no_events_is_disconnected(start):
    """At the limit, so that memory stays bounded; its monitor is free for the next client."""
    daemon, busy, slow, job = events_daemon(start)
    before = daemon.memory()
    for _ in range(400):
        busy.do("job-pause", id=job)
        busy.do("job-resume", id=job)
        busy.events.clear()
    assert daemon.memory() - before < 32 << 20
    seen = 0
    while line := slow.line():
        seen += 1
        if not line.endswith(b"\n"):
            break
    assert 1 < seen < 800
    fresh = daemon.connect("qb").greet()
    busy.do("job-pause", id=job)
    fresh.event("JOB_STATUS_CHANGE", status="standby")
    for client in (busy, slow, fresh):
        client.close()


def test_a_long_reply_does_not_count_as_unread_events(start):
    """An event during a reply of many megabytes comes after it."""
    _, busy, slow, job = events_daemon(start)
    for number in range(24000):
        busy.send(
            {
                "execute": "blockdev-add",
                "arguments": {"driver": "null-co", "node-name": f"n{number}"},
            }
        )
        assert busy.reply() == {"return": {}}
    slow.events.clear()
    slow.send({"execute": "query-named-block-nodes", "id": "long"})
    assert slow.readable(20)  # the reply has begun
    busy.events.clear()
    busy.do("job-pause", id=job)
    reply = slow.reply()
    assert len(reply["return"]) > 24000 - 1
    slow.event("JOB_STATUS_CHANGE", status="standby")
    busy.close()
    slow.close()


@pytest.mark.parametrize("rude", ["close", "reset"])
def test_a_client_that_vanishes_with_replies_unread(start, rude):
    """EPIPE or ECONNRESET while writing frees the monitor for the next client."""
    import struct

    daemon = start(*qmp())
    client = daemon.connect().greet()
    for number in range(300):
        client.do("blockdev-add", driver="null-co", node_name=f"n{number}")
    client.send(*({"execute": "query-named-block-nodes"} for _ in range(50)))
    client.readable(10)
    if rude == "reset":
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    daemon.connect().greet().close()
    assert daemon.stderr() == ""


def test_a_client_that_leaves_while_its_command_waits(start):
    """The command is executed all the same; its reply goes nowhere, not to the next client."""
    daemon = start(*qmp("qa", name="a"), *qmp("qb", name="b"))
    one, two = daemon.connect("qa").greet(), daemon.connect("qb").greet()
    writes = {"m": ["write -q -P 7 0 256M"]}
    chain(daemon.directory, "b", "m", "t", size="256M", writes=writes)
    open_chain(one, daemon.directory, "b", "m", "t")
    one.send(
        {"execute": "block-commit", "arguments": {"job-id": "j", "device": "t", "top-node": "m"}}
    )
    one.send({"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "late"}})
    one.close()
    fresh = daemon.connect("qa")
    assert "QMP" in fresh.message()
    fresh.do("qmp_capabilities")
    two.event("JOB_STATUS_CHANGE", status="null")
    names = {node["node-name"] for node in fresh.do("query-named-block-nodes")["return"]}
    assert {"b", "t"} <= names
    fresh.close()
    two.close()
    assert daemon.stderr() == ""


# --- where clients come from ---------------------------------------------------------------------


def listener(path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(1)
    return server


def test_a_socket_handed_over(start, tmp_path):
    """fd= with a listening descriptor, as management software passes it; the path goes at the end."""
    server = listener(tmp_path / "theirs")
    words = ["-chardev", f"socket,id=m,fd={server.fileno()},server=on,wait=off"]
    daemon = start(*words, "-mon", "chardev=m,mode=control", pass_fds=[server.fileno()])
    server.close()
    client = daemon.connect("theirs").greet()
    client.do("quit")
    assert daemon.wait() == 0
    assert not (tmp_path / "theirs").exists()
    client.close()


def test_a_connection_handed_over(start):
    """server=off with a connected descriptor: the peer is the client."""
    ours, theirs = socket.socketpair()
    words = ["-chardev", f"socket,id=m,fd={theirs.fileno()},server=off"]
    daemon = start(*words, "-mon", "chardev=m,mode=control", pass_fds=[theirs.fileno()])
    theirs.close()
    with ours, ours.makefile("rb") as lines:
        assert lines.readline().startswith(b'{"QMP": ')
        ours.sendall(b'{"execute": "qmp_capabilities"}{"execute": "quit"}')
        replies = [line for line in lines if b'"return"' in line]
    assert len(replies) == 2
    assert daemon.wait() == 0


def test_input_that_cannot_be_waited_for(start):
    """A monitor on /dev/null has met the end of its input; the daemon goes on."""
    daemon = start("-qmp", "stdio", "-qmp", "unix:other,server=on,wait=off")
    daemon.connect("other").greet().close()
    assert daemon.stderr() == ""


def test_a_stale_socket_is_replaced(start, tmp_path):
    """Left behind by somebody who was killed: nobody listens there any more."""
    listener(tmp_path / "qmp").close()
    daemon = start(*qmp())
    daemon.connect().greet().close()


def test_a_live_socket_is_refused(start):
    """Somebody listens there: they keep it, and keep working."""
    first = start(*qmp())
    client = first.connect().greet()
    second = start(*qmp())
    assert second.wait() == 1
    client.do("query-version")
    client.close()
    first.connect().greet().close()


@pytest.mark.parametrize("busy", [0, 1, 2])
def test_a_live_socket_is_refused_even_with_clients_waiting(start, busy):
    """A full backlog is life as well."""
    first = start(*qmp())
    clients = [first.connect() for _ in range(1 + busy)]
    second = start(*qmp())
    assert second.wait() == 1
    clients[0].greet()
    for client in clients:
        client.close()


def test_stdio(start):
    """One client on standard input and output; its end of file ends the session, not the daemon."""
    words = ["--chardev", "stdio,id=c", "--monitor", "c"]
    daemon = start(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process = daemon.process
    client = Client(read=process.stdout.fileno(), write=process.stdin.fileno())
    assert client.message()["QMP"]["capabilities"] == ["oob"]
    client.do("qmp_capabilities")
    assert client.do("query-version")["return"]
    client.send({"execute": "quit"})
    assert daemon.wait() == 0


def _holders(process, target):
    """How many descriptors of a process lead to one file."""
    found = 0
    for fd in (process / "fd").iterdir():
        try:
            found += os.readlink(fd) == target
        except FileNotFoundError:
            pass  # closed meanwhile
    return found


def test_end_of_standard_input(start):
    """A client that is gone is not watched any more, though standard input is still open."""
    words = ["--chardev", "stdio,id=c", "--monitor", "c"]
    daemon = start(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process = daemon.process
    client = Client(read=process.stdout.fileno(), write=process.stdin.fileno())
    client.greet()
    process.stdin.close()
    folder = Path(f"/proc/{process.pid}")
    pipe = os.readlink(folder / "fd/0")
    deadline = time.monotonic() + SECONDS
    while _holders(folder, pipe) > 1:
        assert time.monotonic() < deadline
    [poll] = [fd.name for fd in (folder / "fd").iterdir() if "eventpoll" in os.readlink(fd)]
    lines = (folder / "fdinfo" / poll).read_text().splitlines()
    watched = [line.split()[1] for line in lines if line.startswith("tfd:")]
    assert watched
    assert all((folder / "fd" / fd).exists() for fd in watched)


def test_stdin_from_a_file(start, tmp_path):
    """Commands in a file: all are answered."""
    script = tmp_path / "script"
    script.write_text(
        '{"execute": "qmp_capabilities"}\n{"execute": "query-version"}\n{"execute": "quit"}\n'
    )
    words = ["--chardev", "stdio,id=c", "--monitor", "c"]
    with script.open("rb") as stdin:
        daemon = start(*words, stdin=stdin, stdout=subprocess.PIPE)
        assert daemon.wait() == 0, daemon.stderr()
    lines = daemon.process.stdout.read().splitlines()
    assert len([line for line in lines if b'"return"' in line]) == 3


def test_stdio_leaves_the_pipe_as_it_was(start):
    """The blocking mode of a pipe belongs to everybody who holds it."""
    ours, theirs = os.pipe()
    os.set_blocking(ours, True)
    words = ["--chardev", "stdio,id=c", "--monitor", "c"]
    daemon = start(*words, stdin=ours, stdout=subprocess.PIPE)
    client = Client(read=daemon.process.stdout.fileno(), write=theirs)
    client.greet()
    client.send({"execute": "quit"})
    assert daemon.wait() == 0
    blocking = os.get_blocking(ours)
    os.close(ours)
    os.close(theirs)
    assert blocking


def test_calling_a_client(start, tmp_path):
    """server=off: qmpd connects to somebody who listens."""
    server = listener(tmp_path / "caller")
    daemon = start("--chardev", "socket,id=c,path=caller,server=off", "--monitor", "c")
    connection, _ = server.accept()
    client = Client(connection=connection).greet()
    client.do("quit")
    assert daemon.wait() == 0
    client.close()
    server.close()


def test_calling_nobody(start):
    daemon = start("--chardev", "socket,id=c,path=caller,server=off", "--monitor", "c")
    assert daemon.wait() == 1
    (line,) = daemon.stderr().splitlines()
    assert line.startswith("qmpd: ")
    assert "caller" in line
