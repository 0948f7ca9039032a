"""Tests for the client of ``commit.py``: run ``pytest examples/test_commit.py``."""

from collections.abc import AsyncIterator

import commit
import pytest
import pytest_asyncio
from qemu.qmp import ExecuteError, QMPClient

from qmpd.testing import QmpdInLoop


@pytest_asyncio.fixture
async def client(qmpd: QmpdInLoop) -> AsyncIterator[QMPClient]:
    """A client on a daemon that has the chain which ``commit.py`` works on."""
    await qmpd.chain(*commit.LAYERS)
    client = QMPClient("test")
    await client.connect(qmpd.path)
    yield client
    await client.disconnect()


@pytest.mark.asyncio
async def test_it_takes_the_middle_out(qmpd: QmpdInLoop, client: QMPClient) -> None:
    """The chain is shorter afterwards, and the job is dismissed."""
    qmpd.expect("block-commit", top_node="middle", base_node="base")
    qmpd.expect_event("JOB_STATUS_CHANGE", status="concluded")
    qmpd.expect("job-dismiss", id=commit.JOB)
    qmpd.ignore("query-*")

    assert await commit.chain(client) == (  # noqa: S101 - this is how pytest tests
        "/images/top.qcow2 -> /images/middle.qcow2 -> /images/base.qcow2"
    )
    await commit.commit(client)
    after = await commit.chain(client)
    assert after == "/images/top.qcow2 -> /images/base.qcow2"  # noqa: S101 - as above


@pytest.mark.asyncio
async def test_it_stops_where_the_base_is_sealed(qmpd: QmpdInLoop, client: QMPClient) -> None:
    """The command itself fails; no job is left."""
    await qmpd.deny("/images/base.qcow2")
    with pytest.raises(ExecuteError, match="Permission denied"):
        await commit.commit(client)


@pytest.mark.asyncio
@pytest.mark.qmpd_relaxed  # it does not dismiss a job that has failed
async def test_it_tells_why_a_job_failed(qmpd: QmpdInLoop, client: QMPClient) -> None:
    """The job starts, and fails when the disk is full."""
    await qmpd.fault("write", node="base", errno="ENOSPC")
    with pytest.raises(SystemExit, match="commit-middle failed: No space left on device"):
        await commit.commit(client)
