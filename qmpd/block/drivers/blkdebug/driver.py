"""``blkdebug``: a filter that lets requests fail, as rules say."""

from __future__ import annotations

from qmpd.block import options as opt
from qmpd.block import permissions as p
from qmpd.block.drivers.blkdebug import wording
from qmpd.block.drivers.blkdebug.rules import Rule, Rules
from qmpd.block.filename import Names, protocol_options
from qmpd.block.passing import PassingDriver, SteadyDriver
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from qmpd.block.driver import Extent
    from qmpd.block.graph import Graph
    from qmpd.block.node import Edge, Node
    from qmpd.block.options import Flags

_LIMITS = ("max-transfer", "opt-write-zero", "max-write-zero", "opt-discard", "max-discard")
_SIZES = frozenset(("align", *_LIMITS))
_BITS = {name: bit for bit in (1, 2, 4, 8) for name in p.schema_names(bit)}
_MEMBERS = (
    *("event", "state", "iotype", "errno", "sector", "once", "immediately"),
    "new_state",
)
_MOST = (1 << 31) - 1


class BlkdebugDriver(SteadyDriver):
    """Requests fail when a rule says so; permissions can be asked for that nobody needs."""

    name = "blkdebug"
    is_protocol = True
    below_name = "image"
    child_names = frozenset(("image",))
    open_children = ()
    late_children = ("image",)
    intercepts = True
    is_fickle = True
    hides_footprint = True

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self._rules = Rules([])
        self._taken = self._unshared = 0
        self._unflushed = self._unflushed_above = False
        """Whether there is anything to flush: the original does not try otherwise."""

    # --- life --------------------------------------------------------------------------

    def open(self, options: dict[str, Any]) -> None:
        """Take in the rules.

        Raises:
            QmpError: a number is none that is taken, or the configuration cannot be read.
        """
        opt.check_sizes(options, _SIZES)
        inject: list[dict[str, Any]] = []
        states: list[dict[str, Any]] = []
        if options.get("config"):
            from qmpd.block.drivers.blkdebug.config import read_config

            inject, states = read_config(options["config"])
        self._taken = _permissions(options, "take-child-perms")
        self._unshared = _permissions(options, "unshare-child-perms")
        for name in _LIMITS:
            if int(options.get(name, 0)) > _MOST:
                raise QmpError(wording.no_int32(name))
        inject += _entries(options, "inject-error")
        states += _entries(options, "set-state")
        self._rules = Rules([Rule(entry) for entry in (*inject, *states)])
        self.strong_options = tuple(sorted((key for key in options if _counts(key)), key=_place))

    @classmethod
    def parse_filename(cls, name: str) -> dict[str, Any]:
        """``blkdebug:CONFIG:IMAGE``.

        Raises:
            QmpError: there is no second colon, or the image's name is none.
        """
        config, colon, image = name.partition(":")[2].partition(":")
        if not colon:
            raise QmpError(wording.PARTS)
        given = {"config": config} if config else {}
        return {**given, "image": protocol_options(image)}

    def ready(self, options: dict[str, Any]) -> None:
        """Check the limits, then note that nothing has happened yet.

        Raises:
            QmpError: a limit cannot be kept.
        """
        self.look_at_length()
        align = int(options.get("align", 0))
        if align:
            if align >= _MOST or align & (align - 1):
                raise QmpError(wording.unmet_constraint("align", align))
            self.request_alignment = align
        for name in _LIMITS:
            value = int(options.get(name, 0))
            multiple = max(align, int(options.get(name.replace("max-", "opt-"), 0)), 1)
            if value == _MOST or value % multiple:
                raise QmpError(wording.unmet_constraint(name, value))
        self._rules.note("none")

    # --- permissions -------------------------------------------------------------------

    def edge_permissions(self, edge: Edge, perm: int, shared: int, flags: Flags) -> tuple[int, int]:
        """What is asked of the filter, and what the options say."""
        perm, shared = super().edge_permissions(edge, perm, shared, flags)
        return perm | self._taken, shared & ~self._unshared

    # --- data --------------------------------------------------------------------------

    def debug_event(self, name: str) -> None:
        """Arm rules, change the state."""
        if name == "flush_to_disk":
            if not self._unflushed_above:
                return
            self._unflushed_above = False
        self._rules.note(name)

    def _note_attempt(self, end: int, length: int) -> None:
        """Bytes up to ``end`` are about to be written; only success makes the node grow."""
        PassingDriver.note_own(self, end, length)
        self._unflushed = self._unflushed_above = True

    def pread(self, offset: int, length: int) -> bytes:
        """Read below, or fail."""
        self._rules.check("read", offset, length)
        return super().pread(offset, length)

    def pwrite(self, offset: int, data: bytes | memoryview) -> None:
        """Write below, or fail."""
        self._note_attempt(offset + len(data), len(data))
        self._rules.note("pwritev")
        self._rules.check("write", offset, len(data))
        super().pwrite(offset, data)
        self._rules.note("pwritev_done")

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True) -> None:
        """Write zeros below, or fail."""
        self._note_attempt(offset + length, length)
        self._rules.note("pwritev_zero")
        self._rules.check("write-zeroes", offset, length)
        super().write_zeroes(offset, length, unmap=unmap)
        self._rules.note("pwritev_done")

    def flush(self) -> None:
        """Flush below, or fail."""
        if self._unflushed:
            self._rules.check("flush")
        super().flush()
        self._unflushed = False

    def truncate(self, size: int) -> None:
        """Resize the node below, which is to be flushed."""
        self._unflushed = self._unflushed_above = True
        super().truncate(size)

    def extent(self, offset: int, length: int) -> Extent:
        """What the node below holds, or failing to find out."""
        self._rules.check("block-status", offset, length)
        return super().extent(offset, length)

    # --- description -------------------------------------------------------------------

    def named_options(self) -> Iterable[str]:
        """The options in the order that decides where keys share a bucket on the wire.

        They begin flat in the definition that the client sent, and move to a table of their
        own with each node on the way here. Moving turns those round that share a bucket, and
        which do depends on the length of what stands before them (observed on QEMU 7.2).
        """
        from qmpd.protocol.encoder import hash_order

        way = _way(self.node)
        keys = hash_order(".".join((*way, key)) for key in _flattened(self.strong_options))
        for name in way:
            keys = hash_order(key[len(name) + 1 :] for key in hash_order(keys))
        return keys

    def exact_filename(self) -> str:
        """``blkdebug:CONFIG:IMAGE`` if that says all."""
        edge = self.node.children.get("image")
        if edge is None or any(key != "config" for key in self.strong_options):
            return ""
        image = Names().of(edge.child).exact
        config = self.node.options.effective.get("config", "")
        return f"blkdebug:{config}:{image}" if image else ""


def _counts(key: str) -> bool:
    """Whether an option is part of the node's name."""
    return key in _SIZES or key == "config" or key.startswith(("inject-error.", "set-state."))


def _place(key: str) -> tuple[str, int, int]:
    """Where an option stands in the schema: by list, number and member."""
    group, _, rest = key.partition(".")
    number, _, member = rest.partition(".")
    return group, int(number or 0), _MEMBERS.index(member) if rest else 0


def _flattened(keys: Iterable[str]) -> list[str]:
    """Options in the order in which nested structures are made flat; `keys` in the schema's."""
    from qmpd.protocol.encoder import hash_order

    groups = hash_order(("inject-error", "set-state", "config", *_SIZES))
    members = hash_order(_MEMBERS)

    def place(key: str) -> tuple[int, int, int]:
        group, number, member = _place(key)
        return groups.index(group), number, members.index(_MEMBERS[member])

    return sorted(keys, key=place)


def _way(node: Node) -> list[str]:
    """The names of the edges from the node that a client defined down to one inside it."""
    way: list[str] = []
    owner = node.inherits_from
    while owner is not None:
        edges = owner.children.items()
        # Where a job's filter has come in between it is a backing file.
        way.insert(0, next((name for name, edge in edges if edge.child is node), "backing"))
        node, owner = owner, owner.inherits_from
    return way


def _entries(options: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The members of a list of structures, put together again from flat keys."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in options.items():
        group, _, rest = key.partition(".")
        if rest and group == name:
            number, _, member = rest.partition(".")
            found.setdefault(number, {})[member] = value
    return list(found.values())


def _permissions(options: dict[str, Any], name: str) -> int:
    mask = 0
    for key, value in options.items():
        if key.startswith(f"{name}."):
            mask |= _BITS[value]
    return mask
