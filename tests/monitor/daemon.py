"""qmpd as a process, and a client that sees every byte."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time

SECONDS = 30
"""How long a test waits for something that ought to come at once."""


_clients: list[Client] = []


class Client:
    """One connection; nothing is hidden."""

    def __init__(self, path=None, *, connection=None, read=None, write=None):
        self.buffer = b""
        self.events = []
        if connection is None and path is not None:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(path))
            except OSError:
                connection.close()
                raise
        self.socket = connection
        _clients.append(self)
        self._read_fd = connection.fileno() if connection is not None else read
        self._write_fd = connection.fileno() if connection is not None else write

    def send(self, *messages):
        os.write(self._write_fd, b"".join(json.dumps(m).encode() + b"\n" for m in messages))

    def raw(self, data):
        os.write(self._write_fd, data)

    def line(self, seconds=SECONDS):
        """The next line; empty at the end of the stream."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            if not self.readable(deadline - time.monotonic()):
                raise TimeoutError(f"no line, only {self.buffer[:200]!r}")
            data = os.read(self._read_fd, 1 << 16)
            if not data:
                return b""
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line + b"\n"

    def readable(self, seconds=0.0):
        poll = select.poll()
        poll.register(self._read_fd, select.POLLIN)
        return bool(poll.poll(max(seconds, 0) * 1000))

    def message(self):
        line = self.line()
        if not line:
            raise EOFError
        return json.loads(line)

    def reply(self):
        """The next message that is no event."""
        while True:
            message = self.message()
            if "event" not in message:
                return message
            self.events.append(message)

    def event(self, name, **data):
        """Wait for an event."""
        while True:
            for position, event in enumerate(self.events):
                given = event.get("data", {})
                if event["event"] == name and all(given.get(k) == v for k, v in data.items()):
                    del self.events[: position + 1]
                    return event
            message = self.message()
            assert "error" not in message, message
            if "return" in message:
                continue  # the reply to a command that was only sent
            self.events.append(message)

    def do(self, command, **arguments):
        given = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.send({"execute": command, "arguments": given})
        return self.reply()

    def greet(self):
        greeting = self.message()
        assert list(greeting) == ["QMP"]
        assert self.do("qmp_capabilities") == {"return": {}}
        return self

    def close(self):
        if self.socket is not None:
            self.socket.close()


class Daemon:
    """One qmpd process."""

    def __init__(self, *words, directory, loop=None, **popen):
        environment = {**os.environ, "PYTHONWARNINGS": "error"}
        environment.pop("QMPD_LOOP", None)
        if loop:
            environment["QMPD_LOOP"] = loop
        self.directory = directory
        self.errors = (directory / "stderr").open("w+b")
        popen.setdefault("stdin", subprocess.DEVNULL)
        popen.setdefault("stdout", subprocess.DEVNULL)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "qmpd", *(str(word) for word in words)],
            cwd=directory,
            env=environment,
            stderr=self.errors,
            **popen,
        )

    def connect(self, path="qmp"):
        """Connect as soon as somebody listens."""
        path = self.directory / path
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                return Client(path)
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise AssertionError(self.stderr()) from None
                time.sleep(0.002)

    def stderr(self):
        self.errors.seek(0)
        return self.errors.read().decode()

    def wait(self):
        """The exit status."""
        return self.process.wait(SECONDS)

    def memory(self):
        """Resident bytes."""
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        while _clients:
            _clients.pop().close()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self.errors.close()


def chain(directory, *names, size="1M", writes=None):
    """Make a backing chain with qemu-img, base first; ``writes``: qemu-io commands by name."""
    below = []
    for name in names:
        words = ["qemu-img", "create", "-q", "-f", "qcow2", *below, name, size]
        subprocess.run(words, cwd=directory, check=True)
        for write in (writes or {}).get(name, ()):
            words = ["qemu-io", "-f", "qcow2", "-c", write, name]
            subprocess.run(words, cwd=directory, check=True, stdout=subprocess.DEVNULL)
        below = ["-b", name, "-F", "qcow2"]


def open_chain(client, directory, *names):
    """Make nodes of a chain of images; all of them but the last one are read-only."""
    below = None
    for name in names:
        file = {"driver": "file", "filename": str(directory / name), "auto-read-only": True}
        more = {"file": file, "backing": below, "read-only": name != names[-1]}
        reply = client.do("blockdev-add", driver="qcow2", node_name=name, **more)
        assert reply == {"return": {}}, reply
        below = name


def qmp(path="qmp", *, name="c", **options):
    """The storage daemon's words for a monitor on a socket."""
    more = "".join(f",{key}={value}" for key, value in options.items())
    return [
        "--chardev",
        f"socket,id={name},path={path},server=on,wait=off",
        "--monitor",
        f"chardev={name}{more}",
    ]
