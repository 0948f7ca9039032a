"""Streams of bytes that no client sends: valid ones, mutilated by a seeded generator."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

SCALARS = (
    b"null",
    b"true",
    b"false",
    b"0",
    b"-0",
    b"-0.0",
    b"17",
    b"1e3",
    b"1E-5",
    b"0e5",
    b"-0E-1",
    b"10e-2",
    b"0.1",
    b"1e400",
    b"-1e400",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775808",
    b"-9223372036854775809",
    b"18446744073709551615",
    b"18446744073709551616",
    b"123456789012345678901234567890",
    b"2.5e-324",
    b"1.7976931348623157e308",
    b'""',
    b'"a"',
    b"'single'",
    b"'it\\'s'",
    b'"\\"\\\\\\/\\b\\f\\n\\r\\t"',
    b'"\\u0000\\u00e4\\u20AC"',
    b'"\\ud83d\\ude00"',
    b'"\\ud83d"',
    b'"\\ud83d\\u0041"',
    b'"\\ude00"',
    b'"\\uFFFE"',
    b'"\\uFDD0"',
    b'"\\ud83f\\udfff"',
    b'"\\u12"',
    b'"\\u1"',
    b'"\\u+123"',
    b'"\\x"',
    b'"\x7f"',
    '"ä€😀"'.encode(),
    b'"\xc0\x80"',
    b'"\xc1\x80"',
    b'"\xed\xa0\x80"',
    b'"\xef\xbf\xbf"',
    b'"\xf4\x90\x80\x80"',
    b'"\xf8\x88\x80\x80\x80"',
    b'"\xfc\x84\x80\x80\x80\x80"',
    b'"\xe2\x82"',
    b'"%s %d"',
    b"tru",
    b"nulll",
    b"NaN",
    b"01",
    b"1.",
    b"1e+",
    b"-",
)

KEYS = (
    b'"id"',
    b'"execute"',
    b'"arguments"',
    b'"control"',
    b'"bogus"',
    b'"exec-oob"',
    b'"enable"',
    b'"a"',
    b'"b"',
    b'""',
    b'"micro"',
    b'"minor"',
    '"ü"'.encode(),
    b'"\xc0\x80"',
    b'"\\u0000"',
    b"'q'",
    b"1",
    b"null",
    b"[]",
    b"{}",
)

REQUESTS = (
    b'{"execute": "qmp_capabilities"}',
    b'{"execute": "qmp_capabilities", "id": 1}',
    b'{"execute": "qmp_capabilities", "arguments": {"enable": []}}',
    b'{"execute": "qmp_capabilities", "arguments": {"enable": ["bogus"]}}',
    b'{"execute": "qmp_capabilities", "arguments": {"enable": [1]}}',
    b'{"execute": "qmp_capabilities", "arguments": {"enable": "oob"}, "id": []}',
    b'{"execute": "qmp_capabilities", "arguments": {"foo": 1}}',
    b'{"execute": "query-version"}',
    b'{"execute": "query-version", "id": 17}\r\n',
    b'{"execute": "query-version", "arguments": {}}\n',
    b'{"execute": "query-version", "arguments": {"foo": {}}, "id": "x"}',
    b'{"execute": "no-such-command", "id": null}',
    b'{"exec-oob": "query-version", "id": 3}',
    b'{"arguments": [], "execute": 5}',
    b'{"id": {"b": 1, "a": [1, 2, {}], "minor": 1, "micro": 2}}',
    b'[{"execute": "query-version"}]',
    b"5 ",
    b"null\n",
    b'"text"',
)

NOISE = (
    *(bytes([byte]) for byte in b"{}[]:,\"'\\ \t\r\n0-.eE+tu%\x00\x01\x1b\x1f\x7f\x80\xbf\xc0"),
    *(bytes([byte]) for byte in (0xC3, 0xE2, 0xED, 0xF0, 0xF8, 0xFD, 0xFE, 0xFF)),
    b"\\u",
    b"\\ud800",
    b"\xef\xbb\xbf",
    b"\xc0\x80",
)


def value(random: Random, depth: int = 0) -> bytes:
    """A JSON value, valid or nearly so."""
    kind = random.randrange(4 if depth < 4 else 2)
    if kind < 2:
        return random.choice(SCALARS)
    count = random.randrange(4)
    if kind == 2:
        return b"[" + b", ".join(value(random, depth + 1) for _ in range(count)) + b"]"
    return members(random, count, depth)


def members(random: Random, count: int, depth: int) -> bytes:
    pairs = (random.choice(KEYS) + b": " + value(random, depth + 1) for _ in range(count))
    return b"{" + b",".join(pairs) + b"}"


def deep(random: Random) -> bytes:
    """Nesting around the limit, of one kind or several, sometimes ill matched."""
    depth = 1024 + random.randrange(-2, 4)
    opening, closing = random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"b":', b"}]")))
    depth //= opening.count(b"[") + opening.count(b"{")
    inner = random.choice(SCALARS)
    tail = closing * (depth + random.randrange(-2, 2))
    return random.choice((b"", b'{"id": ')) + opening * depth + inner + tail


def mutate(random: Random, stream: bytes) -> bytes:
    """Do one random thing to a stream."""
    here, there = sorted(random.randrange(len(stream) + 1) for _ in range(2))
    there = min(there, here + 40)
    noise = random.choice(NOISE)
    return random.choice(
        (
            stream[:here] + stream[there:],
            stream[:here] + noise + stream[here:],
            stream[:here] + noise + stream[here + 1 :],
            stream[:there] + stream[here:],
            stream[:here] + value(random) + stream[here:],
            stream[:here] + random.randbytes(1) + stream[here + 1 :],
        )
    )


def stream(random: Random) -> bytes:
    """A stream of requests and values, mutated or not."""
    pieces = []
    for _ in range(random.randrange(1, 7)):
        choice = random.randrange(40)
        if choice == 0:
            pieces.append(deep(random))
        elif choice < 12:
            pieces.append(value(random))
        elif choice < 18:
            pieces.append(members(random, random.randrange(1, 6), 0))
        else:
            pieces.append(random.choice(REQUESTS))
    whole = random.choice((b"", b"\n", b"\r\n", b" ")).join(pieces)
    for _ in range(random.choice((0, 0, 1, 1, 2, 5))):
        whole = mutate(random, whole)
    return whole
