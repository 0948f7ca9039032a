"""Reading and writing a node by hand: the commands of ``qemu-io`` that matter to tests."""

from __future__ import annotations

import errno
import os
import re
import time

from qmpd.block import permissions as p
from qmpd.block.driver import UNALLOCATED, strerror
from qmpd.block.node import User
from qmpd.block.transaction import Transaction
from qmpd.errors import QmpError
from qmpd.jobs.mirroring import bitmaps_of_jobs, note_guest_write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmpd.block.graph import Graph
    from qmpd.block.node import Node

_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]+|\d+)([bBkKmMgGtTpPeE]?)$")
_SHIFTS = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_LONGEST = 1 << 31
_DEFAULT_PATTERN = 0xCD
_NO_MEDIUM = os.strerror(errno.ENOMEDIUM)


class _Mistake(Exception):  # noqa: N818 - it is a line of output
    """What is wrong with a command."""


class _Arguments:
    """Switches, the pattern, and the numbers of a command."""

    def __init__(self, words: list[str]) -> None:
        self.pattern: int | None = None
        self.quiet = self.zero = self.unmap = False
        self.numbers: list[int] = []
        rest = iter(words)
        for word in rest:
            if word == "-P":
                self.pattern = _number(next(rest, "")) & 0xFF
            elif word.startswith("-"):
                self.quiet = self.quiet or "q" in word
                self.zero = self.zero or "z" in word
                self.unmap = self.unmap or "u" in word
            else:
                self.numbers.append(_number(word))


class Access:
    """Who asks, and of what.

    ``user`` is somebody who uses the node already; without one a user comes and goes.
    ``later`` puts off what a write sets off.
    """

    __slots__ = ("graph", "later", "node", "user")

    def __init__(
        self,
        graph: Graph,
        node: Node,
        user: User | None,
        later: Callable[[Callable[[], None]], None],
    ) -> None:
        self.graph = graph
        self.node = node
        self.user = user
        self.later = later

    @property
    def may_write(self) -> bool:
        """Whether the user holds the permission already."""
        return self.user is not None and bool(self.user.children["root"].perm & p.WRITE)


_TRANSFERS = ("read", "write", "discard")


def execute(access: Access, line: str) -> str:
    """Do one command on a node, and return what is printed.

    Raises:
        QmpError: the permissions to write conflict with somebody's, or it is not known where
            something is.
    """
    name, *words = line.split() or [""]
    act = _COMMANDS.get(name)
    if act is None:
        return ""  # complained of on standard error
    try:
        return act(access, name, words)
    except _Mistake as mistake:
        return f"{mistake}\n" if mistake.args else ""


def execute_without_medium(line: str) -> str:
    """Do one command on a device that is empty, and return what is printed."""
    what = (line.split() or [""])[0]
    failing = {"length": "getlength"} | {name: f"{name} failed" for name in _TRANSFERS}
    return f"{failing[what]}: No medium found\n" if what in failing else ""


def _read(access: Access, name: str, words: list[str]) -> str:
    what = "readv" if name == "aio_read" else "read"
    given = _Arguments(words)
    offset, length = _range(given)
    driver = access.node.driver
    start = time.monotonic()
    if offset + length > driver.size():
        return f"{what} failed: Input/output error\n"
    try:
        data = driver.pread(offset, length)
    except OSError as error:
        return f"{what} failed: {strerror(error)}\n"
    text = ""
    if given.pattern is not None and data != bytes([given.pattern]) * length:
        text = f"Pattern verification failed at offset {offset}, {length} bytes\n"
    return text if given.quiet else text + _report("read", offset, length, start)


def _write(access: Access, _name: str, words: list[str]) -> str:
    """Ask for the permission, which comes before a look at the words, and write."""
    if len(words) < 2:
        return _write_range(access, words)  # too few, it says
    if access.user is not None:
        if not access.may_write:  # from now on it does
            edge = access.user.children["root"]
            with Transaction() as tx:
                access.graph.change_user(tx, edge, edge.perm | p.WRITE, edge.shared)
        return _write_range(access, words)
    user = User()
    with Transaction() as tx:
        edge = access.graph.add_user(tx, user, access.node, p.WRITE, p.ALL)
    try:
        return _write_range(access, words)
    finally:
        access.graph.users.pop(user, None)
        access.graph.detach_loosely(edge)


def _write_range(access: Access, words: list[str]) -> str:
    given = _Arguments(words)
    offset, length = _range(given)
    node = access.node
    if any(bitmap.closed for bitmap, _ in bitmaps_of_jobs(node, offset)):
        raise _Mistake("write failed: a job that has done its work holds the image still")
    start = time.monotonic()
    if offset + length > node.driver.size():
        return "write failed: Input/output error\n"
    try:
        if given.zero:
            node.driver.write_zeroes(offset, length, unmap=given.unmap)
        else:
            pattern = _DEFAULT_PATTERN if given.pattern is None else given.pattern
            node.driver.pwrite(offset, bytes([pattern]) * length)
        node.driver.note_written(offset + length, length)
    except OSError as error:
        return f"write failed: {strerror(error)}\n"
    finally:
        access.later(lambda: note_guest_write(node, offset, length))
    return "" if given.quiet else _report("wrote", offset, length, start)


def _flush(access: Access, _name: str, _words: list[str]) -> str:
    if access.node.driver.ejected:
        return ""
    try:
        access.node.driver.flush()
    except OSError as error:
        return f"flush failed: {strerror(error)}\n"
    return ""


def _length(access: Access, _name: str, _words: list[str]) -> str:
    if access.node.driver.ejected:
        return f"getlength: {_NO_MEDIUM}\n"
    return f"{_human(access.node.driver.size())}\n"


def _map(access: Access, _name: str, _words: list[str]) -> str:
    driver = access.node.driver
    if driver.ejected:
        raise QmpError(f"Failed to query image length: {_NO_MEDIUM}")
    runs: list[tuple[bool, int, int]] = []
    offset, size = 0, driver.length()
    while offset < size:
        try:
            extent = driver.extent(offset, size - offset)
        except OSError as error:
            # Unlike other complaints it goes to who has asked.
            raise QmpError(f"Failed to get allocation status: {strerror(error)}") from None
        allocated = extent.kind != UNALLOCATED and not driver.name.startswith("null-")
        start, length = offset, extent.length
        if runs and runs[-1][0] is allocated:
            _, start, before = runs.pop()
            length += before
        runs.append((allocated, start, length))
        offset += extent.length
    return "".join(
        f"{_human(length)} (0x{length:x}) bytes {'    ' if allocated else 'not '}allocated "
        f"at offset {_human(start)} (0x{start:x})\n"
        for allocated, start, length in runs
    )


def _nothing(_access: Access, _name: str, _words: list[str]) -> str:
    return ""


def _break(_access: Access, name: str, _words: list[str]) -> str:
    what = "set" if name == "break" else "remove"
    return f"Could not {what} breakpoint: Operation not supported\n"


def _range(given: _Arguments) -> tuple[int, int]:
    if len(given.numbers) != 2:
        raise _Mistake  # complained of on standard error
    offset, length = given.numbers
    if length > _LONGEST:
        raise _Mistake(f"length cannot exceed {_LONGEST}, given {length}")
    return offset, length


def _number(text: str) -> int:
    found = _NUMBER.match(text)
    if found is None:
        reason = "non-numeric argument, or extraneous/unrecognized suffix"
        raise _Mistake(f"Parsing error: {reason} -- {text}")
    return int(found[1], 0) << _SHIFTS[found[2].lower()]


def _human(number: float) -> str:
    unit = 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number /= 1024
        unit += 1
    text = f"{number:.3f}".removesuffix(".000")
    return f"{text} {_UNITS[unit]}"


def _report(verb: str, offset: int, length: int, start: float) -> str:
    seconds = max(time.monotonic() - start, 1e-6)
    return (
        f"{verb} {length}/{length} bytes at offset {offset}\n"
        f"{_human(length)}, 1 ops; {seconds:05.2f} sec "
        f"({_human(length / seconds)}/sec and {1 / seconds:.4f} ops/sec)\n"
    )


_COMMANDS: dict[str, Callable[[Access, str, list[str]], str]] = {
    **dict.fromkeys(("read", "readv", "aio_read"), _read),
    **dict.fromkeys(("write", "writev", "aio_write"), _write),
    **dict.fromkeys(("break", "remove_break"), _break),
    "flush": _flush,
    "aio_flush": _nothing,
    "quit": _nothing,
    "length": _length,
    "map": _map,
}
