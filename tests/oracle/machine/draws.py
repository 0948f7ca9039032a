"""What a random sequence asks for: definitions, changes, commits, verbs.

Everything is drawn with a look at what the reference has, so that most requests make
sense; some are meant to be refused. What crashes the original is never drawn.
"""

from __future__ import annotations

from hypothesis import strategies as st

from qmpd.testing.oracle import call

# A chain node without backing-file gets its name from the base, and the original crashes if
# the overlay's header has no room for it.
LONGEST_BACKING_NAME = 1000
LONGEST_IN_A_SHORT_HEADER = 200

FORMAT_NAMES = ["f0", "f1", "f2", "f3", "f4", "n0", "n1", "n2"]
FILE_NAMES = ["s0", "s1", "s2", "m0", "m1", "m2"]
JOBS = ["j", "j", "j", "k"]
VERBS = ["pause", "resume", "cancel", "complete", "finalize", "dismiss"]
SPEEDS = [0, 0, 0, 1, 1, 1, 1, 1 << 40, -1]

ACCESS = st.fixed_dictionaries(
    {},
    optional={"read-only": st.booleans(), "auto-read-only": st.sampled_from([True, True, False])},
)
CACHE = st.fixed_dictionaries({}, optional={"direct": st.booleans(), "no-flush": st.booleans()})
RARE = st.fixed_dictionaries(
    {},
    optional={
        "cache": CACHE,
        "discard": st.sampled_from(["ignore", "unmap"]),
        "detect-zeroes": st.sampled_from(["off", "on", "unmap"]),
        "force-share": st.booleans(),
    },
)


@st.composite
def common(draw):
    """Members that every node may have: access often, the others now and then."""
    options = dict(draw(ACCESS))
    if draw(st.integers(0, 4)) == 4:
        options |= draw(RARE)
    return options


def node_name(names):
    """Return a name for a new node, now and then an impossible one."""
    return st.sampled_from([*names, *names, *names, "0bad", "x" * 32])


def references(view):
    """Return how requests may refer to the nodes that there are, or to one that is not."""
    return [view.request_name(name) for name in view.nodes] or ["nobody"]


# -- definitions -----------------------------------------------------------------------------


@st.composite
def file_node(draw, names, *, named=None):
    """An image file; `names` are the files that there are."""
    options = {"driver": "file", "filename": draw(st.sampled_from([*names, *names, "nofile"]))}
    if named is not None:
        options["node-name"] = named
    return options | draw(common())


@st.composite
def child(draw, view, names):
    """A reference to a node or an inline file."""
    if view.nodes and draw(st.integers(0, 2)):
        return draw(st.sampled_from(references(view)))
    return draw(file_node(names, named=draw(st.sampled_from([None, None, *FILE_NAMES]))))


@st.composite
def format_node(draw, view, names, *, depth=0):
    """A qcow2 or raw node over anything, with any kind of backing file."""
    if draw(st.integers(0, 3)) == 0:
        options = {"driver": "raw", "file": draw(child(view, names))}
        if draw(st.integers(0, 2)) == 0:
            window = {"offset": st.sampled_from([0, 512, 65536, 1 << 30, 100])}
            window["size"] = st.sampled_from([0, 512, 65536, 524288, 1 << 30, 100])
            options |= draw(st.fixed_dictionaries({}, optional=window))
        return options | draw(common())
    options = {"driver": "qcow2", "file": draw(child(view, names))}
    kind = draw(st.sampled_from(["header", "none", "reference", "reference", "inline"]))
    if kind == "none":
        options["backing"] = None
    elif kind == "reference":
        options["backing"] = draw(st.sampled_from(references(view)))
    elif kind == "inline" and depth < 2:
        options["backing"] = draw(format_node(view, names, depth=depth + 1))
    if draw(st.integers(0, 9)) == 0:
        options["lazy-refcounts"] = draw(st.booleans())
    return options | draw(common())


@st.composite
def null_node(draw):
    """A node without an image. A negative size aborts the original, so it is not drawn."""
    options = {"driver": draw(st.sampled_from(["null-co", "null-aio"]))}
    more = {"size": st.sampled_from([0, 512, 1 << 20, 1000]), "read-zeroes": st.booleans()}
    return options | draw(st.fixed_dictionaries({}, optional=more)) | draw(common())


@st.composite
def filter_node(draw, view, names):
    """A filter over anything. What it lets happen to requests is for written tests."""
    kind = draw(st.sampled_from(["throttle", "throttle", "copy-on-read", "compress", "blkdebug"]))
    below = draw(st.one_of(child(view, names), format_node(view, names, depth=1)))
    options = {"driver": kind, "image" if kind == "blkdebug" else "file": below}
    if kind == "throttle":
        options["throttle-group"] = draw(st.sampled_from(["tg", "tg", "nobody"]))
    if kind == "blkdebug":
        more = {
            "align": st.sampled_from([0, 512, 4096, 100]),
            "take-child-perms": st.sampled_from([["write"], ["consistent-read", "resize"]]),
            "unshare-child-perms": st.sampled_from([["write"], ["resize"]]),
        }
        options |= draw(st.fixed_dictionaries({}, optional=more))
    return options | draw(common())


@st.composite
def chain(draw, layers, *, raw_base=False):
    """Requests for a chain over the images `layers`: each layer separate, inline or implicit."""
    last = draw(st.sampled_from([*range(len(layers)), len(layers) - 1, len(layers) - 1]))
    implicit = draw(st.sampled_from([0, 0, 0, 0, 1, 2, 3]))
    first = min(implicit, last)
    static = draw(st.integers(0, 5)) == 0
    requests = []
    below = None
    for number in range(first, last + 1):
        is_raw = raw_base and number == 0
        file = {"driver": "file", "filename": layers[number]}
        style = draw(st.sampled_from(["separate", "separate", "inline", "inline-named"]))
        if style == "separate":
            access = draw(common()) if static else {"auto-read-only": True}
            requests.append(file | {"node-name": f"s{number}"} | access)
            child_ = f"s{number}"
        else:
            child_ = file | ({"node-name": f"s{number}"} if style == "inline-named" else {})
        node = {"driver": "raw" if is_raw else "qcow2", "node-name": f"f{number}", "file": child_}
        if draw(st.integers(0, 5)):
            node["read-only"] = number < last
        if draw(st.integers(0, 3)) == 0:
            node["auto-read-only"] = True
        if not is_raw and (number > first or not number):
            node["backing"] = below
        requests.append(node)
        below = node["node-name"]
        if draw(st.integers(0, 11)) == 0:
            below = f"r{number}"
            wrapper = {"driver": "raw", "node-name": below, "file": f"f{number}"}
            requests.append(wrapper | {"read-only": number < last})
    return [call("blockdev-add", **node) for node in requests]


@st.composite
def device(draw, node):
    """The words of a disk on a node, or of none."""
    kind = draw(st.sampled_from(["virtio-blk-pci", "virtio-blk-pci", "scsi-hd", "ide-hd", None]))
    if kind is None:
        return []
    words = ["-device", "virtio-scsi-pci"] if kind == "scsi-hd" else []
    shared = draw(st.sampled_from(["", "", ",share-rw=on"]))
    return [*words, "-device", f"{kind},drive={node},id=vda{shared}"]


# -- changes ---------------------------------------------------------------------------------


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
    name = options["node-name"]
    children = view.children.get(name, {})
    if "throttle-group" in options:
        options["throttle-group"] = draw(st.sampled_from(["tg", "tg", "nobody"]))
    if "file" in options:
        kind = draw(st.sampled_from(["keep", "keep", "by name", "by name", "other", "again"]))
        if kind == "by name" and "file" in children:
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
    elif options["driver"] == "raw" and draw(st.integers(0, 3)) == 0:
        options["size"] = draw(st.sampled_from([512, 65536, 1 << 30]))
    return options


@st.composite
def snapshot(draw, view):
    """An overlay for a node: often one that can be had, and a node that can have one."""
    return call("blockdev-snapshot", **draw(pair(view)))


@st.composite
def pair(draw, view):
    """Node and overlay of a snapshot."""
    roots = [view.request_name(name) for name in view.roots()]
    free = [
        view.request_name(name)
        for name in view.roots()
        if view.nodes[name]["drv"] == "qcow2" and "backing" not in view.children.get(name, {})
    ]
    everybody = references(view)
    node = draw(st.sampled_from([*roots * 4, *everybody]))
    overlay = draw(st.sampled_from([*free * 8, *everybody]))
    return {"node": node, "overlay": overlay}


@st.composite
def transaction(draw, view):
    """Several snapshots, now and then with a failure that is wanted."""
    pairs = draw(st.lists(pair(view), min_size=1, max_size=3))
    actions = [{"type": "blockdev-snapshot", "data": data} for data in pairs]
    if draw(st.integers(0, 2)) == 0:
        place = draw(st.integers(0, len(actions)))
        actions.insert(place, {"type": "abort", "data": {}})
    return call("transaction", actions=actions)


@st.composite
def change_backing_file(draw, view, *, short):
    """Another name in a header; none that exists, since a loop of headers kills the original."""
    roots = [view.request_name(name) for name in view.roots()]
    everybody = references(view)
    device = draw(st.sampled_from([*roots * 4, *everybody]))
    room = LONGEST_IN_A_SHORT_HEADER if short else LONGEST_BACKING_NAME
    return call(
        "change-backing-file",
        device=device,
        image_node_name=draw(st.sampled_from([device, *everybody])),
        backing_file=draw(st.sampled_from(["nowhere", "", "x" * room, "x" * 1024])),
    )


# -- jobs ------------------------------------------------------------------------------------


@st.composite
def commit(draw, view, *, short):
    """Any layers of any chain; `short` tells that headers have little room."""
    roots = view.roots() or list(view.nodes)
    formats = [name for name in roots if len(view.chain(name)) > 1] or roots
    everybody = [*formats * 8, *roots, *view.nodes]
    device = draw(st.sampled_from(everybody))
    layers = view.chain(device)
    arguments = {"job-id": draw(st.sampled_from(JOBS)), "device": view.request_name(device)}
    top = draw(st.sampled_from([-1, 0, *range(1, len(layers) - 1), *range(len(layers))]))
    name = layers[max(top, 0)]
    if top >= 0:
        if draw(st.integers(0, 7)) == 0:
            arguments["top"] = view.nodes[name]["file"].replace(str(view.directory), "{dir}")
        else:
            arguments["top-node"] = view.request_name(name)
    lower = layers[max(top, 0) + 1 :] or layers
    base = draw(st.sampled_from([lower[-1], *lower * 3, layers[0]]))
    kind = draw(st.sampled_from(["node", "node", "node", "file", "default"]))
    if kind == "node":
        arguments["base-node"] = view.request_name(base)
    elif kind == "file":
        arguments["base"] = view.nodes[base]["file"].replace(str(view.directory), "{dir}")
    else:
        base = layers[-1]
    room = LONGEST_IN_A_SHORT_HEADER if short else LONGEST_BACKING_NAME
    texts = [None, None, "c0", "some/where", "", "x" * (room - 1)]
    text = draw(st.sampled_from(texts))
    if text is None and top > 0 and len(view.nodes[base]["file"]) >= room:
        text = "c0"
    if text is not None and (top > 0 or draw(st.integers(0, 19)) == 0):
        arguments["backing-file"] = text
    arguments |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "speed": st.sampled_from(SPEEDS),
                "filter-node-name": st.sampled_from(["flt"] * 12 + ["f0", "0bad"]),
                "auto-finalize": st.booleans(),
                "auto-dismiss": st.booleans(),
                "on-error": st.sampled_from(["report", "stop", "enospc", "ignore"]),
            },
        )
    )
    return {"execute": "block-commit", "arguments": arguments}


@st.composite
def verb(draw, view):
    """Any verb of either family on a job that is there or not."""
    job = draw(st.sampled_from([*view.jobs, *view.jobs, *view.jobs, "j", "k"]))
    what = draw(st.sampled_from([*VERBS, "set-speed"]))
    if what == "set-speed":
        return call("block-job-set-speed", device=job, speed=draw(st.sampled_from(SPEEDS)))
    if draw(st.booleans()):
        return call(f"job-{what}", id=job)
    if what in {"finalize", "dismiss"}:
        return call(f"block-job-{what}", id=job)
    force = {"force": draw(st.booleans())} if what == "cancel" and draw(st.booleans()) else {}
    return call(f"block-job-{what}", device=job, **force)


_FORWARD = {
    "running": ("block-job-set-speed", "device"),
    "paused": ("job-resume", "id"),
    "standby": ("job-resume", "id"),
    "ready": ("job-complete", "id"),
    "pending": ("job-finalize", "id"),
    "concluded": ("job-dismiss", "id"),
}


def forward(job):
    """Return the request that brings a job nearer to its end."""
    command, member = _FORWARD[job["status"]]
    more = {"speed": 0} if command.endswith("set-speed") else {}
    return {"execute": command, "arguments": {member: job["device"]} | more}
