"""What jobs do when the file system they write to is full: every policy, then room, then the end."""

import os
import subprocess

import pytest

from qmpd.testing.oracle import MIB, Step, call, chain, compare, on_host
from qmpd.testing.oracle.server import is_event
from tests.oracle.building import separate

pytestmark = pytest.mark.oracle

NAMES = ("c0", "c1", "c2")
LOOK = [call("query-jobs"), call("query-block-jobs")]
RESUME = call("job-resume", id="j")
SMALL, LARGE = "size=900k", "size=9m"


def mount(*words):
    subprocess.run(["mount", *map(str, words)], check=True, capture_output=True)


@pytest.fixture
def disks(tmp_path):
    """Small file systems, one a side."""
    places = [tmp_path / name for name in ("side1", "side2")]
    if os.geteuid():
        pytest.skip("only the superuser can mount a small file system")
    made = []
    try:
        for place in places:
            place.mkdir()
            try:
                mount("-t", "tmpfs", "-o", SMALL, "tmpfs", place)
            except (OSError, subprocess.CalledProcessError):
                pytest.skip("file systems cannot be mounted here")
            made.append(place)
        yield tmp_path
    finally:
        for place in made:
            subprocess.run(["umount", "-l", str(place)], check=True)


def images(disks, small="c0"):
    """Layers full of data, but for the one on the small file system."""

    def build(directory):
        place = disks / directory.name
        (directory / small).symlink_to(place / small)
        writes = {"c0": ["write -P 3 0 1M"], "c1": ["write -P 1 0 3M"], "c2": ["write -P 2 1M 2M"]}
        del writes[small]
        chain(directory, *NAMES, size=4 * MIB, writes=writes)

    return build


def ask(request, status):
    """Send a request and wait for a status; in the original a failure may precede the reply."""

    def run(server):
        server.send(request)
        lines = server.lines_until_reply()
        while f'"{status}"'.encode() not in b"".join(lines):
            lines.append(server.read_line())
        return sorted(lines, key=is_event)

    return Step(f"{request} until {status}", run)


@pytest.mark.parametrize("policy", ["report", "stop", "enospc", "auto"])
@pytest.mark.parametrize("top", [{}, {"top_node": "f1"}], ids=["active", "middle"])
def test_no_space(disks, top, policy):
    commit = call("block-commit", job_id="j", device="f2", on_error=policy, **top)
    grow = on_host("more room", lambda place: mount("-o", f"remount,{LARGE}", disks / place.name))
    steps = [ask(commit, "null")]
    if policy != "report":
        steps = [ask(commit, "paused"), *LOOK, ask(RESUME, "paused"), *LOOK, grow]
        if top:
            steps += [ask(RESUME, "null")]
        else:
            steps += [ask(RESUME, "ready"), ask(call("job-complete", id="j"), "null")]
    compare([*separate(*NAMES), *steps], images(disks), layout=False)


@pytest.mark.parametrize("policy", ["report", "stop", "enospc", "auto"])
@pytest.mark.parametrize("base", [{}, {"base_node": "f0"}], ids=["all", "some"])
def test_no_space_to_stream(disks, base, policy):
    """What cannot be written counts as a failure to read."""
    stream = call("block-stream", job_id="j", device="f2", on_error=policy, **base)
    grow = on_host("more room", lambda place: mount("-o", f"remount,{LARGE}", disks / place.name))
    steps = [ask(stream, "null")]
    if policy != "report":
        steps = [ask(stream, "paused"), *LOOK, ask(RESUME, "paused"), *LOOK, grow]
        steps += [ask(RESUME, "null")]
    compare([*separate(*NAMES), *steps], images(disks, "c2"))


def test_no_space_is_ignored_by_a_stream(disks):
    """The job goes on to its end and fails then."""
    stream = call("block-stream", job_id="j", device="f2", on_error="ignore")
    compare([*separate(*NAMES), ask(stream, "null")], images(disks, "c2"))
