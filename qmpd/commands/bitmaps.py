"""Dirty bitmaps: made, cleared, merged and removed by clients, alone or in transactions."""

from __future__ import annotations

from qmpd.block.bitmap import NamedBitmap, named_bitmaps
from qmpd.block.driver import strerror
from qmpd.commands import wording
from qmpd.commands.actions import Action
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from qmpd.block.graph import Graph
    from qmpd.block.node import Node
    from qmpd.machine import Machine

_LOWEST, _DEFAULT = 512, 65536
_SMALLEST_CLUSTER = 4096
_LONGEST_NAME = 1023


def find_node(graph: Graph, name: str) -> Node:
    """The node of that name, or the one in the drive of that name; raises ``QmpError``."""
    try:
        return graph.lookup(name, name)
    except QmpError:
        if name in graph.drives:
            raise
        raise QmpError(wording.node_not_found(name)) from None


def find_bitmap(node: Node, name: str) -> NamedBitmap:
    """The node's bitmap of that name; raises ``QmpError``."""
    wanted = name.encode("utf-8", "surrogateescape")
    for bitmap in named_bitmaps(node):
        if bitmap.name == wanted:
            return bitmap
    raise QmpError(wording.bitmap_not_found(name))


def check_usable(bitmap: NamedBitmap) -> None:
    """Raise ``QmpError`` if somebody else uses the bitmap, or it means nothing."""
    if bitmap.busy:
        raise QmpError(wording.bitmap_busy(bitmap.text()))
    if bitmap.inconsistent:
        raise QmpError(wording.bitmap_inconsistent(bitmap.text()), wording.BITMAP_REMOVE_HINT)


def _check_writable(node: Node, bitmap: NamedBitmap) -> None:
    if bitmap.persistent and node.flags.read_only:
        raise QmpError(wording.bitmap_read_only(bitmap.text()))


def _default_granularity(node: Node) -> int:
    info: dict[str, Any] = {}
    node.driver.describe(info)
    cluster = int(info.get("cluster-size", 0))
    return min(max(cluster, _SMALLEST_CLUSTER), _DEFAULT) if cluster else _DEFAULT


class BitmapAction(Action):
    """An action on one node's bitmaps. Each is as its command, and can be taken back."""

    def __init__(self, graph: Graph, data: dict[str, Any]) -> None:
        self.graph = graph
        self.data = data
        self.undo: Callable[[], None] | None = None

    def abort(self) -> None:
        """Take it back, if it has been done."""
        if self.undo is not None:
            self.undo()


class Add(BitmapAction):
    """``block-dirty-bitmap-add``."""

    alone = "block-dirty-bitmap-add"

    def prepare(self) -> None:
        """Make the bitmap.

        Raises:
            QmpError: there is no such node, the name is taken or none, the image has no place.
        """
        data = self.data
        name: str = data["name"]
        if not name:
            raise QmpError(wording.BITMAP_NAME_EMPTY)
        node = self.graph.lookup(data["node"], data["node"])
        granularity = data.get("granularity")
        if granularity is None:
            granularity = _default_granularity(node)
        elif granularity < _LOWEST or granularity & (granularity - 1):
            raise QmpError(wording.BITMAP_GRANULARITY)
        bits = granularity.bit_length() - 1
        raw_name = name.encode("utf-8", "surrogateescape")
        persistent = bool(data.get("persistent"))
        if any(bitmap.name == raw_name for bitmap in named_bitmaps(node)):
            raise QmpError(wording.bitmap_exists(name))
        if persistent:
            node.driver.check_persistent(raw_name, bits)
        if len(raw_name) > _LONGEST_NAME:
            raise QmpError(wording.bitmap_name_too_long(name))
        bitmap = node.driver.add_bitmap(
            raw_name, bits, enabled=not data.get("disabled"), persistent=persistent
        )
        self.graph.generation += 1
        self.undo = lambda: node.driver.forget_bitmap(bitmap)


class _Change(BitmapAction):
    """An action on a bitmap that is there."""

    def prepare(self) -> None:
        """Do it, and note how to take it back.

        Raises:
            QmpError: there is no such bitmap, or it must not be changed.
        """
        self.graph.generation += 1
        node = find_node(self.graph, self.data["node"])
        bitmap = find_bitmap(node, self.data["name"])
        check_usable(bitmap)
        self.change(node, bitmap)

    def change(self, node: Node, bitmap: NamedBitmap) -> None:
        """Do it to this bitmap."""
        raise NotImplementedError


class Clear(_Change):
    """``block-dirty-bitmap-clear``."""

    alone = "block-dirty-bitmap-clear"

    def change(self, node: Node, bitmap: NamedBitmap) -> None:
        """Count nothing as dirty."""
        _check_writable(node, bitmap)
        old = bitmap.pages
        bitmap.restore({})
        self.undo = lambda: bitmap.restore(old)


class Enable(_Change):
    """``block-dirty-bitmap-enable``."""

    alone = "block-dirty-bitmap-enable"
    on = True

    def change(self, node: Node, bitmap: NamedBitmap) -> None:
        """Let it record writes, or not."""
        del node
        old = bitmap.enabled
        bitmap.enabled = self.on
        self.undo = lambda: setattr(bitmap, "enabled", old)


class Disable(Enable):
    """``block-dirty-bitmap-disable``."""

    alone = "block-dirty-bitmap-disable"
    on = False


class Remove(BitmapAction):
    """``block-dirty-bitmap-remove``: out of the file at once, out of memory when all is well."""

    alone = "block-dirty-bitmap-remove"
    _found: tuple[Node, NamedBitmap] | None = None

    def prepare(self) -> None:
        """Take it out of the image.

        Raises:
            QmpError: there is no such bitmap, or it must not be removed.
        """
        node = find_node(self.graph, self.data["node"])
        bitmap = find_bitmap(node, self.data["name"])
        if bitmap.busy:
            raise QmpError(wording.bitmap_busy(bitmap.text()))
        _check_writable(node, bitmap)
        self.graph.generation += 1
        try:
            node.driver.unstore_bitmap(bitmap)
        except OSError as error:
            raise QmpError(wording.cannot_remove_bitmap(bitmap.text(), strerror(error))) from error
        self._found = node, bitmap
        bitmap.busy = True

    def commit(self) -> None:
        """Forget it."""
        if self._found is not None:
            node, bitmap = self._found
            node.driver.forget_bitmap(bitmap)

    def abort(self) -> None:
        """Keep it; it is stored with the others."""
        if self._found is not None:
            self._found[1].busy = False


class Merge(BitmapAction):
    """``block-dirty-bitmap-merge``."""

    alone = "block-dirty-bitmap-merge"

    def prepare(self) -> None:
        """Take in what others have recorded; nothing is merged before all of them are found.

        Raises:
            QmpError: there is none of that name, or one must not be used.
        """
        node = find_node(self.graph, self.data["node"])
        target = find_bitmap(node, self.data["target"])
        size = node.driver.length()
        sources = [self._source(node, given, target, size) for given in self.data["bitmaps"]]
        old = target.copy()
        for source in sources:
            target.merge(source, size)
        self.graph.generation += 1
        self.undo = lambda: target.restore(old)

    def _source(
        self, node: Node, given: str | dict[str, Any], target: NamedBitmap, size: int
    ) -> NamedBitmap:
        if isinstance(given, dict):
            other = find_node(self.graph, given["node"])
            bitmap = find_bitmap(other, given["name"])
        else:
            other, bitmap = node, find_bitmap(node, given)
        check_usable(target)
        _check_writable(node, target)
        check_usable(bitmap)
        if other.driver.length() != size:
            raise QmpError(wording.bitmap_sizes(size, other.driver.length()))
        return bitmap


ACTIONS: dict[str, type[BitmapAction]] = {
    action.alone: action for action in (Add, Clear, Enable, Disable, Remove, Merge)
}


def _now(action: Action) -> None:
    action.prepare()
    action.commit()


def block_dirty_bitmap_add(machine: Machine, arguments: dict[str, Any]) -> None:
    """Record what is written to a node from now on.

    Raises:
        QmpError: nothing has changed then.
    """
    _now(Add(machine.graph, arguments))


def block_dirty_bitmap_remove(machine: Machine, arguments: dict[str, Any]) -> None:
    """Forget a bitmap, in the image too.

    Raises:
        QmpError: nothing has changed then.
    """
    _now(Remove(machine.graph, arguments))


def block_dirty_bitmap_clear(machine: Machine, arguments: dict[str, Any]) -> None:
    """Count nothing as dirty.

    Raises:
        QmpError: nothing has changed then.
    """
    _now(Clear(machine.graph, arguments))


def block_dirty_bitmap_enable(machine: Machine, arguments: dict[str, Any]) -> None:
    """Let a bitmap record writes.

    Raises:
        QmpError: nothing has changed then.
    """
    _now(Enable(machine.graph, arguments))


def block_dirty_bitmap_disable(machine: Machine, arguments: dict[str, Any]) -> None:
    """Let a bitmap stay as it is.

    Raises:
        QmpError: nothing has changed then.
    """
    _now(Disable(machine.graph, arguments))


def block_dirty_bitmap_merge(machine: Machine, arguments: dict[str, Any]) -> None:
    """Take in what other bitmaps have recorded.

    Raises:
        QmpError: nothing has changed then.
    """
    _now(Merge(machine.graph, arguments))


def block_dirty_bitmap_sha256(machine: Machine, node: str, name: str) -> dict[str, Any]:
    """Return a checksum of a bitmap's bits.

    Raises:
        QmpError: there is no such bitmap.
    """
    found = find_node(machine.graph, node)
    return {"sha256": find_bitmap(found, name).sha256(found.driver.length())}
