"""What of an active layer is dirty, and in which pieces the original copies it.

Dirt is kept in granules. A run of dirty granules is cut where its content changes kind:
whole granules of zeros become zeros in the target, if its clusters allow that; a granule
with something else in it is read through the whole chain and written as data.
"""

from __future__ import annotations

from qmpd.block.chain import allocated_above, read
from qmpd.block.driver import DATA
from qmpd.jobs.blockjob import BATCH, CHUNK, Copied, ReadError, failed, offload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.node import Node

PIECE = 1 << 20
"""The most that the original reads and writes at once."""

MIN_GRANULARITY, MAX_GRANULARITY = 4096, 65536


def _cluster_size(node: Node) -> int:
    info: dict[str, Any] = {}
    node.driver.describe(info)
    return int(info.get("cluster-size", 0))


def granularity(target: Node) -> int:
    """Bytes that one bit of the dirty bitmap stands for."""
    cluster = _cluster_size(target) or MAX_GRANULARITY
    return max(MIN_GRANULARITY, min(cluster, MAX_GRANULARITY))


def find_dirty(source: Node, base: Node, size: int, granule: int) -> list[tuple[int, int]]:
    """What lies above the base, in whole granules: (start, end) in bytes.

    The last granule counts as a whole even if the image ends within it.
    """
    found: list[tuple[int, int]] = []
    offset = 0
    while offset < size:
        layer, _, length = allocated_above(source, base, offset, size - offset)
        if layer is not None:
            end = -(-(offset + length) // granule) * granule
            add_run(found, offset - offset % granule, end)
        offset += length
    return found


def add_run(runs: list[tuple[int, int]], start: int, end: int) -> None:
    """Add a run behind the others; one that it touches becomes longer."""
    if runs and start <= runs[-1][1]:
        start = runs.pop()[0]
    runs.append((start, end))


def copy_piece(
    source: Node, base: Node, offset: int, end: int, granule: int, *, careful: bool = False
) -> Copied:
    """Copy the first piece of a dirty run into the base; its size is in whole granules.

    Runs on the worker thread. An error is returned, not raised, with the side it is on. Only
    after ``careful`` work is the size that of the piece which the original would fail to copy.
    """
    size = source.driver.length()
    try:
        _, extent, length = allocated_above(
            source, None, offset, min(end, size) - offset, in_steps=True
        )
    except OSError as error:
        return failed("read", error, min(end - offset, PIECE))
    is_data = extent is not None and extent.kind == DATA
    whole = length - length % granule
    piece = max(min(whole, PIECE if careful else CHUNK), granule)
    try:
        if is_data and extent is not None and extent.fd >= 0 and whole:
            large = piece if careful else min(whole, BATCH)
            if offload(base, offset, extent, large):
                return Copied(large, copied=True)
        elif not is_data and whole and _fits(base, offset, whole):
            piece = whole
            base.driver.write_zeroes(offset, whole)
            return Copied(whole, copied=False)
        base.driver.pwrite(offset, _read(source, offset, min(piece, size - offset)))
    except ReadError as error:
        return failed("read", error, piece)
    except OSError as error:
        return failed("write", error, piece)
    return Copied(piece, copied=True)


def _fits(target: Node, offset: int, length: int) -> bool:
    cluster = _cluster_size(target)
    return not cluster or not (offset % cluster or length % cluster)


def _read(source: Node, offset: int, length: int) -> bytes:
    try:
        return read(source, offset, length)
    except OSError as error:
        raise ReadError(error.errno, error.strerror) from error
