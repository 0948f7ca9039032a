"""Nodes that are exported over NBD: the commands, the options, and what clients find."""

import contextlib
import json
import socket
import subprocess

import pytest

from qmpd.testing.oracle import (
    MIB,
    Program,
    Step,
    call,
    chain,
    compare,
    image,
    show_graph,
    wait_job,
)
from tests.oracle.building import either
from tests.oracle.machine.steps import ask

pytestmark = pytest.mark.oracle

LOOK = (ask(call("query-block-exports")), ask(call("query-named-block-nodes", flat=True)))
LONG, TOO_LONG = "x" * 4096, "x" * 4097


def images(directory):
    image(directory, "a", size=MIB)
    image(directory, "r", size=MIB)
    image(directory, "o", size=MIB)


def step(name, /, **arguments):
    return ask(call(name, **arguments))


def node(name, **options):
    file = {"driver": "file", "filename": name}
    return call("blockdev-add", driver="qcow2", node_name=name, file=file, **options)


def start(path="n.sock", **options):
    address = {"type": "unix", "data": {"path": path}}
    return step("nbd-server-start", addr=address, **options)


def serve(device, /, **options):
    return step("nbd-server-add", device=device, **options)


def add(export, exported, /, **options):
    return step("block-export-add", type="nbd", id=export, node_name=exported, **options)


STOP = step("nbd-server-stop")
NODES = (node("a", backing=None), node("r", read_only=True))


def test_server():
    """Where a server can listen, and that there is one at most."""
    compare(
        [
            *(STOP, serve("x"), step("nbd-server-remove", name="x"), *LOOK),
            *(start("/nope/x"), start(), start(), STOP, STOP, start(), STOP),
            *(start(tls_creds="x"), start(max_connections=1), STOP, start(max_connections=-1)),
            *(step("nbd-server-start", addr=where) for where in ({"type": "unix"}, {"type": "x"})),
            step("nbd-server-start"),
        ]
    )


@pytest.mark.parametrize("program", list(Program))
def test_adding(program):
    """Every way to be refused, and what is there afterwards."""
    compare(
        [
            *NODES,
            *(add("1", "zz"), add("e", "zz"), add("e", "zz", iothread="x")),
            *(add("e", "a", iothread="x"), add("e", "r", writable=True, iothread="x")),
            *(add("e", "a", name=TOO_LONG), add("e", "a", bitmaps=["q"])),
            *(serve(device, **more) for device in ("a", "zz") for more in ({}, {"name": "1"})),
            start(),
            *(add("e", "a", name=TOO_LONG, description=TOO_LONG), add("e", "a", name=TOO_LONG)),
            *(add("e", "a", description=TOO_LONG, bitmaps=["q"]), add("e", "a", bitmaps=["q"])),
            *(serve("a", name=TOO_LONG, bitmap="q"), serve("a", name="1", bitmap="q")),
            *(serve("a", name="e", description=TOO_LONG), serve("a", name=LONG), serve("a")),
            *(serve("a"), serve("a", name="b"), serve("r", writable=True), serve("r", name="")),
            *(serve("a", name="w", writable=True), serve("a", name="z", bitmap="nope")),
            *(*LOOK, show_graph()),
            *(add("a", "r"), add("e", "a"), add("e2", "a", name="n2", writable=True)),
            *(add("e3", "r", writable=True), add("e4", "r", name="n4", fixed_iothread=True)),
            *(
                add("e5", "a", name="n5", bitmaps=[{"node": "r", "name": "q"}]),
                add("e6", "a", foo=1),
            ),
            add("e7", "a", name="n7", allocation_depth=True, writethrough=True, description="d"),
            *(step("block-export-add", type="x", id="e", node_name="a"), *LOOK, show_graph()),
            *(step("block-export-del", id=name) for name in ("no", "e4", "e4")),
            *(step("block-export-del", id="e7", mode=mode) for mode in ("x", "hard")),
            *(step("nbd-server-remove", name=name) for name in ("no", "b")),
            *(step("nbd-server-remove", name="w", mode=mode) for mode in ("x", "hard")),
            *(*LOOK, step("blockdev-del", node_name="a"), STOP, *LOOK, show_graph()),
            *(step("blockdev-del", node_name=name) for name in ("a", "r")),
        ],
        images,
        program=program,
    )


def test_bitmaps():
    """A bitmap that clients can read is nobody else's meanwhile."""

    def bitmap(verb, name, **options):
        return step(f"block-dirty-bitmap-{verb}", node="a", name=name, **options)

    compare(
        [
            *(start(), *NODES, node("o", backing="a")),
            *(bitmap("add", "off", disabled=True), bitmap("add", "on")),
            *(serve("a", bitmap="on"), serve("a", bitmap="off"), *LOOK),
            *(bitmap(verb, "off") for verb in ("clear", "remove", "enable", "disable")),
            step("block-dirty-bitmap-merge", node="a", target="on", bitmaps=["off"]),
            *(serve("a", name=name, writable=True, bitmap="on") for name in ("w", "w2")),
            *(*LOOK, step("nbd-server-remove", name="a"), bitmap("clear", "off")),
            *(serve("o", bitmap="off"), *LOOK, STOP, *LOOK, bitmap("clear", "on")),
        ],
        images,
    )


def test_jobs_beside_an_export():
    """A writer is in the way of a job that does not share writing, and of a reopen."""
    definition = {"driver": "qcow2", "node-name": "o", "backing": "a", "read-only": True}
    file = {"driver": "file", "filename": "o"}
    compare(
        [
            *(start(), *NODES, node("o", backing="a"), add("e", "a", writable=True)),
            *(step("block-export-del", id="e"), add("e", "o", writable=True)),
            step("blockdev-reopen", options=[definition | {"file": file}]),
            call("block-stream", job_id="j", device="o"),
            wait_job("j", "null"),
            *(*LOOK, step("block-export-del", id="e"), *LOOK),
        ],
        images,
    )
    writer = add("e", "a", writable=True)
    stream = either(call("block-stream", job_id="j", device="o"))
    compare([start(), *NODES, node("o", backing="a"), writer, stream], images)


ADDRESS = "addr.type=unix,addr.path=n"
EXPORT = "nbd,id=e,node-name=a"
OPTIONS = [
    ("unix,path=n", EXPORT, "Expected '=' after parameter 'unix'"),
    ("addr.type=unix", EXPORT, "Parameter 'addr.path' is missing"),
    (
        "addr.type=unix,addr.path=/nope/n",
        EXPORT,
        "Failed to bind socket to /nope/n: No such file or directory",
    ),
    (f"{ADDRESS},max-connections=x", EXPORT, "Parameter 'max-connections' expects integer"),
    (ADDRESS, "nbd,node-name=a", "Parameter 'id' is missing"),
    (ADDRESS, "type=nbd,id=e,node-name=b", "Cannot find device='' nor node-name='b'"),
    (ADDRESS, f"{EXPORT},writable=maybe", "Parameter 'writable' expects 'on' or 'off'"),
    (ADDRESS, "bad,id=e,node-name=a", "Parameter 'type' does not accept value 'bad'"),
    (ADDRESS, "nbd,id=1,node-name=a", "Invalid block export id"),
]


@pytest.mark.parametrize(("server", "export", "sentence"), OPTIONS)
def test_options_that_are_refused(server, export, sentence, start_server):
    """What is wrong with a server or an export is told before anything is served."""
    ended = start_server.refused(
        *("--blockdev", "null-co,node-name=a", "--nbd-server", server, "--export", export),
        program=Program.STORAGE_DAEMON,
    )
    assert ended.last_line.endswith(f": {sentence}")


def client(*words):
    """What another program says that is a client of the server."""

    def run(server):
        place = f"?socket={server.dir}/n.sock"
        given = [word.replace("?", place) for word in words]
        done = subprocess.run(given, check=False, capture_output=True, text=True)
        said = (done.stdout + done.stderr).replace(str(server.dir), "DIR")
        lines = [line for line in said.splitlines() if "disk size" not in line]
        return [json.dumps(line).encode() for line in lines]

    return Step(" ".join(words), run)


def io(*commands, export="disk"):
    words = [word for command in commands for word in ("-c", command)]
    return client("qemu-io", "-f", "raw", *words, f"nbd+unix:///{export}?")


def test_clients():
    """Other programs read, write and map what is exported, and find bitmaps and descriptions."""
    uri = "nbd+unix:///disk?"
    compare(
        [
            *(start(), *NODES, node("o", backing="a")),
            step("block-dirty-bitmap-add", node="o", name="b", granularity=4096),
            add("disk", "o", writable=True, bitmaps=["b"], description="something", name="disk"),
            add("ro", "r", name="ro"),
            io("read -q -P 7 0 100k", "read -q -P 0 100k 100k", "write -q -P 3 500k 1k"),
            io("read -q -P 3 500k 1k", "write -q -z 0 32k", "read -q -P 0 0 32k", "flush"),
            io("read 2M 512", "write -q 1M 512", "length"),
            io("write -q 0 512", export="ro"),
            io("read -q 0 512", export="x" * 100),
            client("qemu-img", "map", "--output=json", "-f", "raw", uri),
            client("qemu-img", "info", "-f", "raw", uri),
            client("qemu-img", "compare", "-f", "raw", "-F", "raw", uri, uri),
            *LOOK,
            call("nbd-server-stop"),
            io("read -q 0 512"),
        ],
        lambda directory: (
            chain(directory, "a", "o", writes={"a": ["write -q -P 7 0 100k"]})
            and image(directory, "r", size=MIB)
        ),
    )


def talk(*messages):
    """Say something that is no protocol, and wait until the server hangs up."""

    def run(server):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(str(server.dir / "n.sock"))
            with contextlib.suppress(ConnectionError):  # it need not have read everything
                for message in messages:
                    client.sendall(message)
                client.shutdown(socket.SHUT_WR)
                while client.recv(4096):
                    pass
        return []

    return Step(f"garbage: {messages}", run)


def test_clients_that_make_no_sense():
    """Whoever does not speak the protocol is let go of, and others are served as before."""
    handshake = b"\0\0\0\3IHAVEOPT\0\0\0\1\0\0\0\4disk"
    option = b"\0\0\0\3IHAVEOPT\0\0\0\7\x7f\xff\xff\xff"
    garbage = [[b""], [b"x" * 100], [option], [handshake, b"y" * 28], [handshake, b"y" * 5]]
    compare(
        [
            *(start(), *NODES, add("disk", "a", name="disk", writable=True)),
            *(talk(*messages) for messages in garbage),
            io("write -q -P 5 0 4k", "read -q -P 5 0 4k"),
        ],
        images,
    )


@pytest.mark.parametrize("program", list(Program))
def test_quit(program):
    """All exports end before the daemon does, and tell so."""
    compare(
        [*NODES, start(), serve("a"), serve("r"), serve("a", name="c"), call("quit")],
        images,
        program=program,
    )
