"""blockdev-reopen of chains: backing files given inline, by name, as null, or not at all."""

import copy

import pytest

from qmpd.testing.oracle import (
    MIB,
    Program,
    call,
    compare,
    image,
    show_descriptors,
    show_graph,
    wait_event,
    wait_job,
)
from tests.oracle.building import either

pytestmark = pytest.mark.oracle

LOOK = [call("query-named-block-nodes"), show_graph(), show_descriptors()]


def images(directory):
    """Layer 1 names layer 0 in its header; the others name nobody."""
    image(directory, "l0", size=3 * MIB, writes=["write -P 10 0 1M"])
    image(directory, "l1", size=3 * MIB, backing=str(directory / "l0"), writes=["write 1M 1M"])
    image(directory, "l2", size=3 * MIB, writes=["write -P 12 2M 1M"])


def layer(number, **options):
    file = {"driver": "file", "node-name": f"s{number}", "filename": f"{{dir}}/l{number}"}
    return {"driver": "qcow2", "node-name": f"f{number}", "file": file, **options}


def nameless(number, **options):
    node = layer(number, **options)
    del node["node-name"], node["file"]["node-name"]
    return node


def changed(options, path, value):
    """Return the options with the member at a dotted path set."""
    options = copy.deepcopy(options)
    *parents, last = path.split(".")
    place = options
    for name in parents:
        place = place[name]
    place[last] = value
    return options


def add(options):
    return {"execute": "blockdev-add", "arguments": options}


def attempt(options):
    """Reopen and look at everything, whether it is refused or not."""
    request = {"execute": "blockdev-reopen", "arguments": {"options": [options]}}
    return [either(request), *LOOK]


CHAIN = layer(1, backing=layer(0))


@pytest.mark.parametrize("program", Program)
def test_an_inline_backing_file_is_given_again(program):
    """It follows its parent's cache mode, keeps its name, and may lose its name in the request."""
    compare(
        [
            add(CHAIN),
            *attempt(CHAIN),
            *attempt(changed(CHAIN, "cache", {"direct": False, "no-flush": True})),
            *attempt(changed(CHAIN, "backing.detect-zeroes", "on")),
            *attempt(nameless(1, backing=nameless(0)) | {"node-name": "f1"}),
            *attempt(nameless(1, backing=None) | {"node-name": "f1"}),
            add(layer(0)),
            *attempt(CHAIN),
            *attempt(layer(1, backing="f0")),
            *attempt(layer(0, **{"read-only": True})),
        ],
        images,
        program=program,
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("backing.node-name", "other"),
        ("backing.driver", "raw"),
        ("backing.file.node-name", "other"),
        ("backing.file.filename", "{dir}/l2"),
        ("backing.file.locking", "off"),
        ("backing.read-only", False),
        ("backing.backing", "f1"),
        ("backing.backing", None),
        ("backing.file", "s1"),
        ("backing.file", "s0"),
        ("force-share", True),
        ("l2-cache-entry-size", 128 * 1024),
    ],
)
def test_what_an_inline_backing_file_may_change(path, value):
    compare([add(CHAIN), *attempt(changed(CHAIN, path, value))], images)


@pytest.mark.parametrize(
    "chain",
    [
        [layer(1)],
        [layer(0, backing=None), layer(1, backing=None), layer(2)],
        [layer(2), layer(0, backing="f2")],
        [layer(0, backing=layer(1, backing=layer(2)))],
    ],
    ids=["implicit", "none", "by-name", "inline"],
)
@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"backing": None},
        {"backing": "f1"},
        {"backing": "f2"},
        {"backing": layer(1, backing=layer(2))},
        {"backing": layer(1, backing=None)},
        {"backing": nameless(2)},
        {"backing": nameless(0)},
    ],
    ids=["absent", "null", "f1", "f2", "inline-two", "inline-cut", "inline-2", "inline-0"],
)
def test_every_way_to_say_it(chain, wanted):
    number = 1 if len(chain) == 1 and chain[0]["node-name"] == "f1" else 0
    compare([*map(add, chain), *attempt(layer(number) | wanted)], images)


def test_under_a_running_commit_of_the_active_layer():
    """Links below the job are frozen; options of the layers that it writes are not free."""
    whole = layer(0, backing=layer(1, backing=layer(2)))
    compare(
        [
            add(whole),
            call("block-commit", job_id="j", device="f0"),
            wait_event("BLOCK_JOB_READY"),
            *attempt(changed(whole, "backing.backing", None)),
            *attempt(changed(whole, "backing", None)),
            *attempt(whole),
            call("block-job-complete", device="j"),
            wait_job("j", "null"),
            *LOOK,
        ],
        images,
        layout=False,  # the original copies in parallel
    )


def test_under_a_commit_of_the_middle():
    """Below the job's filter nothing is inline any more: the members are complained of by path."""
    whole = layer(0, backing=layer(1, backing=layer(2)))
    compare(
        [
            add(whole),
            call("block-commit", job_id="j", device="f0", top_node="f1", auto_finalize=False),
            wait_job("j", "pending"),
            *attempt(changed(whole, "backing.backing", None)),
            *attempt(changed(whole, "backing", None)),
            *attempt(whole),
            call("job-finalize", id="j"),
            *LOOK,
            *attempt(layer(0, backing=layer(2))),
            *attempt(layer(0)),
        ],
        images,
    )
