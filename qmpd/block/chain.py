"""Backing chains: walking them, reading through them, copying out of them.

Nothing here recurses: a chain may be hundreds of layers long.
"""

from __future__ import annotations

import os

from qmpd.block import permissions as p
from qmpd.block import wording
from qmpd.block.driver import DATA, UNALLOCATED, ZERO, Extent
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmpd.block.node import Edge, Node


def next_in_chain(node: Node) -> Node | None:
    """The node below: filtered if the node is a filter, else its backing file."""
    return node.filtered if node.driver.is_filter else node.backing


def next_link(node: Node) -> Edge | None:
    """The link to the node below: the filtered one, else the backing file."""
    wanted = p.ROLE_FILTERED if node.driver.is_filter else p.ROLE_COW
    for edge in node.children.values():
        if edge.role & wanted:
            return edge
    return None


def freeze(top: Node, base: Node) -> list[Edge]:
    """Keep every link from ``top`` down to ``base`` as it is; returns them.

    Raises:
        QmpError: somebody else keeps one already.
    """
    links = []
    for node in chain(top):
        if node is base:
            break
        link = next_link(node)
        if link is None:
            break
        if link.frozen:
            raise QmpError(wording.cannot_freeze_link(link.name, node.name, link.child.name))
        links.append(link)
    for link in links:
        link.frozen += 1
    return links


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
    top: Node,
    base: Node | None,
    offset: int,
    length: int,
    *,
    in_steps: bool = False,
    whole: bool = False,
) -> tuple[Node | None, Extent | None, int]:
    """Find what a range of ``top``'s view holds above ``base``.

    With ``in_steps`` no further than the original looks in one go. A filter that is not to
    be gone around stands for the layers below it; if ``whole``, they are not looked at.

    Returns:
        the layer that holds the first stretch, what it is there, and its length in
        bytes; ``(None, None, length)`` when nothing above the base holds it.
    """
    watcher: Node | None = None
    for layer in chain(top):
        if layer is base:
            break
        driver = layer.driver
        if driver.is_filter:
            if whole and driver.intercepts and offset < driver.length():
                length = min(length, driver.length() - offset)
                return layer, Extent(DATA, length), length
            watcher = watcher or (layer if driver.intercepts else None)
            continue
        size = driver.length()
        if offset >= size:
            # A layer that ends here hides what is below with zeros of its own.
            return watcher or layer, Extent(ZERO, length), length
        length = min(length, size - offset)
        if in_steps:
            length = driver.run_length(offset, length)
        extent = driver.extent(offset, length)
        if extent.kind != UNALLOCATED or not driver.supports_backing:
            if watcher is not None:
                extent.fd = -1
                return watcher, extent, extent.length
            return layer, extent, extent.length
        length = min(length, extent.length)
    if watcher is not None and base is None:
        return watcher, Extent(ZERO, length), length
    return None, None, length


def read(top: Node, offset: int, length: int) -> bytes:
    """Read the view of the image that ``top`` gives, zeros where nothing is."""
    parts: list[bytes] = []
    end = offset + length
    while offset < end:
        layer, extent, size = allocated_above(top, None, offset, end - offset, whole=True)
        if layer is None or extent is None or (extent.kind == ZERO and not layer.driver.is_filter):
            parts.append(bytes(size))
        elif extent.kind == DATA and extent.fd >= 0:
            data = os.pread(extent.fd, size, extent.host_offset)
            parts.append(data + bytes(size - len(data)))
        else:
            parts.append(layer.driver.read_own(offset, size))
        offset += size
    return parts[0] if len(parts) == 1 else b"".join(parts)


def is_zero_by_metadata(top: Node, offset: int, length: int) -> bool:
    """Whether one look at metadata tells that a range is zeros; nobody asks for holes in files.

    Nothing is known of what lies beyond the end of the disk.
    """
    if offset + length > top.driver.length():
        return False
    layer, extent, size = allocated_above(top, None, offset, length, in_steps=True)
    if size < length:
        return False
    if layer is None or extent is None:
        return True
    if extent.kind != ZERO:
        return False
    return layer.driver.supports_backing or offset >= layer.driver.length()


def is_zero(top: Node, start: int, end: int) -> bool:
    """Whether a range of ``top``'s view is known to be zeros without a look at data."""
    while start < end:
        layer, extent, size = allocated_above(top, None, start, end - start)
        if layer is not None and extent is not None and extent.kind != ZERO:
            return False
        start += size
    return True
