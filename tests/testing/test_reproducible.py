"""With a stepped clock and a seed, the same test sees the same bytes."""

import asyncio

from qmpd.testing import QmpdInLoop, QmpdProcess, QmpdThread

COMMIT = {"device": "top", "top_node": "mid", "base_node": "base"}


async def transcript(seed):
    """Everything a client hears in a busy test."""
    async with QmpdInLoop(clock="stepped", seed=seed) as qmpd:
        chain = await qmpd.chain("base", "mid", "top", data={"mid": [(0, "3M", 7)]})
        await qmpd.fault("write", node="base", errno="ENOSPC", offset="2M", count=1)
        await qmpd.wire("event", "delay", name="BLOCK_JOB_ERROR", delay_ms=30)
        async with await qmpd.connect() as client:
            await client.execute(
                "blockdev-add", driver="qcow2", node_name="other", read_only=True,
                file={"driver": "file", "filename": chain.base.path, "locking": "off"},
            )  # fmt: skip
            await client.execute("x-debug-query-block-graph")
            await client.execute(
                "block-commit", **COMMIT, job_id="j", speed=1 << 20, on_error="stop"
            )
            for _ in range(6):
                await qmpd.advance(500)
                await client.execute("query-block-jobs")
            await client.execute("job-resume", id="j")
            await qmpd.advance(10_000)
            await client.execute("query-named-block-nodes")
            await client.execute("query-block-jobs")
            return client.inbox.lines


async def test_transcripts_are_the_same_to_the_byte():
    first = await transcript(1)
    others = await asyncio.gather(*(transcript(1) for _ in range(5)))
    assert [other for other in others if other != first] == []
    text = b"\n".join(first)
    assert text.count(b"BLOCK_JOB_ERROR") == 1
    assert b'"status": "paused"' in text
    assert b'"status": "null"' in text
    assert b"#block" in text


async def test_another_seed_gives_other_names_and_nothing_else():
    one, other = await transcript(1), await transcript(2)
    differing = [a for a, b in zip(one, other, strict=True) if a != b]
    assert differing != []
    assert all(b"#block" in line for line in differing)


def test_a_thread_sees_the_same_time():
    with QmpdThread(clock="stepped", seed=1) as qmpd:
        qmpd.chain("base", "mid", "top", data={"mid": [(0, "3M", 7)]})
        with qmpd.connect() as client:
            client.execute("block-commit", **COMMIT, job_id="j", speed=1 << 20)
            qmpd.advance(10_000)
            end = client.wait_event("BLOCK_JOB_COMPLETED")
    assert end["timestamp"]["seconds"] == 1600000003  # 3 MiB at 1 MiB/s


def test_a_seed_gives_the_same_names_in_every_kind_of_daemon():
    names = []
    inline = {"driver": "raw", "node-name": "r", "file": {"driver": "null-co", "size": 512}}
    for kind in (QmpdThread, QmpdProcess):
        with kind(seed=5, blockdevs=[inline], clock="stepped") as qmpd:
            found = qmpd.client.execute("query-named-block-nodes")
            names.append([node["node-name"] for node in found])
    assert names[0] == names[1]
    assert any(name.startswith("#block") for name in names[0])
