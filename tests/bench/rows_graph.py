"""Rows about the graph: looking at many nodes, and adding one to many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench import images
from tests.bench.bench import median
from tests.bench.client import message
from tests.bench.figures import Figure
from tests.bench.servers import Cores, blockdev_words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from tests.bench.bench import Bench
    from tests.bench.servers import Server

_LAYERS = 5


def query_flat(bench: Bench) -> Iterator[Figure]:
    """Both sizes, on nodes without files and on chains as libvirt defines them."""
    text = message("query-named-block-nodes", {"flat": True})
    for count, wanted in ((40, 20), (1000, 30)):
        yield _query(
            bench, f"query-flat-{count}", "null-co", text, wanted, images.null_nodes(count)
        )
    with bench.folder(disk=False) as folder:
        paths = make_chain(folder)
        for count, wanted in ((40, 20), (1000, 30)):
            nodes = many_chains(paths, count)
            yield _query(bench, f"query-flat-chain-{count}", "qcow2+file", text, wanted, nodes)


def make_chain(folder: Path) -> list[Path]:
    """Five empty images, each on the one before."""
    paths = [folder / f"layer{number}.qcow2" for number in range(_LAYERS)]
    for number, path in enumerate(paths):
        images.create(path, backing=paths[number - 1] if number else None)
    return paths


def many_chains(paths: list[Path], count: int) -> list[dict[str, Any]]:
    """``count`` nodes in chains of five images, all read-only on the same files."""
    nodes: list[dict[str, Any]] = []
    for number in range(count // (2 * len(paths))):
        nodes += images.chain_nodes(f"c{number}-", paths, writable=False)
    return nodes


def _query(
    bench: Bench, name: str, what: str, text: bytes, wanted: float, nodes: list[dict[str, Any]]
) -> Figure:
    work = f"query-named-block-nodes flat, {len(nodes)} nodes {what}"
    figure = Figure(name, work, "ms", wanted=wanted)
    burst = 20 if len(nodes) < 100 else 3
    with bench.both(Cores.one(), lambda kind: blockdev_words(kind, nodes)) as servers:
        bench.interleave(
            figure,
            servers,
            10,
            lambda server: median(bench.engine.rounds(server.client.fd, text, burst)),
        )
    return figure


def add(bench: Bench) -> Iterator[Figure]:
    """Add a node and delete it again; only adding counts."""
    null = {"driver": "null-co", "node-name": "new"}
    with bench.folder(disk=False) as folder:
        path = folder / "image.qcow2"
        images.create(path)
        file = {"driver": "file", "filename": str(path)}
        qcow2 = {"driver": "qcow2", "node-name": "new", "file": file}
        medians: dict[tuple[str, int], Figure] = {}
        for count in (1000, 5000):
            with bench.both(Cores.one()) as servers:
                for server in servers:
                    _fill(bench, server, count)
                for kind, node, wanted in (("null", null, 15), ("qcow2", qcow2, 10)):
                    figure = Figure(
                        f"add-{kind}-{count}",
                        f"blockdev-add of {node['driver']}{' over file' if file in node.values() else ''}"
                        f" at {count} nodes",
                        "us",
                        wanted=wanted if count == 1000 else None,
                    )
                    _add(bench, servers, figure, node)
                    medians[kind, count] = figure
                    yield figure
        for kind in ("null", "qcow2"):
            yield _flatness(kind, medians[kind, 1000], medians[kind, 5000])


def _fill(bench: Bench, server: Server, count: int) -> None:
    data = b"".join(message("blockdev-add", node) for node in images.null_nodes(count))
    bench.engine.pipeline(server.client.fd, data, count)


def _add(bench: Bench, servers: list[Server], figure: Figure, node: dict[str, Any]) -> None:
    adding = message("blockdev-add", node)
    deleting = message("blockdev-del", {"node-name": "new"})

    def measure(server: Server) -> float:
        times = []
        for _ in range(20):
            times += bench.engine.rounds(server.client.fd, adding, 1)
            bench.engine.rounds(server.client.fd, deleting, 1)
        return median(times)

    bench.interleave(figure, servers, 12, measure)


def _flatness(kind: str, few: Figure, many: Figure) -> Figure:
    """How much slower it is among five times as many nodes, as a ratio of medians."""
    figure = Figure(f"add-{kind}-flat", "the same, 5000 nodes divided by 1000", "x", limit=1.25)
    for here, there, into in (
        (few.ours, many.ours, figure.ours),
        (few.theirs, many.theirs, figure.theirs),
    ):
        if here and there:
            into.append(median([int(v) for v in there]) / median([int(v) for v in here]))
    return figure
