"""device_add, device_del and what a reset does: nodes are in use just as long as devices are."""

import json
import time

import pytest

from qmpd.testing.oracle import (
    MIB,
    Program,
    Step,
    call,
    chain,
    compare,
    image,
    show_descriptors,
    show_graph,
    wait_event,
    wait_job,
    wait_progress,
)
from qmpd.testing.oracle.server import is_event
from qmpd.testing.oracle.start import PATIENCE
from tests.oracle.building import either, separate

pytestmark = pytest.mark.oracle

LOOK = [
    call("query-block"),
    call("query-block-jobs"),
    call("query-named-block-nodes"),
    show_graph(),
    show_descriptors(),
]
SCSI = ["-device", "virtio-scsi,id=bus"]
DRIVE = [
    "-drive",
    "if=none,id=drive0,file={dir}/t,format=qcow2,node-name=top,backing.node-name=mid",
    *SCSI,
    *("-device", "scsi-hd,id=d,drive=drive0"),
]
_QUIET = 0.5


def images(directory):
    image(directory, "b", size=2 * MIB)
    image(directory, "m", size=2 * MIB, backing=str(directory / "b"), writes=["write 512k 512k"])
    image(directory, "t", size=2 * MIB, backing=str(directory / "m"), writes=["write 64k 64k"])


def ask(name, **arguments):
    """A request that may be refused."""
    request = call(name, **arguments)

    def run(server):
        server.send(request)
        return server.lines_until_reply()

    return Step(str(request), run)


def plug(driver, name, drive="n", **more):
    return ask("device_add", driver=driver, id=name, drive=drive, **more)


def gone(name):
    return wait_event("DEVICE_DELETED", device=name)


NODE = call("blockdev-add", driver="null-co", node_name="n")
FREE = ask("blockdev-del", node_name="n")


def _reset(server):
    """Reset the machine until its device is gone; the reply goes last.

    The original tells of the device before its reply in about one of twelve runs.
    """
    server.send(call("system_reset"))
    lines = server.lines_until_reply()
    deadline = time.monotonic() + PATIENCE
    while sum(b"DEVICE_DELETED" in line for line in lines) < _PARTS:
        if time.monotonic() > deadline:
            raise TimeoutError("the device does not go")
        time.sleep(0.002)
        server.send(call("query-status"))
        lines += server.lines_until_reply()[:-1]
    return sorted(lines, key=lambda line: not is_event(line))


_PARTS = 2
"""A disk on PCI and its backend are told to be gone one after the other."""
RESET_AND_GONE = Step("system_reset, and the device is gone", _reset)


def check(script, *arguments, layout=True):
    compare(script, images, program=Program.SYSTEM, arguments=arguments, layout=layout)


def test_a_disk_on_scsi_goes_at_once():
    check(
        [
            NODE,
            plug("scsi-hd", "d"),
            *LOOK,
            FREE,
            call("device_del", id="d"),
            gone("d"),
            *LOOK,
            ask("device_del", id="d"),
            FREE,
        ],
        *SCSI,
    )


def test_a_disk_on_pci_waits_for_the_guest():
    check(
        [
            NODE,
            plug("virtio-blk-pci", "d"),
            call("device_del", id="d"),
            ask("device_del", id="d"),
            FREE,
            RESET_AND_GONE,
            *LOOK,
            FREE,
        ]
    )


def test_refusals():
    check(
        [
            NODE,
            plug("scsi-hd", "d", "nope"),
            plug("nonsense", "d"),
            plug("scsi-hd", "bus"),
            plug("scsi-hd", "1x"),
            ask("device_add", driver="scsi-hd"),
            ask("device_add", id="x"),
            ask("device_add"),
            plug("scsi-hd", "d"),
            plug("scsi-hd", "d"),
            plug("scsi-hd", "e"),
            plug("scsi-hd", "e", share_rw=True),
            plug("virtio-blk", "e"),
            ask("device_del", id="nope"),
            ask("device_del"),
            call("device_del", id="/machine/peripheral/d"),
            gone("d"),
            plug("virtio-blk", "d"),
            ask("device_add", driver="scsi-hd", drive="n"),
            *LOOK,
        ],
        *SCSI,
    )


def test_buses_that_are_not_for_it():
    """Disks on IDE are there from the start, or not at all, and stay."""
    words = ["-blockdev", "null-co,node-name=m", "-device", "ide-hd,drive=m,id=a"]
    words += ["-device", "ide-cd,bus=ide.0,id=b"]
    given = [{"drive": "n"}, {"drive": "nope"}, {"drive": "n", "bus": "ide.0"}, {"id": "1x"}]
    plugs = [ask("device_add", driver="ide-hd", **each) for each in given]
    gone = [ask("device_del", id=name) for name in "ab"]
    check([NODE, *plugs, ask("device_add", driver="ide-cd"), *gone, *LOOK], *words)


def test_two_readers_of_one_node():
    check(
        [
            call("blockdev-add", driver="null-co", node_name="n", read_only=True),
            call("object-add", qom_type="iothread", id="t"),
            call("device_add", driver="virtio-scsi", id="s", iothread="t"),
            plug("scsi-hd", "d"),
            plug("scsi-hd", "e"),
            call("device_del", id="e"),
            gone("e"),
            call("device_del", id="d"),
            gone("d"),
            plug("scsi-hd", "d"),
            call("device_del", id="s"),
            FREE,
        ]
    )


def everything(server):
    """All that is said until it has been quiet for a while; times are close together here."""
    lines = []
    while True:
        try:
            line = server.connection.read_line(_QUIET)
        except TimeoutError:
            return lines
        lines.append(line)


def test_a_drive_goes_with_its_disk():
    check([call("device_del", id="d"), Step("everything", everything), *LOOK], *DRIVE)


def test_a_job_on_a_drive_is_cancelled_with_its_disk():
    check(
        [
            call("block-commit", device="drive0", top_node="mid", speed=1),
            wait_progress("drive0", MIB),
            call("device_del", id="d"),
            Step("everything", everything),
            *LOOK,
        ],
        *DRIVE,
    )


def test_a_job_that_is_ready_ends_well():
    check(
        [
            call("block-commit", device="drive0"),
            wait_event("BLOCK_JOB_READY"),
            call("device_del", id="d"),
            Step("everything", everything),
            *LOOK,
        ],
        *DRIVE,
        layout=False,
    )


READ_ONLY = {"read-only": True}
THREAD = {"iothread": "i0"}
THREADS = [
    *("-object", "iothread,id=i0", "-object", "iothread,id=i1"),
    *(word for node in "nmo" for word in ("-blockdev", f"null-co,node-name={node},read-only=on")),
    *("-device", "virtio-scsi,id=s0,iothread=i0", "-device", "virtio-scsi,id=s1,iothread=i1"),
    *("-device", "virtio-scsi,id=s2"),
]


def on(kind, drive, name, **properties):
    return either(call("device_add", driver=kind, drive=drive, id=name, **properties))


def test_devices_of_one_image_in_several_threads():
    """Neither the disks of one node nor those of nodes that are connected can be in two."""
    plug = [
        *(on("scsi-hd", "n", f"n{i}", bus=f"s{i % 3}.0") for i in range(5)),
        on("scsi-cd", "n", "n5", bus="s2.0"),
        *(on("virtio-blk", "n", f"v{i}", **extra) for i, extra in enumerate([{}, THREAD])),
        on("scsi-hd", "m", "m0"),
        *(on("scsi-hd", "m", f"m{i + 1}", bus=f"s{i}.0") for i in range(3)),
        call("blockdev-add", driver="raw", node_name="r", file="n", **READ_ONLY),
        *(on("scsi-hd", "r", f"r{i}", bus=f"s{i}.0") for i in range(3)),
        *(on("virtio-blk", "o", f"o{i}", iothread=f"i{i}") for i in range(2)),
        on("scsi-hd", "o", "o3", bus="s0.0"),
        either(call("device_add", driver="virtio-scsi", id="s3", iothread="nope")),
        either(call("device_add", driver="virtio-scsi", id="s4", iothread="")),
    ]
    compare([*plug, call("query-block")], program=Program.SYSTEM, arguments=THREADS)


@pytest.mark.parametrize("thread", [{}, {"iothread": "io"}], ids=["main", "iothread"])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("block-stream", {}),
        ("block-commit", {"top-node": "f1"}),
    ],
)
@pytest.mark.parametrize("drive", ["f0", "f2"])
def test_disks_on_nodes_with_jobs(name, arguments, drive, thread):
    """A SCSI controller asks whether the node is free for it, after the permissions."""
    names = ("c0", "c1", "c2")
    writes = {name: ["write -P 1 0 1M"] for name in names}
    words = ["-object", "iothread,id=io"]
    words += ["-device", json.dumps({"driver": "virtio-scsi-pci", "id": "bus", **thread})]
    for request in separate(*names):
        words += ["-blockdev", json.dumps(request["arguments"])]
    job = call(name, device="f2", job_id="j", auto_finalize=False, **arguments)
    compare(
        [job, wait_job("j", "pending"), plug("scsi-hd", "d", drive, **{"share-rw": True}), *LOOK],
        lambda directory: chain(directory, *names, writes=writes),
        program=Program.SYSTEM,
        arguments=words,
        layout=False,
    )
