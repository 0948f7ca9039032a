"""The command line of ``qmpd replay``."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from typing import TYPE_CHECKING

from qmpd.errors import QmpError
from qmpd.machine import STORAGE_DAEMON, SYSTEM
from qmpd.options.subcommand import Parser, UsageError
from qmpd.replay.compare import without_drains
from qmpd.replay.images import definitions
from qmpd.replay.messages import REQUEST
from qmpd.replay.player import Player, complain, in_order, without_unknown
from qmpd.replay.printing import side_by_side
from qmpd.replay.reading import read

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from qmpd.replay.messages import Message

PROGRAM = "qmpd replay"
EQUAL, DIFFERENT, NOTHING = 0, 1, 2
"""Exit statuses: the same was said, something else was said, nothing could be played."""
_ABOUT = """\
Play a recorded conversation again: build the graph of the command line on empty images in
memory, say what the client said, and show what QEMU answered beside what qmpd answers.
FILE is libvirt's log, a mail that has it, a transcript of QMP, or what qmpd record wrote.
Exit status: 0 the answers are equal as far as FILE goes, 1 they are not, 2 nothing to play."""


class ReplayError(Exception):
    """Nothing could be played; the text is for people."""


def main(arguments: Sequence[str]) -> int:
    """Run ``qmpd replay``; returns the exit status."""
    try:
        options = _parser().read(arguments)
        return asyncio.run(_run(options))
    except (ReplayError, UsageError) as error:
        sys.stderr.write(f"{PROGRAM}: {error}\n")
    except QmpError as error:
        sys.stderr.write(f"{PROGRAM}: {error.desc}\n")
    except BrokenPipeError:  # as when piped to head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        pass  # asked to stop, which is not an error worth a word
    return NOTHING


def _parser() -> Parser:
    parser = Parser(PROGRAM, _ABOUT)
    parser.add_argument("file", metavar="FILE", help="what was recorded; - is standard input")
    parser.add_argument(
        "--command-line", metavar="FILE", help="a file with the command line, if FILE has none"
    )
    parser.add_argument("--profile", metavar="NAME", help="which QEMU answers; 7.2 by default")
    parser.add_argument("--program", choices=(SYSTEM, STORAGE_DAEMON), help="which program")
    parser.add_argument(
        "--scenario", metavar="FILE", help="images that are not just empty, and who may write them"
    )
    parser.add_argument(
        "--ignore-unknown",
        action="store_true",
        help="leave out commands and events that qmpd does not have",
    )
    parser.add_argument("--width", type=int, metavar="N", help="columns of the output")
    return parser


async def _run(options: argparse.Namespace) -> int:
    conversation = read(_load(options.file))
    if options.command_line is not None:
        other = read(_load(options.command_line))
        if other.words is None:
            raise ReplayError(f"{options.command_line}: no command line found")
        conversation.words, conversation.program = other.words, other.program
    theirs = without_drains(in_order(conversation.messages))
    program = options.program or conversation.program or SYSTEM
    if options.ignore_unknown:
        theirs = without_unknown(theirs, program)
    if not any(message.kind == REQUEST for message in theirs):
        raise ReplayError(f"{options.file}: no conversation found")
    player = Player(
        conversation, profile=options.profile, program=program, scenario=options.scenario
    )
    async with player:
        if conversation.words is None and not definitions(conversation):
            _warn("neither a command line nor a blockdev-add: there are no nodes")
        complain(player)
        ours = without_drains(await player.play(theirs))
    return _show(theirs, ours, options)


def _warn(text: str) -> None:
    sys.stderr.write(f"{PROGRAM}: warning: {text}\n")


def _load(path: str) -> str:
    try:
        if path == "-":
            return sys.stdin.read()
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError as error:
        raise ReplayError(f"{path}: {error.strerror}") from error


def _show(theirs: list[Message], ours: list[Message], options: argparse.Namespace) -> int:
    width = options.width or shutil.get_terminal_size((120, 24)).columns
    lines, equal = side_by_side(theirs, ours, width)
    sys.stdout.write("\n".join([*lines, ""]))
    sys.stdout.flush()
    return EQUAL if equal else DIFFERENT
