"""Which commands drain which jobs, and how often: each drained section is one step of a slow job.

A job that sleeps for its speed stops and goes on in each section, so that `paused` and
`running` tell the sections of a command. The other tests leave these pairs out; here they are
all that is counted.
"""

import json
import time

import pytest

from qmpd.testing.oracle import MIB, Program, Step, call, chain, compare, image, wait_progress
from qmpd.testing.oracle.server import is_event
from qmpd.testing.oracle.start import PATIENCE

pytestmark = pytest.mark.oracle

NAMES = [f"c{number}" for number in range(5)]
NODES = [
    request
    for number, name in enumerate(NAMES)
    for request in (
        call("blockdev-add", driver="file", node_name=f"s{number}", filename=name),
        call(
            "blockdev-add",
            driver="qcow2",
            node_name=f"f{number}",
            file=f"s{number}",
            backing=f"f{number - 1}" if number else None,
        ),
    )
] + [
    call(
        "blockdev-add",
        driver="qcow2",
        node_name=name,
        file={"driver": "file", "filename": name},
        backing=None,
    )
    for name in ("u", "o")
]
SLOW = {"job_id": "j", "speed": 1, "filter_node_name": "flt"}
JOBS = {
    "commit": call("block-commit", device="f4", top_node="f2", base_node="f1", **SLOW),
    "mirror": call("block-commit", device="f4", base_node="f3", **SLOW),
    "stream": call("block-stream", device="f3", base_node="f1", **SLOW),
}


def images(directory):
    writes = {
        "c0": ["write -P 1 0 64k"],
        "c2": ["write -P 2 0 40M"],
        "c4": [f"write -P 3 {128 * number}k 64k" for number in range(80)],
    }
    chain(directory, *NAMES, size=40 * MIB, writes=writes)
    for name in ("u", "o", "n"):
        image(directory, name, size=40 * MIB)


def sections(lines, job):
    """Return how often a job stopped and went on."""
    stopped = 0
    for line in lines:
        data = json.loads(line).get("data", {}) if is_event(line) else {}
        if data.get("id") == job and data.get("status") in ("paused", "standby"):
            stopped += 1
    return stopped


def counted(request, until=None):
    """Send a request, which may be refused; compare the reply and the sections of the job."""

    def run(server):
        server.send(request)
        lines = server.lines_until_reply()
        deadline = time.monotonic() + PATIENCE
        while until is not None and not any(until in line for line in lines):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {until!r} after {request}")
            time.sleep(0.002)  # a device goes when nobody else wants anything
            server.send(call("query-jobs"))
            lines += server.lines_until_reply()[:-1]
        replies = [line for line in lines if not is_event(line)]
        return [*replies, b"%d sections\n" % sections(lines, "j")]

    return Step(json.dumps(request), run)


END = counted(call("job-cancel", id="j"), until=b'"null", "id": "j"')


def begun(job):
    """Start a job, and wait until it sleeps."""
    return [JOBS[job], wait_progress("j", 65536 if job == "mirror" else 524288)]


def both(*requests, job, **options):
    compare([*NODES, *begun(job), *map(counted, requests), END], images, layout=False, **options)


def add(driver, name, **options):
    return call("blockdev-add", driver=driver, node_name=name, **options)


def delete(name):
    return call("blockdev-del", node_name=name)


def link(name, **links):
    """Reopen a node with other links."""
    return {"driver": "raw" if name == "r" else "qcow2", "node-name": name} | links


def reopen(*nodes):
    return call("blockdev-reopen", options=list(nodes))


def layer(number, **options):
    backing = f"f{number - 1}" if number else None
    return link(f"f{number}", file=f"s{number}", backing=backing) | options


def put_on(node, overlay):
    return call("blockdev-snapshot", node=node, overlay=overlay)


def snapshot(node, name="n", **options):
    return call(
        "blockdev-snapshot-sync",
        node_name=node,
        snapshot_file="z",
        snapshot_node_name=name,
        **options,
    )


def transaction(*requests):
    actions = [{"type": each["execute"], "data": each["arguments"]} for each in requests]
    return call("transaction", actions=actions)


NEW = add("qcow2", "n", file={"driver": "file", "filename": "n"}, backing=None)
PLAYS = {
    "definitions": [
        *(add("raw", f"r{name}", file=name) for name in ("f0", "f2", "f4", "s3", "u")),
        add("raw", "f4", file="f4"),
        add("raw", "1x", file="s0"),
        add("qcow2", "x", file="f3"),
        add("copy-on-read", "x", file="f4", bottom="f1"),
        add("raw", "x", file={"driver": "raw", "file": "f4"}),
        NEW,
        *(delete(name) for name in ("rf0", "x", "f4", "n", "u", "nobody")),
    ],
    "reopening": [
        *(reopen(layer(number)) for number in (0, 1, 2, 4)),
        reopen(layer(2, **{"read-only": True})),
        reopen(layer(0), layer(1)),
        reopen(layer(0), link("nobody")),
        reopen(link("nobody"), layer(0)),
        reopen(layer(0, **{"overlap-check": "zz"})),
        reopen({"driver": "file", "node-name": "s4", "filename": "c4"}),
    ],
    "new links": [
        add("raw", "r", file="f4"),
        *(reopen(link("r", file=name)) for name in ("f3", "f4", "u", "flt", "f0", "u")),
        *(reopen(layer(4, backing=name)) for name in ("u", "flt", "f3", "f0", None, "nobody")),
        reopen(layer(4, backing="u", **{"detect-zeroes": "unmap"})),
    ],
    "overlays": [
        NEW,
        *(put_on(f"f{number}", "n") for number in (0, 2, 3)),
        *(put_on("f2", name) for name in ("u", "nobody", "flt")),
        add("raw", "r", file="f2"),
        put_on("r", "n"),
        put_on("u", "o"),
        snapshot("f4", format="nope"),
        snapshot("f3", name="u"),
        snapshot("f4", name="m"),
        snapshot("nobody"),
    ],
    "transactions": [
        NEW,
        transaction(),
        transaction(put_on("u", "o"), put_on("f4", "nobody")),
        transaction(put_on("u", "n"), put_on("f4", "o")),
    ],
    "jobs": [
        call("block-commit", job_id="k", device="f4", base_node="f3", top_node="f3"),
        call("block-commit", job_id="j", device="u", top_node="u"),
        call("block-stream", job_id="j", device="u"),
        call("block-stream", job_id="k", device="f1", filter_node_name="u"),
        call("block-stream", job_id="k", device="u", speed=-1),
        call("change-backing-file", device="f4", image_node_name="f0", backing_file="c0"),
        call("block-job-set-speed", device="j", speed=1),
    ],
}


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("play", PLAYS)
def test_sections_of(play, job):
    """Accepted or refused, a command drains as often as the original's, wherever it is aimed."""
    crashes = play == "reopening" and job == "commit"  # with the link above the filter changed
    requests = [each for each in PLAYS[play] if not (crashes and '"f3"' in json.dumps(each))]
    both(*requests, job=job)


OVERLAYS = [
    add("qcow2", "n", file={"driver": "file", "filename": "n"}, backing="f0"),
    add("qcow2", "m", file={"driver": "file", "filename": "o"}, backing="n"),
]
KEPT = {"job_id": "k", "auto_finalize": False}


@pytest.mark.parametrize(("end", "read_only"), [("finalize", True), ("cancel", False)])
@pytest.mark.parametrize(
    "other",
    [
        call("block-stream", device="f2", **KEPT),
        call("block-stream", device="f2", base_node="f0", **KEPT),
        call("block-stream", device="n", **KEPT),
        call("block-stream", device="m", base_node="n", **KEPT),
        call("block-commit", device="m", top_node="n", base_node="f0", **KEPT),
    ],
    ids=["upper", "upper-part", "lower", "lower-part", "commit"],
)
def test_sections_of_another_jobs_life(other, end, read_only):
    """Jobs drain others when they come, and when they go."""
    nodes = [each for each in NODES if each["arguments"]["node-name"] != "o"]
    overlays = [
        {**each, "arguments": {**each["arguments"], "read-only": read_only}} for each in OVERLAYS
    ]
    if read_only:
        overlays.append(reopen(layer(2, **{"read-only": True})))
    steps = [
        *(*nodes, *overlays, *begun("mirror")),
        counted(other, until=b'"pending"'),
        counted(call(f"job-{end}", id="k"), until=b'"null", "id": "k"'),
        END,
    ]
    compare(steps, images, layout=False)


@pytest.mark.parametrize("kind", ["scsi-hd", "virtio-blk-pci"])
def test_sections_of_devices(kind):
    """A device resets when it comes and when the machine does; refused, it lets its node go."""
    plug = [
        counted(call("device_add", driver=kind, id=f"d{number}", drive=f"f{number}"))
        for number in (0, 2, 3)
    ]
    leave = b"DEVICE_DELETED"
    steps = [
        *(*NODES, *begun("commit")),
        counted(call("device_add", driver=kind, id="d", drive="f4")),
        counted(call("system_reset")),
        counted(call("device_del", id="d"), until=leave if kind == "scsi-hd" else None),
        counted(call("system_reset"), until=leave if kind != "scsi-hd" else None),
        *plug,
        END,
    ]
    compare(
        steps,
        images,
        program=Program.SYSTEM,
        arguments=["-device", "virtio-scsi-pci,id=scsi0"],
        layout=False,
    )
