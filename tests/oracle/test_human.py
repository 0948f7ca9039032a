"""human-monitor-command: reading and writing nodes through qemu-io."""

import re

import pytest

from qmpd.testing.oracle import MIB, Program, Server, Side, call, image, normalise
from qmpd.testing.oracle.images import guest_difference

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


def reopen(options):
    return call("blockdev-reopen", options=[options])


def human(line):
    return call("human-monitor-command", command_line=line)


def io(node, *lines):
    return [human(f'qemu-io {node} "{line}"') for line in lines]


def check(script, tmp_path):
    """Ask both; compare replies, what they print, and the images."""
    replies, outputs, directories = [], [], []
    for side in Side:
        directory, control = tmp_path / side.value, tmp_path / f"{side.value}.ctl"
        directory.mkdir()
        control.mkdir()
        images(directory)
        with Server(side, directory, control, program=Program.SYSTEM) as server:
            said = []
            for request in script:
                server.send(request)
                said.append(normalise(server.lines_until_reply(), directory))
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
