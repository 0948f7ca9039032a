"""Which nodes a random sequence asks for.

Everything is drawn with a look at what the reference has, so that most requests make
sense; some are meant to be refused. What crashes the original is never drawn. So it is in
`changes`, `jobs` and `disks`.
"""

from __future__ import annotations

from hypothesis import strategies as st

from qmpd.testing.oracle import call

FORMAT_NAMES = ["f0", "f1", "f2", "f3", "f4", "n0", "n1", "n2"]
FILE_NAMES = ["s0", "s1", "s2", "m0", "m1", "m2"]

EVENTS = ["read_aio", "write_aio", "l2_load", "l2_update", "cluster_alloc", "flush_to_disk", "none"]
WRAPPERS = ["raw", "raw", "copy-on-read", "compress"]

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
QCOW2 = st.fixed_dictionaries(
    {},
    optional={
        "lazy-refcounts": st.booleans(),
        "pass-discard-request": st.booleans(),
        "pass-discard-other": st.booleans(),
        "overlap-check": st.sampled_from(["none", "constant", "cached", "all"]),
        "cache-clean-interval": st.sampled_from([0, 5]),
        "l2-cache-entry-size": st.sampled_from([512, 4096, 100]),
    },
)


@st.composite
def common(draw):
    """Members that every node may have: access often, the others now and then."""
    options = dict(draw(ACCESS))
    if draw(st.integers(0, 4)) == 4:
        options |= draw(RARE)
    return options


@st.composite
def mostly(draw, good, everybody):
    """One of the good ones if there are any, now and then one of all."""
    return draw(st.sampled_from(good if good and draw(st.integers(0, 14)) else everybody))


def node_name(names):
    """Return a name for a new node, now and then an impossible one."""
    return st.sampled_from([*names, *names, *names, "0bad", "x" * 32])


def free_name(view, names):
    """Return a name for a new node that nobody has yet, now and then any other."""
    return mostly([name for name in names if name not in view.nodes], [*names, "0bad", "x" * 32])


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
    """A reference to a node or an inline file, now and then one that fails."""
    if view.nodes and draw(st.integers(0, 2)):
        return draw(st.sampled_from(references(view)))
    file = draw(file_node(names, named=draw(st.sampled_from([None, None, *FILE_NAMES]))))
    return draw(faulty(file)) if draw(st.integers(0, 9)) == 9 else file


@st.composite
def faulty(draw, file):
    """An image that makes an error, once: who ignores it tries again for ever.

    Of several rules, or one with an error number, the order in a name changes with every
    reopen of the original.
    """
    rule = {"event": draw(st.sampled_from(EVENTS)), "once": True}
    more = {"iotype": st.sampled_from(["read", "write", "flush"]), "immediately": st.booleans()}
    rule |= draw(st.fixed_dictionaries({}, optional=more))
    return {"driver": "blkdebug", "image": file, "inject-error": [rule]}


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
    if draw(st.integers(0, 5)) == 0:
        options |= draw(QCOW2)
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
            if draw(st.integers(0, 15)) == 15:
                child_ = draw(faulty(child_))
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
            kind = draw(st.sampled_from(WRAPPERS))
            wrapper = {"driver": kind, "node-name": below, "file": f"f{number}"}
            requests.append(wrapper | {"read-only": number < last})
    return [call("blockdev-add", **node) for node in requests]
