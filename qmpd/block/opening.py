"""From a definition to nodes: the order of steps and errors of a real open.

Children that are defined inline are opened first and belong to their parent; children
that are named must exist. A failure closes what was opened for it and leaves the rest.
"""

from __future__ import annotations

from qmpd.block import options as opt
from qmpd.block import permissions as p
from qmpd.block import wording
from qmpd.block.driver import Driver, driver_class, warn
from qmpd.block.filename import Names
from qmpd.block.node import Node
from qmpd.block.refresh import refresh
from qmpd.block.transaction import Transaction
from qmpd.errors import QmpError
from qmpd.schema.visitor import visit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from qmpd.block.graph import Graph

    _Opening = Generator["_Opening", Any, Node]


class Partial(dict["str", "Any"]):
    """An inline definition, in texts, that may lack what an image's header tells."""

    def complete(self, implied: dict[str, Any]) -> dict[str, Any]:
        """Add what the header implies; the backing file is completed when its turn has come.

        Raises:
            QmpError: there is an option that no driver takes, or a value that makes no sense.
        """
        given = {**implied, **self}
        if isinstance(implied.get("file"), dict) and isinstance(self.get("file"), dict):
            given["file"] = {**implied["file"], **self["file"]}
        backing = given.pop("backing", None)
        try:
            definition = visit("BlockdevOptions", given, keyval=True)
        except QmpError as error:
            from qmpd.block.untyped import unsupported

            raise unsupported(given, error) from None
        if backing is not None:
            if not driver_class(definition["driver"]).supports_backing:
                raise QmpError(wording.NO_BACKING_FILES)
            definition["backing"] = Partial(backing) if isinstance(backing, dict) else backing
        return definition


def add_node(graph: Graph, definition: dict[str, Any]) -> Node:
    """Open what ``blockdev-add`` or ``-blockdev`` defines; the monitor owns the node.

    Raises:
        QmpError: with nothing left behind.
    """
    if "node-name" not in definition:
        raise QmpError(wording.ROOT_NEEDS_NAME)
    node = open_node(graph, definition)
    node.monitor_owned = True
    return node


def open_node(graph: Graph, definition: dict[str, Any]) -> Node:
    """Open a definition and everything inline in it.

    Chains may be long: each node is a generator that asks for the nodes it needs, and
    one loop runs them all, so that depth costs memory but no stack.

    Raises:
        QmpError: with nothing left behind.
    """
    kind = driver_class(definition["driver"])
    if kind.is_leaf:
        return _open_leaf(graph, definition, kind, None, 0)
    return _run(_open(graph, definition, None, 0))


def open_backing(graph: Graph, node: Node) -> None:
    """Open the backing file that the header of a node's image tells of, if it does.

    Raises:
        QmpError: with nothing left behind.
    """
    _run(_open_backing(graph, node, {}))


def _run(first: _Opening) -> Node:
    stack = [first]
    node: Node | None = None
    error: QmpError | None = None
    while stack:
        here = stack[-1]
        try:
            needed = here.send(node) if error is None else here.throw(error)
        except StopIteration as stop:
            stack.pop()
            node, error = stop.value, None
        except QmpError as failure:
            stack.pop()
            node, error = None, failure
        else:
            stack.append(needed)
            node, error = None, None
    if node is None:
        raise error or RuntimeError("an opening ends with a node or an error")
    return node


def _open(
    graph: Graph, definition: dict[str, Any], parent: opt.Options | None, role: int
) -> _Opening:
    definition = definition if type(definition) is dict else _prepared(definition)
    kind = driver_class(definition["driver"])
    options = _options(definition, kind, parent, role)
    children: dict[str, Node] = {}
    owned: set[Node] = set()
    try:
        for name in kind.open_children:
            wanted = definition.get(name)
            if isinstance(wanted, str):
                child = children[name] = find_reference(graph, wanted)
                # The original looks at it through a backend, which comes and goes.
                graph.drain(child)
                graph.drain(child)
            elif wanted is not None:
                below = driver_class(wanted["driver"])
                its_role = child_role(name, kind)
                if below.is_leaf:
                    child = _open_leaf(graph, wanted, below, options, its_role)
                else:
                    child = yield _open(graph, wanted, options, its_role)
                children[name] = child
                owned.add(child)
        _recheck(graph, children)
        node = _enter(graph, definition, kind(graph), options)
    except BaseException:
        graph.collect(owned)
        raise
    opened = False
    try:
        if kind.early_sizes:
            opt.check_sizes(options.effective, kind.early_sizes)
        _attach_children(graph, node, children, owned)
        node.driver.open(options.effective)
        opened = True
        if kind.late_children:
            yield from _open_late(graph, node, definition, owned)
        if kind.supports_backing:
            yield from _refuse_data_file(graph, node, definition)
            yield from _open_backing(graph, node, definition)
        _refuse_rest(node, definition)
    except BaseException:
        _take_back(graph, node, *owned, opened=opened)
        raise
    return node


def _recheck(graph: Graph, children: dict[str, Node]) -> None:
    """The backend that looks at a child has its permissions checked before anything else."""
    if graph.unsure:
        with Transaction() as tx:
            refresh(tx, starts=children.values())


def _open_late(graph: Graph, node: Node, definition: dict[str, Any], owned: set[Node]) -> _Opening:
    """Open the children that a driver asks for only after it has looked at its options."""
    for name in node.driver.late_children:
        wanted = definition.get(name)
        if wanted is None:  # so only in a name in a header
            raise QmpError(wording.no_child(name))
        if isinstance(wanted, str):
            child = find_reference(graph, wanted)
        else:
            role = child_role(name, type(node.driver))
            child = yield _open(graph, wanted, node.options, role)
            owned.add(child)
        _attach_children(graph, node, {name: child}, owned)
    node.driver.ready(node.options.effective)
    return node


def _open_leaf(
    graph: Graph,
    definition: dict[str, Any],
    kind: type[Driver],
    parent: opt.Options | None,
    role: int,
) -> Node:
    """Open a node at the bottom, which has no children to wait for."""
    if type(definition) is not dict:
        definition = _prepared(definition)
    options = _options(definition, kind, parent, role)
    node = _enter(graph, definition, kind(graph), options)
    opened = False
    try:
        node.driver.open(options.effective)
        opened = True
        _refuse_rest(node, definition)
    except BaseException:
        _take_back(graph, node, opened=opened)
        raise
    return node


def _take_back(graph: Graph, node: Node, *owned: Node, opened: bool) -> None:
    if not opened:
        node.driver = Driver(graph)  # there is nothing to write back
    graph.collect([node, *owned])


def _options(
    definition: dict[str, Any], kind: type[Driver], parent: opt.Options | None, role: int
) -> opt.Options:
    if type(definition) is not dict:
        return _untyped_options(definition, kind, parent, role)
    explicit = opt.flatten(definition, kind.child_names)
    if parent is None:
        explicit = {**opt.ROOT_DEFAULTS, **explicit}
    effective = dict(explicit)
    if parent is not None:
        opt.inherit(role, parent.effective, effective)
    return opt.Options(explicit, effective)


# Names in headers are rare: what they need is loaded when it is needed.


def _prepared(definition: dict[str, Any]) -> dict[str, Any]:
    from qmpd.block.untyped import Untyped, prepared

    return prepared(Untyped(definition))


def _untyped_options(
    definition: dict[str, Any], kind: type[Driver], parent: opt.Options | None, role: int
) -> opt.Options:
    from qmpd.block.untyped import Texts, flat_options

    explicit = flat_options(definition, kind.child_names)
    effective = Texts(kind.name, explicit)
    if parent is not None:
        opt.inherit(role, dict(parent.effective), effective)  # as they are written
    return opt.Options(explicit, effective)


def child_role(name: str, kind: type[Driver]) -> int:
    """The role of a child by its member name and its parent's driver."""
    if kind.is_filter:
        return p.ROLE_FILTERED | p.ROLE_PRIMARY
    return p.ROLE_COW if name == "backing" else p.ROLE_IMAGE


def find_reference(graph: Graph, name: str) -> Node:
    """The node that a definition or a command refers to by its name or its drive's.

    Raises:
        QmpError: there is none.
    """
    node = graph.nodes.get(name)
    if node is None:
        if name in graph.drives:
            return graph.lookup(name, None)
        raise QmpError(wording.cannot_find_reference(name))
    return node


def _enter(graph: Graph, definition: dict[str, Any], driver: Driver, options: opt.Options) -> Node:
    """Check what is common to all drivers, then give the node its name."""
    if type(definition) is not dict:
        _refuse_nameless(definition, driver, options)
    flags = opt.Flags(options.effective)
    if flags.force_share and not flags.read_only:
        raise QmpError(wording.FORCE_SHARE_WRITABLE)
    if definition.get("filename") == "" and driver.is_protocol:
        raise QmpError(wording.needs_filename(driver.name))
    if flags.detect_zeroes == "unmap" and not flags.unmap:
        raise QmpError(wording.DETECT_ZEROES_UNMAP)
    name = definition.get("node-name")
    if name is None:
        name = graph.generate_name()
    else:
        graph.check_name(name)
    node = Node(name, driver, options, flags)
    driver.node = node
    graph.add(node)
    return node


def _refuse_nameless(definition: dict[str, Any], driver: Driver, options: opt.Options) -> None:
    options.effective.get(opt.READ_ONLY)  # options that are on or off are looked at before
    if driver.name in {"file", "host_device"} and not isinstance(definition.get("filename"), str):
        raise QmpError(wording.needs_filename(driver.name))
    if definition.get("filename") == "" and driver.is_protocol:
        raise QmpError(wording.needs_filename(driver.name))


def _attach_children(graph: Graph, node: Node, children: dict[str, Node], owned: set[Node]) -> None:
    for name in node.driver.open_children:
        if name not in children:
            raise QmpError(wording.no_child(name))
    for name, child in children.items():
        _attach(graph, node, child, name, child_role(name, type(node.driver)))
        if child in owned:
            child.inherits_from = node


def _attach(graph: Graph, node: Node, child: Node, name: str, role: int) -> None:
    with Transaction() as tx:
        graph.attach(tx, node, child, name, role)
        refresh(tx)


def _refuse_data_file(graph: Graph, node: Node, definition: dict[str, Any]) -> _Opening:
    """No image here has one; the original finds that out when it is attached already."""
    if "data-file" not in definition:
        return node
    wanted = definition["data-file"]
    if isinstance(wanted, str):
        child = find_reference(graph, wanted)
    else:
        child = yield _open(graph, wanted, node.options, p.ROLE_DATA)
        child.inherits_from = node
    try:
        _attach(graph, node, child, "data-file", p.ROLE_DATA)
    except QmpError:
        graph.collect([child])
        raise
    raise QmpError(wording.NO_DATA_FILE)


def _refuse_rest(node: Node, definition: dict[str, Any]) -> None:
    """An empty object is an option that hardly anybody takes (observed on QEMU 7.2)."""
    driver = node.driver
    if type(definition) is not dict:
        from qmpd.block.untyped import Texts, Untyped, refuse_rest

        refuse_rest(node, Untyped(definition))
        texts = node.options.effective
        if isinstance(texts, Texts):
            settled = texts.settled()
            explicit = {key: settled[key] for key in node.options.explicit if key in settled}
            node.options = opt.Options(explicit, settled, texts.written)
        return
    taken = driver.child_names | driver.mutable_options
    for key, value in definition.items():
        if (value == {} or value == []) and key not in taken:  # noqa: PLR1714 - neither is hashable
            raise QmpError(wording.unsupported_option(driver.name, key, driver.is_protocol))


def _open_backing(graph: Graph, node: Node, definition: dict[str, Any]) -> _Opening:
    implicit = "backing" not in definition
    if definition.get("backing") == "":
        warn(graph.about + wording.EMPTY_BACKING)
        return node
    try:
        wanted = _implied(node) if implicit else definition["backing"]
        if type(wanted) is not dict and isinstance(wanted, dict) and not implicit:
            file = wanted.get("file", {})
            named = not isinstance(file, dict) or "filename" in file
            implicit = not named and bool(node.driver.backing_file)
            header = (_implied(node) or {}) if implicit else {}
            if isinstance(wanted, Partial):
                wanted = wanted.complete(header)
            else:
                wanted = _joined(graph, wanted, header)
        if wanted is None:
            return node
        if isinstance(wanted, str):
            backing = find_reference(graph, wanted)
        else:
            if not implicit and node.driver.backing_file:
                _refuse_second_name(wanted)
            backing = yield _open(graph, wanted, node.options, p.ROLE_COW)
            backing.inherits_from = node
    except QmpError as error:
        raise QmpError(wording.could_not_open_backing(error.desc), error.hint) from None
    if implicit:
        node.driver.set_auto_backing_file(Names().of(backing).text)
    try:
        _attach(graph, node, backing, "backing", p.ROLE_COW)
    except QmpError:
        graph.collect([backing])
        raise
    return node


def _implied(node: Node) -> dict[str, Any] | None:
    if not node.driver.backing_file:
        return None
    from qmpd.block.implied import implied_backing

    return implied_backing(node)


def _joined(graph: Graph, wanted: dict[str, Any], header: dict[str, Any]) -> dict[str, Any]:
    """What somebody wrote into a name, completed by what the header says."""
    from qmpd.block.implied import with_driver

    given = {**header, **wanted}
    if isinstance(header.get("file"), dict) and isinstance(wanted.get("file"), dict):
        given["file"] = {**header["file"], **wanted["file"]}
    return with_driver(graph, given)


def _refuse_second_name(definition: dict[str, Any]) -> None:
    """An inline backing file without a file name of its own is handed the header's.

    Raises:
        QmpError: it, or what it is made of, has no place for one (observed on QEMU 7.2).
    """
    here = definition
    file = here.get("file")
    if isinstance(file, dict) and "filename" in file:
        return
    while (kind := driver_class(here["driver"])).child_names:
        file = here.get("image" if "image" in kind.child_names else "file")
        if not isinstance(file, dict):
            raise QmpError(wording.REFERENCE_WITH_NAME)
        here = file
    if "filename" in here:
        raise QmpError(wording.TWO_NAMES)
    raise QmpError(wording.only_filename(here["driver"]))
