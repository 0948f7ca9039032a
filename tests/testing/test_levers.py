"""Every lever does what its sentence says, in every kind of daemon."""

import asyncio
import inspect
import json
from itertools import pairwise

import pytest

from qmpd.testing import (
    AsyncClient,
    CommandError,
    DaemonGoneError,
    JobEndedError,
    QmpdInLoop,
    QmpdProcess,
    QmpdThread,
)
from qmpd.testing.async_levers import AsyncLevers
from qmpd.testing.levers import Levers

COMMIT = {"job_id": "j", "device": "top", "top_node": "mid", "base_node": "base"}
ACTIVE = {"job_id": "j", "device": "top", "top_node": "top", "base_node": "base"}
STATES = ("created", "running", "waiting", "pending", "concluded", "null")


@pytest.fixture(params=[QmpdThread, QmpdProcess])
def daemon(request):
    with request.param() as qmpd:
        yield qmpd


def states(client, job="j"):
    return [
        event["data"]["status"]
        for event in client.events
        if event["event"] == "JOB_STATUS_CHANGE" and event["data"]["id"] == job
    ]


def test_both_flavours_have_the_same_levers_in_the_same_words():
    awaited = inspect.getmembers(AsyncLevers, inspect.isfunction)
    called = inspect.getmembers(Levers, inspect.isfunction)
    assert [(n, inspect.signature(f), f.__doc__) for n, f in awaited] == [
        (n, inspect.signature(f), f.__doc__) for n, f in called
    ]


def test_every_lever_goes_through_without_a_loop(daemon):
    chain = daemon.chain("base", "mid", "top")
    before = daemon.journal()[-1].serial
    daemon.hold("j", "running")
    daemon.progress("j", "stepped")
    daemon.deny(chain.base)
    daemon.allow(chain.base)
    fault = daemon.fault("flush", node="base", count=1, delay_ms=1, errno="0")
    daemon.clear_fault(fault)
    daemon.wire("event", "drop", name="NEVER")
    daemon.clear_wire()
    with daemon.connect() as client:
        client.execute("block-commit", **COMMIT)
        daemon.wait_until_held("j", "running")
        assert [(s.job, s.status, s.before) for s in daemon.jobs()] == [("j", "created", "running")]
        daemon.release("j")
        daemon.wait_for("j", "running")
        daemon.step("j", 1000)
        daemon.wait_for("j", "null")
    assert {file.access for file in daemon.files() if file.node == "top-storage"} == {"rw"}
    levers = daemon.journal(since=before, kinds=["lever"])
    pulled = [entry.data["command"] for entry in levers if "command" in entry.data]
    assert pulled == [
        f"x-qmpd-{name}"
        for name in (
            "hold", "progress", "deny", "allow", "fault", "fault-clear", "wire", "wire-clear",
            "release", "step",
        )
    ]  # fmt: skip


def test_a_stepped_clock_moves_only_when_told(daemon):
    with pytest.raises(CommandError, match="The clock is not stepped"):
        daemon.advance(1)
    with type(daemon)(clock="stepped") as stepped:
        stepped.advance(1500)
        with stepped.connect() as client:
            client.execute("quit")
            event = client.wait_event("SHUTDOWN")
            assert event["timestamp"] == {"seconds": 1600000001, "microseconds": 500000}


def test_death_leaves_nobody_waiting(daemon):
    daemon.chain("base", "mid", "top")
    client = daemon.connect()
    daemon.die("j", at="pending")
    client.send("block-commit", **COMMIT)
    with pytest.raises(DaemonGoneError, match="hung up before NEVER"):
        client.wait_event("NEVER")
    daemon.wait_until_dead()
    assert states(client) == ["created", "running", "waiting", "pending"]
    client.close()


@pytest.mark.parametrize("status", STATES)
async def test_the_state_of_death_is_the_last_that_is_heard(qmpd, status, capfd):
    await qmpd.chain("base", "mid", "top")
    await qmpd.die("j", at=status)
    async with await qmpd.connect() as client:
        client.send("block-commit", **COMMIT)
        await client.wait_closed()
        assert states(client) == list(STATES[: STATES.index(status) + 1])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("status", ["ready", "paused", "standby"])
async def test_death_within_the_work_of_a_job(qmpd, status, capfd):
    await qmpd.chain("base", "top")
    await qmpd.die("j", at=status)
    async with await qmpd.connect() as client:
        if status == "paused":
            await qmpd.progress("j", "held")
        client.send("block-commit", **ACTIVE)
        if status == "standby":
            await qmpd.wait_for("j", "ready")
        if status != "ready":
            client.send("job-pause", id="j")
        await client.wait_closed()
        assert states(client)[-1] == status
    assert capfd.readouterr().err == ""


async def test_death_now_and_what_can_be_done_afterwards(qmpd):
    await qmpd.die()
    await qmpd.wait_until_dead()
    with pytest.raises(DaemonGoneError):
        await qmpd.hold("j", "ready")
    with pytest.raises(FileNotFoundError):
        await AsyncClient.connect(qmpd.path)
    assert [entry.data for entry in qmpd._running.entries()][-1] == {"action": "died"}


@pytest.mark.parametrize("status", STATES[1:])
async def test_a_hold_stops_before_its_state(qmpd, status):
    await qmpd.chain("base", "mid", "top")
    await qmpd.hold("j", status)
    async with await qmpd.connect() as client:
        await client.execute("block-commit", **COMMIT)
        await qmpd.wait_until_held("j", status)
        await client.execute("query-jobs")
        assert states(client) == list(STATES[: STATES.index(status)])
        await qmpd.release("j")
        await qmpd.wait_for("j", "null")


async def test_a_hold_is_over_when_the_job_has_moved_on(qmpd):
    await qmpd.chain("base", "mid", "top")
    await qmpd.hold("j", "concluded")
    await qmpd.client.execute("block-commit", **COMMIT, auto_dismiss=False)
    await qmpd.wait_until_held("j")
    await qmpd.client.execute("job-cancel", id="j")
    assert [(state.status, state.before) for state in await qmpd.jobs()] == [("concluded", None)]
    await qmpd.client.execute("job-dismiss", id="j")


async def test_steps_are_chunks(qmpd):
    await qmpd.chain("base", "mid", "top", data={"mid": [(0, "4M", 1)]})
    await qmpd.progress("j", "stepped")
    await qmpd.client.execute("block-commit", **COMMIT)
    offsets = []
    for _ in range(3):
        await qmpd.step("j", 2)
        (job,) = await qmpd.client.execute("query-block-jobs")
        offsets.append(job["offset"] >> 10)
    assert [b - a for a, b in pairwise(offsets)] == [1024, 1024]
    await qmpd.progress("j", "immediate")
    await qmpd.wait_for("j", "null")


@pytest.mark.qmpd(clock="stepped")
async def test_timed_progress_follows_the_clock(qmpd):
    await qmpd.chain("base", "mid", "top", size="1M", data={"mid": [(0, "1M", 1)]})
    await qmpd.progress("*", "timed", delay_ms=100)
    await qmpd.client.execute("block-commit", **COMMIT)
    await qmpd.advance(199)
    assert [state.status for state in await qmpd.jobs()] == ["running"]
    await qmpd.advance(1)
    await qmpd.wait_for("j", "null")


async def test_deny_counts_opens(qmpd):
    chain = await qmpd.chain("base", "mid", "top")
    await qmpd.deny(chain.base, from_open=2)
    await qmpd.client.execute("block-commit", **COMMIT)
    await qmpd.wait_for("j", "null")
    with pytest.raises(CommandError, match="Permission denied"):
        await qmpd.client.execute(
            "blockdev-reopen", options=[{**chain.definitions[1], "read-only": False}]
        )


async def test_faults_strike_where_and_as_often_as_told(qmpd):
    await qmpd.chain("base", "mid", "top", data={"mid": [("1M", "64k", 1), ("9M", "64k", 1)]})
    await qmpd.fault("write", node="base", errno="ENOSPC", offset="8M", length="2M", count=2)
    for job in ("a", "b", "j"):
        await qmpd.client.execute("block-commit", **{**COMMIT, "job_id": job})
        await qmpd.wait_for(job, "null")
    ends = [e["data"] for e in qmpd.client.events if e["event"] == "BLOCK_JOB_COMPLETED"]
    assert [end.get("error") for end in ends] == ["No space left on device"] * 2 + [None]


async def test_a_fault_with_a_name_that_is_none(qmpd):
    with pytest.raises(CommandError, match="'errno' does not accept value 'ENOTHING'"):
        await qmpd.fault("read", errno="ENOTHING")


async def lines(qmpd, *commands):
    """What a client hears that sends commands at once and waits a little."""
    async with await qmpd.connect() as client:
        for command in commands:
            client.send(command)
        await qmpd.client.execute("query-version")
        for _ in range(20):
            await asyncio.sleep(0)
        return [json.loads(line) for line in client.inbox.lines[2:]], client.closed


async def test_a_dropped_reply_never_comes(qmpd):
    await qmpd.wire("reply", "drop", name="query-name")
    heard, _ = await lines(qmpd, "query-name", "query-jobs")
    assert [line["id"] for line in heard] == [3]


async def test_a_duplicated_reply_comes_twice(qmpd):
    await qmpd.wire("reply", "duplicate", name="query-name")
    heard, _ = await lines(qmpd, "query-name", "query-jobs")
    assert [line["id"] for line in heard] == [2, 2, 3]


async def test_a_reordered_reply_comes_after_the_next(qmpd):
    await qmpd.wire("reply", "reorder", name="query-name")
    heard, _ = await lines(qmpd, "query-name", "query-jobs", "query-name")
    assert [line["id"] for line in heard] == [3, 2, 4]


async def test_a_stale_id_is_that_of_the_request_before(qmpd):
    await qmpd.wire("reply", "stale-id", name="query-jobs")
    heard, _ = await lines(qmpd, "query-name", "query-jobs", "query-name")
    assert [line["id"] for line in heard] == [2, 2, 4]


async def test_silence_is_for_ever(qmpd):
    await qmpd.wire("reply", "silence", name="query-jobs")
    heard, closed = await lines(qmpd, "query-name", "query-jobs", "query-name")
    assert ([line["id"] for line in heard], closed) == ([2], False)


async def test_hanging_up_happens_in_the_middle_of_a_line(qmpd):
    await qmpd.wire("reply", "hang-up", name="query-jobs")
    async with await qmpd.connect() as client:
        client.send("query-jobs")
        await client.wait_closed()
        assert b'{"return": [], "id": 2}'.startswith(client.inbox._rest)
        assert client.inbox._rest


@pytest.mark.qmpd(clock="stepped")
async def test_a_split_line_comes_in_two_pieces(qmpd):
    await qmpd.wire("reply", "split", name="query-jobs", delay_ms=5)
    async with await qmpd.connect() as client:
        number = client.send("query-jobs")
        behind = client.send("query-name")
        await client.wait_until(lambda: {} if client.inbox._rest else None, "half a line")
        await qmpd.advance(4)
        assert client.inbox.lines[2:] == []
        await qmpd.advance(1)
        assert (await client.reply(number))["return"] == []
        await client.reply(behind)


async def test_a_greeting_can_be_lost(qmpd):
    await qmpd.wire("greeting", "drop")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(AsyncClient.connect(qmpd.path), 0.01)


async def test_nobody_tampers_with_the_tests_own_client(qmpd):
    await qmpd.wire("reply", "hang-up", count=0)
    await qmpd.wire("event", "silence", count=0)
    assert await qmpd.client.execute("query-jobs") == []


async def test_waiting_for_what_will_never_be_ends_at_once(qmpd):
    await qmpd.chain("base", "mid", "top")
    await qmpd.client.execute("block-commit", **COMMIT)
    with pytest.raises(JobEndedError, match="never was ready: created -> running -> waiting"):
        await qmpd.wait_for("j", "ready")


async def test_waiting_in_vain_shows_the_end_of_the_journal(qmpd):
    await qmpd.hold("j", "ready")
    with pytest.raises(TimeoutError, match=r"job 'j' is not held after 0.01 s[^$]*x-qmpd-hold"):
        await qmpd.wait_until_held("j", within=0.01)


def test_waiting_in_vain_without_a_loop(daemon):
    with pytest.raises(TimeoutError, match="job 'j' is not ready after"):
        daemon.wait_for("j", "ready", within=0.01)
    with pytest.raises(TimeoutError, match="job 'j' is not held after"):
        daemon.wait_until_held("j", within=0.01)
    with pytest.raises(TimeoutError, match="the daemon is not dead after"):
        daemon.wait_until_dead(within=0.01)


async def test_a_state_of_an_earlier_life_does_not_count(qmpd):
    await qmpd.chain("base", "mid", "top")
    await qmpd.client.execute("block-commit", **COMMIT)
    await qmpd.wait_for("j", "concluded")
    await qmpd.progress("j", "held")
    await qmpd.client.execute("block-commit", **ACTIVE)
    with pytest.raises(TimeoutError, match="job 'j' is not concluded"):
        await qmpd.wait_for("j", "concluded", within=0.01)
    await qmpd.client.execute("job-cancel", id="j")
    await qmpd.wait_for("j", "null")


async def test_the_journal_can_be_asked_for_parts(qmpd):
    async with await qmpd.connect() as client:
        await client.execute("query-name")
    everything = await qmpd.journal()
    (request,) = [e for e in everything if e.kind == "request" and e.data["client"] == 2]
    assert request.data["command"] == "query-name"
    kinds = {entry.kind for entry in await qmpd.journal(since=request.serial, kinds=["reply"])}
    assert kinds == {"reply"}


async def test_a_daemon_that_does_not_run_has_no_levers():
    with pytest.raises(RuntimeError, match="the daemon does not run"):
        await QmpdInLoop().hold("j", "ready")
    with pytest.raises(RuntimeError, match="the daemon does not run"):
        QmpdThread().hold("j", "ready")


@pytest.mark.qmpd(clock="stepped")
async def test_quitting_is_an_end_in_order_though_time_stands_still(qmpd):
    await qmpd.chain("base", "mid", "top")
    await qmpd.progress("j", "held")
    async with await qmpd.connect() as client:
        await client.execute("block-commit", **COMMIT)
        await client.execute("quit")
        await client.wait_closed()
        assert states(client)[-3:] == ["aborting", "concluded", "null"]
    await qmpd.wait_until_dead()


STRIKES = [
    ({"operation": "read", "node": "mid"}, "Input/output error", ["read"]),
    ({"operation": "read", "node": "mid", "offset": "1M", "length": 1}, "Input/output error", ["read"]),
    ({"operation": "read", "node": "mid", "offset": 0, "length": "1M"}, None, []),
    ({"operation": "read", "path": "/images/mid.qcow2"}, "Input/output error", ["read"]),
    ({"operation": "write", "node": "base", "errno": "EDQUOT"}, "Disk quota exceeded", ["write"]),
    ({"operation": "write", "node": "base-storage"}, "Input/output error", ["write"]),
    ({"operation": "flush", "node": "base"}, "Input/output error", []),
    ({"operation": "write", "node": "top-storage"}, "Input/output error", []),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "error", "operations"), STRIKES)
async def test_each_operation_is_struck_at_each_level(qmpd, fault, error, operations):
    await qmpd.chain("base", "mid", "top")
    await qmpd.fault(**fault)
    await qmpd.client.execute("block-commit", **COMMIT)
    await qmpd.wait_for("j", "null")
    (end,) = [e["data"] for e in qmpd.client.events if e["event"] == "BLOCK_JOB_COMPLETED"]
    errors = [e["data"] for e in qmpd.client.events if e["event"] == "BLOCK_JOB_ERROR"]
    assert end.get("error") == error
    assert [data["operation"] for data in errors] == operations


async def test_opening_can_fail_or_be_refused(qmpd):
    chain = await qmpd.chain("base", "mid", "top")
    await qmpd.fault("open", path=chain.base, errno="EMFILE", count=1)
    await qmpd.deny(chain["mid"], "read")
    define = {"driver": "file", "node-name": "again"}
    for layer, why in ((chain.base, "Too many open files"), (chain["mid"], "Permission denied")):
        with pytest.raises(CommandError, match=why):
            await qmpd.client.execute("blockdev-add", {**define, "filename": layer.path})
    await qmpd.client.execute("blockdev-add", {**define, "filename": chain.base})


async def test_a_job_held_before_ready_goes_on_when_released(qmpd):
    await qmpd.chain("base", "top")
    await qmpd.hold("*", "ready")
    await qmpd.client.execute("block-commit", **ACTIVE)
    await qmpd.wait_until_held("j", "ready")
    await qmpd.release("*")
    await qmpd.wait_for("j", "ready")
    await qmpd.client.execute("job-complete", id="j")
    await qmpd.wait_for("j", "null")


async def test_death_ends_levers_that_wait_for_their_turn(qmpd):
    await qmpd.chain("base", "mid", "top")
    await qmpd.fault("write", node="base", errno="0", delay_ms=50)
    await qmpd.client.execute("block-commit", **COMMIT)
    await qmpd.wait_for("j", "running")
    adding = asyncio.create_task(qmpd.pull("blockdev-del", {"node-name": "nobody"}))
    holding = asyncio.create_task(qmpd.hold("j", "ready"))
    await asyncio.sleep(0)
    qmpd.machine.scheduler.call_soon(qmpd.machine.die)
    ended = await asyncio.gather(adding, holding, return_exceptions=True)
    assert [type(error) for error in ended] == [DaemonGoneError, DaemonGoneError]
