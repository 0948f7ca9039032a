"""Clients of a human monitor that do not read what they are told."""

import socket

import pytest

_CLEARED = b"\x1b[2J\x1b[1;1H(qemu) "
"""What Ctrl-L is answered with."""
_MONITOR = ("-monitor", "unix:hmp,server=on,wait=off", "-qmp", "unix:qmp,server=on,wait=off")


def type_unread(client, keys):
    """Type as long as somebody takes it, and return how much that was."""
    client.socket.settimeout(1)
    sent = 0
    try:
        while sent < len(keys):
            sent += client.socket.send(keys[sent : sent + 4096])
    except TimeoutError:
        pass
    return sent


def test_keys_are_not_taken_without_bound(start):
    """Above 8 MiB that nobody reads they stay in the socket; all are answered in the end."""
    daemon = start(*_MONITOR)
    client = daemon.connect("hmp")
    typed = type_unread(client, b"\x0c" * (2 << 20))
    assert (8 << 20) // len(_CLEARED) < typed < 1 << 20
    client.socket.settimeout(30)
    client.raw(b"x")
    heard = bytearray()
    while not heard.endswith(b"(qemu) x\x1b[K"):
        heard += client.socket.recv(1 << 20)
    assert heard.count(_CLEARED) == typed
    client.close()


@pytest.mark.parametrize("rude", ["close", "half"])
def test_a_client_that_leaves_with_its_output_unread(start, rude):
    """The next one is greeted and heard, although it gets the same descriptor."""
    daemon = start(*_MONITOR)
    client = daemon.connect("hmp")
    type_unread(client, b"\x0c" * (64 << 10))
    if rude == "half":
        client.socket.shutdown(socket.SHUT_WR)
    else:
        client.close()
    fresh = daemon.connect("hmp")
    fresh.socket.settimeout(30)
    fresh.raw(b"\x0c" * (64 << 10) + b"x")
    heard = bytearray()
    while not heard.endswith(b"(qemu) x\x1b[K"):
        part = fresh.socket.recv(1 << 20)
        assert part
        heard += part
    assert heard.count(_CLEARED) == 64 << 10
    daemon.connect("qmp").greet().close()
    assert daemon.stderr() == ""
    fresh.close()
