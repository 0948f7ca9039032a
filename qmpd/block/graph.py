"""The graph: names, parents, chains, and the changes a transaction can make to it."""

from __future__ import annotations

from qmpd.block import permissions as p
from qmpd.block import wording
from qmpd.block.node import Blocker, Edge, Node, Parent, User
from qmpd.block.refresh import NOT_YET, refresh, refresh_loosely
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from qmpd.block.driver import Driver
    from qmpd.block.transaction import Transaction
    from qmpd.lab.levers import Levers
    from qmpd.storage.host import Storage

MAX_NAME = 31
_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_REST = _FIRST | frozenset("0123456789-._")

BACKING_ALLOWS = frozenset(("commit-target", "stream", "backup-source", "backup-target"))
"""Operations that a node accepts although another one uses it as its backing file."""


class Graph:
    """All nodes and users of one emulated machine."""

    def __init__(self, storage: Storage, random_digits: Iterator[int]) -> None:
        self.storage = storage
        self.nodes: dict[str, Node] = {}
        """By name, oldest first."""
        self.users: dict[User, None] = {}
        """Devices and private backends, oldest first."""
        self.drives: dict[str, User] = {}
        """Backends that the command line has named."""
        self._digits = random_digits
        self.tell: Callable[[str, dict[str, Any]], None] = _tell_nobody
        """Passes an event on; may be called on the worker thread."""
        self.begin_drain: Callable[[Iterable[Node]], Callable[[], None]] = _interrupt_nobody
        """Brings the jobs above nodes to rest; what it returns lets them go on."""
        self.let_pass: Callable[[], None] = _nothing
        """Lets jobs go on that were drained before: a command waits for I/O meanwhile."""
        self.levers: Levers | None = None
        """What a test can do to I/O; None without a lab."""
        self.objects: Mapping[str, str] = {}
        """Types of objects by their names, which a definition may refer to."""
        self.about = ""
        """Which option of the command line warnings are about, as a prefix."""
        self.no_aes = False
        """Whether images encrypted with AES in the old way are refused."""
        self.static_auto_read_only = False
        """Whether auto-read-only is decided once and for all when a file is opened."""
        self.has_overlays = False
        """Whether there ever was a node that a job could run on."""
        self.is_fickle = False
        """Whether there ever was a node whose requests must not be tried out."""
        self.unsure: set[Driver] = set()
        """Those for which a check may do something although no permission has changed."""
        self.check_joined: Callable[[Node, Node, Edge | None], None] | None = None
        """Refuses edges between nodes whose devices run in different threads, once there are any."""
        self.generation = 0
        """Changes whenever something that queries show may have changed."""
        self.generated = 0
        """How many names were generated so far."""

    # --- names -------------------------------------------------------------------------

    def use_digits(self, digits: Iterator[int]) -> None:
        """Take the digits of generated names from somewhere else from now on."""
        self._digits = digits

    def generate_name(self) -> str:
        """``#block``, a counter, and two digits that nobody should rely on."""
        name = f"#block{self.generated}{next(self._digits):02d}"
        self.generated += 1
        return name

    def check_name(self, name: str) -> None:
        """Check a name that a user wants to give to a node.

        Raises:
            QmpError: it is malformed, taken or too long (checked in this order).
        """
        if not name or name[0] not in _FIRST or not _REST.issuperset(name):
            raise QmpError(wording.invalid_node_name(name))
        if name in self.drives:
            raise QmpError(wording.name_of_a_drive(name))
        if name in self.nodes:
            raise QmpError(wording.duplicate_node_name(name))
        if len(name) > MAX_NAME:
            raise QmpError(wording.NODE_NAME_TOO_LONG)

    def add(self, node: Node) -> None:
        """Enter a node under its name."""
        self.generation += 1
        self.nodes[node.name] = node
        if node.driver.supports_backing:
            self.has_overlays = True
        elif node.driver.is_fickle:
            self.is_fickle = True

    def forget(self, node: Node) -> None:
        """Take back :meth:`add`."""
        self.generation += 1
        self.nodes.pop(node.name, None)

    def find(self, name: str) -> Node:
        """The node called ``name``.

        Raises:
            QmpError: there is none.
        """
        node = self.nodes.get(name)
        if node is None:
            raise QmpError(wording.failed_to_find_node(name))
        return node

    def drain(self, *nodes: Node) -> None:
        """Interrupt the jobs above ``nodes``, which stop and go on."""
        self.begin_drain(nodes)()

    def lookup(self, device: str | None, node_name: str | None) -> Node:
        """The node that a command names by drive id or node name.

        Raises:
            QmpError: there is none.
        """
        if device is not None and device in self.drives:
            medium = self.drives[device].node
            if medium is None:
                raise QmpError(wording.no_medium(device))
            return medium
        node = self.nodes.get(node_name or "")
        if node is None:
            raise QmpError(wording.cannot_find(device or "", node_name or ""))
        return node

    # --- edges -------------------------------------------------------------------------

    def attach(
        self,
        tx: Transaction,
        parent: Parent,
        child: Node,
        name: str,
        role: int = 0,
        perm: int = 0,
        shared: int = p.ALL,
        *,
        block: bool = True,
    ) -> Edge:
        """Add an edge; permissions are refreshed by the caller, with :func:`refresh`.

        The permissions of a node's edge are computed then, those of a user's edge are given.

        Raises:
            QmpError: the edge would close a cycle.
        """
        edge = Edge(parent, child, name, role, perm, shared)
        if isinstance(parent, Node):
            if is_ancestor(child, parent):
                raise QmpError(wording.would_create_cycle(child.name, name, parent.name))
            if self.check_joined is not None:
                self.check_joined(parent, child, None)
            edge.perm, edge.shared = NOT_YET  # the refresh of the parent goes on to the child
            tx.touched[parent] = None
        else:
            tx.touched[child] = None
        self.generation += 1
        parent.children = {**parent.children, parent.edge_key(name, child): edge}
        child.parents = [edge, *child.parents]

        def undo() -> None:
            parent.children = _without_edge(parent, edge)
            child.parents = [other for other in child.parents if other is not edge]

        tx.on_abort(undo)
        if block and role & p.ROLE_COW and isinstance(parent, Node):
            self._block_backing(tx, parent, child)
        return edge

    def _block_backing(self, tx: Transaction, parent: Node, child: Node) -> None:
        blocker = Blocker(wording.used_as_backing(parent.name), BACKING_ALLOWS)
        blockers = child.blockers
        child.blockers = [blocker, *blockers]

        def undo() -> None:
            child.blockers = blockers

        tx.on_abort(undo)

    def detach(self, tx: Transaction, edge: Edge) -> None:
        """Remove an edge; the child's permissions are refreshed by the caller."""
        self.generation += 1
        tx.touched[edge.child] = None
        parent, child = edge.parent, edge.child
        blockers = child.blockers
        parent.children = _without_edge(parent, edge)
        child.parents = [other for other in child.parents if other is not edge]
        if edge.role & p.ROLE_COW and isinstance(parent, Node):
            reason = wording.used_as_backing(parent.name)
            child.blockers = _without_reason(blockers, reason)

        def undo() -> None:
            parent.children = {**parent.children, parent.edge_key(edge.name, child): edge}
            child.parents = [edge, *child.parents]
            child.blockers = _attached_anew(blockers, parent)

        tx.on_abort(undo)

    def retarget(self, tx: Transaction, edge: Edge, child: Node) -> None:
        """Point an existing edge to another node; permissions are the caller's business.

        Raises:
            QmpError: the link is frozen or would close a cycle.
        """
        self.generation += 1
        old, parent = edge.child, edge.parent
        if edge.frozen:
            raise QmpError(wording.frozen_link(edge.name, parent.label, old.name))
        if isinstance(parent, Node) and is_ancestor(child, parent):
            raise QmpError(wording.would_create_cycle(child.name, edge.name, parent.name))
        if self.check_joined is not None and isinstance(parent, Node):
            self.check_joined(parent, child, edge)
        tx.touched[child] = tx.touched[old] = None
        old_blockers = old.blockers
        _move(edge, child)

        def undo() -> None:
            _move(edge, old)
            old.blockers = _attached_anew(old_blockers, parent)

        tx.on_abort(undo)
        if edge.role & p.ROLE_COW and isinstance(parent, Node):
            old.blockers = _without_reason(old_blockers, wording.used_as_backing(parent.name))
            self._block_backing(tx, parent, child)

    # --- users -------------------------------------------------------------------------

    def add_user(self, tx: Transaction, user: User, node: Node, perm: int, shared: int) -> Edge:
        """Put a device or a private backend on a node.

        Raises:
            QmpError: the permissions conflict with somebody else's.
        """
        self.users[user] = None
        tx.on_abort(lambda: self.users.pop(user, None))
        edge = self.attach(tx, user, node, "root", 0, perm, shared)
        refresh(tx)
        return edge

    def change_user(self, tx: Transaction, edge: Edge, perm: int, shared: int) -> None:
        """Let a user ask for something else.

        Raises:
            QmpError: the permissions conflict with somebody else's.
        """
        old = edge.perm, edge.shared

        def undo() -> None:
            edge.perm, edge.shared = old

        tx.on_abort(undo)
        edge.perm, edge.shared = perm, shared
        tx.touched[edge.child] = None
        self.generation += 1
        refresh(tx)

    # --- lifetime ----------------------------------------------------------------------

    def detach_loosely(self, *edges: Edge) -> None:
        """Remove edges; that dropped permissions cannot be returned is no error."""
        from qmpd.block.transaction import Transaction

        tx = Transaction()
        for edge in edges:
            self.detach(tx, edge)
        tx.commit()
        refresh_loosely(tx.touched)

    def collect(self, nodes: Iterable[Node]) -> None:
        """Close those of ``nodes`` that nobody holds any more, and what falls with them."""
        work = list(nodes)
        while work:
            node = work.pop()
            if node.parents or node.monitor_owned or node.references:
                continue
            if self.nodes.get(node.name) is not node:
                continue
            node.driver.close()
            self.generation += 1
            del self.nodes[node.name]
            for edge in list(node.children.values()):
                if edge.child.inherits_from is node:
                    edge.child.inherits_from = None
                self.detach_loosely(edge)
                work.append(edge.child)

    def abandon(self) -> None:
        """Close every descriptor as a killed process would: nothing is written back."""
        for node in self.nodes.values():
            if node.driver.has_footprint:
                node.driver.close()
        self.nodes.clear()
        self.users.clear()

    def close(self) -> None:
        """Let go of every user and every node, parents before children."""
        held = [
            edge
            for node in self.nodes.values()
            for edge in node.parents
            if not isinstance(edge.parent, Node)
        ]
        self.detach_loosely(*held)
        self.users.clear()
        for node in self.nodes.values():
            node.monitor_owned = False
            node.references = 0
        self.collect(reversed(list(self.nodes.values())))


def _tell_nobody(name: str, data: dict[str, Any]) -> None:
    del name, data


def _interrupt_nobody(nodes: Iterable[Node]) -> Callable[[], None]:
    del nodes
    return _nothing


def _nothing() -> None:
    pass


def _without_edge(parent: Parent, edge: Edge) -> dict[str, Edge]:
    return {key: other for key, other in parent.children.items() if other is not edge}


def _move(edge: Edge, child: Node) -> None:
    """Let an edge lead to another node; it becomes the newest one of both its ends."""
    parent, old = edge.parent, edge.child
    if isinstance(parent, Node):
        parent.children = {**_without_edge(parent, edge), edge.name: edge}
    old.parents = [other for other in old.parents if other is not edge]
    edge.child = child
    child.parents = [edge, *child.parents]


def _attached_anew(blockers: list[Blocker], parent: Parent) -> list[Blocker]:
    """What blocks a node when ``parent`` has come back to it: its reason is the newest now.

    Undoing a change attaches the old child again (the order was observed on QEMU 7.2).
    """
    reason = wording.used_as_backing(parent.label)
    again = [blocker for blocker in blockers if blocker.reason == reason]
    return again + [blocker for blocker in blockers if blocker.reason != reason]


def _without_reason(blockers: list[Blocker], reason: str) -> list[Blocker]:
    for index, blocker in enumerate(blockers):
        if blocker.reason == reason:
            return blockers[:index] + blockers[index + 1 :]
    return blockers


def is_ancestor(node: Node, of: Node) -> bool:
    """Whether ``of`` can be reached from ``node`` downwards, or is it.

    The search goes upwards from ``of``, since a new node has no parents.
    """
    seen = {of}
    work = [of]
    while work:
        here = work.pop()
        if here is node:
            return True
        for edge in here.parents:
            parent = edge.parent
            if isinstance(parent, Node) and parent not in seen:
                seen.add(parent)
                work.append(parent)
    return False
