"""-drive: what a harness of the original builds its machines from."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmpd.testing.oracle import (
    MIB,
    Program,
    Side,
    call,
    compare,
    image,
    refused,
    run_to_end,
    show_descriptors,
    show_graph,
    wait_event,
    wait_job,
    wait_progress,
)

pytestmark = pytest.mark.oracle

LOOK = [
    call("query-block"),
    call("query-blockstats"),
    call("query-named-block-nodes"),
    show_graph(),
    show_descriptors(),
]
CHAIN = (
    "if=none,id=drive0,file={dir}/t,format=qcow2,"
    "node-name=top,backing.node-name=mid,backing.backing.node-name=base"
)
SCSI = ["-device", "virtio-scsi", "-device", "scsi-hd,id=disk,drive=drive0"]
GONE = wait_job("drive0", "null")


def images(directory):
    image(directory, "b", size=2 * MIB, writes=["write 0 512k"])
    image(directory, "m", size=2 * MIB, backing=str(directory / "b"), writes=["write 512k 512k"])
    image(directory, "t", size=2 * MIB, backing=str(directory / "m"), writes=["write 64k 64k"])
    image(directory, "r", size=MIB, fmt="raw")


def check(script, *words, layout=True):
    arguments = ["-drive", *words]
    compare(script, images, program=Program.SYSTEM, arguments=arguments, layout=layout)


@pytest.mark.parametrize(
    "words",
    [
        [CHAIN],
        [CHAIN, *SCSI],
        [CHAIN.replace("if=none", "if=virtio")],
        [CHAIN.replace("if=none,", "")],
        ["if=none,id=x"],
        ["if=none,id=x", "-device", "virtio-scsi", "-device", "scsi-cd,drive=x"],
        ["if=none,file={dir}/r,cache=none,aio=native,read-only=on,id=x"],
        ["if=none,file={dir}/t,cache=writethrough"],
        ["if=none,file={dir}/t,id=x,cache=unsafe", "-device", "virtio-blk,drive=x,id=d"],
        ["if=none,file=file:{dir}/t,discard=on,detect-zeroes=unmap"],
        ["if=none,file.filename={dir}/t,file.locking=off,auto-read-only=off"],
        ["if=none,driver=file,filename={dir}/r"],
        ["if=none,file={dir}/t,driver=raw,file.driver=qcow2"],
        ["if=none,file={dir}/t,format=raw,file.driver=raw,file.file.driver=qcow2"],
        ["if=none,file={dir}/t,detect-zeroes=unmap"],
        ["if=none,file={dir}/t,backing.driver=raw,backing.read-only=off"],
        ["if=none,file={dir}/t,backing=x", "-blockdev", "null-co,node-name=x,size=2097152"],
        ["file={dir}/t", "-drive", "file={dir}/r,format=raw"],
        ["media=cdrom,file={dir}/r,format=raw"],
        [
            *("if=virtio,file={dir}/r,format=raw", "-blockdev", "null-co,node-name=n"),
            *("-device", "virtio-blk,drive=n"),
        ],
    ],
    ids=" ".join,
)
def test_what_queries_say(words):
    check(LOOK, *words)


@pytest.mark.parametrize("device", [[], SCSI], ids=["bare", "disk"])
@pytest.mark.parametrize(
    "layers",
    [
        {},
        {"top": "{dir}/m", "base": "{dir}/b"},
        {"top_node": "mid", "base_node": "base"},
        {"top_node": "top", "base_node": "mid"},
    ],
    ids=str,
)
def test_commit(layers, device):
    """The job is called as the drive is; afterwards the drive has the base."""
    active = layers.get("top_node", "top") == "top" and "top" not in layers
    ready = [wait_event("BLOCK_JOB_READY"), *LOOK, call("block-job-complete", device="drive0")]
    check(
        [
            call("block-commit", device="drive0", **layers),
            *(ready if active else []),
            GONE,
            *LOOK,
        ],
        CHAIN,
        *device,
        layout=not active,
    )


def test_names_of_drives_are_taken():

    check(
        [
            refused(
                "node-name=drive0 is conflicting with a device id",
                call("blockdev-add", driver="null-co", node_name="drive0"),
            ),
            refused("Node top is in use", call("blockdev-del", node_name="top")),
            call("block-commit", device="drive0", top_node="mid", speed=1),
            wait_progress("drive0", MIB),
            refused(
                "Need a root block node",
                call("block-commit", device="drive0"),
            ),
            call("job-cancel", id="drive0"),
            call("blockdev-add", driver="raw", node_name="r", file="drive0", **{"read-only": True}),
            *LOOK,
        ],
        CHAIN,
        *SCSI,
    )


LATER = ["-device", "virtio-blk,drive=nowhere"]
"""Ends a program that has understood everything before."""


@pytest.mark.parametrize(
    "text",
    [
        "if=none,file=nope,id=x",
        "if=none,file=.,id=x",
        "if=none,file=r,format=qcow2,id=x",
        "if=none,file=r,format=raw,driver=raw",
        "if=none,file=r,format=raw,foo=bar",
        "if=none,file=r,format=raw,file.foo=bar",
        "if=none,file=r,format=bogus",
        "if=none,file=r,file.driver=bogus",
        "if=bogus,file=r",
        "if=none,file=r,cache=bogus",
        "if=none,file=r,aio=bogus",
        "if=none,file=r,aio=native,format=raw",
        "if=none,file=r,format=raw,id=1x",
        "if=none,file=t,backing.foo=1",
        "if=none,file=t,backing.driver=raw,backing.foo=1",
        "if=none,file=t,backing=nope",
        "if=none,file=r,format=raw,read-only=maybe",
        "if=none,media=bogus",
        "if=none,file=t,werror=bogus",
        "if=none,file=,id=x,format=raw",
        "if=none,node-name=zz,id=x",
        "if=none,file=t,detect-zeroes=bogus",
        "if=none,file=t,discard=bogus",
        "if=none,file=t,force-share=on",
        "if=none,file=t,file.filename=r",
        "if=none,driver=file",
        "if=none,file.driver=file",
        "if=none,file.locking=off",
        "if=none,format=raw,file=r,backing.driver=raw",
        "if=none,file=json:[",
        "if=none,file=json:{}",
        "if=none,cache=none",
        "if=none,file=t,node-name=1x",
        "if=none,file=b -drive if=none,file=b,read-only=on",
        "if=none,file=t -drive if=none,file=m,read-only=off",
        "if=none,file=t,id=x -drive if=none,id=x,file=r,format=raw",
        "if=none,id=x -blockdev null-co,node-name=x",
        "if=none,id=x -device virtio-blk,drive=x",
        "if=none,id=x,file=t -device virtio-blk,drive=x -device virtio-blk,drive=x",
        "if=none,id=x,file=t,node-name=y -device virtio-blk,drive=y",
        "if=scsi,file=t",
        "if=none,file=null-co://,readonly=off,force-share=on",
        "if=none,file=nope,force-share=on",
    ],
)
def test_refusals(text, tmp_path):
    ends = []
    for side in Side:
        directory = tmp_path / side.value
        directory.mkdir()
        images(directory)
        words = ["-drive", *text.split(), *LATER]
        ends.append(run_to_end(side, Program.SYSTEM, words, directory))
    ours, theirs = (
        [line for line in end.stderr.splitlines() if ": -d" in line or ": -b" in line]
        for end in ends
    )
    assert [line.partition(": ")[2] for line in ours] == [
        line.partition(": ")[2].replace(str(tmp_path / "qmpd"), str(tmp_path / "real"))
        for line in theirs
    ]
    assert [end.status for end in ends] == [1, 1]


_OPTIONS = [
    *("file=t", "file=r", "file=nope", "file=", "file=null-co://", "file=json:{}", "file=file:t"),
    *("format=qcow2", "format=raw", "format=bogus", "format=null-co", "driver=raw", "driver=file"),
    *("read-only=on", "readonly=on", "readonly=off", "read-only=maybe", "auto-read-only=off"),
    *("force-share=on", "cache=none", "cache=bogus", "cache=unsafe", "cache.direct=on"),
    *("cache.direct=z", "aio=native", "aio=threads", "aio=bogus", "discard=unmap"),
    *("discard=bogus", "detect-zeroes=on", "detect-zeroes=unmap", "detect-zeroes=bogus"),
    *("media=cdrom", "media=disk", "media=bogus", "werror=bogus", "werror=enospc"),
    *("rerror=enospc", "rerror=ignore", "if=virtio", "if=bogus", "if=ide", "id=x", "id=1x"),
    *("node-name=nn", "node-name=1n", "file.locking=off", "file.filename=t", "file.driver=file"),
    *("file.driver=null-co", "file.driver=bogus", "backing.driver=null-co", "backing.foo=1"),
    *("foo=bar", "lazy-refcounts=on", "lazy-refcounts=z", "size=1k", "size=-1", "offset=z"),
    *("offset=1M", "l2-cache-size=1x", "copy-on-read=z", "snapshot=off", "snapshot=z", "bps=5"),
    *("bps=-1", "index=0", "index=z", "unit=z", "bus=0", "bus=z"),
]


@settings(max_examples=min(settings().max_examples, 400) // 4)
@given(options=st.lists(st.sampled_from(_OPTIONS), min_size=1, max_size=5, unique=True))
def test_any_options(options):
    """Which of several mistakes is told."""
    text = ",".join([*options, "if=none"])
    with TemporaryDirectory() as name:
        images(Path(name))
        words = ["-drive", text, *LATER]
        ours, theirs = (
            run_to_end(side, Program.SYSTEM, words, Path(name)).last_line
            for side in (Side.QMPD, Side.REAL)
        )
    assert ours == theirs


@pytest.mark.parametrize(
    "drives",
    [
        *["if=none,backing=", "if=none,file=r,format=raw,backing=", "if=none,file=r,read-only=on"],
        *["if=none,media=cdrom,file=r", "if=none,file=r,help", "if=none,help"],
        *[
            "if=ide,unit=2",
            "if=ide,bus=4,file=t",
            "if=ide,index=0,unit=0",
            "if=ide,index=-1,file=t",
        ],
        *["if=virtio,index=3 if=virtio,index=3", "if=none,unit=1 if=none,unit=1", "if=xen,index=2"],
        *["if=scsi,index=8", "if=virtio,index=1 if=virtio if=virtio,id=virtio2"],
        *["stats-account-failed=x,iops=x", "stats-account-failed=x,if=none,driver=x,format=y"],
        *[f"if=none,file=t,stats-intervals.0={text}" for text in ("1", "0", "x", "", " 1", "0x1")],
        "if=none,file=t,stats-intervals.1=5",
        "if=none,file=t,stats-intervals.0=5,stats-intervals.1=x",
        *["if=none,file=t,bps=5,bps=6,bps_max=5", "if=none,iops=x,iops=5,file=t"],
        *["if=none,iops=5,iops=x,file=t", "if=none,file=t,detect-zeroes=y,werror=x"],
        *["if=none,file=t,driver=qcow2,format=qcow2,werror=x", "copy-on-read=x,media=x"],
        "if=none,file=t,driver=qcow2,format=qcow2,detect-zeroes=x",
        f"if=none,file=t,cache-clean-interval={1 << 64}",
        "if=none,file=t,l2-cache-size=1.5",
    ],
)
def test_what_is_said_of_drives(drives, tmp_path):
    """All of it, also of drives that are opened: then a device fails that has none."""
    images(tmp_path)
    words = [word for drive in drives.split(" if=") for word in ("-drive", drive)]
    words = [f"if={word}" if word.startswith(("none", "virtio")) else word for word in words]
    ends = [
        run_to_end(side, Program.SYSTEM, [*words, "-device", "virtio-blk,drive=nope"], tmp_path)
        for side in Side
    ]
    said = [re.sub(r"^(qmpd|qemu-[\w-]*): ", "", end.stderr, flags=re.MULTILINE) for end in ends]
    assert said[0] == said[1]
    assert ends[0].status == ends[1].status == 1
