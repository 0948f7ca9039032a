"""human-monitor-command: reading and writing nodes through qemu-io."""

import json
import re
import subprocess
import sys
import time

import pytest

from qmpd.testing.oracle import (
    MIB,
    Program,
    Server,
    Side,
    Step,
    call,
    image,
    normalise,
    show_descriptors,
    show_graph,
)
from qmpd.testing.oracle.images import guest_difference
from qmpd.testing.oracle.script import as_step
from qmpd.testing.oracle.start import PATIENCE

pytestmark = pytest.mark.oracle

_TIMES = re.compile(r"\d+\.\d+ sec \(.*\)")


def images(directory):
    image(directory, "l0", size=3 * MIB, writes=["write -P 0xa0 0 1M"])
    image(directory, "l1", size=3 * MIB, writes=["write -P 0xa1 1M 1M"])
    image(directory, "l2", size=3 * MIB, writes=["write -P 0xa2 2M 1M"])


def layer(number, **options):
    file = {"driver": "file", "filename": f"l{number}"}
    return {"driver": "qcow2", "node-name": f"f{number}", "file": file, "backing": None, **options}


LAYERS = [call("blockdev-add") | {"arguments": layer(number)} for number in range(3)]


def until(job, status):
    """Wait for a job without counting on its events: some have been read already."""

    def run(server):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            jobs = {info["id"]: info["status"] for info in server.execute("query-jobs")}
            if jobs.get(job, "null") == status:
                return []
        raise TimeoutError(status)

    return Step(f"{job} is {status}", run)


def reopen(options):
    return call("blockdev-reopen", options=[options])


def human(line):
    return call("human-monitor-command", command_line=line)


def io(node, *lines):
    return [human(f'qemu-io {node} "{line}"') for line in lines]


def check(script, tmp_path, *arguments):
    """Ask both; compare replies, what they print, and the images."""
    replies, outputs, directories = [], [], []
    for side in Side:
        directory, control = tmp_path / side.value, tmp_path / f"{side.value}.ctl"
        directory.mkdir()
        control.mkdir()
        images(directory)
        with Server(
            side, directory, control, program=Program.SYSTEM, arguments=arguments
        ) as server:
            said = []
            for step in script:
                lines = normalise(as_step(step).run(server), directory)
                # When jobs tell of their progress is not the point here.
                said.append([line for line in lines if b'"event": ' not in line])
        replies.append(said)
        outputs.append(_TIMES.sub("T", (control / "stdout").read_text()).splitlines())
        directories.append(directory)
    assert replies[0] == replies[1]
    assert outputs[0] == outputs[1]
    for name in ("l0", "l1", "l2"):
        assert guest_difference(directories[0] / name, directories[1] / name) is None
    return outputs[0]


READS = [f"read -P {pattern} {start}M 1M" for start in range(3) for pattern in (0, 0xA0, 0xA1)]


def test_what_is_read_follows_the_graph(tmp_path):
    printed = check(
        [
            *LAYERS,
            *io("f0", *READS),
            reopen(layer(0, backing="f1")),
            reopen(layer(2, backing="f1")),
            *io("f0", *READS),
            *io("f2", *READS),
            reopen(layer(0, backing="f2")),
            reopen(layer(2)),
            *io("f0", *READS),
            reopen(layer(1, backing="f2")),
            *io("f1", *READS),
        ],
        tmp_path,
    )
    assert any(line.startswith("Pattern verification failed") for line in printed)


def test_what_is_written_is_there(tmp_path):
    check(
        [
            *LAYERS,
            reopen(layer(0, backing="f1")),
            *io("f0", "write 0 64k", "write -P 7 1500000 1000", "write -z 1M 64k", "writev 2M 512"),
            *io(
                "f0", "aio_write 2M 4k", "flush", "read -P 7 1500000 1000", "read -P 0xa1 1200k 4k"
            ),
            *io("f0", "write -q -P 1 0 512", "read 3M 64k", "write 3M 64k", "length"),
        ],
        tmp_path,
    )


def test_files_below_two_images_change_places(tmp_path):
    """Tables are read anew, from the other file."""

    def with_file(number, file):
        return layer(number) | {"file": file}

    inline = {"driver": "file", "filename": "l0", "node-name": "s0"}
    other = {"driver": "file", "filename": "l2", "node-name": "s2"}
    swapped = [with_file(0, "s2"), with_file(2, "s0")]
    check(
        [
            call("blockdev-add") | {"arguments": with_file(0, inline)},
            call("blockdev-add") | {"arguments": with_file(2, other)},
            *(*io("f0", "write -P 1 0 1k"), *io("f2", "write -P 2 0 1k")),
            *(*io("f0", *READS), *io("f2", *READS), call("blockdev-reopen", options=swapped)),
            *(*io("f0", *READS, "read -P 2 0 1k"), *io("f2", *READS, "read -P 1 0 1k")),
        ],
        tmp_path,
    )


def test_mistakes(tmp_path):
    check(
        [
            *LAYERS,
            *io("f0", "", "nonsense", "read", "read x y", "read 0", "break read_aio x"),
            human('qemu-io nope "read 0 64k"'),
            human('qemu-io -d f0 "read 0 64k"'),
            human('qemu-io f0 "read 0 512'),
            *map(human, ["", "nonsense", "qemu-io", "qemu-io f0", "qemu-io f0 read\\ 0\\ 512"]),
            *map(human, ["info version", "info status", "info name"]),
            call("human-monitor-command"),
            call("human-monitor-command", command_line="info name", cpu_index=3),
        ],
        tmp_path,
    )


DRIVES = [
    *("-drive", "if=none,id=d0,file=l0,format=qcow2,node-name=top,cache=none"),
    *("-device", "virtio-blk,drive=d0,id=vb", "-drive", "if=none,id=e"),
    *("-drive", "if=none,id=u,file=l1,format=qcow2,cache=unsafe,discard=on"),
    *("-drive", "if=none,id=w,file=l2,format=qcow2,cache=writethrough,read-only=on"),
    *("-blockdev", "null-co,node-name=nn,read-only=on,cache.direct=on,cache.no-flush=on"),
    *("-device", "virtio-scsi", "-device", "scsi-cd,id=cd,drive=nn", "-device", "scsi-cd"),
    *("-blockdev", "null-co,node-name=n3,size=1023", "-device", "scsi-hd,drive=n3,id=hd"),
]


def test_what_people_are_told_of_disks(tmp_path):
    """All, one, in detail, nodes instead of drives; and the same of counters."""
    lines = ["", " -v", " -n", " -n -v", " d0", " -v e", " nope", " -n nn", " nn", " -v top"]
    check(
        [
            *(human(f"info block{line}") for line in lines),
            *map(
                human, ["info block -x", "info block d0 x", "info block -v -n", "info blockstats"]
            ),
            *map(human, ["info nope", "info block-jobs", "info block-jobs x", "info version x"]),
        ],
        tmp_path,
        *DRIVES,
    )


def test_permissions_are_for_the_monitor_to_complain_of(tmp_path):
    """A drive's own backend writes; a node whose user shares no writes cannot be written."""
    check(
        [
            *io("d0", "write 0 512", "aio_write 0 512", "map"),
            *io("nn", "write 0 512", "aio_write 0 512", "read 0 512"),
            *io("w", "write 0 512", "map"),
        ],
        tmp_path,
        *DRIVES,
    )


def test_jobs(tmp_path):
    """Each verb, of a job that is there and of one that is not."""
    add = [
        call("blockdev-add") | {"arguments": layer(1)},
        call("blockdev-add") | {"arguments": layer(0, backing="f1")},
    ]
    verbs = ["pause j", "pause j", "resume j", "resume j", "complete j", "cancel j"]
    check(
        [
            *add,
            call("block-commit", job_id="j", device="f0"),
            until("j", "ready"),
            human("info block-jobs"),
            human("block_job_pause j"),
            *map(human, ["block_job_pause j", "block_job_cancel j", "block_job_set_speed j 1b"]),
            human("info block-jobs"),
            *map(human, ["block_job_resume j", "block_job_cancel -f j"]),
            until("j", "null"),
            *(human(f"block_job_{verb}") for verb in verbs),
            *map(human, ["block_job_cancel", "block_job_cancel -x j", "block_job_set_speed"]),
            *map(human, ["block_job_set_speed j", "block_job_set_speed j x"]),
            *map(human, ["block_job_set_speed j -1", "block_job_set_speed j 1 2"]),
        ],
        tmp_path,
    )


def test_drives_come_and_go(tmp_path):
    lines = [
        *("drive_add", "drive_add 0", "drive_add 0 if=none,id=new,file=l1"),
        *("drive_add 0 if=none,id=new,file=l1", "drive_add -n 0 driver=null-co,node-name=m"),
        *("drive_add 0 id=z", "drive_add 0 file=nope,if=none", "drive_add x if=none,id=y"),
        *("drive_add 0 file=l1,if=none,bogus=1", "drive_add -n 0 driver=nope,node-name=u"),
        *("drive_add -n 0 driver=null-co", "drive_add 0 if=none,id=1", "drive_add 0 if=none x"),
        *("drive_add 0 nope", "info block", "drive_del", "drive_del nope", "drive_del new"),
        *("drive_del d0", "info block", "drive_del d0", "drive_del e", "drive_del m"),
        *("drive_del nn", "drive_del top", "drive_del w", "info block -n", "info block"),
    ]
    check([*map(human, lines), call("query-block"), show_graph()], tmp_path, *DRIVES)


def test_commit(tmp_path):
    """What a drive holds goes into its backing file, and the drive is empty."""
    backing = "backing.file.filename=l1,backing.node-name=b"
    lines = ["commit nope", "commit", "commit d x", "commit e", "commit f0", "commit d"]
    check(
        [
            *map(human, lines),
            *io("d", "map", "read -P 0xa0 0 1M", "read -P 0xa1 1M 1M"),
            *io("b", "map"),
            *io("d", "write -P 7 0 64k", "map"),
            human("commit all"),
            *io("d", "map"),
            call("query-named-block-nodes"),
            show_graph(),
            show_descriptors(),
            call("block-commit", device="d", job_id="j"),
            until("j", "ready"),
            *map(human, ["commit d", "commit all", "drive_del d"]),
        ],
        tmp_path,
        *("-drive", f"if=none,id=d,file=l0,format=qcow2,{backing}", "-drive", "if=none,id=e"),
    )


def test_commit_of_what_cannot_be_written(tmp_path):
    backing = "backing.file.filename=l1,backing.node-name=b"
    check(
        [human("commit d"), human("commit all"), human("commit r"), show_graph()],
        tmp_path,
        *("-drive", f"if=none,id=d,file=l0,format=qcow2,read-only=on,{backing}"),
        *("-drive", "if=none,id=r,file=l2,format=qcow2"),
    )


@pytest.mark.parametrize(
    "line",
    [
        *("nope", "stop x", "quit x", "q x", "c", "s", "system_reset", "device_add"),
        *("device_del nope", "device_add virtio-blk,drive=e", "device_add virtio-blk,id=1"),
        *("  info   name ", "info  block", '"stop"', "info\tname"),
    ],
)
def test_single_lines(line, tmp_path):
    check([human(line), call("query-status"), call("query-block")], tmp_path, *DRIVES)


def test_permission_comes_before_the_words(tmp_path):
    """Whether a write may happen is known before where it goes; who holds a lock is told."""
    other = {"driver": "file", "node-name": "p0", "filename": "l0"}
    check(
        [
            *LAYERS[:2],
            call("blockdev-add") | {"arguments": other},
            reopen(layer(1, **{"read-only": True})),
            *io("p0", "write 0 64k", "write 10M 64k", "write 10M", "read 10M 64k"),
            *io("f1", "write 0 64k", "write 10M 64k", "write 1 xx", "write"),
        ],
        tmp_path,
    )


SIZES = [
    *["1", "1.5", "1.5b", "1.0005k", "0.0009765624k", "0.3E", "0.7P", "123.456G", "1.k", "16.E"],
    *["1.9999999999999999E", f"1.{'9' * 20}k", f"0.{'0' * 25}1", f"0.{'0' * 25}1b", "15.5E", "1M1"],
    *["16E", "16Ex", "18446744073709551616", "18446744073709551616k", "18446744073709551615.0k"],
    *["-1", "-18446744073709551616", "-1k", "0x1e", "0x", "0xg", "0x1.0", "0x1ffffffffffffffff"],
    *[".5k", "1.5e3k", "1.e3", "1.inf", "1.-5k", "9" * 2000],
]
NUMBERS = ["x", "1k", "18446744073709551616", "-18446744073709551616", "9" * 2000, ""]


def test_sizes_and_numbers_of_drives(tmp_path):
    """Fractions are rounded in 64 bits; what is too large is told from what is no number."""
    (tmp_path / "empty").touch()
    add = "drive_add 0 if=none,driver=raw"
    lines = [
        *(f"{add},file=empty,size={size}" for size in SIZES),
        *(f"{add},file=empty,file.aio-max-batch={number}" for number in NUMBERS),
    ]
    check([human(line) for line in lines], tmp_path)


def test_words_of_a_line(tmp_path):
    """They end at any blank of C's, and have 1023 bytes at most."""
    names = [
        "\tif=none,id=a",
        " if=none,id=b\t",
        " if=none,id=c\tx",
        " if=none,id=d\vx",
        " if=none,id=e\x0c",
        ' "if=none,id=f"',
        ' "if=none,id=g\tx"',
        " if=none,id=h\n",
        " if=none,id=i\xa0",
    ]
    lines = [
        *["info\tversion", "info \t version\r", "info\xa0version", "info  block\t-v"],
        *(f"drive_add 0{name}" for name in names),
        "drive_add 0 if=none,file=" + "\u00e9" * 600,
        f'drive_add 0 "if=none,file={"9" * 1500}"',
    ]
    check([human(line) for line in lines], tmp_path)


def test_output_stands_between_the_replies():
    """What qemu-io prints comes behind earlier replies, also where both go to one place."""
    node = {"driver": "null-co", "node-name": "n"}
    line = 'qemu-io n "read -P 1 0 512"'
    requests = [
        {"execute": "qmp_capabilities"},
        {"execute": "blockdev-add", "arguments": node},
        {"execute": "human-monitor-command", "arguments": {"command-line": line}},
        {"execute": "quit"},
    ]
    said = []
    for program in (["qemu-system-x86_64"], [sys.executable, "-m", "qmpd"]):
        done = subprocess.run(
            [*program, "-M", "none", "-display", "none", "-qmp", "stdio"],
            input="\n".join(json.dumps(request) for request in requests),
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
            check=True,
        )
        said.append([text[:12] for text in done.stdout.splitlines()])
    assert said[0] == said[1]
