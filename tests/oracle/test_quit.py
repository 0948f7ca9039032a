"""The end of a server with jobs: all are drained, then each is cancelled, the newest first."""

import itertools
import os
import signal

import pytest

from qmpd.testing.oracle import (
    MIB,
    Program,
    ServerGoneError,
    Step,
    call,
    chain,
    compare,
    wait_event,
    wait_job,
    wait_progress,
)
from tests.oracle.building import separate

pytestmark = pytest.mark.oracle

NAMES = ("c0", "c1", "c2")
OTHERS = ("d0", "d1", "d2")
STATES = ["ready", "standby", "running", "paused", "pending", "concluded"]


def images(directory):
    for names in (NAMES, OTHERS):
        chain(directory, *names, writes={name: ["write -P 1 0 1M"] for name in names})


def second_chain():
    for request in separate(*OTHERS):
        node = request["arguments"]
        names = {m: f"o{node[m]}" for m in ("node-name", "file", "backing") if m in node}
        yield request | {"arguments": node | {k: v for k, v in names.items() if v != "oNone"}}


def job(name, device, state):
    """Steps that bring a job to a state and leave it there."""
    if state in {"ready", "standby"}:
        start = [call("block-commit", job_id=name, device=f"{device}2")]
        start += [wait_event("BLOCK_JOB_READY", device=name)]
    else:
        slow = {"speed": 1} if state in {"running", "paused"} else {}
        ends = {"auto_finalize": state != "pending", "auto_dismiss": state != "concluded"}
        arguments = {"device": f"{device}2", "top_node": f"{device}1"} | slow | ends
        start = [call("block-commit", job_id=name, **arguments)]
        start += [wait_progress(name, MIB // 2) if slow else wait_job(name, state)]
    if state in {"standby", "paused"}:
        start += [call("job-pause", id=name)]
    return start


def leave(how):
    def run(server):
        if how == "quit":
            server.send(call("quit"))
        else:
            os.kill(server.pid, signal.SIGTERM)
        lines = []
        try:
            while True:
                lines.append(server.read_line())
        except ServerGoneError:
            return [*lines, f"exit status {server.ended()}\n".encode()]

    return Step(how, run)


@pytest.mark.parametrize("how", ["quit", "SIGTERM"])
@pytest.mark.parametrize("program", list(Program))
@pytest.mark.parametrize("state", STATES)
def test_one_job(state, program, how):
    compare([*separate(*NAMES), *job("j", "f", state), leave(how)], images, program=program)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(STATES[:5], 2)))
def test_two_jobs(one, other):
    nodes = [*separate(*NAMES), *second_chain()]
    compare([*nodes, *job("j", "f", one), *job("k", "of", other), leave("quit")], images)


@pytest.mark.parametrize("state", ["ready", "standby", "paused", "pending"])
def test_stop_drains(state):
    """Whether or not the guest was running."""
    looks = [call("stop"), call("query-block-jobs"), call("cont"), call("stop")]
    steps = [*separate(*NAMES), *job("j", "f", state), *looks, call("query-block-jobs")]
    compare(steps, images, program=Program.SYSTEM, layout=False)


def test_stop_wakes_a_sleeping_job():
    stop = [call("stop"), wait_progress("j", 3 << 18), call("query-block-jobs")]

    def build(directory):
        chain(directory, *NAMES, size=4 * MIB, writes={"c1": ["write -P 1 0 4M"]})

    steps = [*separate(*NAMES), *job("j", "f", "running"), *stop, call("job-cancel", id="j")]
    compare(steps, build, program=Program.SYSTEM)
