"""Making the image of an overlay while the daemon runs (observed on QEMU 7.2)."""

from __future__ import annotations

import os
import sys

from qmpd.block import permissions as p
from qmpd.block import wording
from qmpd.block.driver import driver_names, strerror
from qmpd.block.drivers.qcow2.create import create
from qmpd.block.drivers.qcow2.wording import L1_GROWTH_TOO_LARGE
from qmpd.block.filename import Names, has_protocol, without_prefix
from qmpd.errors import QmpError
from qmpd.storage import locks
from qmpd.storage.fdfile import FdFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.block.graph import Graph
    from qmpd.block.node import Node

_WITHOUT_BACKING = frozenset(("file", "host_device", "raw"))
"""Formats that images can be made of, but none that have a backing file."""
_WITH_BACKING = frozenset(("qcow2",))


def create_overlay(graph: Graph, filename: str, image_format: str, node: Node) -> None:
    """Make an image as big as ``node`` with ``node`` as its backing file.

    Raises:
        QmpError: as for :func:`create_image`.
    """
    create_image(graph, filename, image_format, node.driver.length(), node)


def create_image(
    graph: Graph, filename: str, image_format: str, size: int, backing: Node | None = None
) -> None:
    """Make an image of ``size`` bytes, maybe with a backing file.

    A file that is there already is overwritten, and removed if that fails half-way.

    Raises:
        QmpError: the name or the format is of no use, or the image could not be written.
    """
    below = None if backing is None else Names().of(backing).text
    below_format = None if backing is None else backing.driver.name
    path = _check(filename, image_format, below)
    _announce(wording.formatting(filename, image_format, size, below, below_format))
    fd = _create_file(graph, path)
    try:
        if image_format in _WITH_BACKING:
            create(FdFile(fd), size, backing_file=below, backing_format=below_format)
        else:
            os.ftruncate(fd, size)
    except OSError as error:
        graph.storage.remove(path)
        raise QmpError(wording.could_not_create(path, strerror(error))) from error
    except QmpError as error:
        graph.storage.remove(path)
        if error.desc == L1_GROWTH_TOO_LARGE:
            raise QmpError(wording.too_large_for_format(image_format)) from error
        raise
    finally:
        os.close(fd)


def _announce(text: str) -> None:
    """Print what the original does, which is seen before the reply."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except OSError:
        pass  # nobody is there to read it


def _check(filename: str, image_format: str, backing_file: str | None) -> str:
    """Refuse what cannot be made, in the original's order; return the path.

    Raises:
        QmpError: the first thing that is wrong.
    """
    known = driver_names()
    if image_format not in known:
        raise QmpError(wording.unknown_format(image_format))
    protocol = filename.partition(":")[0] if has_protocol(filename) else "file"
    if protocol not in known:
        raise QmpError(wording.unknown_protocol(protocol))
    if image_format not in _WITHOUT_BACKING | _WITH_BACKING:
        raise QmpError(wording.format_cannot_create(image_format))
    if protocol != "file":
        raise QmpError(wording.protocol_cannot_create(protocol))
    if backing_file is not None and image_format not in _WITH_BACKING:
        raise QmpError(wording.format_without_backing(image_format))
    if filename == backing_file:
        raise QmpError(wording.OWN_BACKING_FILE)
    return without_prefix(filename)


def _create_file(graph: Graph, path: str) -> int:
    """Open a new or emptied file, and lock it against others who write it."""
    try:
        fd = graph.storage.open(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise QmpError(wording.could_not_create(path, strerror(error))) from error
    try:
        _lock(fd, path)
        os.ftruncate(fd, 0)
    except OSError as error:
        os.close(fd)
        raise QmpError(wording.could_not_create(path, strerror(error))) from error
    except QmpError:
        os.close(fd)
        raise
    return fd


def _lock(fd: int, path: str) -> None:
    used, unshared = p.WRITE | p.RESIZE, p.RESIZE
    try:
        locks.take(fd, locks.byte_set(used, unshared))
    except locks.LockError as error:
        raise QmpError(wording.lock_failed(error.byte)) from error
    found = locks.conflict(fd, used, unshared)
    if found is not None:
        kind, bit = found
        say = wording.lock_needed if kind == "used" else wording.lock_shared
        raise QmpError(say(p.names(1 << bit)), wording.who_uses(path))
