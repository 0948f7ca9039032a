"""``qmpd show`` against running daemons."""

import re
import socket
from xml.etree import ElementTree as ET

import pytest

from tests.show.daemon import Puller, chain, running, show

DISK = ("--device", "virtio-blk-pci,drive=top,id=disk0")


@pytest.fixture(scope="module")
def held():
    """A daemon whose commit stands before ``pending``."""
    with running(*chain("base", "middle", "top"), *DISK) as folder:
        with Puller(folder / "a.sock") as puller:
            puller.hold_commit()
        yield folder


def test_a_held_commit_in_full(held):
    """Everything there is: chain, filter, access, locks, users, permissions, job."""
    result = show(held / "b.sock", "--once")
    assert result.returncode == 0, result.stderr
    lines = [
        re.sub(r"#block\d{3}", "#block000", re.sub(" +", " ", line))
        for line in result.stdout.splitlines()
    ]
    assert lines == [
        "QEMU 7.2.22, 7 nodes",
        "NODE DRIVER MODE EDGE PERM/SHARED ACCESS LOCKS FILE",
        "● top qcow2 rw",
        "│ ◁ device disk0 root cw--/c-ur",
        "│ ◁ job j main node ----/cwur",
        "├─ top-storage file rw file cw-r/c-u- rw 100 101 103 201 203 /images/top.qcow2",
        "◇ #block000 commit_top ro backing c---/c-u-",
        "● middle qcow2 ro backing ----/cwur",
        "│ ◁ backend root ----/cwur",
        "│ ◁ job j intermediate node ----/-wu-",
        "├─ middle-storage file rw file c---/--u- r 100 200 201 203 /images/middle.qcow2",
        "● base qcow2 rw backing ----/cwur",
        "│ ◁ backend root cw--/c-u-",
        "│ ◁ job j base ----/cwur",
        "└─ base-storage file rw file cw-r/c-u- rw 100 101 103 201 203 /images/base.qcow2",
        "",
        "job j commit waiting ████████████████████ 100% held before pending",
    ]


def test_svg_and_dot_go_to_standard_output(held):
    picture = ET.fromstring(show(held / "b.sock", "--svg").stdout)  # noqa: S314 - our own text
    assert "held before pending" in "".join(picture.itertext())
    assert show(held / "b.sock", "--dot").stdout.startswith("digraph qmpd {")


def test_a_daemon_without_a_lab_is_drawn_as_far_as_qmp_goes():
    with running(*chain("base", "top"), lab=False) as folder:
        lines = show(folder / "a.sock", "--once").stdout.splitlines()
    assert lines[0].endswith("access modes and locks need a daemon with --lab")
    assert [line.split()[1] for line in lines[2:]] == [
        "top", "top-storage", "base", "base-storage"
    ]  # fmt: skip
    assert "ACCESS" not in lines[1]


def complaint(*words, status=1):
    result = show(*words)
    assert result.returncode == status
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def test_nobody_there(tmp_path):
    assert complaint(tmp_path / "no.sock").endswith("/no.sock: No such file or directory")


def test_nobody_listens(tmp_path):
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "left.sock"))
    left.close()
    assert complaint(tmp_path / "left.sock").endswith("Connection refused")


def test_a_monitor_that_serves_somebody_else(held):
    with Puller(held / "a.sock"):
        assert "no greeting for 2 s; a monitor serves one client" in complaint(held / "a.sock")


def test_somebody_who_does_not_speak_qmp(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "web.sock"))
        listener.listen()
        from threading import Thread

        def serve():
            connection, _ = listener.accept()
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        thread = Thread(target=serve)
        thread.start()
        assert complaint(tmp_path / "web.sock").endswith("does not speak QMP")
        thread.join()


@pytest.mark.parametrize("words", [(), ("a.sock", "--what"), ("a.sock", "--dot", "--svg")])
def test_wrong_options_are_one_line(words):
    assert complaint(*words, status=2).startswith("qmpd show: ")


def test_an_unknown_option_is_told_before_what_is_missing():
    assert complaint("--frob", status=2) == (
        "qmpd show: there is no option --frob; see qmpd show --help"
    )


def test_a_name_that_is_no_sub_command(capsys):
    from qmpd.cli import main

    assert main(["shows"]) == 1
    assert capsys.readouterr().err == (
        "qmpd: there is no sub-command 'shows'; there are record, replay, show\n"
    )
