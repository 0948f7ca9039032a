"""Requests that are remembered: what looks like one that was seen is not always that one."""

from __future__ import annotations

import random

import pytest

from qmpd.protocol.encoder import encode
from qmpd.protocol.messages import Request
from qmpd.protocol.session import Session
from tests.protocol.wire import NEGOTIATE, VERSION

PIECES = (
    *(b'{"execute": "%s"}' % name for name in (b"a", b"b")),
    *(b'{"execute": "a", "id": %s}' % name for name in (b"1", b"2", b'"x"', b"01", b"{}")),
    b'{"id": 3, "execute": "b"}',
    b'{\n"execute": "a"\n}',
    b'{\n"execute": "b", "id": 4}',
    b'{\r\n"execute": "b", "arguments": {\r\n"id": 5}}',
    b'{"execute": "a", "arguments": {"id": 5}}',
    b'{"execute": "a", "arguments": {}\n}',
    b'"id": 6}',
    b', "id": 7}',
)
BETWEEN = (b"", b" ", b"\n", b"\r\n", b"\n\n", b"\r\n\r\n", b"\n \n", b"\t\r\n", b"\r \n")


def told(pieces: list[bytes]) -> bytes:
    """What a client is told: every answer names the command and its arguments."""
    session = Session(VERSION)
    output = []
    for piece in [NEGOTIATE, *pieces]:
        session.receive_data(piece)
        while True:
            output.append(session.answer_known(2))
            item = session.next_item()
            if item is None:
                break
            if isinstance(item, Request):
                value = encode({item.command: item.arguments})
                item = session.reply_encoded(item, value, fixed=not item.arguments)
            output.append(item)
    return b"".join(output)


@pytest.mark.parametrize("seed", range(200))
def test_memory_changes_nothing(seed: int):
    """Whole pieces, which are remembered, are answered as single bytes, which are not."""
    generator = random.Random(seed)  # noqa: S311 - reproducible, not secret
    stream = b"".join(
        generator.choice(PIECES) + generator.choice(BETWEEN)
        for _ in range(generator.randrange(2, 12))
    )
    assert told([stream]) == told([bytes([byte]) for byte in stream])


@pytest.mark.parametrize(
    ("stream", "commands"),
    [
        (b'\r\n{"execute": "a"}\r\n\r\n{"execute": "b"}\r\n', "ab"),
        (b'{\n"execute": "a"}\n{\n"execute": "b"}\n', "ab"),
        (b'{"execute": "a"}\n{"execute": "a"}', "aa"),
    ],
)
def test_only_whole_lines_are_remembered(stream: bytes, commands: str):
    """Neither an empty line nor the first line of a request stands for the request."""
    expected = b"".join(b'{"return": {"%c": {}}}\r\n' % name for name in commands.encode())
    assert told([stream]) == b'{"return": {}}\r\n' + expected
