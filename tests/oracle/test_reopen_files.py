"""What reopening a file node without need makes it do later: it forgets how its file is open."""

import os

import pytest

from qmpd.testing.oracle import (
    call,
    chain,
    compare,
    image,
    on_host,
    refused,
    show_descriptors,
    wait_job,
)
from tests.oracle.building import either

AUTO = {"auto-read-only": True}
READ_ONLY = {"read-only": True}
DIRECT = {"cache": {"direct": True}}


def file(name="c0", **options):
    return {"driver": "file", "filename": name, "node-name": f"s-{name}", **options}


def qcow2(name="c0", **options):
    node = {"driver": "qcow2", "node-name": f"f-{name}", "file": f"s-{name}", "backing": None}
    return node | options


def add(definition):
    return call("blockdev-add", **definition)


def delete(name):
    return call("blockdev-del", node_name=name)


def reopen(*options):
    return call("blockdev-reopen", options=list(options))


CASES = {
    "made read-only": [add(file()), reopen(file()), reopen(file(**READ_ONLY))],
    "made read-only at the second attempt": [
        *(add(file()), reopen(file()), reopen(file(**READ_ONLY))),
        *(reopen(file(**READ_ONLY)), reopen(file()), reopen(file(**READ_ONLY))),
    ],
    "somebody came in between": [
        *(add(file()), reopen(file()), add(qcow2()), delete("f-c0"), reopen(file(**READ_ONLY))),
    ],
    "the writer leaves": [
        *(add(file(**AUTO)), add(qcow2()), reopen(file(**AUTO)), delete("f-c0")),
        *(add(qcow2(**READ_ONLY)), delete("f-c0"), add(qcow2()), delete("f-c0")),
    ],
    "the writer becomes a reader": [
        *(add(file(**AUTO)), add(qcow2()), reopen(file(**AUTO)), reopen(qcow2(**READ_ONLY))),
        *(reopen(qcow2()), reopen(qcow2(**READ_ONLY))),
    ],
    "both at once": [
        *(add(file(**AUTO)), add(qcow2()), reopen(file(**AUTO), qcow2(**READ_ONLY))),
        *(reopen(qcow2()), reopen(qcow2(**READ_ONLY))),
    ],
    "as its owner is": [
        add(qcow2(file=file(**AUTO))),
        *(reopen(qcow2(file=file(**AUTO))), reopen(qcow2(file=file(**AUTO), **READ_ONLY))),
    ],
    "something far above changes": [
        *(add(file(**AUTO)), add(qcow2()), add(file("c1")), reopen(file(**AUTO))),
        add(qcow2("c1", backing="f-c0")),
        *(delete("f-c1"), delete("f-c0")),
    ],
    "a commit writes": [
        *(add(file(**AUTO)), add(qcow2(**READ_ONLY)), add(file("c1")), reopen(file("c1"))),
        add(qcow2("c1", backing="f-c0")),
        reopen(file(**AUTO)),
        *(call("block-commit", job_id="j", device="f-c1"), wait_job("j", "ready")),
        *(reopen(file(**AUTO)), call("job-cancel", id="j"), wait_job("j", "null")),
    ],
}


@pytest.mark.oracle
@pytest.mark.parametrize("name", CASES)
def test_reopen_without_need(name):
    """The descriptor is the original's after every step, also where nobody wants it so."""
    steps = [step for request in CASES[name] for step in (request, show_descriptors())]
    written = {"c1": ["write -P 1 0 256k"]}
    compare(steps, lambda directory: chain(directory, "c0", "c1", writes=written))


@pytest.mark.oracle
def test_file_that_is_gone_when_it_is_opened_again():
    """Whoever comes first after an idle reopen has the file opened, be it only to be refused."""

    def move(source, target):
        return on_host("rename", lambda directory: (directory / source).rename(directory / target))

    gone = "Could not open 'c0': No such file or directory"
    again = add({"driver": "raw", "node-name": "f-c0", "file": "s-c0"})
    compare(
        [
            *(add(file(**AUTO)), add(qcow2()), reopen(file(**AUTO))),
            move("c0", "away"),
            refused(gone, reopen(qcow2())),
            refused(gone, again),
            refused(gone, add({"driver": "raw", "node-name": "r", "file": "f-c0"})),
            move("away", "c0"),
            refused("Duplicate nodes with node-name='f-c0'", again),
            move("c0", "away"),
            *(reopen(qcow2()), show_descriptors()),
            *(delete("f-c0"), show_descriptors()),
        ],
        lambda directory: image(directory, "c0"),
    )


def odd_sizes(directory):
    """Make files that are no multiple of 4 KiB, with and without data at their beginning."""
    (directory / "c0").write_bytes(b"x" * (9 << 9))
    (directory / "c1").touch()
    os.truncate(directory / "c1", 9 << 9)


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["c0", "c1"])
def test_alignment_that_o_direct_asks_for(name):
    """It is found out by trying, with whatever descriptor there is; odd sizes are in the way."""
    copies = add({"driver": "copy-on-read", "node-name": "w", "file": f"s-{name}", **READ_ONLY})
    steps = [
        *(add(file(name, **AUTO)), copies, reopen(file(name, **AUTO, **DIRECT)), delete("w")),
        *(copies, reopen(file(name, **AUTO)), copies, delete("w")),
        *(delete(f"s-{name}"), add(file(name, **AUTO, **DIRECT)), copies, delete("w")),
        *(delete(f"s-{name}"), add(file(name)), copies, reopen(file(name, **DIRECT))),
        add({"driver": "raw", "node-name": "w", "file": f"s-{name}"}),
        add({"driver": "raw", "node-name": "r", "file": f"s-{name}"}),
    ]
    compare([s for step in steps for s in (either(step), show_descriptors())], odd_sizes)
