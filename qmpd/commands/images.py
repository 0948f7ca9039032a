"""How an image is opened that stands in for a node: as that one is, without a backing file."""

from __future__ import annotations

from qmpd.block.driver import driver_class
from qmpd.block.implied import definition_of
from qmpd.block.opening import Partial
from qmpd.block.untyped import Untyped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.node import Node

_ON_OFF = ("off", "on")


def definition_like(
    node: Node, filename: str, image_format: str, name: str | None, *, read_only: bool
) -> dict[str, Any]:
    """The definition of an image with the flags that ``node`` has.

    Raises:
        QmpError: the name makes no sense, or says what no driver takes.
    """
    kind = driver_class(image_format)
    flags = node.flags
    own: dict[str, Any] = {
        "read-only": _ON_OFF[read_only],
        "auto-read-only": _ON_OFF[flags.auto_read_only],
        "cache": {"direct": _ON_OFF[flags.direct], "no-flush": _ON_OFF[flags.no_flush]},
        "discard": "unmap" if flags.unmap else "ignore",
    }
    asked = {"driver": image_format} | ({} if name is None else {"node-name": name})
    if filename.startswith("json:"):
        # What the name says counts more than flags, and is of the types that JSON has.
        definition: dict[str, Any] = Untyped({**own, **definition_of(filename), **asked})
    else:
        found = kind.parse_filename(filename) if kind.is_protocol else definition_of(filename)
        definition = Partial({**own, **asked}).complete(found)
    if kind.supports_backing:
        definition["backing"] = None  # it gets one later, whatever its header says
    return definition
