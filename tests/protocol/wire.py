"""Two ways to answer a stream of bytes: a `Session` of ours, and the real QEMU."""

from __future__ import annotations

import contextlib
import select
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

from qmpd.errors import CommandNotFound, QmpError
from qmpd.protocol import wording
from qmpd.protocol.messages import Request
from qmpd.protocol.parser import parse_string
from qmpd.protocol.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PROGRAM = "qemu-storage-daemon"

VERSION = {"qemu": {"major": 7, "minor": 2, "micro": 22}, "package": "Debian 1:7.2"}

NEGOTIATE = b'{"execute": "qmp_capabilities"}\n'


def available() -> bool:
    return shutil.which(PROGRAM) is not None


def execute(request: Request, version: dict[str, Any]) -> Any:
    """The smallest dispatcher that tells right from wrong: one command, no arguments."""
    if request.command != "query-version":
        raise CommandNotFound(wording.command_not_found(request.command))
    if request.oob:
        raise QmpError(wording.no_oob_support(request.command))
    for name in request.arguments:
        raise QmpError(wording.parameter_unexpected(name))
    return version


def answers(session: Session, version: dict[str, Any]) -> bytes:
    """All that a session has to say about the input it has got."""
    output = []
    while (item := session.next_item()) is not None:
        if isinstance(item, Request):
            try:
                item = session.reply(item, execute(item, version))
            except QmpError as error:
                item = session.error(item, error)
        output.append(item)
    return b"".join(output)


def converse(
    pieces: Iterable[bytes], version: dict[str, Any] = VERSION, *, pretty: bool = False
) -> bytes:
    """The greeting and the answers of a fresh session to a stream in pieces."""
    session = Session(version, pretty=pretty)
    output = [session.greeting()]
    for piece in pieces:
        session.receive_data(piece)
        output.append(answers(session, version))
    return b"".join(output)


class StorageDaemon:
    """A running qemu-storage-daemon with two monitors, one of which prints prettily."""

    # Puts an end to whatever is open, and is answered in a way nothing else is.
    SENTINEL = b'\xff\n{"execute": "no-such-command", "id": "the end of it"}\n'
    END = b'"id": "the end of it"'

    def __init__(self, folder: Path) -> None:
        self._sockets = {"off": folder / "plain.sock", "on": folder / "pretty.sock"}
        command = [PROGRAM]
        for mode, path in self._sockets.items():
            command += ["--chardev", f"socket,id=c{mode},path={path},server=on,wait=off"]
            command += ["--monitor", f"chardev=c{mode},pretty={mode}"]
        self._process = subprocess.Popen(command)
        while not all(path.exists() for path in self._sockets.values()):
            assert self._process.poll() is None, "the daemon did not start"
            time.sleep(0.01)
        greeting = parse_string(self.converse(b"").partition(b"\r\n")[0])
        self.version: dict[str, Any] = greeting["QMP"]["version"]
        # Printed order is not insertion order where two keys share a bucket.
        numbers = self.version["qemu"]
        self.version["qemu"] = {name: numbers[name] for name in ("major", "minor", "micro")}

    def converse(self, stream: bytes, *, pretty: bool = False) -> bytes:
        """The greeting and all answers to `stream` and the sentinel after it."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(self._sockets["on" if pretty else "off"]))
            client.setblocking(False)  # noqa: FBT003 - the standard library has it so
            return self._exchange(client, memoryview(stream + self.SENTINEL))

    def _exchange(self, client: socket.socket, unsent: memoryview) -> bytes:
        output = bytearray()
        deadline = time.monotonic() + 60
        while not self._ended(output):
            assert time.monotonic() < deadline, f"no end after {output[-1000:]!r}"
            _, writable, _ = select.select([client], [client] if unsent else [], [], 10)
            if writable:
                unsent = unsent[client.send(unsent) :]
            with contextlib.suppress(BlockingIOError):
                received = client.recv(1 << 16)
                assert received, f"connection closed after {output[-1000:]!r}"
                output += received
        return bytes(output)

    def _ended(self, output: bytearray) -> bool:
        marker = output.rfind(self.END)
        return marker >= 0 and output.endswith((b"}}\r\n", b"\r\n}\r\n"))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
