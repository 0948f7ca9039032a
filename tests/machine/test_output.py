"""What is told when standard output takes nothing: one line, and never a traceback."""

import os
import subprocess
import sys

import pytest

COMMANDS = [["--help"], ["--version"], ["replay", "-"]]
TALK = '-> {"execute": "query-jobs"}\n<- {"return": []}\n'


def ended(words, output):
    done = subprocess.run(
        [sys.executable, "-m", "qmpd", *words],
        input=TALK.encode(),
        stdout=output,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    said = [line for line in done.stderr.decode().splitlines() if "warning:" not in line]
    return done.returncode, said


@pytest.mark.parametrize("words", COMMANDS)
def test_a_full_disk_is_one_line(words):
    with open("/dev/full", "wb") as full:
        status, said = ended(words, full)
    assert status == 1
    (line,) = said
    assert line.startswith("qmpd")
    assert line.endswith(": No space left on device")


@pytest.mark.parametrize("words", COMMANDS)
def test_nobody_who_reads_is_not_worth_a_word(words):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert ended(words, writer)[1] == []
    finally:
        os.close(writer)
