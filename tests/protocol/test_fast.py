"""The short way through CPython's scanner never differs from the exact parser."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmpd.errors import QmpError
from qmpd.protocol import fast, parser
from tests.protocol import streams

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


def flat(value: Any) -> list[str]:
    """All there is in a value, told apart as far as 0.0 from -0.0 and 1 from 1.0 and True."""
    parts, pending = [], [value]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            parts.append(f"object of {list(part)}")
            pending.extend(part.values())
        elif isinstance(part, list):
            parts.append(f"array of {len(part)}")
            pending.extend(part)
        else:
            parts.append(repr(part))
    return parts


class Outcome:
    """What a stream of bytes came to: values, errors, bytes left over."""

    def __init__(self, pieces: list[bytes], *, exact: bool) -> None:
        stream = parser.StreamParser()
        self.items: list[list[str]] = []
        for piece in pieces:
            stream.feed(piece)
            if exact:
                stream._plain = ""
            self._collect(stream)
        self.rest = stream.buffered

    def _collect(self, stream: parser.StreamParser) -> None:
        value: Any = None
        while value is not parser.INCOMPLETE:
            try:
                value = stream.next_value()
            except QmpError as error:
                value = error
            self.items.append(flat(value))
        self.items.pop()


def same(text: bytes, position: int) -> None:
    exact = Outcome([text], exact=True)
    for pieces in ([text], [text[:position], text[position:]]):
        short = Outcome(pieces, exact=False)
        assert short.items == exact.items
        assert short.rest == exact.rest == 0


@given(st.dictionaries(st.text(max_size=4), VALUES), st.booleans(), st.data())
def test_valid_objects_split_anywhere(value: dict[str, Any], ascii_only: bool, data: st.DataObject):
    """Whatever a client's JSON library writes is understood alike on both ways."""
    text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass") * 2
    same(text, data.draw(st.integers(0, len(text))))


@pytest.mark.parametrize("seed", range(300))
def test_mutilated_streams_split_anywhere(seed: int):
    """Nor do both ways differ on what is malformed, wherever it is split."""
    generator = random.Random(seed)  # noqa: S311 - reproducible, not secret
    text = streams.stream(generator)
    for _ in range(3):
        same(text, generator.randrange(len(text) + 1))


@given(
    st.lists(st.sampled_from(list(b"{}[]:,\"'\\u0123456789.eE+-truefalsnd \t\n\x00\x7f\xc3\xa4")))
)
def test_arbitrary_text(alphabet: list[int]):
    """Text of characters that mean something to JSON is understood alike."""
    text = b'{"a":' + bytes(alphabet) + b"}"
    same(text, len(text) // 2)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 0e5}',
        '{"a": -0E5}',
        '{"a": 12345678901234567890}',
        '{"a": "\x01"}',
        "{'a': 1}",
        '{"a": 1',
        "",
        " \n",
        "[]",
        "17 ",
        '{"a": ' * 1000 + "1" + "}" * 1000,
        '{"a": [' + "[]," * 1024 + "[]]}",
        '{"a": "' + "x" * (1 << 20) + '"}',
    ],
)
def test_left_to_the_exact_parser(text: str):
    """The short way gives up on all that QEMU reads differently or might refuse."""
    assert fast.scan_object(text, 0) is None


@pytest.mark.parametrize(
    ("data", "candidate"),
    [(b'{"a": 1}', True), (b'{"a": ', False), (b'{"\\u0061": 1}', False), (b'{"\xc3": 1}', False)],
)
def test_candidates(data: bytes, candidate: bool):
    """Only whole ASCII text without escapes by number is tried."""
    assert fast.is_candidate(data) is candidate


def test_the_short_way_is_taken():
    """What clients usually send is not left to the exact parser, nor the value after it."""
    text = ' \r\n{"execute": "query-version", "id": 17}\r\n{"execute": "quit"}'
    first, position = fast.scan_object(text, 0) or ({}, 0)
    assert first == {"execute": "query-version", "id": 17}
    assert fast.scan_object(text, position) == ({"execute": "quit"}, len(text))


HEAVY = {"typing", "enum", "re", "dataclasses", "json", "asyncio", "socket", "logging", "inspect"}

ALONE = """
import sys
sys.path.insert(0, {root!r})
from qmpd.protocol import parser
loaded = {heavy!r} & set(sys.modules)
assert not loaded, loaded
stream = parser.StreamParser()
for text in {texts!r}:
    stream.feed(text + b"\\n")
    try:
        print(stream.next_value())
    except parser.QmpError as error:
        print(error.desc)
"""


def test_without_the_json_module():
    """Nothing heavy is loaded to parse, and malformed text is no problem without it."""
    texts = [b'{"a": 1,}', b'{"a" 1}', b'{"a": 1 2}', b"{'a': 2}", b'{"a": 3}']
    root = str(Path(fast.__file__).parents[2])
    script = ALONE.format(root=root, heavy=HEAVY, texts=texts)
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, check=True, text=True
    )
    assert result.stdout.splitlines() == [
        "JSON parse error, expecting value",
        "JSON parse error, missing : in object pair",
        "JSON parse error, expected separator in dict",
        "{'a': 2}",
        "{'a': 3}",
    ]
