"""The picture as text for Graphviz."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmpd.show.model import Node, Picture, User

_SHAPES = {"device": "house", "backend": "ellipse", "job": "octagon"}


def dot(picture: Picture) -> str:
    """Return a ``digraph``."""
    return "\n".join(_lines(picture)) + "\n"


def _lines(picture: Picture) -> Iterator[str]:
    yield "digraph qmpd {"
    yield '  node [shape=box, fontname="sans-serif", fontsize=11];'
    yield '  edge [fontname="monospace", fontsize=9];'
    for user in picture.users.values():
        yield f"  n{user.id} [label={_quoted(*_user(picture, user))}, shape={_SHAPES[user.kind]}];"
    for node in picture.nodes.values():
        shape = ", style=dashed" if node.is_filter else ""
        yield f"  n{node.id} [label={_quoted(*describe(node))}{shape}];"
    for edge in picture.edges:
        label = _quoted(edge.name, edge.permissions)
        yield f"  n{edge.parent} -> n{edge.child} [label={label}];"
    yield "}"


def describe(node: Node) -> Iterator[str]:
    """The lines of a node's box."""
    yield node.name
    yield f"{node.driver or '?'}, {node.mode}" + (", filter" if node.is_filter else "")
    if node.access:
        locks = " ".join(str(number) for number in node.locks)
        yield f"open {node.access}" + (f", locks {locks}" if locks else "")


def _user(picture: Picture, user: User) -> Iterator[str]:
    yield user.title
    yield from progress(picture, user)


def progress(picture: Picture, user: User) -> Iterator[str]:
    """The second line of a job's box."""
    for job in picture.jobs:
        if user.kind == "job" and job.name == user.name:
            share = f" {job.current / job.total:.0%}" if job.total else ""
            yield f"{job.kind}, {job.status}{share}"
            if job.held:
                yield f"held before {job.held}"


def _quoted(*lines: str) -> str:
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(escaped) + '"'
