"""``query-blockstats``: counters of devices and nodes.

No guest does I/O here, so the counters of requests stay at zero; the highest written
offset follows what jobs write.
"""

from __future__ import annotations

from qmpd.block.chain import next_in_chain, skip_implicit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.node import Node
    from qmpd.machine import Machine

_COUNTERS = (
    "rd_bytes",
    "wr_bytes",
    "unmap_bytes",
    "rd_operations",
    "wr_operations",
    "flush_operations",
    "unmap_operations",
    "rd_total_time_ns",
    "wr_total_time_ns",
    "flush_total_time_ns",
    "unmap_total_time_ns",
    "wr_highest_offset",
    "rd_merged",
    "wr_merged",
    "unmap_merged",
    "failed_rd_operations",
    "failed_wr_operations",
    "failed_flush_operations",
    "failed_unmap_operations",
    "invalid_rd_operations",
    "invalid_wr_operations",
    "invalid_flush_operations",
    "invalid_unmap_operations",
)


def query_blockstats(machine: Machine, *, query_nodes: bool = False) -> list[dict[str, Any]]:
    """Per device with what lies below it, or per node."""
    if query_nodes:
        return [_of_node(node, with_backing=False) for node in machine.graph.nodes.values()]
    found = []
    for device in machine.devices.values():
        node = device.user.node
        stats: dict[str, Any] = {}
        if node is not None:
            node = skip_implicit(node)
            stats = _of_node(node, with_backing=True)
        counters = _counters(node, accounting=True)
        place = {"device": device.drive, **({"qdev": device.path} if device.path else {})}
        found.append({**place, **stats, "stats": counters})
    return found


def _counters(node: Node | None, *, accounting: bool) -> dict[str, Any]:
    counters: dict[str, Any] = dict.fromkeys(_COUNTERS, 0)
    if node is not None:
        counters["wr_highest_offset"] = node.driver.highest_written
    counters["account_invalid"] = accounting
    counters["account_failed"] = accounting
    counters["timed_stats"] = []
    return counters


def _of_node(node: Node, *, with_backing: bool) -> dict[str, Any]:
    """One node and the storage below it; for devices the backing chain as users know it."""
    first = _single(node)
    work = [(node, first)]
    while work:
        here, stats = work.pop()
        file = here.child("file") or here.filtered
        backing = next_in_chain(here) if with_backing else None
        for member, child in (("parent", file), ("backing", backing)):
            if child is not None:
                below = skip_implicit(child) if with_backing else child
                stats[member] = _single(below)
                work.append((below, stats[member]))
    return first


def _single(node: Node) -> dict[str, Any]:
    stats: dict[str, Any] = {"node-name": node.name, "stats": _counters(node, accounting=False)}
    if node.driver.name in {"file", "host_device"}:
        stats["driver-specific"] = {
            "driver": node.driver.name,
            "discard-nb-ok": 0,
            "discard-nb-failed": 0,
            "discard-bytes-ok": 0,
        }
    return stats
