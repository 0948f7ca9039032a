"""The examples in other languages than Python do what they say."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 60


def run(*words):
    return subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env=os.environ | {"QMPD": f"{sys.executable} -m qmpd"},
    )


def has_json_pp():
    return shutil.which("perl") is not None and run("perl", "-MJSON::PP", "-e1").returncode == 0


@pytest.mark.skipif(not has_json_pp(), reason="perl with JSON::PP is not installed (apt: perl)")
def test_a_client_in_perl_commits_and_waits_for_the_end():
    done = run("perl", str(EXAMPLES / "client.pl"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "connected to QEMU 7.2.22",
        "before: /images/top.qcow2 -> /images/middle.qcow2 -> /images/base.qcow2",
        *(
            f"  commit-middle: {status}"
            for status in ("created", "running", "waiting", "pending", "concluded")
        ),
        "after:  /images/top.qcow2 -> /images/base.qcow2",
    ]


@pytest.fixture(scope="module")
def lab():
    if shutil.which("socat") is None:
        pytest.skip("socat is not installed (apt: socat)")
    done = run("bash", str(EXAMPLES / "lab.sh"))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def answer(text, command, number=0):
    """What the script got for its request, as JSON."""
    found = re.findall(
        rf"^-> \w+: {command}(?: .*?)?\n<- (.*?)\n\n", text, re.DOTALL | re.MULTILINE
    )
    return json.loads(found[number])["return"]


def test_the_lab_in_bash_stops_a_commit_before_its_end(lab):
    assert answer(lab, "x-qmpd-jobs") == [
        {"job": "commit0", "status": "waiting", "before": "pending"}
    ]
    access = {file["node-name"]: file["access"] for file in answer(lab, "x-qmpd-files")}
    assert access == {
        "base-storage": "rw",
        "middle-storage": "r",
        "overlay-storage": "r",
        "active-storage": "rw",
    }


def test_the_lab_in_bash_makes_it_fail(lab):
    (job,) = answer(lab, "query-jobs")
    assert (job["status"], job["error"]) == ("concluded", "Operation not permitted")


def test_the_lab_in_bash_shows_how_it_failed(lab):
    """The journal has the job's states, and between them the open that was refused."""
    entries = answer(lab, "x-qmpd-journal")
    since = next(i for i, e in enumerate(entries) if e["data"].get("status") == "pending")
    assert [entry["data"] for entry in entries[since : since + 3]] == [
        {"job": "commit0", "status": "pending"},
        {"path": "/images/overlay.qcow2", "access": "rw"},
        {"job": "commit0", "status": "aborting"},
    ]
    states = [e["data"]["status"] for e in entries if e["kind"] == "transition"]
    assert states == [
        "created", "running", "waiting", "pending", "aborting", "concluded", "null"
    ]  # fmt: skip
