"""The permission graph as a set, independent of ids and order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LETTERS = {"consistent-read": "c", "write": "w", "write-unchanged": "u", "resize": "r"}


class Edge(NamedTuple):
    """One edge of ``x-debug-query-block-graph``.

    Permissions are letters in this order: **c** consistent-read, **w** write,
    **u** write-unchanged, **r** resize; ``-`` stands for none.
    """

    parent_type: str
    parent: str
    name: str
    child: str
    perm: str
    shared: str

    def __str__(self) -> str:
        """Format as ``block-driver f1 -backing-> f0 c/cwur``."""
        return f"{self.parent_type} {self.parent!r} -{self.name}-> {self.child!r} {self.perm}/{self.shared}"


def permission_letters(names: Iterable[str]) -> str:
    """Abbreviate a list of permission names of the wire; see `Edge`."""
    given = set(names)
    letters = "".join(letter for name, letter in _LETTERS.items() if name in given)
    return letters or "-"


def edges(graph: Mapping[str, Any]) -> list[Edge]:
    """Return the edges of a graph reply (its ``return`` member), sorted.

    Several anonymous users of one node may look alike; each is in the list.
    """
    nodes = {node["id"]: node for node in graph["nodes"]}
    return sorted(
        Edge(
            nodes[edge["parent"]]["type"],
            nodes[edge["parent"]]["name"],
            edge["name"],
            nodes[edge["child"]]["name"],
            permission_letters(edge["perm"]),
            permission_letters(edge["shared-perm"]),
        )
        for edge in graph["edges"]
    )


def describe(graph: Mapping[str, Any]) -> list[str]:
    """Return one sentence for every node and every edge, sorted."""
    nodes = sorted(f"{node['type']} {node['name']!r}" for node in graph["nodes"])
    return nodes + [str(edge) for edge in edges(graph)]
