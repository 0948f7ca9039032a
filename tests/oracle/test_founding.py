"""The chain that qmpd was made for: five layers, each file and format node defined apart.

libvirt's way: storage nodes with dynamic auto-read-only, format nodes read-only but the
active one, commit of the middle of the chain. QEMU 4.0-rc0 failed an assertion on it.
"""

import pytest

from qmpd.testing.oracle import (
    Program,
    call,
    chain,
    compare,
    show_descriptors,
    show_graph,
    wait_event,
    wait_job,
)

LAYERS = (13, 12, 11, 10, 9)  # libvirt numbers its nodes from the active layer up
BASE, TOP, OVERLAY = "libvirt-12-format", "libvirt-10-format", "libvirt-9-format"

pytestmark = pytest.mark.oracle


def make_images(directory, *, absolute=True):
    names = [f"layer-{number}.qcow2" for number in LAYERS]
    chain(
        directory,
        *names,
        absolute=absolute,
        writes={
            name: [f"write -P {position + 1} {position * 128}k 192k"]
            for position, name in enumerate(names)
        },
    )


def definitions():
    """Return the nodes as option values, base first, as libvirt writes them."""
    below = None
    for number in LAYERS:
        active = number == LAYERS[-1]
        yield (
            f'{{"driver":"file","filename":"{{dir}}/layer-{number}.qcow2",'
            f'"node-name":"libvirt-{number}-storage","auto-read-only":true,"discard":"unmap"}}'
        )
        backing = f'"{below}"' if below else "null"
        yield (
            f'{{"node-name":"libvirt-{number}-format","read-only":{str(not active).lower()},'
            f'"driver":"qcow2","file":"libvirt-{number}-storage","backing":{backing}}}'
        )
        below = f"libvirt-{number}-format"


def commit(device, **arguments):
    return call(
        "block-commit",
        job_id="commit-vda",
        device=device,
        top_node=TOP,
        base_node=BASE,
        auto_dismiss=False,
        **arguments,
    )


def command_line(program):
    words = [word for text in definitions() for word in (program.blockdev_option, text)]
    if program is Program.SYSTEM:
        words += ["-device", "virtio-blk-pci,drive=libvirt-9-format,id=virtio-disk0"]
    return words


@pytest.mark.parametrize("program", Program, ids=["storage-daemon", "system"])
def test_commit_of_the_middle_layers(program):
    """The whole life of the job: replies, events, nodes, graph, descriptors, images."""
    nodes = call("query-named-block-nodes")
    transcript = compare(
        [
            nodes,
            show_graph(),
            show_descriptors(),
            commit("libvirt-9-format", auto_finalize=False),
            wait_event("BLOCK_JOB_PENDING"),
            call("query-jobs"),
            call("query-block-jobs"),
            nodes,
            show_graph(),
            show_descriptors(),
            call("job-finalize", id="commit-vda"),
            call("query-jobs"),
            show_graph(),
            show_descriptors(),
            call("job-dismiss", id="commit-vda"),
            nodes,
            show_graph(),
            show_descriptors(),
            *[
                call("blockdev-del", node_name=f"libvirt-{number}-{kind}")
                for number in (10, 11)
                for kind in ("format", "storage")
            ],
            nodes,
            show_graph(),
            show_descriptors(),
        ],
        make_images,
        program=program,
        arguments=command_line(program),
    )
    assert transcript.statuses("commit-vda") == [
        "created",
        "running",
        "waiting",
        "pending",
        "concluded",
        "null",
    ]


@pytest.mark.parametrize("program", Program, ids=["storage-daemon", "system"])
def test_commit_finalizes_itself(program):
    """Without manual finalize the events come in one run after the reply."""
    transcript = compare(
        [
            commit("libvirt-9-format", backing_file="layer-12.qcow2"),
            wait_job("commit-vda", "concluded"),
            show_graph(),
            show_descriptors(),
            call("job-dismiss", id="commit-vda"),
            call("query-named-block-nodes", flat=True),
            show_descriptors(),
        ],
        make_images,
        program=program,
        arguments=command_line(program),
    )
    completed = [e["data"] for e in transcript.events if e["event"] == "BLOCK_JOB_COMPLETED"]
    assert completed == [
        {"device": "commit-vda", "len": 1 << 20, "offset": 1 << 20, "speed": 0, "type": "commit"}
    ]
