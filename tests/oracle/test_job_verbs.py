"""Every verb in every state that a client can hold a job in, and the life of a job.

A state is held by speed=1 (one chunk of 512 KiB, then hours of sleep), by a pause, by
auto-finalize=false or by auto-dismiss=false.
"""

import json

import pytest

from qmpd.testing.oracle import (
    call,
    chain,
    compare,
    raw,
    reconnect,
    refused,
    show_descriptors,
    show_graph,
    wait_event,
    wait_job,
    wait_progress,
)
from tests.oracle.building import separate

CHUNK = 512 << 10
NAMES = ("c0", "c1", "c2", "c3")
MIDDLE = {"job-id": "j", "device": "f3", "top-node": "f2", "base-node": "f0"}
ACTIVE = {"job-id": "j", "device": "f3"}
LOOK = [call("query-jobs"), call("query-block-jobs")]

pytestmark = pytest.mark.oracle


def images(directory):
    writes = {
        "c1": ["write -P 1 0 768k"],
        "c2": ["write -P 2 512k 512k"],
        "c3": ["write -P 3 0 128k"],
    }
    chain(directory, *NAMES, writes=writes)


def run(*steps):
    # Which steps hold an active commit is not worth telling apart: layout is for other tests.
    return compare([*separate(*NAMES), *steps], images, layout=False)


def middle(**options):
    return call("block-commit", **MIDDLE, **options)


def active(**options):
    return call("block-commit", **ACTIVE, **options)


RUNNING = [middle(speed=1), wait_progress("j", CHUNK)]
READY = [active(), wait_event("BLOCK_JOB_READY")]
PAUSE = call("job-pause", id="j")
STATES = {
    "running": RUNNING,
    "paused": [*RUNNING, PAUSE],
    "ready": READY,
    "standby": [*READY, PAUSE],
    "pending": [middle(auto_finalize=False), wait_event("BLOCK_JOB_PENDING")],
    "concluded": [middle(auto_dismiss=False), wait_job("j", "concluded")],
}
# The status of the pending job of an active commit is the same, its pause counter is not.
ACTIVE_PENDING = [
    active(auto_finalize=False),
    wait_event("BLOCK_JOB_READY"),
    call("job-complete", id="j"),
    wait_event("BLOCK_JOB_PENDING"),
]

VERBS = {
    "cancel": [
        call("job-cancel", id="j"),
        call("block-job-cancel", device="j", force=True),
        call("block-job-cancel", device="j"),
    ],
    "pause": [PAUSE, call("block-job-pause", device="j")],
    "resume": [call("job-resume", id="j"), call("block-job-resume", device="j")],
    "set-speed": [
        call("block-job-set-speed", device="j", speed=0),
        call("block-job-set-speed", device="j", speed=7),
    ],
    "complete": [call("job-complete", id="j"), call("block-job-complete", device="j")],
    "finalize": [call("job-finalize", id="j"), call("block-job-finalize", id="j")],
    "dismiss": [call("job-dismiss", id="j"), call("block-job-dismiss", id="j")],
}

GONE = wait_job("j", "null")
# What follows after the reply where a verb is accepted; otherwise it is refused.
ACCEPTED = {
    ("running", "cancel"): [],
    ("running", "pause"): [],
    ("running", "set-speed"): [GONE],  # a higher speed wakes it, and little is left to copy
    ("paused", "cancel"): [],
    ("paused", "resume"): [GONE],
    ("paused", "set-speed"): [],
    ("ready", "cancel"): [GONE],
    ("ready", "pause"): [],
    ("ready", "set-speed"): [],
    ("ready", "complete"): [GONE],
    ("standby", "cancel"): [GONE],
    ("standby", "resume"): [],
    ("standby", "set-speed"): [],
    ("standby", "complete"): [],
    ("pending", "cancel"): [],
    ("pending", "finalize"): [],
    ("concluded", "dismiss"): [],
}


def refusal(state, verb):
    if verb == "resume" and state not in {"paused", "standby"}:
        return "Can't resume a job that was not paused"
    if verb == "pause" and state in {"paused", "standby"}:
        return "Job is already paused"
    return f"Job 'j' in state '{state}' cannot accept command verb '{verb}'"


@pytest.mark.parametrize("state", STATES)
def test_refused_verbs(state):
    """All verbs that the state does not accept, in both spellings; the job stays as it was."""
    steps = [
        refused(refusal(state, verb), request)
        for verb, requests in VERBS.items()
        if (state, verb) not in ACCEPTED
        for request in requests
    ]
    run(*STATES[state], *steps, *LOOK)


@pytest.mark.parametrize(
    ("state", "request_", "then"),
    [
        pytest.param(state, request, then, id=f"{state}-{request['execute']}-{number}")
        for (state, verb), then in ACCEPTED.items()
        for number, request in enumerate(VERBS[verb])
        if not (state in {"paused", "standby"} and request == VERBS["cancel"][2])
    ],
)
def test_accepted_verbs(state, request_, then):
    """Events, their order around the reply, and what the queries show afterwards."""
    run(*STATES[state], *LOOK, request_, *then, *LOOK, show_graph(), show_descriptors())


@pytest.mark.parametrize("state", ["paused", "standby"])
def test_soft_cancel_of_a_paused_job(state):
    """It is refused with a sentence of its own; the forced one is not."""
    run(
        *STATES[state],
        refused("The block job for device 'j' is currently paused", VERBS["cancel"][2]),
        *LOOK,
    )


@pytest.mark.parametrize("verb", ["cancel", "finalize"])
def test_pending_active_commit(verb):
    """It shows paused: true; finalize pivots, cancel stays on the top layer."""
    run(*ACTIVE_PENDING, *LOOK, show_graph(), VERBS[verb][0], *LOOK, show_graph())


def test_complete_in_standby_waits_for_resume():
    transcript = run(
        *STATES["standby"],
        call("job-complete", id="j"),
        *LOOK,
        call("job-resume", id="j"),
        GONE,
        show_graph(),
    )
    assert "standby" in transcript.statuses("j")
    assert transcript.statuses("j")[-1] == "null"


def test_second_completion_of_a_soft_cancelled_job():
    """In standby a soft cancel can only be forced, so the job completes once."""
    run(
        *STATES["standby"],
        call("job-complete", id="j"),
        call("job-complete", id="j"),
        call("job-resume", id="j"),
        GONE,
    )


@pytest.mark.parametrize("dismiss", [True, False], ids=["auto-dismiss", "dismiss"])
@pytest.mark.parametrize("finalize", [True, False], ids=["auto-finalize", "finalize"])
def test_automatic_and_manual_end(finalize, dismiss):
    """The four combinations, each with its events and what is left to do by hand."""
    steps = [middle(auto_finalize=finalize, auto_dismiss=dismiss)]
    if not finalize:
        steps += [wait_event("BLOCK_JOB_PENDING"), *LOOK, call("job-finalize", id="j")]
    elif dismiss:
        steps += [GONE]
    else:
        steps += [wait_job("j", "concluded")]
    if not dismiss:
        steps += [*LOOK, call("job-dismiss", id="j")]
    transcript = run(*steps, *LOOK, show_graph())
    assert transcript.statuses("j") == [
        *("created", "running", "waiting", "pending", "concluded", "null")
    ]


@pytest.mark.parametrize(
    ("state", "then"),
    [
        ("running", []),
        ("paused", []),
        ("ready", [wait_job("j", "concluded")]),
        ("pending", []),
    ],
)
def test_cancelled_job_stays_for_its_error(state, then):
    """With auto-dismiss=false the cancelled job can be asked why."""
    steps = [
        (step | {"arguments": step["arguments"] | {"auto-dismiss": False}})
        if isinstance(step, dict) and step["execute"] == "block-commit"
        else step
        for step in STATES[state]
    ]
    run(*steps, call("job-cancel", id="j"), *then, *LOOK, call("job-dismiss", id="j"), *LOOK)


# -- ids -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("job", "desc"),
    [
        ({}, "Invalid job ID ''"),
        ({"job-id": ""}, "Invalid job ID ''"),
        ({"job-id": "1j"}, "Invalid job ID '1j'"),
        ({"job-id": "a b"}, "Invalid job ID 'a b'"),
        ({"job-id": "#j"}, "Invalid job ID '#j'"),
        ({"job-id": "_j"}, "Invalid job ID '_j'"),
    ],
)
def test_bad_job_id(job, desc):
    run(refused(desc, call("block-commit", device="f3", **job)), *LOOK, show_graph())


def test_long_job_id():
    """Unlike a node's, a job's name may be as long as it likes."""
    name = "j" * 300
    run(
        call("block-commit", job_id=name, device="f3"),
        wait_event("BLOCK_JOB_READY"),
        *LOOK,
        call("job-complete", id=name),
        wait_job(name, "null"),
    )


def test_job_id_is_taken_until_dismissed():
    """Another chain cannot have a job of that name; the concluded job's own is not free either."""
    again = call("block-commit", job_id="j", device="g2", top_node="g1", base_node="g0")
    two_chains(
        *STATES["concluded"],
        refused("Job ID 'j' already in use", again),
        refused("Need a root block node", middle()),
        call("job-dismiss", id="j"),
        again,
        GONE,
    )


@pytest.mark.parametrize("verb", VERBS)
def test_unknown_job(verb):
    """job-* and block-job-* have different sentences and classes."""
    for request in VERBS[verb]:
        is_block = request["execute"].startswith("block-")
        run(refused("Block job 'j' not found" if is_block else "Job not found", request))


def test_classes_of_an_unknown_job():
    run(
        raw(b'{"execute": "job-cancel", "arguments": {"id": "x"}}'),
        raw(b'{"execute": "block-job-cancel", "arguments": {"device": "x"}}'),
    )


# -- speed -----------------------------------------------------------------------------------


def test_negative_speed():
    """At creation the job is announced and gone; on a running job nothing happens."""
    negative = "Parameter 'speed' expects a non-negative value"
    run(
        refused(negative, middle(speed=-1)),
        *LOOK,
        show_graph(),
        show_descriptors(),
        *RUNNING,
        refused(negative, call("block-job-set-speed", device="j", speed=-1)),
        *LOOK,
    )


def test_verb_is_checked_before_the_speed():
    run(
        *STATES["pending"],
        refused(
            "Job 'j' in state 'pending' cannot accept command verb 'set-speed'",
            call("block-job-set-speed", device="j", speed=-1),
        ),
    )


def test_new_speed_is_shown():
    run(*STATES["paused"], call("block-job-set-speed", device="j", speed=5), *LOOK)


# -- several jobs, several clients -----------------------------------------------------------


def two_chains(*steps):
    """Run steps with a second chain g0..g2 of inline file nodes."""
    names = ("d0", "d1", "d2")
    second = [
        call(
            "blockdev-add",
            driver="qcow2",
            node_name=f"g{number}",
            file={"driver": "file", "filename": name},
            backing=f"g{number - 1}" if number else None,
            read_only=number < 2,
        )
        for number, name in enumerate(names)
    ]

    def both(directory):
        images(directory)
        chain(directory, *names, writes={"d1": ["write -P 9 0 1M"]})

    return compare([*separate(*NAMES), *second, *steps], both)


def test_queries_list_the_newest_job_first():
    """Two jobs on two chains; the one that began later comes first in both queries."""
    two_chains(
        *RUNNING,
        call("block-commit", job_id="k", device="g2", top_node="g1", base_node="g0", speed=1),
        wait_progress("k", CHUNK),
        *LOOK,
        show_graph(),
        call("job-cancel", id="j"),
        *LOOK,
        call("job-cancel", id="k"),
        *LOOK,
    )


@pytest.mark.parametrize("state", ["running", "paused", "ready", "pending", "concluded"])
def test_job_survives_its_client(state):
    """The connection goes, the job stays and can be managed by the next client."""
    end = {"concluded": "job-dismiss"}.get(state, "job-cancel")
    then = [GONE] if state == "ready" else []
    run(*STATES[state], reconnect(), *LOOK, call(end, id="j"), *then, *LOOK)


@pytest.mark.parametrize("end", ["job-complete", "job-cancel", "block-job-cancel"])
def test_mirror_ends_before_the_next_request(end):
    """Also when that came in the same piece."""
    name = "device" if end.startswith("block") else "id"
    requests = [call(end, **{name: "j"}), call("query-jobs"), call("query-block-jobs")]
    data = b"".join(json.dumps(request).encode() for request in requests)
    run(*READY, raw(data, 3))
