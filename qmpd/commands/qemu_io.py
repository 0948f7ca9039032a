"""Reading and writing a node by hand: the commands of ``qemu-io`` that matter to tests."""

from __future__ import annotations

import re
import time

from qmpd.block import permissions as p
from qmpd.block.chain import read as read_chain
from qmpd.block.driver import strerror
from qmpd.block.node import User
from qmpd.block.transaction import Transaction
from qmpd.errors import QmpError

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


class _Mistake(Exception):  # noqa: N818 - it is a line of output
    """What is wrong with a command."""


class _Arguments:
    """Switches, the pattern, and the numbers of a command."""

    def __init__(self, words: list[str]) -> None:
        self.pattern: int | None = None
        self.quiet = self.zero = False
        self.numbers: list[int] = []
        rest = iter(words)
        for word in rest:
            if word == "-P":
                self.pattern = _number(next(rest, "")) & 0xFF
            elif word.startswith("-"):
                self.quiet = self.quiet or "q" in word
                self.zero = self.zero or "z" in word
            else:
                self.numbers.append(_number(word))


def execute(graph: Graph, node: Node, line: str, *, writable: bool) -> str:
    """Do one command on a node and return what is printed.

    Writing needs that no job follows the node's data: ``writable`` says so.
    """
    name, *words = line.split() or [""]
    act = _COMMANDS.get(name)
    if act is None:
        return ""  # complained of on standard error
    try:
        return act(graph, node, name, words, writable)
    except _Mistake as mistake:
        return f"{mistake}\n" if mistake.args else ""
    except QmpError as error:
        return f"{error.desc}\n"


def _read(_graph: Graph, node: Node, _name: str, words: list[str], _writable: bool) -> str:
    given = _Arguments(words)
    offset, length = _range(given)
    start = time.monotonic()
    if offset + length > node.driver.size():
        return "read failed: Input/output error\n"
    try:
        data = read_chain(node, offset, length)
    except OSError as error:
        return f"read failed: {strerror(error)}\n"
    text = ""
    if given.pattern is not None and data != bytes([given.pattern]) * length:
        text = f"Pattern verification failed at offset {offset}, {length} bytes\n"
    return text if given.quiet else text + _report("read", offset, length, start)


def _write(graph: Graph, node: Node, _name: str, words: list[str], writable: bool) -> str:
    given = _Arguments(words)
    offset, length = _range(given)
    if not writable:
        raise _Mistake("write failed: qmpd does not write to disks while jobs run")
    start = time.monotonic()
    if offset + length > node.driver.size():
        return "write failed: Input/output error\n"
    user = User()
    with Transaction() as tx:
        edge = graph.add_user(tx, user, node, p.WRITE, p.ALL)
    try:
        if given.zero:
            node.driver.write_zeroes(offset, length)
        else:
            pattern = _DEFAULT_PATTERN if given.pattern is None else given.pattern
            node.driver.pwrite(offset, bytes([pattern]) * length)
        node.driver.note_written(offset + length)
    except OSError as error:
        return f"write failed: {strerror(error)}\n"
    finally:
        graph.users.pop(user, None)
        graph.detach_loosely(edge)
    return "" if given.quiet else _report("wrote", offset, length, start)


def _flush(_graph: Graph, node: Node, _name: str, _words: list[str], _writable: bool) -> str:
    try:
        node.driver.flush()
    except OSError as error:
        return f"flush failed: {strerror(error)}\n"
    return ""


def _length(_graph: Graph, node: Node, _name: str, _words: list[str], _writable: bool) -> str:
    return f"{_human(node.driver.size())}\n"


def _nothing(_graph: Graph, _node: Node, _name: str, _words: list[str], _writable: bool) -> str:
    return ""


def _break(_graph: Graph, _node: Node, name: str, _words: list[str], _writable: bool) -> str:
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
    text = f"{number:.3f}".rstrip("0").rstrip(".")
    return f"{text} {_UNITS[unit]}"


def _report(verb: str, offset: int, length: int, start: float) -> str:
    seconds = max(time.monotonic() - start, 1e-6)
    return (
        f"{verb} {length}/{length} bytes at offset {offset}\n"
        f"{_human(length)}, 1 ops; {seconds:05.2f} sec "
        f"({_human(length / seconds)}/sec and {1 / seconds:.4f} ops/sec)\n"
    )


_COMMANDS: dict[str, Callable[[Graph, Node, str, list[str], bool], str]] = {
    **dict.fromkeys(("read", "readv", "aio_read"), _read),
    **dict.fromkeys(("write", "writev", "aio_write"), _write),
    **dict.fromkeys(("break", "remove_break"), _break),
    "flush": _flush,
    "aio_flush": _nothing,
    "quit": _nothing,
    "length": _length,
}
