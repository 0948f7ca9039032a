"""``x-debug-query-block-graph``: who holds which permissions on what."""

from __future__ import annotations

from qmpd.block import permissions as p

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.node import Parent
    from qmpd.machine import Machine


def query_block_graph(machine: Machine) -> dict[str, Any]:
    """Backends, jobs and nodes with the edges between them, newest first."""
    ids: dict[Parent, int] = {}
    nodes: list[dict[str, Any]] = []
    edges: list[dict[str, Any]] = []

    def number(parent: Parent) -> int:
        known = ids.get(parent)
        if known is None:
            known = ids[parent] = len(ids) + 1
        return known

    def add(parent: Parent) -> None:
        nodes.append({"id": number(parent), "type": parent.kind, "name": parent.label})
        edges.extend(
            {
                "parent": number(parent),
                "child": number(edge.child),
                "name": edge.name,
                "perm": p.schema_names(edge.perm),
                "shared-perm": p.schema_names(edge.shared),
            }
            for edge in reversed(parent.children.values())
        )

    graph = machine.graph
    for user in graph.users:
        add(user)
    for job in machine.jobs.jobs.values():
        add(job)
    for node in graph.nodes.values():
        add(node)
    nodes.reverse()
    edges.reverse()
    return {"nodes": nodes, "edges": edges}
