"""Values to bytes: order of members, escapes, numbers, and printing prettily."""

from __future__ import annotations

import enum
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmpd.protocol import encoder
from qmpd.protocol.parser import parse_string

BUCKETS = {
    "seconds": 5,
    "timestamp": 26,
    "name": 39,
    "device": 49,
    "QMP": 99,
    "bogus": 136,
    "exec-oob": 162,
    "version": 184,
    "class": 211,
    "node-name": 212,
    "capabilities": 216,
    "minor": 225,
    "micro": 225,
    "qemu": 232,
    "driver": 239,
    "control": 263,
    "execute": 299,
    "filename": 313,
    "package": 326,
    "event": 361,
    "microseconds": 374,
    "desc": 377,
    "return": 401,
    "arguments": 447,
    "file": 463,
    "major": 481,
    "id": 486,
    "error": 489,
    "data": 505,
}


@pytest.mark.parametrize("key", BUCKETS)
def test_buckets(key: str):
    """Keys fall into the buckets that QEMU's output shows."""
    assert encoder.bucket(key) == BUCKETS[key]


@pytest.mark.parametrize(
    ("inserted", "printed"),
    [
        (["major", "minor", "micro"], ["micro", "minor", "major"]),
        (["major", "micro", "minor"], ["minor", "micro", "major"]),
        (["return", "id"], ["return", "id"]),
        (["error", "id"], ["id", "error"]),
        (["backing_file", "write_threshold"], ["write_threshold", "backing_file"]),
        (["singlestep", "status"], ["status", "singlestep"]),
        (
            ["failed_rd_operations", "failed_wr_operations"],
            ["failed_wr_operations", "failed_rd_operations"],
        ),
        (["data", "event", "timestamp"], ["timestamp", "event", "data"]),
        ([], []),
    ],
)
def test_hash_order(inserted: list[str], printed: list[str]):
    """Members come by bucket; of two in one bucket, the later one comes first."""
    assert encoder.hash_order(inserted) == printed
    text = encoder.encode(dict.fromkeys(inserted)).decode()
    assert list(json.loads(text)) == printed


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (None, b"null"),
        (True, b"true"),
        (False, b"false"),
        (0, b"0"),
        (-(1 << 63), b"-9223372036854775808"),
        ((1 << 64) - 1, b"18446744073709551615"),
        (1000.0, b"1000"),
        (0.1, b"0.10000000000000001"),
        (18446744073709551616.0, b"1.8446744073709552e+19"),
        (-0.0, b"-0"),
        (float("inf"), b"inf"),
        (float("-inf"), b"-inf"),
        (float("nan"), b"nan"),
        ({}, b"{}"),
        ([], b"[]"),
        ((), b"[]"),
        ([1, "a", None], b'[1, "a", null]'),
        ((1, [2]), b"[1, [2]]"),
        ({"a": {"b": []}}, b'{"a": {"b": []}}'),
        ({"100%": "%s", "%d": 1}, b'{"100%": "%s", "%d": 1}'),
        ({"%": "%"}, b'{"%": "%"}'),
    ],
)
def test_values(value: Any, printed: bytes):
    """Every type of value, with the separators of QEMU."""
    assert encoder.encode(value) == printed


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("plain ~ / 'text'", "plain ~ / 'text'"),
        ('"\\', '\\"\\\\'),
        ("\b\f\n\r\t", "\\b\\f\\n\\r\\t"),
        ("\0\x01\x0b\x1f\x7f", "\\u0000\\u0001\\u000B\\u001F\\u007F"),
        ("ä€", "\\u00E4\\u20AC"),
        ("😀", "\\uD83D\\uDE00"),
        ("\U0010fffd", "\\uDBFF\\uDFFD"),
        ("\ufffe\ufdd0\U0001ffff", "\\uFFFD\\uFFFD\\uFFFD"),
        ("\ufffd", "\\uFFFD"),
        (chr(0xD800), "\\uFFFD"),
    ],
)
def test_strings(text: str, printed: str):
    """Only printable ASCII leaves; what is no character is replaced."""
    assert encoder.encode(text).decode() == f'"{printed}"'


@pytest.mark.parametrize(
    ("source", "printed"),
    [
        (b"a\xffb", "a\\uFFFDb"),
        (b"\xff\xff", "\\uFFFD\\uFFFD"),
        (b"\x80\xbf", "\\uFFFD\\uFFFD"),
        (b"\xed\xa0\x80", "\\uFFFD"),
        (b"\xf8\x88\x80\x80\x80x", "\\uFFFDx"),
        (b"\xfd\xbf\xbf\xbf\xbf\xbf\xbf", "\\uFFFD\\uFFFD"),
        (b"\xf4\x90\x80\x80", "\\uFFFD"),
        (b"\xe2\x82x", "\\uFFFDx"),
        (b"\xe2\x82", "\\uFFFD"),
        (b"\xc0\x80", "\\u0000"),
        (b"\xc1\x80", "\\uFFFD"),
        (b"\xc3\xa4\xff\xe2\x82\xac", "\\u00E4\\uFFFD\\u20AC"),
    ],
)
def test_bytes_that_were_no_text(source: bytes, printed: str):
    """Bytes that came through `os.fsdecode` are replaced by sequences, as QEMU does."""
    text = source.decode("utf-8", "surrogateescape")
    assert encoder.encode(text).decode() == f'"{printed}"'


@given(st.text())
def test_any_text_is_read_back(text: str):
    """A text survives, but for noncharacters and surrogates."""
    kept = "".join(
        character if encoder.is_character(ord(character)) else "\ufffd" for character in text
    )
    encoded = encoder.encode(text)
    assert encoded.isascii()
    assert json.loads(encoded) == kept
    assert parse_string(encoded) == kept


def test_subclasses():
    """Enumerations and other subclasses are printed as what they derive from."""

    class Colour(enum.StrEnum):
        RED = "red"

    class Number(enum.IntEnum):
        ONE = 1

    class Members(dict[str, Any]):
        pass

    assert encoder.encode([Colour.RED, Number.ONE, Members(a=1)]) == b'["red", 1, {"a": 1}]'


def test_no_json():
    """What has no JSON is refused, not guessed at."""
    with pytest.raises(TypeError, match="no JSON for set"):
        encoder.encode({1})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_deep_and_shallow_agree(value: Any):
    """What serves for deep nesting prints any container as the usual way does."""
    assert encoder._encode_deep([value]) == encoder.encode_text([value])


def test_nesting_beyond_the_stack():
    """Values of any depth are printed."""
    value: Any = 1
    for _ in range(5000):
        value = [{"a": value}]
    assert encoder.encode(value) == b'[{"a": ' * 5000 + b"1" + b"}]" * 5000


def test_plans_are_forgotten(monkeypatch: pytest.MonkeyPatch):
    """Ever new keys do not fill the memory, and are printed in order nonetheless."""
    monkeypatch.setattr(encoder, "_MAX_PLANS", 8)
    for number in range(100):
        assert encoder.encode({f"key{number}": 1, "": 2}) == f'{{"": 2, "key{number}": 1}}'.encode()
        assert len(encoder._plans) <= 8


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ({}, ["{", "}"]),
        ([], ["[", "]"]),
        (5, ["5"]),
        ({"a": [], "b": {}}, ["{", '    "a": [', "    ],", '    "b": {', "    }", "}"]),
        ([1, [2, "x"]], ["[", "    1,", "    [", "        2,", '        "x"', "    ]", "]"]),
        (
            {"a": 'b, {"c": [\\"d\\\\"]}', "b": "\\"},
            ["{", r'    "a": "b, {\"c\": [\\\"d\\\\\"]}",', r'    "b": "\\"', "}"],
        ),
    ],
)
def test_pretty(value: Any, lines: list[str]):
    """Four spaces a level; even empty containers take two lines; strings are left alone."""
    assert encoder.encode_pretty(value).decode().split("\n") == lines


@given(VALUES)
def test_pretty_is_the_same_value(value: Any):
    """Printing prettily changes nothing but white space."""
    pretty = encoder.encode_pretty(value)
    lines = [line.strip() for line in pretty.decode().split("\n")]
    joined = "".join(line + " " if line.endswith(",") else line for line in lines)
    assert joined.encode() == encoder.encode(value)
