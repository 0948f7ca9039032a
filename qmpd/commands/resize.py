"""``block_resize``: another size for a node, whoever uses it."""

from __future__ import annotations

from qmpd.block import permissions as p
from qmpd.block.bitmap import cut_bitmaps
from qmpd.block.node import User
from qmpd.block.transaction import Transaction
from qmpd.commands import wording
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.block.node import Node
    from qmpd.machine import Machine

_MAXIMUM = (1 << 63) - (1 << 30)


def block_resize(
    machine: Machine, size: int, device: str | None = None, node_name: str | None = None
) -> None:
    """Let a node have ``size`` bytes.

    Raises:
        QmpError: somebody needs its size as it is, or it cannot be changed.
    """
    graph = machine.graph
    node = graph.lookup(device, node_name)
    if size < 0:
        raise QmpError(wording.SIZE_NOT_POSITIVE)
    if node.blocked("resize") is not None:
        raise QmpError(wording.device_in_use(device))
    user = User()
    with Transaction() as tx:
        graph.add_user(tx, user, node, p.RESIZE, p.ALL)
    try:
        graph.drain(node)
        _resize(node, size)
    finally:
        graph.generation += 1
        graph.users.pop(user, None)
        graph.detach_loosely(*user.children.values())


def _resize(node: Node, size: int) -> None:
    if size > _MAXIMUM:
        raise QmpError(wording.size_beyond_maximum(size, _MAXIMUM))
    if node.flags.read_only:
        raise QmpError(wording.IMAGE_READ_ONLY)
    try:
        node.driver.truncate(size)
    except OSError as error:
        raise QmpError(str(error.strerror)) from error
    here: Node | None = node
    while here is not None:
        cut_bitmaps(here, size)
        here = here.filtered
