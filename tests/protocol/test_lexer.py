"""Bytes to tokens: what a token is, and how garbage is passed over."""

from __future__ import annotations

import random

import pytest

from qmpd.protocol import lexer
from tests.protocol import streams


def tokens(pieces: list[bytes]) -> list[tuple[int, bytes]]:
    scanner = lexer.Lexer()
    found = []
    for piece in pieces:
        position = 0
        while position < len(piece):
            position = scanner.scan(piece, position)
            if scanner.kind:
                found.append((scanner.kind, scanner.text))
    scanner.flush()
    if scanner.kind:
        found.append((scanner.kind, scanner.text))
    return found


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"{", lexer.LCURLY),
        (b"}", lexer.RCURLY),
        (b"[", lexer.LSQUARE),
        (b"]", lexer.RSQUARE),
        (b":", lexer.COLON),
        (b",", lexer.COMMA),
        (b"0", lexer.INTEGER),
        (b"-0", lexer.INTEGER),
        (b"-17", lexer.INTEGER),
        (b"0.5", lexer.FLOAT),
        (b"1e5", lexer.FLOAT),
        (b"1.5E-05", lexer.FLOAT),
        (b"true", lexer.KEYWORD),
        (b"zzz", lexer.KEYWORD),
        (b'""', lexer.STRING),
        (b"'\"'", lexer.STRING),
        (b'"\\"\'"', lexer.STRING),
        (b'"\xc3\x28"', lexer.STRING),
        (b".", lexer.ERROR),
        (b"+", lexer.ERROR),
        (b"%", lexer.ERROR),
        (b"N", lexer.ERROR),
        (b"01", lexer.ERROR),
        (b"1.e", lexer.ERROR),
        (b"1e+.", lexer.ERROR),
        (b"-x", lexer.ERROR),
        (b'"a\n', lexer.ERROR),
        (b'"a\t', lexer.ERROR),
        (b'"\\\x1f', lexer.ERROR),
        (b'"\xfe', lexer.ERROR),
        (b"\xef", lexer.ERROR),
    ],
)
def test_single_tokens(text: bytes, kind: int):
    """Every kind of token, and every way to be none, up to the offending byte."""
    assert tokens([text]) == [(kind, text)]


@pytest.mark.parametrize("text", [b"-", b"1.", b"1e", b"1e+", b'"a', b'"a\\', b"'"])
def test_unfinished_tokens(text: bytes):
    """The end of the input is an error inside these tokens."""
    assert tokens([text]) == [(lexer.ERROR, text)]


def test_no_exponent_after_zero():
    """``0e5`` is two tokens, unlike ``1e5`` and ``0.0e5``."""
    assert tokens([b"0e5"]) == [(lexer.INTEGER, b"0"), (lexer.KEYWORD, b"e"), (lexer.INTEGER, b"5")]
    assert tokens([b"0.0e5"]) == [(lexer.FLOAT, b"0.0e5")]


@pytest.mark.parametrize("byte", [*b"{}[]:,", *range(0x20), 0xFE, 0xFF])
def test_recovery_ends_at(byte: int):
    """Skipping garbage ends at structure, control characters and impossible bytes."""
    stop = bytes([byte])
    found = tokens([b"@ garbage 1 'x' \x80\xfd" + stop + b"7 "])
    if byte == 0x09:
        assert found == [(lexer.ERROR, b"@")]
    elif stop in b"\r\n":
        assert found == [(lexer.ERROR, b"@"), (lexer.INTEGER, b"7")]
    elif byte < 0x20 or byte >= 0xFE:
        # These are errors themselves, and the digit is skipped after them.
        assert found == [(lexer.ERROR, b"@"), (lexer.ERROR, stop)]
    else:
        assert [text for _, text in found] == [b"@", stop, b"7"]


@pytest.mark.parametrize("byte", sorted(set(range(0x20, 0xFE)) - set(b"{}[]:,")))
def test_recovery_swallows(byte: int):
    """No other byte is looked at while garbage is skipped."""
    assert tokens([b"@" + bytes([byte])]) == [(lexer.ERROR, b"@")]


@pytest.mark.parametrize("seed", range(40))
def test_split_at_every_position(seed: int):
    """The tokens do not depend on how the stream arrives."""
    text = streams.stream(random.Random(seed))[:300]  # noqa: S311 - reproducible, not secret
    whole = tokens([text])
    for position in range(len(text)):
        assert tokens([text[:position], text[position:]]) == whole
    assert tokens([bytes([byte]) for byte in text]) == whole


def test_idle_tells_between_tokens():
    """A lexer is idle before a token, and neither inside one nor while skipping."""
    scanner = lexer.Lexer()
    idle = []
    for piece in (b" ", b'"a', b'"', b"@", b"x", b"\n"):
        scanner.scan(piece, 0)
        idle.append(scanner.idle)
    assert idle == [True, False, True, False, False, True]


@pytest.mark.parametrize("lengths", [[lexer.MAX_TOKEN_SIZE], [10, lexer.MAX_TOKEN_SIZE - 10]])
def test_token_size_limit(lengths: list[int]):
    """A token of one byte more than the limit is given up, and lexing starts afresh."""
    scanner = lexer.Lexer()
    for length in lengths:
        assert scanner.scan(b"7" * length, 0) == length
        assert scanner.kind == lexer.NONE
    assert scanner.scan(b"77", 0) == 1
    assert scanner.kind == lexer.OVERSIZE
    assert scanner.idle
    scanner.scan(b"7 ", 0)
    assert (scanner.kind, scanner.text) == (lexer.INTEGER, b"7")
