"""What an NBD client learns of a range: which parts are allocated, zero, or dirty."""

from __future__ import annotations

from qmpd.block.chain import next_in_chain
from qmpd.block.driver import UNALLOCATED, ZERO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmpd.block.node import Node
    from qmpd.commands.exports import Export

ALLOCATION, BITMAP = "base:allocation", "qemu:dirty-bitmap:"
_LONGEST = (1 << 32) - (64 << 10)
_MOST = 4096
_HOLE, _ZEROED = 1, 2


def extents(
    export: Export, context: str, offset: int, length: int, one: bool
) -> list[tuple[int, int]]:
    """Lengths and states of what a range consists of, as a context sees it."""
    state: Callable[[int, int], tuple[int, int]]
    if context == ALLOCATION:

        def state(at: int, left: int) -> tuple[int, int]:
            return _allocation(export.node, at, left)

    else:
        bitmap = next(b for b in export.bitmaps if BITMAP + b.text() == context)
        runs = [(start, start + size) for start, size in bitmap.runs()]

        def state(at: int, left: int) -> tuple[int, int]:
            return _dirt(runs, at, left)

    found: list[tuple[int, int]] = []
    end = offset + min(length, _LONGEST)
    while offset < end and len(found) < (1 if one else _MOST):
        size, kind = state(offset, end - offset)
        if found and found[-1][1] == kind:
            found[-1] = found[-1][0] + size, kind
        else:
            found.append((size, kind))
        offset += size
    return found


def _dirt(runs: list[tuple[int, int]], at: int, left: int) -> tuple[int, int]:
    for start, end in runs:
        if start <= at < end:
            return min(left, end - at), 1
        if start > at:
            return min(left, start - at), 0
    return left, 0


def _allocation(node: Node, at: int, left: int) -> tuple[int, int]:
    here: Node | None = node
    while here is not None:
        inside = here.driver.length() - at
        if inside <= 0:
            break
        extent = here.driver.extent(at, min(left, inside))
        left = extent.length
        if extent.kind != UNALLOCATED:
            return left, _HOLE | _ZEROED if extent.kind == ZERO else 0
        here = next_in_chain(here)
    return left, _HOLE | _ZEROED
