"""Tokens to values: the grammar, its sentences, the limits, and where values end."""

from __future__ import annotations

from typing import Any

import pytest

from qmpd.errors import QmpError
from qmpd.protocol import lexer
from qmpd.protocol.parser import INCOMPLETE, StreamParser, parse_string


def items(text: bytes) -> list[Any]:
    """Values, and the sentences of errors, that a stream comes to."""
    parser = StreamParser()
    parser.feed(text)
    found: list[Any] = []
    while True:
        try:
            value = parser.next_value()
        except QmpError as error:
            found.append(error.desc)
        else:
            if value is INCOMPLETE:
                return found
            found.append(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"null", None),
        (b"true", True),
        (b"false", False),
        (b"[]", []),
        (b"{}", {}),
        (b"'it\\'s \"'", "it's \""),
        (b'"\\"\\\'\\\\\\/\\b\\f\\n\\r\\t"', "\"'\\/\b\f\n\r\t"),
        (b'"\\u0000\\u00E4\\u20ac\\uD83D\\uDE00"', "\0ä€😀"),
        ('"ä€😀\x7f"'.encode(), "ä€😀\x7f"),
        (b'"a\xc0\x80b"', "a\0b"),
        (b'{"a": [1, {"b": null}], "c": 2.5}', {"a": [1, {"b": None}], "c": 2.5}),
        (b'{"a": "%s"}', {"a": "%s"}),
        (b"\t\r\n [ 1 , 2 ] \n", [1, 2]),
    ],
)
def test_values(text: bytes, value: Any):
    """What is valid, and the extensions: single quotes and modified UTF-8."""
    assert parse_string(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"-0", 0),
        (b"-0.0", -0.0),
        (b"1e3", 1000.0),
        (b"1e400", float("inf")),
        (b"-1e400", float("-inf")),
        (b"9223372036854775807", 9223372036854775807),
        (b"-9223372036854775808", -9223372036854775808),
        (b"-9223372036854775809", -9223372036854775808.0),
        (b"18446744073709551615", 18446744073709551615),
        (b"18446744073709551616", 18446744073709551616.0),
        (b"-18446744073709551615", -18446744073709551615.0),
        (b"9" * 5000, float("inf")),
    ],
)
def test_numbers(text: bytes, value: float):
    """An integer is an int64, else a uint64, else a double."""
    number = parse_string(text)
    assert (type(number), repr(number)) == (type(value), repr(value))


PARSE_ERRORS = [
    (b"tru ", "invalid keyword 'tru'"),
    (b'"\\x"', "invalid escape sequence in string"),
    (b'"\\u12"', '\\u12" is not a valid Unicode character'),
    (b'"\\u+123"', "\\u+123 is not a valid Unicode character"),
    (b'"\\ud800"', "\\ud800 is not a valid Unicode character"),
    (b'"\\udc00"', "\\udc00 is not a valid Unicode character"),
    (b'"\\ud800\\u0041"', "\\ud800 is not a valid Unicode character"),
    (b'"\\ud83f\\udfff"', "\\ud83f\\udfff is not a valid Unicode character"),
    (b'"\\uFFFE"', "\\uFFFE is not a valid Unicode character"),
    (b'"\\uFDD0"', "\\uFDD0 is not a valid Unicode character"),
    (b'"\x80"', "invalid UTF-8 sequence in string"),
    (b'"\xc1\x80"', "invalid UTF-8 sequence in string"),
    (b'"\xed\xa0\x80"', "invalid UTF-8 sequence in string"),
    (b'"\xef\xbf\xbf"', "invalid UTF-8 sequence in string"),
    (b'"\xf4\x90\x80\x80"', "invalid UTF-8 sequence in string"),
    (b'"\xe2\x82"', "invalid UTF-8 sequence in string"),
    (b"{1: 2}", "key is not a string in object"),
    (b"{null: 2}", "key is not a string in object"),
    (b"{[1]: 2}", "key is not a string in object"),
    (b'{"a" 1}', "missing : in object pair"),
    (b'{"a"}', "missing : in object pair"),
    (b'{"a": 1 "b": 2}', "expected separator in dict"),
    (b'{"a": 1]', "expected separator in dict"),
    (b"[1 2]", "expected separator in list"),
    (b"[1}", "expected separator in list"),
    (b"}", "expecting value"),
    (b"]", "expecting value"),
    (b":", "expecting value"),
    (b",", "expecting value"),
    (b'{"execute":}', "expecting value"),
    (b'{"a": 1,}', "expecting value"),
    (b"[1,]", "expecting value"),
    (b"[,]", "expecting value"),
    (b"{]", "expecting value"),
    (b'{"a": 1, "a": 2}', "duplicate key"),
    (b'{"a": 1, "\\u0061": 2}', "duplicate key"),
]


@pytest.mark.parametrize(("text", "desc"), PARSE_ERRORS)
def test_parse_errors(text: bytes, desc: str):
    """Each way to be no value has its sentence, and nothing is left over behind it."""
    assert items(text + b"7 ") == ["JSON parse error, " + desc, 7]


STRAY = [
    (b'"a\x01\n', '"a\x01'),
    (b"\xff\n", "\udcff"),
    (b"01\n", "01"),
    (b".\n", "."),
    (b"%s\n", "%"),
    (b"\0\n", ""),
    (b'{"execute":"query\xff\n', '"query\udcff'),
    (b'{"execute":\x1b', "\x1b"),
    (b"\xef\xbb\xbf\n", "\udcef"),
]


@pytest.mark.parametrize(("text", "token"), STRAY)
def test_stray(text: bytes, token: str):
    """A lexical error quotes the token up to the byte that was one too many."""
    assert items(text + b"{}") == [f"JSON parse error, stray '{token}'", {}]


def test_each_impossible_byte_is_an_error():
    """Three bytes 0xFF give three errors."""
    assert items(b"\xff\xff\xff") == ["JSON parse error, stray '\udcff'"] * 3


def test_second_stray_is_swallowed():
    """Garbage right behind garbage is not complained about."""
    assert items(b"@ @ @") == ["JSON parse error, stray '@'"]


def test_newline_inside_string():
    """The rest of the line is read as if it began there."""
    errors = ["JSON parse error, stray '\"b\n'", "JSON parse error, expecting value"]
    assert items(b'{"a": "b\n}') == errors
    assert items(b'{"a": "b\n"}') == errors


def test_first_error_wins_at_the_balance():
    """An error inside is reported once, when the outermost bracket closes."""
    parser = StreamParser()
    parser.feed(b'{"a": [1 2, tru, {"b" 3}], "a": [')
    assert parser.next_value() is INCOMPLETE
    parser.feed(b"]}")
    with pytest.raises(QmpError, match="expected separator in list"):
        parser.next_value()
    assert parser.next_value() is INCOMPLETE


def test_values_need_no_separator():
    """A value ends with its last bracket or quote; words and numbers with what follows."""
    assert items(b'{}[]"a"1"b"true[2]') == [{}, [], "a", 1, "b", True, [2]]
    assert items(b"5") == []


def test_nesting_limit():
    """1024 levels are a value; at the 1025th opening everything starts afresh."""
    assert len(items(b"[" * 1024 + b"]" * 1024)) == 1
    assert len(items(b'{"a":' * 1023 + b"{}" + b"}" * 1023)) == 1
    found = items(b"[" * 1025 + b"]" * 1025)
    assert found[0] == "JSON nesting depth limit exceeded"
    assert found[1:] == ["JSON parse error, expecting value"] * 1025


def test_token_count_limit(monkeypatch: pytest.MonkeyPatch):
    """A value may have as many tokens as the limit says, not one more."""
    monkeypatch.setattr(lexer, "MAX_TOKENS", 5)
    assert items(b"[1,2]") == [[1, 2]]
    assert items(b"[[],[2]]") == [
        "JSON token count limit exceeded",
        "JSON parse error, expecting value",
        "JSON parse error, expecting value",
    ]


def test_token_size_limit(monkeypatch: pytest.MonkeyPatch):
    """The tokens of a value together, or one alone, must stay below the limit."""
    monkeypatch.setattr(lexer, "MAX_TOKEN_SIZE", 10)
    assert items(b'[1,"aaa"]') == [[1, "aaa"]]
    assert items(b'[1,"aaaa"]') == ["JSON token size limit exceeded"]
    assert items(b'"aaaaaaaaaa"')[0] == "JSON token size limit exceeded"


@pytest.mark.parametrize(
    ("text", "desc"),
    [
        ("", "Expecting a JSON value"),
        (" \n", "Expecting a JSON value"),
        ("{", "JSON parse error, premature EOI"),
        ('{"a"', "JSON parse error, premature EOI"),
        ('{"a":', "JSON parse error, premature EOI"),
        ('{"a": 1', "JSON parse error, premature EOI"),
        ('{"a": 1,', "JSON parse error, premature EOI"),
        ("[1,", "JSON parse error, premature EOI"),
        ('{"a', "JSON parse error, stray '\"a'"),
        ("[1 2", "JSON parse error, expected separator in list"),
        ("tru", "JSON parse error, invalid keyword 'tru'"),
        ("{} {}", "Expecting at most one JSON value"),
        ("{} @", "Expecting at most one JSON value"),
        ("{}}", "Expecting at most one JSON value"),
        ("} {}", "JSON parse error, expecting value"),
        ("{} [", "Expecting at most one JSON value"),
    ],
)
def test_text_with_an_end(text: str, desc: str):
    """A text that ends is judged as a whole."""
    with pytest.raises(QmpError) as caught:
        parse_string(text)
    assert caught.value.desc == desc


def test_text_of_undecodable_bytes():
    """What `os.fsdecode` made of a command line is as good as the bytes."""
    assert parse_string('"\udcc3\udca4"') == parse_string('"ä"') == "ä"
    with pytest.raises(QmpError, match="invalid UTF-8 sequence"):
        parse_string('"\udcc3("')


def test_buffered_counts_what_was_not_looked_at():
    """Input waits, value by value, until it is asked for."""
    parser = StreamParser()
    for piece in (b'{"a": 1}{"b":', b" 2}", b" [3"):
        parser.feed(piece)
    assert parser.buffered == 19
    assert parser.next_value() == {"a": 1}
    assert parser.buffered == 11
    assert parser.next_value() == {"b": 2}
    assert parser.next_value() is INCOMPLETE
    assert parser.buffered == 0


def test_many_small_pieces():
    """A stream fed byte by byte before anything is asked for comes out whole."""
    parser = StreamParser()
    for byte in b'{"execute": "x"}' * 50:
        parser.feed(bytes([byte]))
    assert [parser.next_value() for _ in range(50)] == [{"execute": "x"}] * 50
    assert parser.next_value() is INCOMPLETE
