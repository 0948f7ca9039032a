"""File names of nodes: plain paths, and ``json:`` for what a path alone cannot recreate.

A node's name is the plain path if opening that path alone would build the same tree, else
``json:`` and the options that matter, in the wire's key order (observed on QEMU 7.2).
"""

from __future__ import annotations

from qmpd.block import wording
from qmpd.block.chain import next_in_chain, skip_filters
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.node import Node

MAX_NAME = 4095


class Name:
    """What a node is called, and the options that would recreate it."""

    __slots__ = ("exact", "options", "text")

    def __init__(self, text: str, exact: str, options: dict[str, Any]) -> None:
        self.text = text
        self.exact = exact
        self.options = options


def filename(node: Node) -> str:
    """The node's file name as queries show it and commit writes it into headers."""
    return Names().of(node).text


class Names:
    """File names of many nodes, each computed once."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[Node, Name] = {}

    def of(self, node: Node) -> Name:
        """The name of ``node``; children first, without recursion."""
        known = self._known
        work = [node]
        while work:
            here = work[-1]
            if here in known:
                work.pop()
                continue
            missing = [e.child for e in here.children.values() if e.child not in known]
            if missing:
                work.extend(missing)
                continue
            known[here] = self._name(here)
            work.pop()
        return known[node]

    def place(self, node: Node) -> str:
        """The name from which names in an image's header start: that of its file.

        Filters in between do not count (observed on QEMU 7.2).
        """
        file = node.child("file")
        return "" if file is None else self.of(skip_filters(file)).exact

    def backing_overridden(self, node: Node) -> bool:
        """Whether the backing child is another one than the image's header names."""
        automatic = node.driver.auto_backing_file
        backing = node.backing
        if backing is None or node.driver.is_filter:
            return bool(automatic)
        return bool(automatic != self.of(backing).text)

    def _name(self, node: Node) -> Name:
        driver = node.driver
        if node.implicit and node.children:
            return self._known[next(iter(node.children.values())).child]
        if driver.borrows_name:
            below = self._known[next(iter(node.children.values())).child]
            return Name(below.text, below.text, {"driver": driver.name, "backing": below.options})
        overridden = driver.supports_backing and self.backing_overridden(node)
        options: dict[str, Any] = {"driver": driver.name}
        strong = overridden
        for key in driver.named_options():
            if key in node.options.written:
                options[key] = node.options.written[key]
                strong = strong or key != "filename"
        for name, edge in node.children.items():
            if name != "backing" or overridden or driver.is_filter:
                options[name] = self._known[edge.child].options
        if overridden and node.backing is None:
            options["backing"] = None
        exact = self._exact(node, strong=strong)
        return Name(exact or _json_name(options), exact, options)

    def _exact(self, node: Node, *, strong: bool) -> str:
        driver = node.driver
        if driver.is_protocol:
            return driver.exact_filename()
        file = node.child("file")
        if file is None or not file.driver.is_protocol or driver.is_filter or strong:
            return ""
        return self._known[file].exact


def _json_name(options: dict[str, Any]) -> str:
    from qmpd.protocol.encoder import encode

    text = "json:" + encode(options).decode("ascii")
    return text if len(text) <= MAX_NAME else text[: MAX_NAME - 3] + "..."


def combine(base: str, name: str) -> str:
    """Resolve a name from an image's header against the image's own name."""
    if name.startswith("/") or has_protocol(name):
        return name
    directory = max(base.rfind("/"), base.find(":") if has_protocol(base) else -1)
    return base[: directory + 1] + name


def has_protocol(name: str) -> bool:
    """Whether a name begins with the name of a protocol and a colon."""
    head, colon, _ = name.partition(":")
    return bool(colon) and "/" not in head


def without_prefix(name: str) -> str:
    """The path that a name with or without ``file:`` means."""
    if not name.startswith("file:"):
        return name
    rest = name[5:]
    return f"./{rest}" if has_protocol(rest) else rest


def protocol_options(name: str) -> dict[str, Any]:
    """The protocol node that a name asks for: by default a file.

    Raises:
        QmpError: the name has a protocol that qmpd does not know.
    """
    if not has_protocol(name):
        return {"driver": "file", "filename": name}
    from qmpd.block.driver import driver_class, driver_names

    head = name.partition(":")[0]
    if head not in driver_names() or not driver_class(head).is_protocol:
        raise QmpError(wording.unknown_protocol(head))
    return {"driver": head, **driver_class(head).parse_filename(name)}


def find_by_filename(top: Node, wanted: str) -> Node | None:
    """The layer below ``top`` that a file name means, or None.

    A layer that its overlay's header does not name goes by its own name. Otherwise both the
    wanted name and the header's are made absolute from the overlay's place and compared as
    real paths, so that a file that is gone is not found; names with a protocol are compared
    as they stand (observed on QEMU 7.2).
    """
    names = Names()
    canonical = top.driver.graph.storage.canonical
    here: Node | None = skip_filters(top)
    while here is not None:
        below = next_in_chain(here)
        if below is None:
            return None
        below = skip_filters(below)
        base = names.place(here)
        header = here.driver.backing_file
        if names.backing_overridden(here):
            if wanted == names.of(below).text:
                return below
        elif has_protocol(wanted) or has_protocol(header):
            if wanted in (header, combine(base, header)):
                return below
        elif (real := canonical(combine(base, wanted))) and (
            real == canonical(combine(base, header))
        ):
            return below
        here = below
    return None
