"""The three fixtures, and what each of them gives to a test."""

import asyncio

import pytest
import uvloop

from qmpd.testing import QmpdInLoop

COMMIT = {"job_id": "commit0", "device": "top", "top_node": "mid", "base_node": "base"}


async def test_in_loop_runs_a_job_for_the_client_under_test(qmpd):
    await qmpd.chain("base", "mid", "top")
    async with await qmpd.connect() as client:
        await client.execute("block-commit", **COMMIT)
        await client.wait_event("JOB_STATUS_CHANGE", id="commit0", status="null")
    (top,) = [
        node
        for node in await qmpd.client.execute("query-named-block-nodes")
        if node["node-name"] == "top"
    ]
    assert top["backing_file"].endswith("base.qcow2")


def test_in_thread_runs_a_job_for_the_client_under_test(qmpd_thread):
    qmpd_thread.chain("base", "mid", "top")
    with qmpd_thread.connect() as client:
        client.execute("block-commit", **COMMIT)
        client.wait_event("JOB_STATUS_CHANGE", id="commit0", status="null")


def test_process_runs_a_job_for_the_client_under_test(qmpd_process):
    qmpd_process.chain("base", "mid", "top")
    with qmpd_process.connect() as client:
        client.execute("block-commit", **COMMIT)
        client.wait_event("JOB_STATUS_CHANGE", id="commit0", status="null")
    qmpd_process.wait_for("commit0", "concluded")


@pytest.mark.parametrize("library", [asyncio, uvloop])
def test_any_event_loop_will_do(library):
    async def commit():
        async with QmpdInLoop() as qmpd:
            await qmpd.chain("base", "mid", "top")
            async with await qmpd.connect() as client:
                await client.execute("block-commit", **COMMIT)
                await client.wait_event("JOB_STATUS_CHANGE", id="commit0", status="null")

    with asyncio.Runner(loop_factory=library.new_event_loop, debug=True) as runner:
        runner.run(commit())
