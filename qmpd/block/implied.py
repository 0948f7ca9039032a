"""What an image's header, or a file name, says of the node to open."""

from __future__ import annotations

import os

from qmpd.block import wording
from qmpd.block.driver import driver_class, strerror
from qmpd.block.filename import Names, combine, protocol_options
from qmpd.block.untyped import Texts, Untyped, flat_options
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.graph import Graph
    from qmpd.block.node import Node


MAGIC = b"QFI\xfb"


def implied_backing(node: Node) -> Untyped | None:
    """The definition that an image's header implies for its backing file.

    Raises:
        QmpError: a ``json:`` name that does not parse, or a driver that cannot be found out.
    """
    text = node.driver.backing_file
    if not text:
        return None
    name = combine(Names().place(node), text)
    driver = node.driver.backing_format
    if driver and not name.startswith("json:"):
        kind = driver_class(driver)
        if kind.is_protocol:
            return Untyped({"driver": driver, **kind.parse_filename(name)})
    definition = definition_of(name)
    if driver:
        definition["driver"] = driver
    return with_driver(node.driver.graph, definition)


def with_driver(graph: Graph, definition: dict[str, Any]) -> Untyped:
    """Look into the file for the format where nobody says it.

    Raises:
        QmpError: there is no file either, or it cannot be read.
    """
    if not isinstance(definition.get("driver"), str):
        definition.pop("driver", None)
        file = definition.get("file")
        if not isinstance(file, str) and not (isinstance(file, (dict, list)) and file):
            raise QmpError(wording.NO_DRIVER_NOR_FILE)
        # The file would inherit these, so they are complained of before it is looked at.
        Texts("raw", flat_options(definition, frozenset(("file",)))).get("read-only")
        definition["driver"] = probe(graph, definition)
    return Untyped(definition)


def definition_of(name: str) -> dict[str, Any]:
    """The definition that a file name stands for; the format is still open."""
    if name.startswith("json:"):
        from qmpd.protocol.parser import parse_string

        try:
            value = parse_string(name[5:])
        except QmpError as error:
            raise QmpError(wording.bad_json_name(error.desc)) from None
        if not isinstance(value, dict):
            raise QmpError("Invalid JSON object given")
        return nest(value)
    return {"file": protocol_options(name)}


def nest(flat: dict[str, Any]) -> dict[str, Any]:
    """Undo dotted keys, which ``json:`` names may use.

    What lies below a key that has a value of its own keeps its dots.
    """
    joined = _joined(flat)
    nested: dict[str, Any] = {}
    for key, value in joined.items():
        path = key.split(".")
        place = nested
        for depth in range(1, len(path)):
            if joined.get(".".join(path[:depth]), {}) != {}:
                path[depth - 1 :] = [".".join(path[depth - 1 :])]
                break
            place = place.setdefault(path[depth - 1], {})
        if value != {} or path[-1] not in place:
            place[path[-1]] = value
    return nested


def _joined(nested: dict[str, Any]) -> dict[str, Any]:
    """All keys in one level; a value in an object counts more than one under a dotted key."""
    joined = {key: value for key, value in nested.items() if not value or type(value) is not dict}
    for key, value in nested.items():
        if key not in joined:
            joined |= {f"{key}.{inner}": item for inner, item in _joined(value).items()}
    return joined


def probe(graph: Graph, definition: dict[str, Any]) -> str:
    """Guess the format of a file by its magic, as QEMU does for images without one.

    Raises:
        QmpError: the file cannot be read.
    """
    file = definition.get("file")
    if isinstance(file, str) and file in graph.nodes:
        return "qcow2" if graph.nodes[file].driver.pread(0, len(MAGIC)) == MAGIC else "raw"
    if not isinstance(file, dict):
        return "raw"
    if not isinstance(file.get("driver"), str) and not isinstance(file.get("filename"), str):
        raise QmpError(wording.NO_DRIVER_NOR_FILE)
    path = file.get("filename")
    plain = file.keys() == {"driver", "filename"} and file["driver"] == "file"
    if not plain or not isinstance(path, str) or not path:
        return _probe_node(graph, file)
    try:
        fd = graph.storage.open(path, os.O_RDONLY)
    except OSError as error:
        graph.generate_name()  # the original has called the file's node something by now
        reason = os.strerror(error.errno or 0)
        raise QmpError(wording.could_not_open(path, reason)) from error
    try:
        return "qcow2" if os.pread(fd, len(MAGIC), 0) == MAGIC else "raw"
    except IsADirectoryError as error:
        graph.generate_name()
        raise QmpError(wording.not_regular("file", path)) from error
    except OSError as error:
        raise QmpError(wording.could_not_open(path, strerror(error))) from error
    finally:
        os.close(fd)


def _probe_node(graph: Graph, definition: dict[str, Any]) -> str:
    from qmpd.block.opening import open_node

    generated = graph.generated
    node = open_node(graph, Untyped({"driver": "file", **definition, "read-only": True}))
    graph.generated = generated  # the original keeps this node: it gets the same name once more
    try:
        return "qcow2" if node.driver.pread(0, len(MAGIC)) == MAGIC else "raw"
    finally:
        graph.collect([node])
