"""Backing chains: walking them, reading through them, copying out of them.

Nothing here recurses: a chain may be hundreds of layers long.
"""

from __future__ import annotations

import os

from qmpd.block.driver import DATA, UNALLOCATED, ZERO, Extent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmpd.block.node import Node


def next_in_chain(node: Node) -> Node | None:
    """The node below: filtered if the node is a filter, else its backing file."""
    return node.filtered if node.driver.is_filter else node.backing


def chain(node: Node | None) -> Iterator[Node]:
    """The node, then everything below it through filters and backing links."""
    while node is not None:
        yield node
        node = next_in_chain(node)


def skip_filters(node: Node) -> Node:
    """The first node at or below ``node`` that is no filter."""
    while node.driver.is_filter:
        below = node.filtered
        if below is None:
            break
        node = below
    return node


def skip_implicit(node: Node) -> Node:
    """The first node at or below ``node`` that the user knows of."""
    while node.implicit:
        below = next_in_chain(node)
        if below is None:
            break
        node = below
    return node


def contains(top: Node, wanted: Node) -> bool:
    """Whether ``wanted`` is in the chain that starts at ``top``."""
    return any(node is wanted for node in chain(top))


def find_overlay(top: Node, below: Node) -> Node | None:
    """The node of ``top``'s chain whose backing file, behind filters, is ``below``."""
    below = skip_filters(below)
    here: Node | None = skip_filters(top)
    while here is not None:
        under = next_in_chain(here)
        if under is None:
            return None
        under = skip_filters(under)
        if under is below:
            return here
        here = under
    return None


def allocated_above(
    top: Node, base: Node | None, offset: int, length: int, *, in_steps: bool = False
) -> tuple[Node | None, Extent | None, int]:
    """Find what a range of ``top``'s view holds above ``base``.

    With ``in_steps`` no further than the original looks in one go.

    Returns:
        the layer that holds the first stretch, what it is there, and its length in
        bytes; ``(None, None, length)`` when nothing above the base holds it.
    """
    for layer in chain(top):
        if layer is base:
            break
        driver = layer.driver
        if driver.is_filter:
            continue
        size = driver.length()
        if offset >= size:
            # A layer that ends here hides what is below with zeros of its own.
            return layer, Extent(ZERO, length), length
        length = min(length, size - offset)
        if in_steps:
            length = driver.run_length(offset, length)
        extent = driver.extent(offset, length)
        if extent.kind != UNALLOCATED or not driver.supports_backing:
            return layer, extent, extent.length
        length = min(length, extent.length)
    return None, None, length


def read(top: Node, offset: int, length: int) -> bytes:
    """Read the view of the image that ``top`` gives, zeros where nothing is."""
    parts: list[bytes] = []
    end = offset + length
    while offset < end:
        layer, extent, size = allocated_above(top, None, offset, end - offset)
        if layer is None or extent is None or extent.kind == ZERO:
            parts.append(bytes(size))
        elif extent.kind == DATA and extent.fd >= 0:
            data = os.pread(extent.fd, size, extent.host_offset)
            parts.append(data + bytes(size - len(data)))
        else:
            parts.append(layer.driver.read_own(offset, size))
        offset += size
    return parts[0] if len(parts) == 1 else b"".join(parts)
