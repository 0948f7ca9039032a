"""``block-stream``: into which node, from which layers, and what is wrong with that."""

from __future__ import annotations

from qmpd.block.chain import chain, contains, find_overlay, next_in_chain
from qmpd.block.filename import find_by_filename
from qmpd.errors import QmpError
from qmpd.jobs import wording
from qmpd.jobs.blockjob import check_no_blocker
from qmpd.jobs.stream import StreamJob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.block.node import Node
    from qmpd.machine import Machine


def block_stream(
    machine: Machine,
    *,
    device: str,
    job_id: str | None = None,
    base: str | None = None,
    base_node: str | None = None,
    backing_file: str | None = None,
    bottom: str | None = None,
    speed: int = 0,
    on_error: str = "report",
    filter_node_name: str | None = None,
    auto_finalize: bool = True,
    auto_dismiss: bool = True,
) -> None:
    """Start copying everything above ``base``, or down to ``bottom``, into ``device``.

    Raises:
        QmpError: any argument error, in QEMU's order, or the start failed.
    """
    given = (("base", base, "base-node", base_node), ("base", base, "bottom", bottom))
    for one, first, other, second in (*given, ("bottom", bottom, "base-node", base_node)):
        if first is not None and second is not None:
            raise QmpError(wording.both_given(one, other))
    target = machine.graph.lookup(device, device)
    below = _find_base(machine, target, base, base_node)
    last = _find_bottom(machine, target, bottom)
    for node in chain(target):
        if node is below or (last is not None and node is next_in_chain(last)):
            break
        check_no_blocker(node, "stream")
    if last is None:
        *_, last = _above(target, below)
    if backing_file is not None and below is None:
        raise QmpError(wording.BACKING_FILE_WITHOUT_BASE)
    if below is not None and find_overlay(target, below) is None:  # only filters are between
        raise QmpError(wording.not_in_backing_chain(below.name, target.name))
    StreamJob(
        machine.jobs,
        machine.graph,
        job_id if job_id is not None else target.drive_name,
        device=target,
        above_base=last,
        backing_file=backing_file,
        filter_name=filter_node_name,
        speed=speed,
        on_error=on_error,
        auto_finalize=auto_finalize,
        auto_dismiss=auto_dismiss,
    ).begin()


def _find_base(
    machine: Machine, target: Node, base: str | None, base_node: str | None
) -> Node | None:
    if base is not None:
        found = find_by_filename(target, base)
        if found is None:
            raise QmpError(wording.base_file_not_found(base))
        return found
    if base_node is None:
        return None
    node = machine.graph.lookup(None, base_node)
    if node is target or not contains(target, node):
        raise QmpError(wording.not_below(base_node, target.name))
    return node


def _find_bottom(machine: Machine, target: Node, bottom: str | None) -> Node | None:
    if bottom is None:
        return None
    node = machine.graph.lookup(None, bottom)
    if node.driver.is_filter:
        raise QmpError(wording.filter_as_bottom(bottom))
    if not contains(target, node):
        raise QmpError(wording.not_in_chain_from(bottom, target.name))
    return node


def _above(target: Node, base: Node | None) -> list[Node]:
    found = []
    for node in chain(target):
        if node is base:
            break
        found.append(node)
    return found
