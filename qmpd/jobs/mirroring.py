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
            start = offset - offset % granule
            end = -(-(offset + length) // granule) * granule
            if found and start <= found[-1][1]:
                start = found.pop()[0]
            found.append((start, end))
        offset += length
    return found


def copy_piece(source: Node, base: Node, offset: int, end: int, granule: int) -> Copied:
    """Copy the first piece of a dirty run into the base; its size is in whole granules.

    Runs on the worker thread. An error is returned, not raised, with the side it is on.
    """
    size = source.driver.length()
    try:
        _, extent, length = allocated_above(
            source, None, offset, min(end, size) - offset, in_steps=True
        )
    except OSError as error:
        return failed("read", error)
    is_data = extent is not None and extent.kind == DATA
    whole = length - length % granule
    try:
        if is_data and extent is not None and extent.fd >= 0 and whole:
            piece = min(whole, BATCH)
            if offload(base, offset, extent, piece):
                return Copied(piece, copied=True)
        elif not is_data and whole and _fits(base, offset, whole):
            base.driver.write_zeroes(offset, whole)
            return Copied(whole, copied=False)
        piece = max(min(whole, CHUNK), granule)
        base.driver.pwrite(offset, _read(source, offset, min(piece, size - offset)))
    except ReadError as error:
        return failed("read", error)
    except OSError as error:
        return failed("write", error)
    return Copied(piece, copied=True)


def _fits(target: Node, offset: int, length: int) -> bool:
    cluster = _cluster_size(target)
    return not cluster or not (offset % cluster or length % cluster)


def _read(source: Node, offset: int, length: int) -> bytes:
    try:
        return read(source, offset, length)
    except OSError as error:
        raise ReadError(error.errno, error.strerror) from error
