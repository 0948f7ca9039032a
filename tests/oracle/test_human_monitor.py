"""The human monitor on standard input: greeting, prompt, and the echo of every key."""

import re
import socket
import subprocess
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmpd.testing.oracle import Program, Side
from qmpd.testing.oracle.start import PATIENCE, _system_arguments, program_command

pytestmark = pytest.mark.oracle

_NAMES = re.compile(rb"#block\d+")
_TIMES = re.compile(rb"\d+\.\d+ sec \(.*\)")


def talk(side, keys, *arguments, directory=None):
    """Start a program, type at it, and return what it wrote and its status."""
    words = [*program_command(side, Program.SYSTEM), *_system_arguments(Program.SYSTEM)]
    done = subprocess.run(
        [*words, *(arguments or ("-monitor", "stdio"))],
        input=keys,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE,
        cwd=directory,
        check=False,
    )
    return _NAMES.sub(b"#block", _TIMES.sub(b"T", done.stdout)), done.returncode


def check(keys, *arguments, directory=None):
    keys += b"\nquit\nnot read any more"
    real, qmpd = (talk(side, keys, *arguments, directory=directory) for side in Side)
    assert qmpd == real


EDITING = [
    b"",
    b"\n\r\r\n",
    b"ab\x7f\x08\x7fc",
    b"abc\x01x\x05y",
    b"abc\x01\x04\x04\x04\x04",
    b"ab\x01\x0b\x15\x06\x02\x03",
    b"ab cd  \x17\x17\x17",
    b"abc\x1b[D\x1b[DX\x1b[C\x1b[C\x1b[CY",
    b"ab\x1b[1~x\x1b[4~y\x1b[1~\x1b[3~",
    b"ab\x1b[H\x1b[F\x1b[Z\x1b[1;5Dz\x1b[200~",
    b"ab\x1bODc\x1bOHd\x1bOFe\x1bxf\x1b\x1b[Dg",
    "\u00e9\x7f".encode(),
    b"a\0b",
    b"ab\x0cc\x01\x0c",
    b"info name\rinfo status\n\x1b[A\x1b[A\x1b[A\x1b[B\x1b[B\x1b[Bz",
    b"a\nb\na\n\x1b[A\x1b[A\x1b[A",
]


@pytest.mark.parametrize("keys", EDITING, ids=repr)
def test_editing(keys):
    check(keys)


_KEY = st.sampled_from(
    [
        *(b"a", b"b ", b" ", b"\n", b"\x7f", b"\x01", b"\x04", b"\x05", b"\x17", b"\x0c"),
        *(b"\x1b[A", b"\x1b[B", b"\x1b[C", b"\x1b[D", b"\x1b[3~", b"\x1b[1~", b"\x1bOF"),
    ]
)


@settings(max_examples=min(settings().max_examples, 300) // 4)
@given(keys=st.lists(_KEY, max_size=24))
def test_any_keys(keys):
    check(b"".join(keys))


def test_commands(tmp_path):
    """What they print stands between their line and the next prompt."""
    lines = ["info block", "stop", "cont", "info status", "nope", "qemu-io d", 'qemu-io d "length"']
    drive = "if=none,id=d,driver=null-co,read-zeroes=on,size=1M"
    check("\n".join(lines).encode(), "-drive", drive, "-monitor", "stdio", directory=tmp_path)


def test_keys_from_a_file(tmp_path):
    """Longer than what is read at once."""
    outputs = []
    (tmp_path / "keys").write_bytes(b"info name\n" * 600 + b"quit\n")
    for side in Side:
        words = [*program_command(side, Program.SYSTEM), *_system_arguments(Program.SYSTEM)]
        with (tmp_path / "keys").open("rb") as keys:
            done = subprocess.run(
                [*words, "-monitor", "stdio", "-name", "x"],
                stdin=keys,
                capture_output=True,
                timeout=PATIENCE,
                check=True,
            )
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]


def test_one_client_after_the_other(tmp_path):
    """Each is greeted; what one has typed is not there for the next."""
    heard = []
    for side in Side:
        path = tmp_path / f"{side.value}.sock"
        words = [*program_command(side, Program.SYSTEM), *_system_arguments(Program.SYSTEM)]
        with subprocess.Popen([*words, "-monitor", f"unix:{path},server=on,wait=off"]) as process:
            said = [converse(path, keys) for keys in (b"inf", b"info name\n", b"quit\n")]
            assert process.wait(PATIENCE) == 0
        heard.append(said)
    assert heard[0] == heard[1]


def converse(path, keys):
    """Type keys one after the other, and return what is heard until the end of their echo."""
    deadline = time.monotonic() + PATIENCE
    with socket.socket(socket.AF_UNIX) as client:
        while True:
            try:
                client.connect(str(path))
                break
            except OSError:
                assert time.monotonic() < deadline
        client.settimeout(PATIENCE)
        client.sendall(keys)
        heard = b""
        wanted = {b"inf": b"inf\x1b[K", b"info name\n": b"\r\n(qemu) "}.get(keys, b"quit\x1b[K\r\n")
        while not heard.endswith(wanted) or (keys == b"info name\n" and heard.count(b"(qemu)") < 2):
            heard += client.recv(1)
        return heard


@pytest.mark.parametrize(
    "arguments",
    [
        ["-mon", "c", "-chardev", "stdio,id=c"],
        ["-mon", "chardev=c,mode=readline", "-chardev", "stdio,id=c"],
        ["-monitor", "chardev:c", "-chardev", "stdio,id=c"],
    ],
    ids=" ".join,
)
def test_ways_to_ask_for_one(arguments):
    check(b"info name", *arguments, "-name", "x")
