"""Queries about nodes and devices."""

from __future__ import annotations

from qmpd.block import permissions as p
from qmpd.block.chain import next_in_chain, skip_implicit
from qmpd.block.filename import Names, combine
from qmpd.commands import wording
from qmpd.commands.dispatch import Encoded
from qmpd.errors import QmpError
from qmpd.protocol.encoder import Verbatim, encode_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.driver import Driver
    from qmpd.block.graph import Graph
    from qmpd.block.node import Node
    from qmpd.machine import Device, Machine


def query_named_block_nodes(
    machine: Machine, *, flat: bool = False
) -> list[dict[str, Any]] | Encoded:
    """Every node, newest first; ``flat`` leaves out what lies below each."""
    if flat:
        if machine.flat_report is None:
            machine.flat_report = FlatReport(machine.graph)
        return Encoded(machine.flat_report.encoded())
    names = Names()
    images = Images(names, flat=False)
    nodes = _telling(machine.graph)
    return [node_info(node, names, flat=False, images=images) for node in nodes]


def _telling(graph: Graph) -> list[Node]:
    """All nodes, newest first, except a filter that its job has taken out of the graph.

    It has nothing to tell: asked for it, the original dies.
    """
    nodes = reversed(graph.nodes.values())
    return [node for node in nodes if node.children or not node.driver.is_filter]


class FlatReport:
    """The encoded answer to a flat query, kept as long as nothing has changed.

    Management software asks this often, of machines with hundreds of nodes. What another
    process may change at any time is asked of the kernel each time: how big the files are.
    """

    __slots__ = ("_encoded", "_files", "_generation", "_graph", "_nodes", "_texts")

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._generation = -1
        self._nodes: list[Node] = []
        self._texts: list[str] = []
        self._files: list[tuple[Driver, tuple[int, ...], list[int]]] = []
        """One driver of each file, what it looked like, and the nodes that show it."""
        self._encoded: bytes | None = None

    def encoded(self) -> bytes:
        """The list as it stands on the wire."""
        if self._generation != self._graph.generation:
            self._rebuild()
        else:
            self._look_at_files()
        if self._encoded is None:
            self._encoded = f"[{', '.join(self._texts)}]".encode("ascii")
        return self._encoded

    def _rebuild(self) -> None:
        self._generation = self._graph.generation
        self._nodes = _telling(self._graph)
        self._encoded = None
        names = Names()
        self._texts = [encode_text(node_info(node, names, flat=True)) for node in self._nodes]
        files: dict[tuple[int, ...], tuple[Driver, tuple[int, ...], list[int]]] = {}
        for index, node in enumerate(self._nodes):
            for driver in _sized_by(node):
                seen = driver.footprint()
                # Many nodes may have opened the same file; the kernel is asked once.
                files.setdefault(seen[:2], (driver, seen, []))[2].append(index)
        self._files = list(files.values())

    def _look_at_files(self) -> None:
        for index, (driver, seen, where) in enumerate(self._files):
            now = driver.footprint()
            if now != seen:
                self._files[index] = (driver, now, where)
                self._encoded = None
                names = Names()
                for node in where:
                    self._texts[node] = encode_text(node_info(self._nodes[node], names, flat=True))


def _sized_by(node: Node) -> list[Driver]:
    """The drivers whose files make up what a node reports as its size."""
    found: list[Driver] = []
    work = [node]
    while work:
        here = work.pop()
        if here.driver.has_footprint:
            found.append(here.driver)
        work.extend(edge.child for edge in here.children.values() if not edge.role & p.ROLE_COW)
    return found


def query_block(machine: Machine) -> list[dict[str, Any]]:
    """Every device with what is in it; a bare node is no device."""
    names = Names()
    return [_device_info(device, names) for device in machine.devices.values()]


def _device_info(device: Device, names: Names) -> dict[str, Any]:
    info: dict[str, Any] = {
        "device": device.drive,
        "type": "unknown",
        "removable": device.removable,
        "locked": False,
    }
    node = device.user.node
    if node is not None and not node.driver.ejected:
        node = skip_implicit(node)
        info["inserted"] = node_info(node, names, flat=False, user_visible=True)
        info["inserted"]["cache"]["writeback"] = device.user.writeback
        if device.user.limits is not None:
            info["inserted"].update(device.user.limits)
    if device.path:
        info["qdev"] = device.path
        if device.io_status:
            info["io-status"] = "ok"
        if device.tray:
            info["tray_open"] = device.tray_open
    return info


def node_info(
    node: Node,
    names: Names,
    *,
    flat: bool,
    user_visible: bool = False,
    images: Images | None = None,
) -> dict[str, Any]:
    """What one node is, with what lies below it unless ``flat``.

    Args:
        node: the node.
        names: file names computed so far.
        flat: leave out the layers below.
        user_visible: look through filters that jobs inserted without a name.
        images: descriptions made so far for the same kind of query.
    """
    if node.driver.ejected:
        raise QmpError(wording.ejected(node.name))
    flags = node.flags
    info: dict[str, Any] = {
        "file": names.of(node).text,
        "node-name": node.name,
        "ro": flags.read_only,
        "drv": node.driver.name,
        "backing_file_depth": 0,
        "encrypted": False,
        "detect_zeroes": flags.detect_zeroes,
        "bps": 0,
        "bps_rd": 0,
        "bps_wr": 0,
        "iops": 0,
        "iops_rd": 0,
        "iops_wr": 0,
    }
    backing = None if node.driver.is_filter else node.backing
    if backing is not None:
        info["backing_file"] = names.of(backing).text
    images = images or Images(names, flat=flat, user_visible=user_visible)
    info["image"], info["backing_file_depth"] = images.of(node)
    info["cache"] = {"writeback": True, "direct": flags.direct, "no-flush": flags.no_flush}
    info["write_threshold"] = 0
    if node.dirty_bitmaps:
        info["dirty-bitmaps"] = [bitmap.describe() for bitmap in node.dirty_bitmaps]
    return info


class Images:
    """What the images of nodes and of all below them say of themselves, as encoded text.

    Chains share their lower parts: each layer is described once, and longer texts are made
    of shorter ones (``backing-image`` is the first member on the wire).
    """

    __slots__ = ("_flat", "_known", "_names", "_user_visible")

    def __init__(self, names: Names, *, flat: bool, user_visible: bool = False) -> None:
        self._names = names
        self._flat = flat
        self._user_visible = user_visible
        self._known: dict[Node, tuple[Verbatim, int]] = {}

    def of(self, node: Node) -> tuple[Verbatim, int]:
        """The text for a node, and how many layers lie below it."""
        path: list[Node] = []
        here: Node | None = node
        while here is not None and here not in self._known:
            path.append(here)
            here = self._below(here)
        text, depth = self._known[here] if here is not None else (Verbatim(), -1)
        for layer in reversed(path):
            own = encode_text(image_info(layer, self._names))
            text = Verbatim(f'{{"backing-image": {text}, {own[1:]}' if text else own)
            depth += 1
            self._known[layer] = text, depth
        return self._known[node]

    def _below(self, node: Node) -> Node | None:
        if self._flat:
            return None
        below = next_in_chain(node)
        return skip_implicit(below) if below is not None and self._user_visible else below


def image_info(node: Node, names: Names) -> dict[str, Any]:
    """What a node's image says of itself."""
    driver = node.driver
    info: dict[str, Any] = {
        "filename": names.of(node).text,
        "format": driver.name,
        "virtual-size": driver.length(),
    }
    driver.describe(info)
    if "actual-size" not in info:
        size = _actual_size(node)
        if size is not None:
            info["actual-size"] = size
    if driver.backing_file:
        info["backing-filename"] = driver.backing_file
        info["full-backing-filename"] = combine(names.place(node), driver.backing_file)
        if driver.backing_format:
            info["backing-filename-format"] = driver.backing_format
    return info


def _actual_size(node: Node) -> int | None:
    if node.driver.hides_footprint:
        return None
    total = 0
    for edge in node.children.values():
        if edge.role & (p.ROLE_DATA | p.ROLE_METADATA | p.ROLE_FILTERED):
            below: dict[str, Any] = {}
            edge.child.driver.describe(below)
            size = below["actual-size"] if "actual-size" in below else _actual_size(edge.child)
            if size is None:
                return None
            total += size
    return total
