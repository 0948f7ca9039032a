"""Rows about the wire: one request at a time, and many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.bench import median
from tests.bench.client import message
from tests.bench.figures import Figure
from tests.bench.servers import Cores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.bench import Bench

_BURST = 500
_PIPELINED = 10_000


def ping_one(bench: Bench) -> Iterator[Figure]:
    """Client and server on one core."""
    figure = Figure("ping-one", "query-version, one at a time, p50, one core", "us", wanted=8)
    yield _ping(bench, figure, Cores.one())


def ping_two(bench: Bench) -> Iterator[Figure]:
    """The server may use two cores."""
    figure = Figure("ping-two", "query-version, one at a time, p50, two cores", "us", wanted=4)
    yield _ping(bench, figure, Cores.two())


def _ping(bench: Bench, figure: Figure, cores: Cores) -> Figure:
    text = message("query-version")
    with bench.both(cores) as servers:
        bench.interleave(
            figure,
            servers,
            30,
            lambda server: median(bench.engine.rounds(server.client.fd, text, _BURST)),
        )
    return figure


def pipeline(bench: Bench) -> Iterator[Figure]:
    """Send everything before reading anything."""
    work = f"{_PIPELINED} x query-version pipelined, two cores"
    figure = Figure("pipeline", work, "ms", wanted=100)
    data = b"".join(message("query-version", name=f"qmp-{n}") for n in range(_PIPELINED))
    with bench.both(Cores.two()) as servers:
        bench.interleave(
            figure,
            servers,
            5,
            lambda server: bench.engine.pipeline(server.client.fd, data, _PIPELINED),
        )
    yield figure
