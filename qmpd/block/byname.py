"""Opening what a file name stands for, as media are: nothing but the name need be known."""

from __future__ import annotations

from sys import stderr

from qmpd.block.driver import driver_class
from qmpd.block.implied import definition_of, with_driver
from qmpd.block.opening import open_node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.graph import Graph
    from qmpd.block.node import Node
    from qmpd.block.options import Flags

_GUESSED = """\
WARNING: Image format was not specified for '{}' and probing guessed raw.
         Automatically detecting the format is dangerous for raw images, write operations on \
block 0 will be restricted.
         Specify the 'raw' format explicitly to remove the restrictions.
"""
_ON_OFF = ("off", "on")


def open_image(graph: Graph, filename: str, driver: str | None, flags: Flags) -> Node:
    """Open a file with the flags given, unless its name says something else.

    Args:
        graph: where the nodes go.
        filename: a name, also one with a protocol, or ``json:``.
        driver: the format; guessed when absent.
        flags: what options amount to.

    Raises:
        QmpError: with nothing left behind.
    """
    definition = _definition(filename, driver, flags)
    guessed = "driver" not in definition
    node = open_node(graph, with_driver(graph, definition))
    if guessed and node.driver.name == "raw" and not node.flags.read_only:
        warn_of_guess(definition["file"])
    return node


def _definition(filename: str, driver: str | None, flags: Flags) -> dict[str, Any]:
    options = definition_of(filename) if filename.startswith("json:") else None
    kind = None if driver is None else driver_class(driver)
    if options is not None:
        found = options
    elif kind is not None and kind.is_protocol:
        found = kind.parse_filename(filename)
    else:
        found = definition_of(filename)
    given = {"direct": _ON_OFF[flags.direct], "no-flush": _ON_OFF[flags.no_flush]}
    cache = found.get("cache", {})
    own = {
        "read-only": _ON_OFF[flags.read_only],
        "auto-read-only": "off",
        "discard": "unmap" if flags.unmap else "ignore",
        **found,
        "cache": {**given, **cache} if isinstance(cache, dict) else cache,
        "detect-zeroes": flags.detect_zeroes,
    }
    if driver is not None:
        own["driver"] = driver
    return own


def warn_of_guess(file: dict[str, Any] | str) -> None:
    """Tell standard error that a file was taken for a raw image because it is no other."""
    if not isinstance(file, str):
        file = str(file.get("filename") or f"{file['driver']}://")
    stderr.write(_GUESSED.format(file))
