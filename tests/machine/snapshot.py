"""Everything that a failing command must leave as it was, and what must always hold."""

from __future__ import annotations

import hashlib
import os

from qmpd.block import permissions as p
from qmpd.block.drivers.file import FileDriver
from qmpd.block.node import Node
from qmpd.storage import locks

_PROC = "/proc/self/fd"


def descriptors():
    """Open descriptors of this process by number: (target, access mode and flags)."""
    found = {}
    for number in os.listdir(_PROC):
        try:
            target = os.readlink(f"{_PROC}/{number}")
            with open(f"/proc/self/fdinfo/{number}") as file:
                info = dict(line.split(":", 1) for line in file if line.startswith("flags"))
        except FileNotFoundError:
            continue  # the descriptor of the listing itself
        if not target.startswith("/proc/"):
            found[int(number)] = (target, int(info["flags"], 8))
    return found


def held_locks(fd):
    """The bytes that are locked through one descriptor: (kind, byte)."""
    held = set()
    with open(f"/proc/self/fdinfo/{fd}") as file:
        for line in file:
            if line.startswith("lock:"):
                words = line.split()
                start, end = int(words[-2]), int(words[-1])
                held.update((words[4], byte) for byte in range(start, end + 1))
    return sorted(held)


def _flags(flags):
    return {name: getattr(flags, name) for name in flags.__slots__}


def _edge(edge):
    return (
        edge.parent.kind,
        edge.parent.label,
        edge.name,
        edge.child.name,
        edge.role,
        p.schema_names(edge.perm),
        p.schema_names(edge.shared),
        edge.frozen,
    )


def _node(node):
    return {
        "driver": node.driver.name,
        "options": dict(node.options.effective),
        "flags": _flags(node.flags),
        "implicit": node.implicit,
        "inherits": node.inherits_from.name if node.inherits_from is not None else None,
        "owned": node.monitor_owned,
        "references": node.references,
        "blockers": [blocker.reason for blocker in node.blockers],
        "children": sorted((key, _edge(edge)) for key, edge in node.children.items()),
        "parents": [_edge(edge) for edge in node.parents],
        "backing": (node.driver.backing_file, node.driver.auto_backing_file),
        "size": node.driver.length(),
    }


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def snapshot(machine):
    """The whole of a machine: graph, jobs, descriptors, locks, and the images' bytes."""
    fds = descriptors()
    images = getattr(machine.storage, "_images", {})
    return {
        "nodes": {name: _node(node) for name, node in machine.graph.nodes.items()},
        "users": [
            (user.label, [_edge(edge) for edge in user.children.values()])
            for user in machine.graph.users
        ],
        "jobs": {
            name: (job.status, job.current, job.total, job.rate.speed, job.pause_count)
            for name, job in machine.jobs.jobs.items()
        },
        "descriptors": sorted((*fds[fd], held_locks(fd)) for fd in fds),
        "images": {path: _digest(f"{_PROC}/{fd}") for path, fd in images.items()},
    }


def check(machine):
    """What holds between any two commands."""
    graph = machine.graph
    parents = [*graph.nodes.values(), *graph.users, *machine.jobs.jobs.values()]
    for parent in parents:
        for edge in parent.children.values():
            assert edge.parent is parent
            assert graph.nodes.get(edge.child.name) is edge.child
            assert sum(other is edge for other in edge.child.parents) == 1
    fds = descriptors()
    for node in graph.nodes.values():
        assert node.driver.node is node
        for edge in node.parents:
            assert sum(other is edge for other in edge.parent.children.values()) == 1
        _check_permissions(node)
        if isinstance(node.driver, FileDriver):
            _check_file(node, fds)


def _check_permissions(node):
    perm, shared = node.cumulative()
    for needer in node.parents:
        for denier in node.parents:
            assert needer is denier or not needer.perm & ~denier.shared
    assert not (node.flags.read_only and perm & (p.WRITE | p.WRITE_UNCHANGED))
    for edge in node.children.values():
        wanted = [node.driver.edge_permissions(edge, perm, shared, node.flags)]
        if node.driver.name == "raw":
            # A window that a reopen adds or removes counts from the next refresh on
            # (observed on QEMU 7.2).
            wanted = [(perm, shared), (perm, shared & ~p.RESIZE)]
        if edge.child.flags.force_share:
            wanted = [(needed, p.ALL) for needed, _ in wanted]
        assert (edge.perm, edge.shared) in wanted, _edge(edge)
        if edge.role & p.ROLE_COW and isinstance(edge.parent, Node):
            reasons = [blocker.reason for blocker in edge.child.blockers]
            assert f"node is used as backing hd of '{edge.parent.name}'" in reasons


def _check_file(node, fds):
    """The descriptor is open as the rule of auto-read-only has it, and locked as needed.

    One whose mode a reopen has forgotten may stay open for writing, as in the original.
    """
    driver, flags = node.driver, node.flags
    perm, shared = node.cumulative()
    writable = bool(perm & p.WRITING) if flags.auto_read_only else not flags.read_only
    mode = fds[driver.fd][1] & os.O_ACCMODE
    forgotten = mode == os.O_RDWR and driver in driver.graph.unsure
    assert forgotten or mode == (os.O_RDWR if writable else os.O_RDONLY), node.name
    wanted = locks.byte_set(perm, ~shared) if driver._locking else 0
    bytes_ = [(100 + bit if bit < 4 else 196 + bit) for bit in range(8) if wanted >> bit & 1]
    assert held_locks(driver.fd) == [("READ", byte) for byte in bytes_], node.name
