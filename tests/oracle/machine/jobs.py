"""Which jobs a random sequence starts, and what it asks of them."""

from __future__ import annotations

from hypothesis import strategies as st

from qmpd.testing.oracle import call
from tests.oracle.machine.changes import LONGEST_BACKING_NAME, LONGEST_IN_A_SHORT_HEADER
from tests.oracle.machine.draws import mostly

JOBS = ["j", "j", "j", "k"]
VERBS = ["pause", "resume", "cancel", "complete", "finalize", "dismiss"]
SPEEDS = [0, 0, 1, 1, 1, 1, 1, 1, 1 << 40, -1]
_LIKE_ALL_JOBS = st.fixed_dictionaries(
    {},
    optional={
        "speed": st.sampled_from(SPEEDS),
        "filter-node-name": st.sampled_from(["flt"] * 12 + ["f0", "0bad"]),
        "auto-finalize": st.sampled_from([False, False, True]),
        "on-error": st.sampled_from(["report", "stop", "enospc", "ignore"]),
    },
)


@st.composite
def commit(draw, view, *, short):
    """Any layers of any chain; `short` tells that headers have little room."""
    roots = view.roots() or list(view.nodes)
    formats = [name for name in roots if len(view.chain(name)) > 1] or roots
    device = draw(mostly(formats, list(view.nodes)))
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
    base = draw(mostly(lower, layers))
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
    arguments |= draw(_LIKE_ALL_JOBS)
    arguments |= draw(st.fixed_dictionaries({}, optional={"auto-dismiss": st.booleans()}))
    return {"execute": "block-commit", "arguments": arguments}


@st.composite
def stream(draw, view, *, short):
    """Any layers of any chain into any of its nodes.

    It always goes when it has ended: the original does not survive a query while its filter
    is a node without a child. It stays above a raw node, below which the original does not
    look for data.
    """
    above = [name for name in view.nodes if len(view.chain(name)) > 1]
    device = draw(mostly(above, list(view.nodes)))
    layers = _above_raw(view, view.chain(device))
    arguments = {"job-id": draw(st.sampled_from(JOBS)), "device": view.request_name(device)}
    kinds = ["base-node", "base-node", "bottom", "base"]
    if len(layers) == len(view.chain(device)):
        kinds += [None, None, None]
    kind = draw(st.sampled_from(kinds)) if len(layers) > 1 else "base-node"
    layer = draw(mostly(layers[1:], layers))
    if kind == "base":
        arguments["base"] = view.nodes[layer]["file"].replace(str(view.directory), "{dir}")
    elif kind is not None:
        arguments[kind] = view.request_name(layer)
    room = LONGEST_IN_A_SHORT_HEADER if short else LONGEST_BACKING_NAME
    if draw(st.integers(0, 3)) == 3:
        texts = ["c0", "some/where", "", "x" * (room - 1), "x" * 1024]
        arguments["backing-file"] = draw(st.sampled_from(texts))
    return {"execute": "block-stream", "arguments": arguments | draw(_LIKE_ALL_JOBS)}


def _above_raw(view, layers):
    """The layers down to the first raw node, if it is not the last layer."""
    for number, name in enumerate(layers[:-1]):
        if view.nodes[name]["drv"] == "raw":
            return layers[: number + 1]
    return layers


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
