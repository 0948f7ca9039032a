"""Changing the options of open nodes, several at once, all or nothing.

The queue is built first: a node, and below it the children that were defined inline and
inherit from it. Then everything is prepared in one transaction, permissions last, with
the flags that the nodes are going to have (observed on QEMU 7.2).
"""

from __future__ import annotations

from qmpd.block import options as opt
from qmpd.block import permissions as p
from qmpd.block import wording
from qmpd.block.drained import Drained
from qmpd.block.driver import strerror
from qmpd.block.refresh import refresh
from qmpd.block.transaction import Transaction
from qmpd.errors import QmpError
from qmpd.protocol.encoder import hash_order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.graph import Graph
    from qmpd.block.node import Edge, Node


_LINKS = frozenset(("backing", "file"))
"""Links that a reopen may change; whether the driver has them is found out late."""


class _Entry:
    __slots__ = (
        "backing_missing",
        "children",
        "explicit",
        "flags",
        "node",
        "options",
        "replaced",
    )

    def __init__(self, node: Node) -> None:
        self.node = node
        self.backing_missing = False
        self.explicit: dict[str, Any] = {}
        self.options: dict[str, Any] = {}
        self.children: dict[str, Any] = {}
        """References to children as given: a name or None."""
        self.flags = node.flags
        self.backing_missing = False
        """Whether nothing was said about the backing file where something has to be."""
        self.replaced: list[Node] = []
        """Former children, which the node lets go of."""

    def refuse(self, inline: dict[str, Any]) -> None:
        """Options of children that are not the node's own will count as changed ones."""
        if inline:
            leftover = opt.flatten(inline, frozenset())
            self.explicit |= leftover
            self.options = {**self.options, **leftover}


class ReopenQueue:
    """Nodes to reopen together."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._entries: dict[Node, _Entry] = {}

    def add(self, node: Node, given: dict[str, Any], *, keep_old: bool) -> None:
        """Queue ``node`` with what was given for it, and its inline children.

        Args:
            node: the node.
            given: options as in a definition; children nested.
            keep_old: options that are not given stay as they are; else they go back to
                their defaults, as ``blockdev-reopen`` has it.
        """
        work: list[tuple[Node, dict[str, Any], bool, Edge | None]] = [(node, given, keep_old, None)]
        while work:
            here, options, keep, edge = work.pop()
            entry = self._enqueue(here, options, keep, edge)
            names = (_LINKS | here.driver.child_names) & options.keys()
            inline = {name: options[name] for name in names if isinstance(options[name], dict)}
            for name, child_edge in here.children.items():
                child = child_edge.child
                if child.inherits_from is not here:
                    continue
                if name in entry.children:
                    if entry.children[name] == child.name:
                        work.append((child, {}, True, child_edge))
                else:
                    work.append((child, inline.pop(name, {}), keep, child_edge))
            entry.refuse(inline)

    def _enqueue(self, node: Node, given: dict[str, Any], keep: bool, edge: Edge | None) -> _Entry:
        names = _LINKS | node.driver.child_names
        options = opt.flatten(given, names)
        entry = self._entries.get(node)
        if entry is not None:
            options = node.driver.join_options(options, entry.explicit)
        elif keep:
            options = node.driver.join_options(options, node.options.explicit)
        entry = entry or _Entry(node)
        entry.explicit = dict(options)
        if edge is not None:
            parent = self._entries[edge.parent]  # type: ignore[index]
            opt.inherit(edge.role, parent.options, options)
        if keep:
            options = node.driver.join_options(options, node.options.effective)
        entry.options = options
        entry.flags = opt.Flags(options)
        if opt.DISCARD not in options:
            entry.flags.unmap = node.flags.unmap  # observed: this one is not reset
        for name in names & given.keys():
            if not isinstance(given[name], dict):
                entry.children[name] = given[name]
        if not keep:
            entry.backing_missing = not {"backing"} & (given.keys() | entry.children.keys())
        self._entries[node] = entry
        return entry

    def drain(self) -> None:
        """Interrupt the jobs above the queued nodes and all below them."""
        Drained(self._graph, self._entries).end()

    def run(self) -> None:
        """Reopen everything that was queued.

        Raises:
            QmpError: nothing has changed then.
        """
        drained = Drained(self._graph, self._entries)
        try:
            self._run(drained)
        finally:
            drained.end()

    def _run(self, drained: Drained) -> None:
        for node in self._entries:
            try:
                node.driver.flush()
            except OSError as error:
                raise QmpError(wording.flushing_failed(strerror(error))) from error
        self._graph.generation += 1
        with Transaction() as tx:
            for entry in self._entries.values():
                self._prepare(tx, entry, drained)
            future = {node: entry.flags for node, entry in self._entries.items()}
            refresh(tx, future, [n for e in self._entries.values() for n in (e.node, *e.replaced)])
            for entry in reversed(self._entries.values()):
                tx.on_commit(_switch(entry))
        self._graph.collect(n for e in self._entries.values() for n in e.replaced)

    # --- one node ----------------------------------------------------------------------

    def _prepare(self, tx: Transaction, entry: _Entry, drained: Drained) -> None:
        node = entry.node
        if entry.flags.detect_zeroes == "unmap" and not entry.flags.unmap:
            raise QmpError(wording.DETECT_ZEROES_UNMAP)
        if not node.driver.reopens:
            raise QmpError(wording.no_reopen(node.driver.name, node.name))
        _check_reset(entry)
        handled = set(node.driver.reopen_prepare(tx, entry.options, entry.flags))
        if entry.backing_missing and _has_backing(node):
            raise QmpError(wording.backing_missing(node.name))
        for name in sorted(_LINKS):
            if name in entry.children:
                self._relink(tx, entry, name, drained)
        if entry.replaced and "file" in entry.children:
            tx.on_commit(node.driver.forget)
        _check_unchanged(entry, handled)

    def _relink(self, tx: Transaction, entry: _Entry, name: str, drained: Drained) -> None:
        node, wanted = entry.node, entry.children[name]
        new = None if wanted is None else self._graph.lookup(None, wanted)
        edge = node.children.get(name)
        if new is not None:
            self._refuse_cycle(node, new, name)
        if edge is not None:
            if edge.child is new or _behind_implicit(edge.child) is new:
                return
            _refuse_filter(node, edge)
        if edge is None and new is None:
            return
        if name == "backing" and not node.driver.supports_backing:
            raise QmpError(wording.no_backing_support(node.driver.name, node.name))
        if name == "file" and edge is None:
            raise QmpError(wording.NO_FILE_CHILD)
        old = None
        if edge is None:
            edge = self._graph.attach(tx, node, new or node, name, p.ROLE_COW)
        else:
            old = edge.child
            entry.replaced.append(old)
            if new is not None:
                self._graph.retarget(tx, edge, new)
            elif edge.frozen:
                raise QmpError(wording.frozen_link(name, node.name, old.name))
            else:
                self._graph.detach(tx, edge)
        drained.move(edge, new)
        tx.on_abort(lambda: drained.move(edge, old))

    @staticmethod
    def _refuse_cycle(node: Node, new: Node, name: str) -> None:
        from qmpd.block.graph import is_ancestor

        if is_ancestor(new, node):
            raise QmpError(wording.would_create_cycle(new.name, name, node.name))


def _refuse_filter(node: Node, edge: Edge) -> None:
    """A job's filter stays where the job has put it."""
    if edge.child.implicit:
        raise QmpError(wording.implicit_child(edge.name, node.name))
    # Without its last parent the filter would go, and the original aborts on the link below it.
    if edge.child.driver.borrows_name and len(edge.child.parents) == 1:
        raise QmpError(wording.frozen_link(edge.name, node.name, edge.child.name))


def _has_backing(node: Node) -> bool:
    driver = node.driver
    return driver.supports_backing and (node.backing is not None or bool(driver.backing_file))


def _behind_implicit(node: Node) -> Node:
    while node.implicit and node.children:
        node = next(iter(node.children.values())).child
    return node


def _check_reset(entry: _Entry) -> None:
    """Options that were left out must be able to go back to their defaults."""
    driver = entry.node.driver
    old = entry.node.options.effective
    fixed = [
        key
        for key in old
        if key not in entry.options
        and key not in opt.COMMON
        and key not in driver.mutable_options
        and key != "driver"
    ]
    if fixed:
        raise QmpError(wording.cannot_reset_option(hash_order(fixed)[0]))


def _check_unchanged(entry: _Entry, handled: set[str]) -> None:
    """Whatever nobody took care of must be as it was."""
    node = entry.node
    old = node.options.effective
    leftover = {
        key: value
        for key, value in entry.options.items()
        if key not in handled and (key not in opt.COMMON or key == "node-name")
    }
    for name in entry.children.keys() - _LINKS:
        child = node.child(name)
        if child is None or child.name != entry.children[name]:
            leftover[name] = entry.children[name]
    # Sharing by force cannot be given again, even if it stays (observed on QEMU 7.2).
    unrepeatable = {opt.FORCE_SHARE, *node.driver.unrepeatable_options}
    changed = [
        key
        for key, value in leftover.items()
        if key not in old or value != old[key] or key in unrepeatable
    ]
    if changed:
        raise QmpError(wording.cannot_change_option(hash_order(changed)[0]))


def _switch(entry: _Entry) -> Any:
    def commit() -> None:
        node = entry.node
        node.options = opt.Options(entry.explicit, entry.options)
        node.flags = entry.flags

    return commit


def set_read_only(graph: Graph, node: Node, read_only: bool) -> None:
    """Flip one node, and what inherits from it, between read-only and writable.

    Raises:
        QmpError: nothing has changed then.
    """
    queue = ReopenQueue(graph)
    queue.add(node, {opt.READ_ONLY: read_only}, keep_old=True)
    queue.run()
