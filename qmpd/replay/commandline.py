"""QEMU's command line in the middle of other text, and what of it makes the graph."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise

from qmpd.options.split import STORAGE_DAEMON, SYSTEM

_CONTINUED = re.compile(r"\\[ \t\r]*\n[ \t]*")
_NODES = re.compile(r"(?:^|\s)--?(?:blockdev|device)[\s=]")
_TAKEN = {"blockdev": True, "device": True, "name": True, "S": False}
"""Options that count, and whether they have an argument: no monitors, nothing of the host."""


def find_command_line(text: str) -> tuple[list[str] | None, str]:
    """The words of the first command line that defines nodes or devices, and whose it is.

    Returns:
        the words that make the graph, None if there is no such line; and the program that
        they are for, empty if that does not show.
    """
    for line in _CONTINUED.sub(" ", text).splitlines():
        if not _NODES.search(line) or "QEMU_MONITOR" in line:
            continue
        try:
            words = shlex.split(line)
        except ValueError:
            continue  # a sentence with an apostrophe
        taken = _take(words)
        if taken:
            return taken, _program(words)
    return None, ""


def _take(words: list[str]) -> list[str]:
    found: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            continue
        name, equals, text = word.lstrip("-").partition("=")
        if name not in _TAKEN or word == "--":
            continue
        if not _TAKEN[name]:
            found.append(word)
        elif equals:
            found += [f"-{name}", text]
        elif (argument := next(rest, None)) is not None:
            found += [f"-{name}", argument]
    return found


def texts_of(words: list[str], option: str) -> list[str]:
    """The arguments of one option, in order."""
    return [text for word, text in pairwise(words) if word == option]


def _program(words: list[str]) -> str:
    for word in words:
        if "qemu-storage-daemon" in word:
            return STORAGE_DAEMON
        if "qemu-system-" in word or "qemu-kvm" in word or word in {"-device", "--device"}:
            return SYSTEM
    return ""
