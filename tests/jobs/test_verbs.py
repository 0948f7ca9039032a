"""Which verb is heard in which state: the table, and what commands do with it."""

import itertools

import pytest

from qmpd.jobs import states
from qmpd.jobs.states import (
    ABORTING,
    CONCLUDED,
    CREATED,
    NULL,
    PAUSED,
    PENDING,
    READY,
    RUNNING,
    STANDBY,
    UNDEFINED,
    WAITING,
)
from tests.machine.snapshot import check, snapshot
from tests.machine.world import Refused, World

CHAIN = ["c0", "c1", "c2"]

# Measured on QEMU 7.2: the verbs that each state accepts.
ACCEPTED = {
    CREATED: "cancel pause resume set-speed",
    RUNNING: "cancel pause resume set-speed",
    PAUSED: "cancel pause resume set-speed",
    READY: "cancel pause resume set-speed complete",
    STANDBY: "cancel pause resume set-speed complete",
    WAITING: "cancel",
    PENDING: "cancel finalize",
    ABORTING: "",
    CONCLUDED: "dismiss",
}
VERBS = ["cancel", "pause", "resume", "set-speed", "complete", "finalize", "dismiss"]
FOLLOWERS = {
    UNDEFINED: {CREATED},
    CREATED: {RUNNING, ABORTING, NULL},
    RUNNING: {PAUSED, READY, WAITING, ABORTING},
    PAUSED: {RUNNING},
    READY: {STANDBY, WAITING, ABORTING},
    STANDBY: {READY},
    WAITING: {PENDING, ABORTING},
    PENDING: {ABORTING, CONCLUDED},
    ABORTING: {ABORTING, CONCLUDED},
    CONCLUDED: {NULL},
    NULL: set(),
}


def test_the_table_of_verbs():
    found = {state: {verb for verb in VERBS if state in states.VERBS[verb]} for state in ACCEPTED}
    assert found == {state: set(verbs.split()) for state, verbs in ACCEPTED.items()}
    assert set(states.VERBS) == set(VERBS)


def test_the_table_of_transitions():
    assert states.TRANSITIONS == FOLLOWERS


def test_every_state_can_be_reached_and_left():
    reached = {state for followers in states.TRANSITIONS.values() for state in followers}
    assert reached == set(states.TRANSITIONS) - {UNDEFINED}
    assert [state for state, followers in states.TRANSITIONS.items() if not followers] == [NULL]


# --- jobs that are held in a state -----------------------------------------------------------


def chain():
    world = World()
    world.images(CHAIN)
    world.add_chain(CHAIN)
    return world


def running(*, active=False, **more):
    """A job that has copied its first chunk and now sleeps for days."""
    world = chain()
    world.commit("c2", "c2" if active else "c1", "c0", speed=1, **more)
    world.idle()
    assert world.status() == RUNNING
    return world


def paused():
    world = running()
    world.do("job-pause", id="j")
    return world


def ready():
    world = chain()
    world.commit("c2", "c2", "c0", auto_finalize=False, auto_dismiss=False)
    world.run()
    return world


def standby():
    world = ready()
    world.do("job-pause", id="j")
    return world


def pending():
    world = chain()
    world.commit("c2", "c1", "c0", auto_finalize=False, auto_dismiss=False)
    world.run()
    return world


def concluded():
    world = chain()
    world.commit("c2", "c1", "c0", auto_dismiss=False)
    world.run()
    return world


HELD = {
    RUNNING: running,
    PAUSED: paused,
    READY: ready,
    STANDBY: standby,
    PENDING: pending,
    CONCLUDED: concluded,
}
BY_ID = ("finalize", "dismiss")


def send(world, verb, family, job="j"):
    """Send a verb in the given family; QEMU names the job by two different members."""
    if verb == "set-speed":
        return world.do("block-job-set-speed", device=job, speed=1)
    if family == "job":
        return world.do(f"job-{verb}", id=job)
    return world.do(f"block-job-{verb}", **{"id" if verb in BY_ID else "device": job})


@pytest.mark.parametrize("family", ["job", "block-job"])
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("state", HELD)
def test_every_verb_in_every_state(state, verb, family):
    """What the table refuses is refused in its words and changes nothing; the rest works."""
    world = HELD[state]()
    assert world.status() == state
    text = None
    if verb == "resume" and state not in (PAUSED, STANDBY):
        text = "Can't resume a job that was not paused"
    elif verb == "cancel" and family == "block-job" and state in (PAUSED, STANDBY):
        text = "The block job for device 'j' is currently paused"
    elif verb not in ACCEPTED[state].split():
        text = f"Job 'j' in state '{state}' cannot accept command verb '{verb}'"
    elif verb == "pause" and state in (PAUSED, STANDBY):
        text = "Job is already paused"
    before = snapshot(world.machine)
    events = len(world.events)
    if text is None:
        assert send(world, verb, family) == {}
    else:
        with pytest.raises(Refused) as caught:
            send(world, verb, family)
        assert caught.value.desc == text
        assert caught.value.error_class == "GenericError"
        assert snapshot(world.machine) == before
        assert len(world.events) == events
    check(world.machine)
    world.close()


@pytest.mark.parametrize("verb", VERBS)
def test_unknown_jobs(verb):
    """Each family has its own error class for a job that does not exist."""
    world = chain()
    with pytest.raises(Refused) as caught:
        send(world, verb, "block-job", job="zz")
    assert caught.value.error_class == "DeviceNotActive"
    assert caught.value.desc == "Block job 'zz' not found"
    if verb != "set-speed":
        with pytest.raises(Refused) as caught:
            send(world, verb, "job", job="zz")
        assert (caught.value.error_class, caught.value.desc) == ("GenericError", "Job not found")
    world.close()


def observe(build, *actions):
    """All states a job shows while ``actions`` are done to it; the world is run afterwards."""
    world = build()
    for command, arguments in actions:
        world.do(command, **arguments)
        world.idle()
    world.run()
    seen = world.statuses()
    world.close()
    return seen


LIVES = {
    "plain": (pending, ("job-finalize", {"id": "j"}), ("job-dismiss", {"id": "j"})),
    "paused": (paused, ("job-resume", {"id": "j"})),
    "cancelled": (running, ("job-cancel", {"id": "j"})),
    "cancelled while paused": (paused, ("job-cancel", {"id": "j"})),
    "cancelled at the end": (pending, ("job-cancel", {"id": "j"})),
    "pivot": (ready, ("job-complete", {"id": "j"})),
    "soft": (ready, ("block-job-cancel", {"device": "j"})),
    "hard": (ready, ("job-cancel", {"id": "j"})),
    "standby": (standby, ("job-complete", {"id": "j"}), ("job-resume", {"id": "j"})),
    "cancelled in standby": (standby, ("job-cancel", {"id": "j"})),
}
SEEN = {
    "plain": "created running waiting pending concluded null",
    "paused": "created running paused running waiting pending concluded null",
    "cancelled": "created running aborting concluded null",
    "cancelled while paused": "created running paused running aborting concluded null",
    "cancelled at the end": "created running waiting pending aborting concluded",
    "pivot": "created running ready waiting pending",
    "soft": "created running ready waiting pending",
    "hard": "created running ready aborting concluded",
    "standby": "created running ready standby ready waiting pending",
    "cancelled in standby": "created running ready standby ready aborting concluded",
}


@pytest.mark.parametrize("life", LIVES)
def test_lives(life):
    """The states that a client is told, from the first to the last."""
    build, *actions = LIVES[life]
    assert " ".join(observe(build, *actions)) == SEEN[life]


def test_no_life_leaves_the_table():
    """Every step that any of these jobs takes is in the table of transitions."""
    steps = set()
    for build, *actions in LIVES.values():
        seen = [UNDEFINED, *observe(build, *actions)]
        steps.update(itertools.pairwise(seen))
    for here, there in steps:
        assert there in FOLLOWERS[here]
    assert len(steps) >= 16
