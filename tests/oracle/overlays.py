"""Images, nodes and requests that the cases about snapshots share.

``f1`` over ``f0`` is the chain; ``o`` and ``more`` are overlays that are open already.
"""

from qmpd.testing.oracle import MIB, call, chain, image, show_descriptors, show_graph
from tests.oracle.building import either

LOOK = [call("query-named-block-nodes"), show_graph(), show_descriptors()]
DISK = call("device_add", driver="virtio-blk-pci", id="disk", drive="f1")


def images(directory):
    chain(directory, "c0", "c1")
    image(directory, "o", size=MIB)
    image(directory, "more", size=MIB, writes=["write -P 5 0 64k"])
    image(directory, "big", size=2 * MIB)
    image(directory, "with-backing", size=MIB, backing="c0")
    image(directory, "raw", fmt="raw", size=MIB)


def file(name, filename, **options):
    options = {"auto-read-only": True, "filename": filename} | options
    return call("blockdev-add", driver="file", node_name=name, **options)


def qcow2(name, file_, **options):
    return call("blockdev-add", driver="qcow2", node_name=name, file=file_, **options)


def raw(name, file_):
    return call("blockdev-add", driver="raw", node_name=name, file=file_)


def snapshot(node, overlay):
    return call("blockdev-snapshot", node=node, overlay=overlay)


def delete(*names):
    return [either(call("blockdev-del", node_name=name)) for name in names]


def commit(**arguments):
    return call("block-commit", job_id="j", **arguments)


CHAIN = [
    file("s0", "c0"),
    qcow2("f0", "s0", read_only=True, backing=None),
    file("s1", "c1"),
    qcow2("f1", "s1", backing="f0"),
]
OVERLAY = [file("so", "o"), qcow2("o", "so", backing=None)]
MORE = [file("sm", "more"), qcow2("more", "sm", backing=None)]
