"""How a random sequence changes the graph that there is."""

from __future__ import annotations

from hypothesis import strategies as st

from qmpd.testing.oracle import call
from tests.oracle.machine.draws import (
    FORMAT_NAMES,
    QCOW2,
    RARE,
    child,
    common,
    free_name,
    mostly,
    references,
)

# A chain node without backing-file gets its name from the base, and the original crashes if
# the overlay's header has no room for it.
LONGEST_BACKING_NAME = 1000
LONGEST_IN_A_SHORT_HEADER = 200


@st.composite
def reopen(draw, view, defined, names):
    """A change of one or two nodes. An empty list aborts the original, so there is at least one."""
    known = [name for name in defined if name in view.nodes]
    chosen = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3))
    options = [draw(changed(view, defined[name], names)) for name in chosen]
    return call("blockdev-reopen", options=options)


@st.composite
def changed(draw, view, definition, names):
    """The definition of a node with some members changed, added or left out."""
    options = dict(definition)
    for member in ("read-only", "auto-read-only"):
        action = draw(st.sampled_from(["keep", "keep", "drop", True, False]))
        if action == "drop":
            options.pop(member, None)
        elif action != "keep":
            options[member] = action
    if draw(st.integers(0, 5)) == 0:
        options |= draw(RARE)
    if options["driver"] == "qcow2" and draw(st.integers(0, 9)) == 0:
        options |= draw(QCOW2)
    name = options["node-name"]
    children = view.children.get(name, {})
    if "throttle-group" in options:
        options["throttle-group"] = draw(st.sampled_from(["tg", "tg", "nobody"]))
    if "file" in options:
        kind = draw(st.sampled_from(["keep", "keep", "by name", "by name", "other", "again"]))
        stale = options["driver"] == "qcow2" and str(options["file"]).startswith("{")
        if (kind == "by name" or stale) and "file" in children:
            options["file"] = view.request_name(children["file"])
        elif kind == "other" and options["driver"] == "raw":  # a qcow2 node would wreck the file
            options["file"] = draw(child(view, names))
        elif kind == "again" and isinstance(options["file"], dict):
            options["file"] = options["file"] | draw(common())
    if options["driver"] == "qcow2":
        kind = draw(st.sampled_from(["current", "current", "current", "keep", "none", "other"]))
        if kind == "current":
            below = children.get("backing")
            options["backing"] = None if below is None else view.request_name(below)
        elif kind == "none":
            options["backing"] = None
        elif kind == "other":
            options["backing"] = draw(st.sampled_from(references(view)))
    elif options["driver"] == "raw" and not view.parents.get(name) and draw(st.integers(0, 3)) == 0:
        options["size"] = draw(st.sampled_from([512, 65536, 1 << 30]))
    return options


@st.composite
def spare(draw, view, files):
    """Options of a new overlay for `blockdev-snapshot`, over an image made for that."""
    node = {"driver": "qcow2", "node-name": draw(free_name(view, FORMAT_NAMES)), "backing": None}
    file = {"driver": "file", "filename": draw(st.sampled_from(files))}
    return node | {"file": file | draw(common())} | draw(common())


@st.composite
def snapshot(draw, view):
    """An overlay for a node: often one that can be had, and a node that can have one."""
    return call("blockdev-snapshot", **draw(pair(view)))


@st.composite
def pair(draw, view):
    """Node and overlay of a snapshot."""
    free = [
        name
        for name in view.roots()
        if view.nodes[name]["drv"] == "qcow2" and "backing" not in view.children.get(name, {})
    ]
    others = [view.request_name(name) for name in view.roots() if name not in free[:1]]
    everybody = references(view)
    overlays = [view.request_name(name) for name in free]
    return {
        "node": draw(mostly(others, everybody)),
        "overlay": draw(mostly(overlays, everybody)),
    }


@st.composite
def snapshot_sync(draw, view, *, new, names):
    """An overlay with an image of its own: `new`, which is not there, or one of `names`.

    A new one over an old image could close a loop of headers, which kills the original.
    """
    roots = [view.request_name(name) for name in view.roots()]
    arguments = {"node-name": draw(mostly(roots, references(view)))}
    if draw(st.integers(0, 19)) == 19:
        arguments["device"] = arguments.pop("node-name")
    mode = draw(st.sampled_from([None, None, None, "absolute-paths", "existing"]))
    if mode is not None:
        arguments["mode"] = mode
    file = draw(st.sampled_from([*names, "nofile"])) if mode == "existing" else new
    arguments["snapshot-file"] = draw(st.sampled_from([file, "{dir}/" + file, "file:" + file]))
    if draw(st.integers(0, 19)):
        arguments["snapshot-node-name"] = draw(free_name(view, FORMAT_NAMES))
    if draw(st.booleans()):
        arguments["format"] = draw(st.sampled_from(["qcow2"] * 7 + ["raw", "none"]))
    return call("blockdev-snapshot-sync", **arguments)


@st.composite
def transaction(draw, view, *, new, names):
    """Several snapshots, now and then with a failure that is wanted; `new` are names of files."""
    actions = []
    for file in new[: draw(st.integers(1, len(new)))]:
        if draw(st.integers(0, 2)):
            actions.append({"type": "blockdev-snapshot", "data": draw(pair(view))})
        else:
            request = draw(snapshot_sync(view, new=file, names=names))
            actions.append({"type": request["execute"], "data": request["arguments"]})
    if draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(actions)))
        actions.insert(place, {"type": "abort", "data": {}})
    return call("transaction", actions=actions)


def reopened_by(request):
    """The nodes that a snapshot, or a transaction of snapshots, makes read-only."""
    if request["execute"] == "transaction":
        requests = [action["data"] for action in request["arguments"]["actions"]]
    else:
        requests = [request["arguments"]]
    return [data.get("node", data.get("node-name", data.get("device"))) for data in requests]


@st.composite
def change_backing_file(draw, view, *, short):
    """Another name in a header; none that exists, since a loop of headers kills the original."""
    roots = [view.request_name(name) for name in view.roots()]
    everybody = references(view)
    device = draw(mostly(roots, everybody))
    room = LONGEST_IN_A_SHORT_HEADER if short else LONGEST_BACKING_NAME
    return call(
        "change-backing-file",
        device=device,
        image_node_name=draw(st.sampled_from([device, *everybody])),
        backing_file=draw(st.sampled_from(["nowhere", "", "x" * room, "x" * 1024])),
    )
