"""What harnesses of the original need besides a monitor: lists, and the qtest channel."""

import socket
import subprocess
import sys

import pytest

from qmpd.listings import listing
from qmpd.options.argv import CommandLine


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["-machine", "help"], "pc-i440fx-7.2        Standard PC (i440FX + PIIX, 1996) (default)"),
        (["-M", "none", "-device", "help"], 'name "scsi-hd"'),
        (
            ["-drive", "format=help"],
            "Supported formats: blkdebug compress copy-on-read file host_device null-aio null-co qcow2 raw throttle",
        ),
        (["-netdev", "help"], ""),
    ],
)
def test_lists_end_the_program(words, line):
    kind = CommandLine(words).listing
    assert kind is not None
    assert line in listing(kind).splitlines() or not line


def test_a_harness_listens_for_both_channels(tmp_path):
    """As the original's own Python harness does: it accepts the monitor, then qtest."""
    listeners = {}
    for name in ("mon", "qtest"):
        listeners[name] = socket.socket(socket.AF_UNIX)
        listeners[name].settimeout(20)
        listeners[name].bind(str(tmp_path / name))
        listeners[name].listen(1)
    words = [
        *("-display", "none", "-vga", "none", "-nodefaults", "-accel", "qtest"),
        *("-chardev", f"socket,id=mon,path={tmp_path}/mon", "-mon", "chardev=mon,mode=control"),
        *("-qtest", f"unix:path={tmp_path}/qtest"),
    ]
    process = subprocess.Popen([sys.executable, "-m", "qmpd", *words])
    try:
        monitor, _ = listeners["mon"].accept()
        channel, _ = listeners["qtest"].accept()
        channel.settimeout(20)
        replies = channel.makefile("rb")
        channel.sendall(b"clock_step 1000\nclock_step 1000\nclock_set 5\nclock_step x\nmagic 1\n")
        assert [replies.readline() for _ in range(5)] == [
            b"OK 1000\n",
            b"OK 2000\n",
            b"OK 5\n",
            b"FAIL Malformed number\n",
            b"FAIL Unknown command 'magic'\n",
        ]
        channel.close()
        replies.close()
        monitor.sendall(b'{"execute": "qmp_capabilities"}{"execute": "quit"}')
        assert process.wait(20) == 0
        monitor.close()
    finally:
        process.kill()
        process.wait()
        for listener in listeners.values():
            listener.close()
