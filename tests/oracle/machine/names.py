"""Random names for headers: ``json:`` with values of all types, dotted and nested keys, oddities.

What aborts the original is never drawn: options of ``null-co`` that are no numbers.
"""

from __future__ import annotations

import json

from hypothesis import strategies as st

TRUTHS = st.sampled_from([True, False, "on", "off", "yes", "no", "true", "n", "x", "", 1, None])
SIZES = st.sampled_from(
    [
        *(0, 512, 65536, 1e3, 65536.0, 512.5, 1 << 64, -512, None, True, [1], {}),
        *("512", "64k", "1M", "1.5k", " 1k", "0x200", "x", "", "-1", "1T"),
    ]
)
NUMBERS = st.sampled_from([0, 5, "5", "x", "", -1, None, 1.5, "0x10", False])
SANE_SIZES = st.sampled_from([0, 512, "512", "64k", "1M", 1 << 20, None])
NAMES = st.sampled_from(["n1", "n2", "1bad", "fnode", "q", "", 5, None, True, "x" * 32])
FILES = st.sampled_from(["img", "img", "img", "base", "nope", "dir", "file:img", "", 5, None])
TEXTS = st.sampled_from(["x", "", 5, None, True, "none", "all", "cached"])

COMMON = {
    "read-only": TRUTHS,
    "auto-read-only": TRUTHS,
    "force-share": TRUTHS,
    "cache": st.fixed_dictionaries({}, optional={"no-flush": TRUTHS, "x": TRUTHS}),
    "discard": st.sampled_from(["ignore", "unmap", "on", "off", "x", "", True, None, 1]),
    "detect-zeroes": st.sampled_from(["on", "off", "unmap", "x", "", True, None, 1]),
    "node-name": NAMES,
    "foo": TEXTS,
}
FILE = {
    "locking": st.sampled_from(["on", "off", "auto", "x", "", True, None]),
    "aio": st.sampled_from(["threads", "native", "x", "", None]),
    "aio-max-batch": NUMBERS,
    "drop-cache": TRUTHS,
    "x-check-cache-dropped": TRUTHS,
    "pr-manager": st.sampled_from([None, "x"]),
}
NULL = {"size": SANE_SIZES, "latency-ns": st.sampled_from([0, "5", None])}
NULL["read-zeroes"] = st.sampled_from([True, "on", "off", None])
RAW = {"size": SIZES, "offset": SIZES}
QCOW2 = {
    "lazy-refcounts": TRUTHS,
    "pass-discard-request": TRUTHS,
    "pass-discard-other": TRUTHS,
    "overlap-check": TEXTS,
    "overlap-check.template": TEXTS,
    "overlap-check.main-header": TRUTHS,
    "cache-size": SIZES,
    "l2-cache-size": SIZES,
    "l2-cache-entry-size": SIZES,
    "refcount-cache-size": SIZES,
    "cache-clean-interval": NUMBERS,
    "data-file": st.sampled_from(["fnode", "nope", None]),
}


def _some(table, draw, most):
    keys = draw(st.lists(st.sampled_from(sorted(table)), max_size=most, unique=True))
    return {key: draw(table[key]) for key in keys}


@st.composite
def files(draw, depth=0):
    """What may stand under ``file``."""
    kind = draw(st.sampled_from(["file"] * 6 + ["bare", "null", "format", "reference", "odd"]))
    if kind == "reference":
        return draw(st.sampled_from(["fnode", "fnode", "nope", ""]))
    if kind == "odd":
        return draw(st.sampled_from([5, None, {}, [], ["img"], {"foo": 1}]))
    if kind == "null":
        return {"driver": "null-co"} | _some(NULL, draw, 2) | _some(COMMON, draw, 1)
    if kind == "format" and depth < 2:
        return draw(formats(depth=depth + 1))
    found = {} if kind == "bare" else {"driver": "file"}
    if draw(st.integers(0, 9)):
        found["filename"] = draw(FILES)
    return found | _some(FILE, draw, 2) | _some(COMMON, draw, 1)


@st.composite
def formats(draw, fmt=None, depth=0):
    """A definition; ``fmt`` is the format that counts more than a driver in it."""
    driver = draw(st.sampled_from(["raw", "qcow2", "raw", "qcow2", "file", "null-co"]))
    effective = fmt or driver
    if effective == "file":
        found = {"filename": draw(FILES)} | _some(FILE, draw, 2)
    elif effective == "null-co":
        found = _some(NULL, draw, 2)
    else:
        found = {"file": draw(files(depth))}
        found |= _some(RAW if effective == "raw" else QCOW2, draw, 3)
        if draw(st.integers(0, 5)) == 0 and depth < 2:
            found["backing"] = draw(
                st.one_of(st.sampled_from([None, "", "fnode", "nope"]), formats(depth=depth + 1))
            )
    if fmt is None or draw(st.booleans()):
        found["driver"] = driver
    return found | _some(COMMON, draw, 2)


@st.composite
def dotted(draw, definition):
    """The same with some of the nested keys joined by dots, in any order."""
    found = {}
    for key in draw(st.permutations(sorted(definition))):
        value = definition[key]
        if isinstance(value, dict):
            value = draw(dotted(value))
            if value and draw(st.integers(0, 2)) == 0:
                found |= {f"{key}.{inner}": item for inner, item in value.items()}
                continue
        found[key] = value
    return found


@st.composite
def header_names(draw):
    """A name and the format beside it."""
    fmt = draw(st.sampled_from(["raw", "qcow2", "raw", "qcow2", None, "file", "null-co"]))
    if fmt is None:
        definition = draw(formats())
        if definition["driver"] in {"raw", "qcow2"} and draw(st.integers(0, 3)) == 0:
            del definition["driver"]
    else:
        definition = draw(formats(fmt))
    return "json:" + json.dumps(draw(dotted(definition))), fmt
