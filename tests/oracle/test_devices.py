"""Guest devices: what each type asks of its node, and what queries tell of it."""

import json

import pytest

from qmpd.testing.oracle import Program, Server, Side, run_to_end

BUSES = [
    *("-device", "virtio-scsi-pci,id=bus-s", "-device", "qemu-xhci", "-device", "sdhci-pci"),
    *("-device", "nvme,id=bus-n,serial=1"),
]

# Type, QOM path below the device's own, permissions that it shares besides, removable, tray,
# io-status, and whether it takes a node that cannot be written.
DEVICES = [
    ("virtio-blk-pci", "/virtio-backend", {"resize"}, False, None, "ok", True),
    ("scsi-hd", "", {"resize"}, False, None, "ok", True),
    ("scsi-cd", "", set(), True, False, "ok", True),
    ("ide-hd", "", {"resize"}, False, None, "ok", False),
    ("ide-cd", "", set(), True, False, "ok", True),
    ("usb-storage", "/d.0/legacy[0]", {"resize"}, False, None, "ok", True),
    ("nvme,serial=2", "", set(), False, None, None, True),
    ("nvme-ns,bus=bus-n", "", set(), False, None, None, True),
    ("floppy", "", set(), True, None, None, True),
    ("sd-card", "", {"resize", "write"}, True, None, None, False),
]


def words(device, *, read_only=False):
    definition = f"null-co,node-name=n,read-only={'on' if read_only else 'off'}"
    return [*BUSES, "-blockdev", definition, "-device", f"{device},drive=n,id=d"]


def permissions(server):
    (edge,) = server.execute("x-debug-query-block-graph")["edges"]
    return set(edge["perm"]), set(edge["shared-perm"])


@pytest.mark.parametrize(
    ("device", "part", "shared", "removable", "tray", "io_status", "takes_read_only"), DEVICES
)
def test_device(start_server, device, part, shared, removable, tray, io_status, takes_read_only):
    server = start_server(*words(device), program=Program.SYSTEM)
    (info,) = server.execute("query-block")
    assert info["qdev"] == (f"/machine/peripheral/d{part}" if part else "d")
    assert info["removable"] is removable
    assert info.get("tray_open") is tray
    assert info.get("io-status") == io_status
    writes = set() if device.endswith("-cd") else {"write"}
    shares = {"consistent-read", "write-unchanged", *shared}
    assert permissions(server) == ({"consistent-read", *writes}, shares)
    if takes_read_only:
        server = start_server(*words(device, read_only=True), program=Program.SYSTEM)
        assert permissions(server) == ({"consistent-read"}, shares)


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        ("ide-hd", "Block node is read-only"),
        ("sd-card", "Cannot use read-only drive as SD card"),
    ],
)
def test_device_that_has_to_write(start_server, device, reason):
    ended = start_server.refused(*words(device, read_only=True), program=Program.SYSTEM)
    assert ended.last_line == f"PROG: -device {device},drive=n,id=d: {reason}"


@pytest.mark.parametrize(
    "text",
    [
        *("virtio-blk,drive=n,foo=1,bar=2", "virtio-blk,drive=nope,foo=1", "nvme,drive=n,foo=1"),
        *("virtio-blk,drive=nope,scsi=z", "virtio-blk,drive=nope,num-queues=1.5"),
        *("virtio-blk,drive=n,share-rw=z", "virtio-blk,drive=n,share-rw=z,foo=1"),
        *("scsi-hd,drive=n,foo=1", "scsi-hd,drive=nope,foo=1", "scsi-hd,drive=n,queue-size=1"),
        *("scsi-cd,drive=n,rotation_rate=1", "ide-hd,drive=n,foo=1", "virtio-blk,iothread=no"),
        *('{"driver":"virtio-blk","drive":1}', '{"driver":"virtio-blk","drive":null}'),
        *('{"driver":"virtio-blk","drive":["n"]}', '{"driver":"virtio-blk","drive":"n","foo":1}'),
        '{"driver":"virtio-blk","drive":"n","share-rw":1}',
        '{"driver":"virtio-blk","drive":"n","num-queues":true}',
        "{'driver':'virtio-blk','drive':'n','foo':1} -device virtio-blk,drive=n,bar=1",
    ],
)
def test_properties_that_there_are_not(text, tmp_path):
    """The first in the order of the wire is told, up to a drive that does not exist."""
    words = ["-blockdev", "null-co,node-name=n", "-device", "virtio-scsi", "-device"]
    ours, theirs = (
        run_to_end(side, Program.SYSTEM, [*words, *text.split(" ")], tmp_path)
        for side in (Side.QMPD, Side.REAL)
    )
    assert ours.last_line == theirs.last_line
    assert ours.status == theirs.status == 1


# Properties and values that fit no device, or another one.
VALUES = {
    "bootindex": ["1", "x", True, None, 1.5, 1 << 31, 1 << 63, -2],
    "serial": [1, True, None, []],
    "share-rw": ["on", "x", 1, None],
    "rotation_rate": ["1", "x", 65536, -1],
    "cyls": [1 << 32, "1z"],
    "wwn": [-1, "x"],
    "werror": [1, "x", True],
    "account-invalid": [True, "x", "auto"],
    "logical_block_size": ["512", 511, True, -1, 0],
    "physical_block_size": [513, "x"],
    "discard_granularity": [-1, "1k", "x", 1 << 32],
    "min_io_size": [1 << 40],
    **{name: ["x", True] for name in ("type", "parent_bus", "hotplugged", "dpofua", "nope")},
    "realized": ["x", 1],
    "iothread": ["x", 1],
    "addr": ["1", 1],
    "vendor": [1, "x"],
    "drive": [1, None, [], "x", ""],
    "zz": [{}, {"a": 1}],
}
CASES = [(name, value) for name, values in VALUES.items() for value in values]


def plug_and_unplug(server, name, value):
    """The answer; a device that was plugged in is gone afterwards."""
    device = {"driver": "scsi-hd", "drive": "n", "id": "d", name: value}
    answer = server.request({"execute": "device_add", "arguments": device})
    if "return" in answer:
        server.execute("device_del", id="d")
        server.wait_event("DEVICE_DELETED", device="d")
    return answer


@pytest.mark.oracle
def test_values_of_properties(tmp_path):
    """The command makes texts of them all, and leaves out what has no value."""
    arguments = ["-device", "virtio-scsi", "-blockdev", "null-co,node-name=n"]
    heard = []
    for side in Side:
        with Server(
            side, tmp_path, tmp_path, program=Program.SYSTEM, arguments=arguments
        ) as server:
            heard.append([(case, plug_and_unplug(server, *case)) for case in CASES])
    assert heard[0] == heard[1]


@pytest.mark.oracle
@pytest.mark.parametrize(
    "values",
    [
        *[{"bootindex": "1"}, {"bootindex": 1 << 31}, {"share-rw": "on"}, {"share-rw": None}],
        *[{"serial": 1}, {"lun": "1"}, {"secs": -1}, {"werror": True}, {"werror": "x"}],
        *[{"type": "x"}, {"logical_block_size": "512"}, {"logical_block_size": 511}],
        *[{"discard_granularity": -1}, {"addr": "1"}, {"iothread": None}, {"realized": "on"}],
        *[{"hotplugged": True, "nope": 1}, {"drive": []}],
    ],
    ids=str,
)
def test_values_in_json(values, tmp_path):
    """On a command line a text is nothing but a text, and some properties cannot be set."""
    text = json.dumps({"driver": "scsi-hd", "drive": "n", "id": "d", **values})
    arguments = ["-device", "virtio-scsi", "-blockdev", "null-co,node-name=n", "-device", text]
    ends = [run_to_end(side, Program.SYSTEM, arguments, tmp_path) for side in Side]
    assert ends[0].last_line == ends[1].last_line
    assert ends[0].status == ends[1].status == 1
