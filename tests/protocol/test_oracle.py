"""The real QEMU and the session say the same, byte by byte."""

from __future__ import annotations

import random
import subprocess

import pytest

from qmpd.errors import QmpError
from qmpd.protocol.parser import parse_string
from tests.protocol import streams
from tests.protocol.test_parser import PARSE_ERRORS, STRAY
from tests.protocol.wire import NEGOTIATE, PROGRAM, StorageDaemon, converse

pytestmark = pytest.mark.oracle

# Behind one of these, whatever was open before is closed and reported.
SEPARATOR = b'\n\xff\n"next"'


def same(real_qemu: StorageDaemon, stream: bytes, *, pretty: bool = False) -> None:
    ours = converse([stream + real_qemu.SENTINEL], real_qemu.version, pretty=pretty)
    assert ours == real_qemu.converse(stream, pretty=pretty)


@pytest.mark.parametrize("pretty", [False, True])
@pytest.mark.parametrize("before", [b"", NEGOTIATE])
def test_requests_and_scalars(real_qemu: StorageDaemon, before: bytes, pretty: bool):
    """Requests of all kinds, and ids of all values, are answered alike."""
    ids = b"".join(b'{"id": ' + scalar + b"}" + SEPARATOR for scalar in streams.SCALARS)
    same(real_qemu, before + SEPARATOR.join(streams.REQUESTS) + ids, pretty=pretty)


def test_error_sentences(real_qemu: StorageDaemon):
    """Every text that our own tests know to be malformed is malformed in the same words."""
    texts = [text for text, _ in PARSE_ERRORS + STRAY]
    same(real_qemu, SEPARATOR.join(texts))


def test_nesting(real_qemu: StorageDaemon):
    """Nesting up to the limit comes back as an id; beyond, errors are counted alike."""
    for depth in (1023, 1024, 1025):
        same(real_qemu, b'{"id": ' + b"[" * depth + b"]" * depth + b"}")
        same(real_qemu, b"[{" * depth + b"}]" * depth)


def test_out_of_band(real_qemu: StorageDaemon):
    """With oob enabled, requests out of band get the same refusals, in whatever order."""
    stream = b'{"execute": "qmp_capabilities", "arguments": {"enable": ["oob", "oob"]}, "id": 0}'
    stream += b"".join(
        (
            b'{"exec-oob": "query-version", "id": 1}',
            b'{"exec-oob": "qmp_capabilities", "id": 2}',
            b'{"exec-oob": "no-such-command", "id": 3}',
            b'{"exec-oob": 5, "id": 4}',
            b'{"exec-oob": "a", "execute": "b", "id": 5}',
            b'{"execute": "a", "exec-oob": "b", "id": 6}',
            b'{"execute": 1, "exec-oob": "b", "id": 7}',
            b'{"exec-oob": "a", "arguments": [], "id": 8}',
        )
    )
    ours = converse([stream + real_qemu.SENTINEL], real_qemu.version)
    assert sorted(ours.splitlines()) == sorted(real_qemu.converse(stream).splitlines())


@pytest.mark.parametrize("seed", range(300))
def test_mutilated_streams(real_qemu: StorageDaemon, seed: int):
    """Valid streams that were cut, joined, nested and spoilt are answered alike."""
    generator = random.Random(seed)  # noqa: S311 - reproducible, not secret
    same(real_qemu, streams.stream(generator), pretty=seed % 10 == 0)


@pytest.mark.parametrize(
    "alphabet",
    [
        b'-01.eE+ "',
        b"{}[]:,\"a 1'",
        b"tfnrue 1{\"'",
        b"\"\\u/bd8cef03'",
        b'"\xc0\x80\xbf\xc1\xe0\xed\xa0\xef\xf0\xf4\x90\xf8\xfc\xfd\xb7\x88\\',
        bytes(range(256)),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_short_texts_of_few_characters(real_qemu: StorageDaemon, alphabet: bytes, seed: int):
    """Numbers, words, escapes, UTF-8 and brackets in all kinds of disorder are read alike."""
    generator = random.Random(seed)  # noqa: S311 - reproducible, not secret
    texts = [bytes(generator.choices(alphabet, k=1 + number % 9)) for number in range(150)]
    same(real_qemu, SEPARATOR.join(texts))
    same(real_qemu, SEPARATOR.join(b'{"id":"' + text + b'"}' for text in texts))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"driver',
        '{"driver": "null-co", ',
        '{"driver": null-co}',
        '{"driver": "null-co"} x',
        '{"driver": "null-co"} {}',
        '{"driver": "null-co"}}',
        '{"driver": 0e5}',
        '{"driver": "\\u12"}',
        '{"driver": "\udcff"}',
        "{'driver': 'null-co', 'driver': 1}",
    ],
)
def test_text_with_an_end(text: str):
    """JSON on a command line is refused in the same words."""
    real = subprocess.run(
        [PROGRAM, "--blockdev", text],
        capture_output=True,
        check=False,
        encoding="utf-8",
        errors="surrogateescape",
    )
    with pytest.raises(QmpError) as caught:
        parse_string(text)
    assert real.stderr.strip() == f"{PROGRAM}: --blockdev {text}: {caught.value.desc}".strip()
