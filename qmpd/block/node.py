"""Nodes, the edges between them, and the users at their top.

A *parent* of a node is either another node or a user (a device, a job, a job's private
backend). Only :mod:`qmpd.block.graph` changes what stands here, within a transaction.
"""

from __future__ import annotations

from qmpd.block import permissions as p

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from qmpd.block.driver import Driver
    from qmpd.block.options import Flags, Options

    class Describable(Protocol):
        """A dirty bitmap, whoever keeps it."""

        def describe(self) -> dict[str, Any]:
            """What queries of the node show."""


class Parent:
    """Something that holds edges to nodes."""

    __slots__ = ("children",)

    kind = ""
    """What the permission graph calls it: block-driver, block-backend, block-job."""

    def __init__(self) -> None:
        self.children: dict[str, Edge] = {}

    def describe(self) -> str:
        """Name the parent in an error message."""
        raise NotImplementedError

    def edge_key(self, name: str, child: Node) -> str:
        """Under which key an edge stands in ``children``."""
        del child
        return name

    @property
    def label(self) -> str:
        """The name in the permission graph."""
        raise NotImplementedError


class Edge:
    """One parent's use of one node."""

    __slots__ = ("child", "frozen", "name", "parent", "perm", "role", "shared")

    def __init__(
        self, parent: Parent, child: Node, name: str, role: int, perm: int, shared: int
    ) -> None:
        self.parent = parent
        self.child = child
        self.name = name
        self.role = role
        self.perm = perm
        self.shared = shared
        self.frozen = 0
        """How many jobs need this link to stay as it is."""


class Blocker:
    """Why most operations on a node are refused, and which are not."""

    __slots__ = ("allowed", "reason")

    def __init__(self, reason: str, allowed: frozenset[str]) -> None:
        self.reason = reason
        self.allowed = allowed


class Node(Parent):
    """One block node: a driver with options, flags, children and parents."""

    __slots__ = (
        "blockers",
        "dirty_bitmaps",
        "driver",
        "flags",
        "implicit",
        "inherits_from",
        "monitor_owned",
        "name",
        "options",
        "parents",
        "references",
    )

    kind = "block-driver"

    def __init__(self, name: str, driver: Driver, options: Options, flags: Flags) -> None:
        super().__init__()
        self.name = name
        self.driver = driver
        self.options = options
        self.flags = flags
        self.parents: list[Edge] = []
        """Newest first."""
        self.inherits_from: Node | None = None
        self.monitor_owned = False
        self.implicit = False
        """Inserted by a job without a name of its own: most queries look through it."""
        self.references = 0
        """Holders that keep the node alive without an edge (jobs)."""
        self.blockers: list[Blocker] = []
        """Newest first."""
        self.dirty_bitmaps: list[Describable] = []
        """Newest first: those of jobs and those of the image."""

    def describe(self) -> str:
        """``node 'x'``."""
        return f"node '{self.name}'"

    @property
    def label(self) -> str:
        """The node's name."""
        return self.name

    def cumulative(self) -> tuple[int, int]:
        """What all parents together need, and what all of them share."""
        perm, shared = 0, p.ALL
        for edge in self.parents:
            perm |= edge.perm
            shared &= edge.shared
        return perm, shared

    def inherits_through(self, top: Node) -> bool:
        """Whether the node has options from ``top``, or from one that has them from there."""
        node: Node | None = self
        while node is not None and node is not top:
            node = node.inherits_from
        return node is not None

    def child(self, name: str) -> Node | None:
        """The child at the edge ``name``, or None."""
        edge = self.children.get(name)
        return edge.child if edge is not None else None

    @property
    def backing(self) -> Node | None:
        """The copy-on-write child, or None."""
        edge = self.children.get("backing")
        return edge.child if edge is not None and edge.role & p.ROLE_COW else None

    @property
    def filtered(self) -> Node | None:
        """The filtered child if the node is a filter, or None."""
        if self.driver.is_filter:
            for edge in self.children.values():
                if edge.role & p.ROLE_FILTERED:
                    return edge.child
        return None

    @property
    def drive_name(self) -> str:
        """The name of the drive that the node is in, or an empty string."""
        for edge in self.parents:
            if isinstance(edge.parent, User) and edge.parent.drive:
                return edge.parent.name
        return ""

    @property
    def public_name(self) -> str:
        """What most complaints call the node: its drive if it has one."""
        return self.drive_name or self.name

    def blocked(self, operation: str) -> str | None:
        """The reason why ``operation`` is refused on this node, or None."""
        for blocker in self.blockers:
            if operation not in blocker.allowed:
                return blocker.reason
        return None


class User(Parent):
    """A device, or a job's private backend, on one node.

    ``name`` is the drive id or QOM path; empty for a job's backend. A ``drive`` has its
    name from the command line and may be there without a device.
    """

    __slots__ = ("device", "drive", "limits", "name", "writeback")

    kind = "block-backend"

    def __init__(self, name: str = "", *, device: bool = False, drive: bool = False) -> None:
        super().__init__()
        self.name = name
        self.device = device
        self.drive = drive
        self.writeback = True
        self.limits: dict[str, int | str] | None = None
        """What queries show of limits that the command line has set, shared by a group."""

    def describe(self) -> str:
        """``block device 'd'``, or that it has no name."""
        return f"block device '{self.name}'" if self.name else "an unnamed block device"

    @property
    def label(self) -> str:
        """The device's name or an empty string."""
        return self.name

    @property
    def node(self) -> Node | None:
        """The node that is used, None without a medium."""
        edge = self.children.get("root")
        return edge.child if edge is not None else None
