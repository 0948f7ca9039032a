"""``blockdev-mirror`` and ``drive-mirror``: which node is copied into which, and what is wrong with that."""

from __future__ import annotations

from qmpd.block.chain import next_in_chain, skip_filters, skip_implicit
from qmpd.block.creation import create_image
from qmpd.block.implied import definition_of, with_driver
from qmpd.block.node import User
from qmpd.block.opening import open_node
from qmpd.block.wording import failed_to_find_node
from qmpd.commands.images import definition_like
from qmpd.errors import QmpError
from qmpd.jobs import wording
from qmpd.jobs.blockjob import check_no_blocker
from qmpd.jobs.mirror import can_replace
from qmpd.jobs.mirror_job import KEEP, OPEN, SHARE, MirrorJob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.node import Node
    from qmpd.machine import Machine

_SMALLEST, _BIGGEST = 512, 64 << 20


def blockdev_mirror(machine: Machine, arguments: dict[str, Any]) -> None:
    """Start copying a node into another one, which may take its place at the end.

    Raises:
        QmpError: any argument error, in QEMU's order, or the start failed.
    """
    source = _find_root(machine, arguments["device"])
    target = machine.graph.lookup(arguments["target"], arguments["target"])
    full = arguments["sync"] == "full"
    _start(machine, source, target, arguments, zero_target=full)


def drive_mirror(machine: Machine, arguments: dict[str, Any]) -> None:
    """Make or open an image, and start copying a node into it.

    Raises:
        QmpError: any argument error, in QEMU's order, or the start failed; an image stays.
    """
    graph = machine.graph
    source = _find_root(machine, arguments["device"])
    check_no_blocker(source, "mirror-source")
    below = skip_filters(source).backing
    sync = arguments["sync"]
    if sync == "top" and below is None:
        sync = "full"
    if sync == "none":
        below = source
    if "replaces" in arguments and "node-name" not in arguments:
        raise QmpError(wording.REPLACES_WITHOUT_NAME)
    exists = arguments.get("mode") == "existing"
    given = dict(arguments, sync=sync)
    if not exists:
        given.setdefault("format", source.driver.name)
        backing = None if sync == "full" or below is None else skip_implicit(below)
        size = source.driver.length()
        create_image(graph, arguments["target"], given["format"], size, backing)
    name, image_format = arguments["target"], given.get("format")
    if image_format is None:
        image_format = with_driver(graph, definition_of(name))["driver"]
    target = open_node(
        graph,
        definition_like(source, name, image_format, arguments.get("node-name"), read_only=False),
    )
    target.references += 1
    try:
        way = OPEN if exists else SHARE
        _start(machine, source, target, given, zero_target=exists and sync == "full", backing=way)
    finally:
        target.references -= 1
        graph.collect([target])


def _find_root(machine: Machine, name: str) -> Node:
    """The node, or a drive's, that only devices and the like use.

    Raises:
        QmpError: there is none, or another node or a job uses it.
    """
    node = machine.graph.lookup(name, name)
    if not all(isinstance(edge.parent, User) for edge in node.parents):
        raise QmpError(wording.NEED_ROOT_NODE)
    return node


def _start(
    machine: Machine,
    source: Node,
    target: Node,
    arguments: dict[str, Any],
    *,
    zero_target: bool,
    backing: str = KEEP,
) -> None:
    """Check what all mirrors have in common, and start one.

    Raises:
        QmpError: nothing has changed then.
    """
    granularity = arguments.get("granularity", 0)
    if granularity and not _SMALLEST <= granularity <= _BIGGEST:
        raise QmpError(wording.GRANULARITY_RANGE)
    if granularity & (granularity - 1):
        raise QmpError(wording.GRANULARITY_POWER)
    check_no_blocker(source, "mirror-source")
    check_no_blocker(target, "mirror-target")
    replaces = _find_replaced(machine, source, arguments.get("replaces"))
    sync = arguments["sync"]
    if sync not in ("full", "top", "none"):
        raise QmpError(wording.sync_not_supported(sync))
    below = next_in_chain(skip_filters(source)) if sync == "top" else None
    MirrorJob(
        machine.jobs,
        machine.graph,
        arguments.get("job-id", source.drive_name),
        source=source,
        target=target,
        base=None if below is None else skip_filters(below),
        only_new=sync == "none",
        zero_target=zero_target,
        backing=backing,
        granularity=granularity,
        buffer=arguments.get("buf-size", 0),
        unmap=arguments.get("unmap", True),
        writes_both=arguments.get("copy-mode") == "write-blocking",
        replaces=replaces,
        filter_name=arguments.get("filter-node-name"),
        on_error=arguments.get("on-source-error", "report"),
        on_target_error=arguments.get("on-target-error", "report"),
        speed=arguments.get("speed", 0),
        auto_finalize=arguments.get("auto-finalize", True),
        auto_dismiss=arguments.get("auto-dismiss", True),
    ).begin()


def _find_replaced(machine: Machine, source: Node, name: str | None) -> str | None:
    """Check the node whose place the target is to take; implicit filters stay above it.

    Raises:
        QmpError: it is of no use.
    """
    if name is None:
        explicit = skip_implicit(source)
        name = None if explicit is source else explicit.name
    if name is None:
        return None
    node = machine.graph.nodes.get(name)
    if node is None:
        raise QmpError(failed_to_find_node(name))
    check_no_blocker(node, "replace")
    if not can_replace(source, node):
        raise QmpError(wording.cannot_replace(name, source.name))
    return name
