"""Media in drives: trays, changing them, and what queries, graph and events tell of it."""

import shutil

import pytest

from qmpd.testing.oracle import (
    MIB,
    Program,
    Step,
    call,
    compare,
    qemu_img,
    show_descriptors,
    show_graph,
)
from tests.oracle.building import either

WORDS = [
    *("-nodefaults", "-device", "virtio-scsi-pci", "-device", "sdhci-pci"),
    *("-blockdev", "qcow2,node-name=n,file.driver=file,file.filename=n.qcow2"),
    *("-blockdev", "qcow2,node-name=m,read-only=on,file.driver=file,file.filename=m.qcow2"),
    *("-blockdev", "raw,node-name=r,file.node-name=f,file.driver=file,file.filename=r.raw"),
    *("-drive", "if=none,id=full,file=d.qcow2,format=qcow2,cache=none,detect-zeroes=unmap"),
    *("-drive", "if=none,id=bare", "-drive", "if=none,id=bare-ro,read-only=on"),
    *("-drive", "if=none,id=zeroes,detect-zeroes=on"),
]
DEVICES = [
    *("-drive", "if=none,id=cd-drive,media=cdrom", "-drive", "if=none,id=fd-drive"),
    *("-drive", "if=none,id=sd-drive,file=s.qcow2,format=qcow2"),
    *("-device", "scsi-cd,id=scsi,drive=n", "-device", "scsi-cd,id=scsi-empty"),
    *("-device", "ide-cd,id=ide,drive=cd-drive", "-device", "scsi-cd"),
    *("-device", "floppy,id=fd,drive=fd-drive", "-device", "floppy,id=fd-empty"),
    *("-device", "sd-card,id=sd,drive=sd-drive", "-device", "sd-card,id=sd-empty"),
    *("-device", "scsi-hd,id=hd,drive=r"),
]


def images(directory):
    qemu_img(directory, "create", "-q", "-f", "qcow2", "n.qcow2", "2M")
    for name in "mdsx":
        shutil.copy(directory / "n.qcow2", directory / f"{name}.qcow2")
    (directory / "r.raw").write_bytes(bytes(MIB))
    (directory / "dir").mkdir()


def check(requests, *more):
    """Compare the answers to requests, then what queries and the graph say."""
    steps = [either(request) for request in requests]
    last = [call("query-block"), call("query-named-block-nodes"), show_graph(), show_descriptors()]
    compare([*steps, *last], images, program=Program.SYSTEM, arguments=[*WORDS, *more])


def by_hand(name):
    """One medium for another, step by step, and each step once too often or too early."""
    return [
        call("blockdev-remove-medium", id=name),
        call("blockdev-insert-medium", id=name, node_name="m"),
        call("blockdev-close-tray", id=name),
        call("blockdev-open-tray", id=name),
        call("blockdev-open-tray", id=name, force=True),
        call("blockdev-insert-medium", id=name, node_name="nope"),
        call("blockdev-insert-medium", id=name, node_name="m"),
        call("query-block"),
        call("blockdev-remove-medium", id=name),
        call("blockdev-remove-medium", id=name),
        show_graph(),
        call("blockdev-insert-medium", id=name, node_name="f"),
        call("blockdev-insert-medium", id=name, node_name="m"),
        call("query-block"),
        show_graph(),
        call("eject", id=name),
        call("eject", id=name),
        call("blockdev-insert-medium", id=name, node_name="n"),
        show_graph(),
        call("blockdev-close-tray", id=name),
        call("blockdev-close-tray", id=name),
        call("blockdev-change-medium", id=name, filename="x.qcow2"),
        call("query-block"),
        show_graph(),
        call("blockdev-open-tray", id=name),
        call("system_reset"),
        call("query-block"),
    ]


@pytest.mark.parametrize("name", ["scsi", "scsi-empty", "ide", "fd", "fd-empty", "sd", "hd"])
def test_step_by_step(name):
    """Each type of device takes, shows, keeps and refuses media as the original's does."""
    steps = [either(step) if isinstance(step, dict) else step for step in by_hand(name)]
    compare(steps, images, program=Program.SYSTEM, arguments=[*WORDS, *DEVICES])


def test_paths():
    """A device goes by its id or by its path; other paths are told apart."""
    paths = [
        *("/machine/peripheral/scsi", "sd-empty", "cd-drive", "nope", "", "/", "/machine"),
        *("/machine/peripheral-anon/device[2]", "/machine/peripheral-anon/device[0]"),
        *("/machine/peripheral-anon/device[9]", "/machine/peripheral", "/objects"),
    ]
    requests = []
    for path in paths:
        requests += [
            call("eject", id=path),
            call("blockdev-remove-medium", id=path),
            call("blockdev-insert-medium", id=path, node_name="m"),
        ]
    requests += [call("device_del", id=path) for path in ("", "/", "/machine/peripheral", "nope")]
    check(requests, *DEVICES)


@pytest.mark.parametrize("drive", ["full", "bare", "bare-ro", "zeroes", "cd-drive", "n", ""])
def test_next_medium_is_opened_like_the_last(drive):
    """A drive's flags outlive its medium, and the mode says which of them do not."""
    requests = []
    for mode in ({}, *({"read-only-mode": mode} for mode in ("retain", "read-only", "read-write"))):
        requests += [
            call("blockdev-change-medium", device=drive, filename="x.qcow2", **mode),
            call("query-block"),
            call("blockdev-open-tray", device=drive),
            call("eject", device=drive),
            call("query-block"),
            call("blockdev-change-medium", device=drive, filename="x.qcow2", **mode),
            call("query-block"),
        ]
    check(requests, *DEVICES)


FILES = [
    *("nope", "dir", "", "/", "nosuch:abc", "json:{", "null-co://", "r.raw", "m.qcow2"),
    *("file:m.qcow2", "json:{}", 'json:{"driver":"null-co"}', 'json:{"read-only":"off"}'),
    'json:{"driver":"qcow2","file.filename":"m.qcow2","file.driver":"file"}',
    'json:{"driver":"raw","file":{"driver":"null-co","size":512},"cache":{"direct":true}}',
]


@pytest.mark.parametrize("given", [None, "qcow2", "raw", "nope", "file", "null-co", ""])
def test_files_and_formats(given):
    """What a file and a format amount to; the generated names tell how many nodes there were."""
    named = {} if given is None else {"format": given}
    requests = []
    for file in FILES:
        requests += [
            call("blockdev-change-medium", device="bare-ro", filename=file, **named),
            call("query-block"),
            call("blockdev-change-medium", device="bare", filename='json:{"driver":"null-co"}'),
        ]
    steps = [either(request) for request in requests]
    compare(steps, images, program=Program.SYSTEM, arguments=WORDS)


def test_arguments_that_are_wrong():
    """Which mistake is told, of each command's."""
    given = [
        *({}, {"id": 1}, {"device": 1}, {"id": "nope"}, {"device": "nope"}, {"id": "ide"}),
        *({"id": "ide", "device": "bare"}, {"id": "ide", "force": "x"}, {"id": "ide", "foo": 1}),
        *({"id": "ide", "node-name": 3}, {"id": "nope", "node-name": "nope"}, {"filename": "x"}),
        *({"id": "nope", "filename": "nope"}, {"device": "cd-drive", "filename": 1}),
        {"device": "cd-drive", "filename": "nope", "read-only-mode": "x"},
        {"node-name": "n"},
    ]
    names = ("open-tray", "close-tray", "remove-medium", "insert-medium", "change-medium")
    check(
        [
            {"execute": name, "arguments": arguments}
            for name in ("eject", *(f"blockdev-{name}" for name in names))
            for arguments in given
        ],
        *DEVICES,
    )


def test_medium_in_use_by_a_job():
    """The tray opens although the medium cannot be taken out."""
    requests = [
        call("blockdev-remove-medium", id="scsi-empty"),
        call("eject", id="scsi"),
        call("blockdev-change-medium", id="scsi", filename="x.qcow2"),
        call("query-block"),
    ]

    def start(server):  # there is nothing to stream: pending may come before or behind the reply
        server.send(call("block-stream", job_id="j", device="n", auto_finalize=False))
        lines = server.lines_until_reply()
        if not any(b"BLOCK_JOB_PENDING" in line for line in lines):
            server.wait_event("BLOCK_JOB_PENDING")
        return lines[-1:]

    steps = [Step("an empty stream", start), *map(either, requests)]
    compare(steps, images, program=Program.SYSTEM, arguments=[*WORDS, *DEVICES])


LINES = [
    *("eject", "eject nope", "eject ide", "eject cd-drive", "eject -f full", "eject -x full"),
    *("eject full x", "change", "change full", "change nope x.qcow2", "change full x.qcow2"),
    *("change full x.qcow2 qcow2", "change cd-drive x.qcow2 qcow2 read-only", "info block"),
    *("change full x.qcow2 qcow2 foo", "change full nope", "change full x.qcow2 foo"),
    *("change -f full x.qcow2", "change full -f x.qcow2", "change full -fx.qcow2 raw retain x"),
    *('change full "x.qcow2" raw read-only', "info block full", 'change full "x', "eject -fbare"),
    *("change vnc x", "change vnc password x", "change vnc passwd", "change vnc passwd x raw"),
    *("drive_del cd-drive", "info block"),
]


def test_human_monitor():
    """The same through lines for people."""
    lines = [call("human-monitor-command", command_line=line) for line in LINES]
    check([*lines, call("blockdev-change-medium", id="ide", filename="x.qcow2")], *DEVICES)
