"""The measuring end: preformatted bytes out, lines in, times in nanoseconds.

The work is done by ``client.c``, compiled when the benchmark starts. Without a compiler
Python does the same, which costs a few microseconds per round trip; the table says so.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

_REFUSAL = b'"error": {"class"'
_SIZE = 1 << 20
_ROOM = 200_000
_PAUSE_NS = 1_000_000


class RefusedError(RuntimeError):
    """The server answered with an error, or hung up, in the middle of a measurement."""


class Engine(Protocol):
    """What measures: C or Python."""

    name: str

    def rounds(self, fd: int, message: bytes, count: int) -> list[int]:
        """Send ``message`` and await its answer ``count`` times; the time of each."""

    def pipeline(self, fd: int, data: bytes, lines: int) -> int:
        """Send all of ``data``, read meanwhile; the time until ``lines`` have come."""

    def watch(self, fd: int, command: bytes, query: bytes, end: bytes) -> tuple[int, list[int]]:
        """Send ``command`` and ask ``query`` every millisecond until a line has ``end``.

        Returns the time from the command to ``end``, and those of the queries' answers.
        """


class CompiledEngine:
    """``client.c`` as a shared library."""

    name = "C"

    def __init__(self, library: Path) -> None:
        self._c = ctypes.CDLL(str(library))
        self._c.bench_pipeline.restype = ctypes.c_int64

    @staticmethod
    def _check(result: int) -> int:
        if result < 0:
            raise RefusedError("hung up" if result == -1 else "refused")
        return result

    def rounds(self, fd: int, message: bytes, count: int) -> list[int]:
        times = (ctypes.c_int64 * count)()
        self._check(self._c.bench_rounds(fd, message, ctypes.c_size_t(len(message)), count, times))
        return list(times)

    def pipeline(self, fd: int, data: bytes, lines: int) -> int:
        os.set_blocking(fd, False)
        try:
            size = ctypes.c_size_t(len(data))
            return self._check(self._c.bench_pipeline(fd, data, size, ctypes.c_long(lines)))
        finally:
            os.set_blocking(fd, True)

    def watch(self, fd: int, command: bytes, query: bytes, end: bytes) -> tuple[int, list[int]]:
        times = (ctypes.c_int64 * _ROOM)()
        total = ctypes.c_int64()
        count = self._check(
            self._c.bench_watch(
                fd,
                command,
                ctypes.c_size_t(len(command)),
                query,
                ctypes.c_size_t(len(query)),
                end,
                ctypes.c_int64(_PAUSE_NS),
                times,
                _ROOM,
                ctypes.byref(total),
            )
        )
        return total.value, list(times[:count])


class PythonEngine:
    """The same without a compiler."""

    name = "Python"

    def rounds(self, fd: int, message: bytes, count: int) -> list[int]:
        times = []
        for _ in range(count):
            start = time.monotonic_ns()
            os.write(fd, message)
            reply = [os.read(fd, _SIZE)]
            while not reply[-1].endswith(b"\n"):
                reply.append(_read(fd))
            times.append(time.monotonic_ns() - start)
            if _REFUSAL in b"".join(reply):
                raise RefusedError("refused")
        return times

    def pipeline(self, fd: int, data: bytes, lines: int) -> int:
        rest = memoryview(data)
        os.set_blocking(fd, False)
        poll = select.poll()
        start = time.monotonic_ns()
        try:
            while lines > 0:
                poll.register(fd, select.POLLIN | (select.POLLOUT if rest else 0))
                for _, events in poll.poll():
                    if events & select.POLLOUT:
                        rest = rest[os.write(fd, rest[:_SIZE]) :]
                    if events & ~select.POLLOUT:
                        lines -= _read(fd).count(b"\n")
        finally:
            os.set_blocking(fd, True)
        return time.monotonic_ns() - start

    def watch(self, fd: int, command: bytes, query: bytes, end: bytes) -> tuple[int, list[int]]:
        lines = _lines(fd)
        times: list[int] = []
        answered = False
        total = asked = 0
        start = time.monotonic_ns()
        os.write(fd, command)
        while not (total and answered) or asked:
            if query and not asked and not total:
                asked = time.monotonic_ns()
                os.write(fd, query)
            line = next(lines)
            if _REFUSAL in line:
                raise RefusedError(line.decode())
            if b'"id": "query"' in line:
                times.append(time.monotonic_ns() - asked)
                asked = 0
                time.sleep(0 if total else _PAUSE_NS / 1e9)
            elif b'"id": "command"' in line:
                answered = True
            elif end in line:
                total = time.monotonic_ns() - start
        return total, times


def _read(fd: int) -> bytes:
    data = os.read(fd, _SIZE)
    if not data:
        raise RefusedError("hung up")
    return data


def _lines(fd: int) -> Iterator[bytes]:
    buffered = b""
    while True:
        line, newline, rest = buffered.partition(b"\n")
        if newline:
            buffered = rest
            yield line
        else:
            buffered += _read(fd)


def make_engine() -> Engine:
    """The compiled engine if there is a compiler, else that in Python."""
    compiler = shutil.which("cc")
    if compiler is None:
        return PythonEngine()
    source = Path(__file__).with_name("client.c")
    with tempfile.TemporaryDirectory(prefix="qmpd-bench-") as folder:
        library = Path(folder, "client.so")
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source)]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            return PythonEngine()
        return CompiledEngine(library)


def message(command: str, arguments: dict[str, Any] | None = None, name: str = "c") -> bytes:
    """A request with an id, as it goes over the wire."""
    request: dict[str, Any] = {"execute": command, "id": name}
    if arguments:
        request["arguments"] = arguments
    return json.dumps(request).encode() + b"\n"


class Client:
    """A connection, for what is not measured, and to hand its descriptor to an engine."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def line(self) -> dict[str, Any]:
        """Read one line; to be used only where no other one is on its way."""
        data = _read(self.fd)
        while not data.endswith(b"\n"):
            data += _read(self.fd)
        found: dict[str, Any] = json.loads(data)
        return found

    def execute(self, command: str, arguments: dict[str, Any] | None = None) -> Any:
        """Execute a command; events before its answer are passed over.

        Raises:
            RefusedError: the answer is an error.
        """
        os.write(self.fd, message(command, arguments))
        for line in _lines(self.fd):
            answer = json.loads(line)
            if "error" in answer:
                raise RefusedError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
        raise RefusedError("hung up")

    def close(self) -> None:
        """Hang up."""
        os.close(self.fd)
