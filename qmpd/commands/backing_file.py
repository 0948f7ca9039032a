"""``change-backing-file``: another name in an image's header, while the graph stays as it is."""

from __future__ import annotations

from qmpd.block.chain import contains, next_in_chain
from qmpd.block.driver import strerror
from qmpd.block.node import Node, User
from qmpd.block.reopen import set_read_only
from qmpd.commands import wording
from qmpd.errors import QmpError
from qmpd.jobs.wording import NEED_ROOT_NODE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.machine import Machine


def change_backing_file(
    machine: Machine, *, device: str, image_node_name: str, backing_file: str
) -> None:
    """Write a backing file's name into the header of an image below ``device``.

    A read-only image is writable meanwhile. The format that the header gets is the image's
    own, whatever the backing file is (observed on QEMU 7.2).

    Raises:
        QmpError: the header is as it was.
    """
    graph = machine.graph
    root = graph.lookup(device, device)
    if not all(isinstance(edge.parent, User) for edge in root.parents):
        raise QmpError(NEED_ROOT_NODE)
    image = graph.lookup(None, image_node_name)
    if next_in_chain(image) is None:
        raise QmpError(wording.NO_BACKING_TO_CHANGE)
    if not contains(root, image):
        raise QmpError(wording.other_chain(device))
    was_read_only = image.flags.read_only
    if was_read_only:
        set_read_only(graph, image, read_only=False)
    try:
        _rewrite(image, backing_file)
    except QmpError:
        if was_read_only:
            _read_only_again(machine, image)
        raise
    if was_read_only:
        set_read_only(graph, image, read_only=True)


def _rewrite(image: Node, backing_file: str) -> None:
    try:
        image.driver.update_backing(backing_file, image.driver.name)
    except OSError as error:
        reason = strerror(error)
        raise QmpError(wording.could_not_change_backing(backing_file, reason)) from error


def _read_only_again(machine: Machine, image: Node) -> None:
    try:
        set_read_only(machine.graph, image, read_only=True)
    except QmpError:
        pass  # what is told is why the header could not be written
