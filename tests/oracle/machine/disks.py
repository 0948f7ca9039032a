"""Which disks a random sequence has, and what a guest does with them."""

from __future__ import annotations

from hypothesis import strategies as st

from qmpd.testing.oracle import call
from tests.oracle.machine.draws import mostly, references

BUS = ["-device", "virtio-scsi-pci,id=bus"]
HOT_NAMES = ["d0", "d1", "d2"]
COMMAND_LINE_NAME = "vda"


@st.composite
def device(draw, node):
    """The words of a disk on a node, or of none."""
    kind = draw(st.sampled_from(["virtio-blk-pci", "virtio-blk-pci", "scsi-hd", "ide-hd", None]))
    if kind is None:
        return []
    shared = draw(st.sampled_from(["", "", ",share-rw=on"]))
    return ["-device", f"{kind},drive={node},id={COMMAND_LINE_NAME}{shared}"]


def path(name, driver):
    """How a request calls a disk."""
    place = f"/machine/peripheral/{name}"
    return f"{place}/virtio-backend" if driver.startswith("virtio") else place


@st.composite
def plug(draw, view):
    """A disk on any node; on PCI it stays for ever, since no guest lets go of it."""
    roots = [view.request_name(name) for name in view.roots()]
    arguments = {
        "driver": draw(st.sampled_from(["scsi-hd", "scsi-hd", "scsi-hd", "scsi-cd", "virtio-blk"])),
        "id": draw(st.sampled_from(HOT_NAMES)),
        "drive": draw(mostly(roots, references(view))),
    }
    more = {"share-rw": st.booleans(), "write-cache": st.sampled_from(["on", "off", "auto"])}
    return {
        "execute": "device_add",
        "arguments": arguments | draw(st.fixed_dictionaries({}, optional=more)),
    }


@st.composite
def unplug(draw, devices):
    """A disk that is there, or not."""
    return call("device_del", id=draw(st.sampled_from([*devices, *devices, *HOT_NAMES])))


@st.composite
def guest(draw, view, devices):
    """What a guest does with a disk, or somebody else with a node by its name."""
    roots = [f"-d {path}" for path in devices] * 4
    roots += [view.request_name(name) for name in view.roots()]
    where = draw(st.sampled_from([*roots * 2, *references(view)]))
    offset = draw(st.sampled_from([0, 4096, 65536, 98304, 300000, 524288, 917504, 1047552]))
    length = draw(st.sampled_from([512, 4096, 10, 65536, 131072, 1 << 20]))
    what = draw(
        st.sampled_from(
            ["write -P 201", "write -P 202", "write -z", "write -z -u", "read", "read -P 1"]
        )
    )
    line = draw(st.sampled_from([*[f"{what} {offset} {length}"] * 6, "flush"]))
    return call("human-monitor-command", command_line=f'qemu-io {where} "{line}"')
