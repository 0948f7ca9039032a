"""Starting what is measured: qmpd, or one of the real programs, on chosen cores.

The listening socket is made here and handed over as a descriptor, and the client connects
before the program starts, as libvirt does it: nobody has to poll for a socket to appear.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.client import Client, RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

QMPD = "qmpd"
STORAGE_DAEMON = "qemu-storage-daemon"
SYSTEM = "qemu-system-x86_64"

_PATIENCE = 10

_ATTEMPTS = {QMPD: 1, STORAGE_DAEMON: 3, SYSTEM: 3}
"""How often to start: QEMU has been seen not to greet a client that connected before it
started, or not to hear what it said."""

_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
"""Set where people develop; a user's Python has compiled its modules before."""

_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
"""Asked once: measuring pins this process to the client's core."""


def _be_patient(connection: socket.socket) -> None:
    """Let reads fail when nothing comes for too long."""
    wait = struct.pack("ll", _PATIENCE, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)


def environment() -> dict[str, str]:
    """The environment of what is measured."""
    return {name: value for name, value in os.environ.items() if name != _NO_BYTECODE}


@dataclass(frozen=True)
class Cores:
    """Which cores the client and the server may use."""

    client: frozenset[int]
    server: frozenset[int]

    @classmethod
    def one(cls) -> Cores:
        """Both share one core."""
        first = frozenset(_CORES[:1])
        return cls(first, first)

    @classmethod
    def two(cls) -> Cores:
        """The server may use two, the client stays on the second."""
        both = frozenset(_CORES[:2])
        return cls(frozenset([max(both)]), both)


@dataclass
class Server:
    """A program that runs, and a client that it has greeted."""

    kind: str
    process: subprocess.Popen[bytes]
    client: Client
    greeted_ns: int
    """From just before the start of the process to the answer of qmp_capabilities."""

    def memory(self) -> int:
        """Resident bytes."""
        for line in Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("the kernel does not tell resident memory")

    def quit(self) -> None:
        """Let the program end in order, for a profile to be written."""
        self.client.execute("quit")
        self.process.wait(_PATIENCE)
        self.client.close()

    def close(self) -> None:
        """End the program."""
        self.process.kill()
        self.process.wait(_PATIENCE)
        self.client.close()


@dataclass
class Launcher:
    """How programs are started; with ``profile`` qmpd writes its profiles there."""

    profile: Path | None = None
    servers: list[Server] = field(default_factory=list)

    def start(self, kind: str, cores: Cores, arguments: Sequence[str] = ()) -> Server:
        """Start a program and negotiate.

        Raises:
            RefusedError: it does not greet.
        """
        for _ in range(_ATTEMPTS[kind]):
            server = self._try(kind, cores, arguments)
            if server.greeted_ns:
                os.sched_setaffinity(0, cores.client)
                return server
            sys.stderr.write(f"{kind} has not answered within {_PATIENCE} s\n")
            self.servers.remove(server)
            server.close()
        raise RefusedError(f"{kind} does not greet")

    def _try(self, kind: str, cores: Cores, arguments: Sequence[str]) -> Server:
        name = f"\0qmpd-bench-{os.getpid()}-{time.monotonic_ns()}"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(name)
        listener.listen(1)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(name)
        _be_patient(connection)
        client = Client(connection.detach())
        words = [*self._program(kind), *arguments, *_monitor(kind, listener.fileno())]
        mine = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores.server)
        try:
            start = time.monotonic_ns()
            process = subprocess.Popen(
                words,
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment(),
            )
        finally:
            listener.close()
            os.sched_setaffinity(0, mine)
        server = Server(kind, process, client, 0)
        self.servers.append(server)
        try:
            client.line()
            client.execute("qmp_capabilities")
        except BlockingIOError:
            return server
        server.greeted_ns = time.monotonic_ns() - start
        return server

    def _program(self, kind: str) -> list[str]:
        if kind != QMPD:
            return [kind]
        if self.profile is None:
            return [sys.executable, "-m", "qmpd"]
        return [sys.executable, "-m", "tests.bench.profiled", str(self.profile)]

    def stop(self, server: Server) -> None:
        """End one program, in order if it is to leave a profile."""
        self.servers.remove(server)
        if self.profile is not None and server.kind == QMPD:
            server.quit()
        else:
            server.close()

    def stop_all(self) -> None:
        """End everything that still runs."""
        while self.servers:
            self.stop(self.servers[-1])


def _monitor(kind: str, fd: int) -> list[str]:
    chardev = f"socket,id=c,fd={fd},server=on,wait=off"
    if kind == SYSTEM:
        board = ["-S", "-nodefaults", "-nographic"]
        return [*board, "-chardev", chardev, "-mon", "chardev=c,mode=control"]
    return ["--chardev", chardev, "--monitor", "chardev=c"]


def blockdev_words(kind: str, definitions: Sequence[dict[str, Any]]) -> list[str]:
    """The command line that defines these nodes."""
    import json

    option = "-blockdev" if kind == SYSTEM else "--blockdev"
    return [word for node in definitions for word in (option, json.dumps(node))]
