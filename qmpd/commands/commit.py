"""``block-commit``: which kind it is, between which nodes, and what is wrong with that."""

from __future__ import annotations

from qmpd.block import permissions as p
from qmpd.block.chain import chain, contains, find_overlay, next_in_chain, skip_filters
from qmpd.block.filename import Names, find_by_filename
from qmpd.block.node import Node, User
from qmpd.errors import DeviceNotFound, QmpError
from qmpd.jobs import wording
from qmpd.jobs.active_commit import ActiveCommitJob
from qmpd.jobs.blockjob import check_no_blocker
from qmpd.jobs.commit import CommitJob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.machine import Machine


def block_commit(
    machine: Machine,
    *,
    device: str,
    job_id: str | None = None,
    base_node: str | None = None,
    base: str | None = None,
    top_node: str | None = None,
    top: str | None = None,
    backing_file: str | None = None,
    speed: int = 0,
    on_error: str = "report",
    filter_node_name: str | None = None,
    auto_finalize: bool = True,
    auto_dismiss: bool = True,
) -> None:
    """Start committing everything between ``top`` and ``base`` into ``base``.

    Raises:
        DeviceNotFound: no such drive or node; clients rely on this being checked first.
        QmpError: any other argument error, in QEMU's order, or the start failed.
    """
    root = _device(machine, device)
    check_no_blocker(root, "commit-source")
    top_found = _find_top(machine, root, top_node, top)
    base_found = _find_base(machine, top_found, base_node, base)
    for node in chain(top_found):
        if node is next_in_chain(base_found):
            break
        check_no_blocker(node, "commit-target")
    if top_found is base_found:
        raise QmpError(wording.INTO_ITSELF)
    common: dict[str, Any] = {
        "speed": speed,
        "on_error": on_error,
        "filter_name": filter_node_name,
        "auto_finalize": auto_finalize,
        "auto_dismiss": auto_dismiss,
    }
    name = job_id if job_id is not None else root.drive_name
    written, _ = top_found.cumulative()
    is_root = skip_filters(top_found) is skip_filters(root)
    if written & p.WRITE or is_root:
        if backing_file is not None:
            say = wording.BACKING_FILE_WITH_ACTIVE
            raise QmpError(say if is_root else wording.BACKING_FILE_WITH_WRITER)
        ActiveCommitJob(
            machine.jobs,
            machine.graph,
            name,
            source=top_found,
            target=base_found,
            base=base_found,
            **common,
        ).begin()
        return
    overlay = find_overlay(root, top_found)
    if overlay is not None:
        check_no_blocker(overlay, "commit-target")
    CommitJob(
        machine.jobs,
        machine.graph,
        name,
        device=root,
        top=top_found,
        base=base_found,
        backing_file=backing_file,
        **common,
    ).begin()


def _device(machine: Machine, name: str) -> Node:
    user = machine.graph.drives.get(name)
    node = machine.graph.nodes.get(name) if user is None else user.node
    if node is None:
        raise DeviceNotFound(wording.device_not_found(name))
    if not all(isinstance(edge.parent, User) for edge in node.parents):
        raise QmpError(wording.NEED_ROOT_NODE)
    return node


def _find_top(machine: Machine, root: Node, top_node: str | None, top: str | None) -> Node:
    if top_node is not None:
        if top is not None:
            raise QmpError(wording.TOP_BOTH)
        found = machine.graph.lookup(None, top_node)
        if not contains(root, found):
            raise QmpError(wording.not_in_chain(top_node))
        return found
    if top is None:
        return root
    if Names().of(root).text == top:
        return root
    found_by_name = find_by_filename(root, top)
    if found_by_name is None:
        raise QmpError(wording.top_file_not_found(top))
    return found_by_name


def _find_base(machine: Machine, top: Node, base_node: str | None, base: str | None) -> Node:
    if base_node is not None:
        if base is not None:
            raise QmpError(wording.BASE_BOTH)
        found = machine.graph.lookup(None, base_node)
        if not contains(top, found):
            raise QmpError(wording.not_in_chain(base_node))
        return found
    if base is not None:
        found_by_name = find_by_filename(top, base)
        if found_by_name is None:
            raise QmpError(wording.base_file_not_found(base))
        return found_by_name
    *_, bottom = chain(top)
    return bottom
