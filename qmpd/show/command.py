"""The command line of ``qmpd show``."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from qmpd.options.subcommand import USAGE, Parser, UsageError
from qmpd.show.client import Client, ShowError
from qmpd.show.dot import dot
from qmpd.show.model import has_lab, take
from qmpd.show.style import style_of
from qmpd.show.svg import svg
from qmpd.show.text import draw
from qmpd.show.watch import watch

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from qmpd.show.model import Picture

PROGRAM = "qmpd show"
_ABOUT = """\
Draw the graph of a running daemon: its chains, who uses them, their permissions and jobs.
Follows what happens until Ctrl-C. Needs a monitor of its own, since a monitor serves one
client at a time; of a daemon with --lab it also shows how files are open and locked."""


def main(arguments: Sequence[str]) -> int:
    """Run ``qmpd show``; returns the exit status.

    It is 1, after one line, if nothing can be shown, and 2 if it was not asked properly.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        _run(_parser().read(arguments))
    except (ShowError, UsageError) as error:
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        return USAGE if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:  # as when piped to head; nobody is left to be told
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _terminate(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)  # unwinds, which gives the terminal back


def _parser() -> Parser:
    parser = Parser(PROGRAM, _ABOUT)
    parser.add_argument("socket", metavar="SOCKET", help="the Unix socket of a monitor")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--once", action="store_true", help="draw one picture and end")
    kinds.add_argument("--dot", action="store_true", help="write one for Graphviz and end")
    kinds.add_argument("--svg", action="store_true", help="write one as SVG and end")
    return parser


def _run(options: argparse.Namespace) -> None:
    with Client(options.socket) as client:
        lab = has_lab(client)
        if not (options.once or options.dot or options.svg):
            watch(client, sys.stdout, lab=lab)
            return
        picture = take(client, lab=lab)
    sys.stdout.write(_drawn(picture, options))
    sys.stdout.flush()


def _drawn(picture: Picture, options: argparse.Namespace) -> str:
    if options.dot:
        return dot(picture)
    if options.svg:
        return svg(picture)
    return "\n".join([*draw(picture, style_of(sys.stdout)), ""])
