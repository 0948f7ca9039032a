"""The two clients that come along, and that of qemu.qmp, on a daemon's socket."""

import socket
import threading

import pytest
from qemu.qmp import QMPClient

from qmpd.testing import AsyncClient, Client, CommandError, DaemonGoneError


async def test_the_client_of_qemu_works_on_the_path(qmpd):
    client = QMPClient("test")
    await client.connect(qmpd.path)
    with client.listener("SHUTDOWN") as events:
        assert await client.execute("query-jobs") == []
        await client.execute("quit")
        assert (await events.get())["data"]["guest"] is False
    with pytest.raises(EOFError):
        await client.disconnect()


async def test_errors_carry_class_and_sentence(qmpd, qmpd_thread):
    with pytest.raises(CommandError) as failure:
        await qmpd.client.execute("job-pause", id="nobody")
    assert (failure.value.error_class, failure.value.desc) == ("GenericError", "Job not found")
    with pytest.raises(CommandError) as failure:
        qmpd_thread.client.execute("no-such-thing")
    assert failure.value.error_class == "CommandNotFound"


def test_an_event_is_given_out_once_and_kept(qmpd_thread):
    with qmpd_thread.connect() as client:
        qmpd_thread.client.execute("stop")
        qmpd_thread.client.execute("cont")
        client.wait_event("RESUME")
        client.wait_event("STOP")
        with pytest.raises(TimeoutError, match="no STOP in time"):
            client.wait_event("STOP", within=0.01)
        assert [event["event"] for event in client.events] == ["STOP", "RESUME"]


async def test_a_client_that_does_not_read_hears_everything_later(qmpd):
    async with await qmpd.connect() as client:
        client.pause_reading()
        await qmpd.client.execute("stop")
        await qmpd.client.execute("cont")
        assert client.events == []
        client.resume_reading()
        await client.wait_event("RESUME")
        assert [event["event"] for event in client.events] == ["STOP", "RESUME"]


async def test_replies_are_told_apart_by_their_ids(qmpd):
    async with await qmpd.connect() as client:
        first, second = client.send("query-name"), client.send("query-jobs")
        assert (await client.reply(second))["return"] == []
        assert (await client.reply(first))["return"] == {}


async def test_a_server_that_hangs_up_ends_every_wait():
    near, far = socket.socketpair()
    far.close()
    with pytest.raises(DaemonGoneError, match="hung up before greeting"):
        await AsyncClient.connect(near)
    near, far = socket.socketpair()
    far.close()
    with pytest.raises(DaemonGoneError, match="hung up before greeting"):
        Client(near)


def test_a_server_that_says_nothing_is_not_waited_for_for_ever(tmp_path):
    with pytest.raises(FileNotFoundError):
        Client(str(tmp_path / "nobody"))
    near, far = socket.socketpair()
    with far, pytest.raises(TimeoutError, match="no greeting in time"):
        Client(near, within=0.01)


def test_the_end_of_a_connection_can_be_waited_for(qmpd_thread):
    client = qmpd_thread.connect()
    with pytest.raises(TimeoutError, match="no end of the connection in time"):
        client.wait_closed(within=0.01)
    ender = threading.Thread(target=qmpd_thread.die)
    ender.start()
    client.wait_closed()
    ender.join()
    with pytest.raises(DaemonGoneError):
        client.execute("query-jobs")
    client.close()
