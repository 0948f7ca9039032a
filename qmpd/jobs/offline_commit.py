"""Committing a drive into its backing file at once, as the human monitor's ``commit`` does.

No job, no events: the graph stays as it is, and the image is empty afterwards (observed on
QEMU 7.2).
"""

from __future__ import annotations

import errno
import os

from qmpd.block import permissions as p
from qmpd.block import wording
from qmpd.block.drivers.filters import CommitTop, insert_filter, remove_filter
from qmpd.block.node import User
from qmpd.block.reopen import set_read_only
from qmpd.block.transaction import Transaction
from qmpd.errors import QmpError
from qmpd.jobs.blockjob import CHUNK, copy_step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.block.graph import Graph
    from qmpd.block.node import Node


def commit_node(graph: Graph, node: Node) -> tuple[str, int]:
    """Copy what ``node`` holds into its backing file, and empty it.

    Returns:
        what there is to say of an error besides its number, and the number, 0 for success.
    """
    base = node.backing
    if base is None:
        return "", errno.ENOTSUP
    if node.blocked("commit-source") or base.blocked("commit-target"):
        return "", errno.EBUSY
    if node.flags.read_only:
        return wording.READ_ONLY_NODE, errno.EPERM
    was_read_only = base.flags.read_only
    try:
        if was_read_only:
            set_read_only(graph, base, read_only=False)
    except QmpError:
        return "", errno.EACCES
    try:
        return _commit(graph, node, base)
    finally:
        if was_read_only:
            _seal(graph, base)


def _seal(graph: Graph, base: Node) -> None:
    try:
        set_read_only(graph, base, read_only=True)
    except QmpError:
        pass  # as with a job's base: it stays writable


def _commit(graph: Graph, node: Node, base: Node) -> tuple[str, int]:
    try:
        between = insert_filter(graph, CommitTop(graph), base, None, read_only=True)
    except QmpError as error:
        return error.desc, errno.EPERM
    user = User()
    try:
        with Transaction() as tx:
            graph.add_user(tx, user, base, p.WRITE | p.RESIZE, p.ALL)
        _copy(node, base)
    except QmpError as error:
        return error.desc, errno.EPERM
    except OSError as error:
        return "", error.errno or errno.EIO
    finally:
        graph.users.pop(user, None)
        graph.detach_loosely(*user.children.values())
        remove_filter(graph, between)
    return "", 0


def _copy(node: Node, base: Node) -> None:
    size = node.driver.length()
    if base.driver.length() < size:
        base.driver.truncate(size)
    offset = 0
    while offset < size:
        result = copy_step(node, base, offset, min(CHUNK, size - offset))
        if result.error:
            raise OSError(result.error, os.strerror(result.error))
        offset += result.size
    base.driver.flush()
    node.driver.make_empty()
    node.driver.flush()
    base.driver.note_written(0)
    node.driver.note_written(0)
