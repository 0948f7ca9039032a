"""Guest devices: what each type asks of its node, and what queries tell of it."""

import pytest

from qmpd.testing.oracle import Program, Side, run_to_end

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
