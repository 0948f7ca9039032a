"""Queries about nodes and devices."""

from __future__ import annotations

from qmpd.block import permissions as p
from qmpd.block.chain import next_in_chain, skip_implicit
from qmpd.block.filename import Names, combine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.node import Node
    from qmpd.machine import Device, Machine


def query_named_block_nodes(machine: Machine, *, flat: bool = False) -> list[dict[str, Any]]:
    """Every node, newest first; ``flat`` leaves out what lies below each."""
    names = Names()
    nodes = reversed(machine.graph.nodes.values())
    return [node_info(node, names, flat=flat) for node in nodes]


def query_block(machine: Machine) -> list[dict[str, Any]]:
    """Every device with what is in it; a bare node is no device."""
    names = Names()
    return [_device_info(device, names) for device in machine.devices.values()]


def _device_info(device: Device, names: Names) -> dict[str, Any]:
    info: dict[str, Any] = {
        "device": "",
        "qdev": device.path,
        "type": "unknown",
        "removable": device.removable,
        "locked": False,
    }
    node = device.user.node
    if node is not None:
        node = skip_implicit(node)
        info["inserted"] = node_info(node, names, flat=False, user_visible=True)
    if device.removable:
        info["tray_open"] = False
    info["io-status"] = "ok"
    return info


def node_info(
    node: Node, names: Names, *, flat: bool, user_visible: bool = False
) -> dict[str, Any]:
    """What one node is, with what lies below it unless ``flat``.

    Args:
        node: the node.
        names: file names computed so far.
        flat: leave out the layers below.
        user_visible: look through filters that jobs inserted without a name.
    """
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
    info["image"], info["backing_file_depth"] = _image_chain(
        node, names, flat=flat, user_visible=user_visible
    )
    info["cache"] = {"writeback": True, "direct": flags.direct, "no-flush": flags.no_flush}
    info["write_threshold"] = 0
    return info


def _image_chain(
    node: Node, names: Names, *, flat: bool, user_visible: bool
) -> tuple[dict[str, Any], int]:
    image = first = image_info(node, names)
    depth = 0
    here: Node | None = node
    while not flat and here is not None:
        here = next_in_chain(here)
        if here is not None:
            depth += 1
            if user_visible:
                here = skip_implicit(here)
            below = image_info(here, names)
            image["backing-image"] = below
            image = below
    return first, depth


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
        info["actual-size"] = _actual_size(node)
    if driver.backing_file:
        info["backing-filename"] = driver.backing_file
        file = node.child("file")
        base = names.of(file).exact if file is not None else ""
        info["full-backing-filename"] = combine(base, driver.backing_file)
        if driver.backing_format:
            info["backing-filename-format"] = driver.backing_format
    return info


def _actual_size(node: Node) -> int:
    total = 0
    for edge in node.children.values():
        if edge.role & (p.ROLE_DATA | p.ROLE_METADATA | p.ROLE_FILTERED):
            below: dict[str, Any] = {}
            edge.child.driver.describe(below)
            total += below["actual-size"] if "actual-size" in below else _actual_size(edge.child)
    return total
