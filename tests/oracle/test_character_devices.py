"""What is wrong with a monitor's character device, and what is only deprecated."""

import os
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qmpd.testing.oracle import Program, Side, run_to_end
from qmpd.testing.oracle.start import PATIENCE, without_program_name

PROGRAMS = pytest.mark.parametrize("program", Program, ids=["storage-daemon", "system"])

READ_SIZE = 4096
TOO_LONG = "x" * 109

UNUSABLE = [
    ("fd=77,server=on,wait=off", "File descriptor '77' is not a socket"),
    ("fd=077,server=off", "File descriptor '077' is not a socket"),
    ("fd=-1,server=on", "File descriptor '-1' is not a socket"),
    ("fd=+0,server=on", "File descriptor '+0' is not a socket"),
    ("fd=monitor,server=on", "Unable to parse FD number monitor"),
    ("fd=7x", "Unable to parse FD number 7x"),
    (
        "fd=99999999999,server=on",
        "Unable to parse FD number 99999999999: Numerical result out of range",
    ),
    ("path=.,server=on,wait=off", "Failed to unlink socket .: Is a directory"),
    ("path=no/s,server=on", "Failed to bind socket to no/s: No such file or directory"),
    ("path=none", "Failed to connect to 'none': No such file or directory"),
    ("path=none,reconnect=0", "Failed to connect to 'none': No such file or directory"),
    ("path=", "Failed to connect to '': Connection refused"),
    ("fd=", "Unable to parse FD number "),
    ("fd=1,port=1", "File descriptor '1' is not a socket"),
    ("fd=1,delay=on,nodelay=on", "'delay' and 'nodelay' are mutually exclusive"),
    (f"path={TOO_LONG},server=on", f"UNIX socket path '{TOO_LONG}' is too long"),
    (f"path={TOO_LONG}", f"UNIX socket path '{TOO_LONG}' is too long"),
]


def device(program, text):
    """Return the words for a monitor on a socket, and how messages name the device."""
    if program is Program.SYSTEM:
        words = ["-chardev", f"socket,id=c,{text}", "-mon", "chardev=c,mode=control"]
    else:
        words = ["--chardev", f"socket,id=c,{text}", "--monitor", "chardev=c"]
    return words, f"PROG: {words[0]} {words[1]}: "


def said(ended):
    assert ended.status == 1
    return [
        line if line.startswith(("Path ", "Please ")) else without_program_name(line)
        for line in ended.stderr.splitlines()
    ]


@PROGRAMS
@pytest.mark.parametrize(("text", "reason"), UNUSABLE, ids=range(len(UNUSABLE)))
def test_unusable_socket(start_server, program, text, reason):
    words, prefix = device(program, text)
    first, *advice = said(start_server.refused(*words, program=program))
    assert first == prefix + reason
    assert advice == (["Path must be less than 108 bytes"] if TOO_LONG in text else [])


@PROGRAMS
def test_deprecated_switches_are_told_as_they_are_read(start_server, program):
    """Up to the first mistake; and that the id is wrong is seen before all."""
    words, prefix = device(program, "path=s,server,nowait,nodelay,foo,delay")
    assert said(start_server.refused(*words, program=program)) == [
        f"{prefix}warning: short-form boolean option 'server' deprecated",
        "Please use server=on instead",
        f"{prefix}warning: short-form boolean option 'nowait' deprecated",
        "Please use wait=off instead",
        f"{prefix}warning: short-form boolean option 'nodelay' deprecated",
        "Please use nodelay=on instead",
        f"{prefix}warning: short-form boolean option 'foo' deprecated",
        "Please use foo=on instead",
        f"{prefix}Invalid parameter 'foo'",
    ]
    words[1] = "socket,server,id=1"
    first, *_ = start_server.refused(*words, program=program).stderr.splitlines()
    assert first.endswith("Parameter 'id' expects an identifier")


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ("bad", ["'bad' is not a valid char driver"]),
        ("tcp", ["'tcp' is not a valid char driver"]),
        ("fd:3", ["'fd:3' is not a valid char driver"]),
        ("unix:s,bogus=1", ["Invalid parameter 'bogus'"]),
        ("tcp:x", []),
        ("udp:x", []),
    ],
)
def test_bad_monitor_in_the_short_spelling(start_server, text, reasons):
    ended = start_server.refused("-qmp", text, program=Program.SYSTEM)
    wrong = [*reasons, f"parse error: {text}"]
    assert said(ended) == [f"PROG: -qmp {text}: {reason}" for reason in wrong]


def test_the_system_emulator_forgets_which_object_it_was(start_server):
    for text in ("secret,id=s", '{"qom-type": "secret", "id": "s"}'):
        ended = start_server.refused("-object", text, program=Program.SYSTEM)
        assert said(ended) == ["PROG: Either 'file' or 'data' must be provided"]
        ended = start_server.refused("--object", text)
        assert said(ended) == [f"PROG: --object {text}: Either 'file' or 'data' must be provided"]


@PROGRAMS
@pytest.mark.parametrize(
    ("path", "reason"), [("none/p", "No such file or directory"), (".", "Is a directory")]
)
@pytest.mark.parametrize("background", [False, True])
def test_pid_file_that_cannot_be_made(start_server, program, path, reason, background):
    dash = "--" if program is Program.STORAGE_DAEMON else "-"
    words = [f"{dash}blockdev", "null-co,node-name=n", f"{dash}pidfile", path]
    words += [f"{dash}daemonize"] if background else []
    ended = start_server.refused(*words, program=program)
    assert said(ended) == [
        f"PROG: cannot create PID file: Could not create '{path}': {reason}",
    ]


@PROGRAMS
def test_connected_before_anything_is_opened(start_server, program, tmp_path):
    """Who waits for a server's connection learns of its early end at once."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))
        listener.listen()
        words, _ = device(program, f"path={path}")
        ended = start_server.refused(
            *words, program.blockdev_option, "null-co,node-name=1", program=program
        )
        assert ended.last_line.endswith("Invalid node-name: '1'")
        listener.settimeout(PATIENCE)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE)
            while connection.recv(READ_SIZE):
                pass  # the storage daemon's monitor has greeted already


@PROGRAMS
def test_reconnect(start_server, program, tmp_path):
    """With ``reconnect=`` nobody has to listen yet, and a connection that is lost comes back."""
    path = tmp_path / "s"
    words, _ = device(program, f"path={path},reconnect=1")
    start_server(*words, program=program)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))
        listener.listen()
        listener.settimeout(PATIENCE)
        for _ in range(2):
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as lines:
                assert lines.readline().startswith(b'{"QMP": ')


_WORDS = [
    *("path=x", "path=", "fd=77", "fd=1", "fd=z", "host=h", "host=", "server=on", "server=off"),
    *("server", "wait=on", "wait=off", "nowait", "reconnect=0", "reconnect=1", "reconnect=z"),
    *("delay=on", "nodelay=on", "nodelay", "delay=off", "websocket=on", "tls-creds=t"),
    *("tls-authz=a", "to=1", "to=x", "ipv4=on", "ipv4=q", "tight=off", "bogus=1", "id=c", "id=1"),
]


@settings(max_examples=min(settings().max_examples, 400) // 4)
@given(
    words=st.lists(st.sampled_from(_WORDS), min_size=1, max_size=5, unique=True),
    program=st.sampled_from(Program),
)
def test_any_words_about_a_socket(words, program):
    """Which of several mistakes is told; what can be listened on is left out."""
    assume(not {"server", "server=on"} & {*words} or any("=z" in w or "=q" in w for w in words))
    words, _ = device(program, ",".join(words))
    words += [program.blockdev_option, "nope"]
    with TemporaryDirectory() as name:
        ours, theirs = (
            without_paragraph(run_to_end(side, program, words, Path(name)).stderr) for side in Side
        )
    assert ours == theirs


def without_paragraph(text):
    return [without_program_name(line) if ": -" in line else line for line in text.splitlines()]
