"""What the reference side showed at the last look, for choosing what to do next."""

from __future__ import annotations

import json

from tests.oracle.machine.steps import HIDDEN

_PASSING = frozenset(("raw", "throttle", "copy-on-read", "compress"))
_GRAPH = b'{"return": {"edges": '


class View:
    """Nodes, edges and jobs by name.

    Attributes:
        nodes: entries of query-named-block-nodes by node name, newest first.
        children: for every node its children by edge name.
        parents: for every node how many parents it has that are nodes.
        jobs: entries of query-block-jobs by id, newest first.
        modes: access mode by file name.

    Args:
        lines: of a step that ended with a look.
        directory: where the reference's images are.
    """

    def __init__(self, lines=(), directory=""):
        self.directory = directory
        self.nodes, self.jobs = {}, {}
        self.children, self.parents = {}, {}
        self.modes = {}
        if not lines:
            return
        start = next(n for n, line in enumerate(lines) if line.startswith(_GRAPH))
        graph, nodes, _, jobs = (json.loads(line)["return"] for line in lines[start : start + 4])
        self.nodes = {node["node-name"]: node for node in nodes}
        self.jobs = {job["device"]: job for job in jobs}
        descriptors = [line.decode().split() for line in lines if b" locks " in line]
        self.modes = {path.removesuffix(HIDDEN): mode for path, mode, *_ in descriptors}
        named = {node["id"]: node for node in graph["nodes"]}
        for edge in graph["edges"]:
            parent, child = named[edge["parent"]], named[edge["child"]]["name"]
            if parent["type"] == "block-driver":
                self.children.setdefault(parent["name"], {})[edge["name"]] = child
                self.parents[child] = self.parents.get(child, 0) + 1

    def request_name(self, name):
        """Return how a request has to call a node: generated names differ between the sides."""
        if not name.startswith("#"):
            return name
        generated = [node for node in self.nodes if node.startswith("#")]
        return f"{{block{generated.index(name)}}}"

    def known(self, name):
        """The node that a request calls so; None if there is none."""
        return next((node for node in self.nodes if self.request_name(node) == name), None)

    def pending(self):
        """Whether a job waits for its finalize."""
        return any(job["status"] == "pending" for job in self.jobs.values())

    def sleeping(self):
        """Whether a job may be asleep for its speed."""
        return any(job["status"] == "running" for job in self.jobs.values())

    def roots(self):
        """Nodes that no other node has as a child."""
        return [name for name in self.nodes if name not in self.parents]

    def chain(self, name):
        """A node and what is below it along backing files and filters."""
        found = []
        while name in self.nodes and name not in found:
            found.append(name)
            children = self.children.get(name, {})
            below = children.get("image")
            if self.nodes[name]["drv"] in _PASSING:
                below = children.get("file")
            name = children.get("backing") or below
        return found
