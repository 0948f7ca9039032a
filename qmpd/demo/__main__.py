"""``python -m qmpd.demo``: play the report, or leave its daemon listening."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from qmpd.demo.client import ConversationError
from qmpd.demo.daemon import Daemon, DaemonError
from qmpd.demo.screen import BOLD, GREEN, Screen, introduce, show
from qmpd.demo.story import differences, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERRUPTED = 130
"""The status of a program that Ctrl-C has ended, as shells have it."""


def main(words: list[str] | None = None) -> int:
    """Run the demonstration; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m qmpd.demo",
        description="Plays the crash report that qmpd was made for, and ends.",
    )
    parser.add_argument(
        "--serve", metavar="SOCKET", type=Path, help="leave its daemon listening instead"
    )
    options = parser.parse_args(words)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # no way out leaves a daemon behind
    try:
        return _serve(Screen(), options.serve) if options.serve else _play(Screen())
    except (DaemonError, ConversationError) as error:
        sys.stderr.write(f"qmpd.demo: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nqmpd.demo: interrupted\n")
        return INTERRUPTED


def _play(screen: Screen) -> int:
    introduce(screen)
    outcome = tell()
    show(screen, outcome)
    screen.say()
    wrong = list(differences(outcome))
    if not wrong:
        screen.say(
            f"{screen.paint('As it should be:', GREEN, BOLD)} the events came in order; the base was"
            " writable while the job needed it,"
        )
        screen.say("and at no other time; the overlay is backed by the base.")
        return 0
    for sentence in wrong:
        sys.stderr.write(f"qmpd.demo: {sentence}\n")
    return 1


def _ways_to_attach(path: Path) -> Iterator[tuple[str, str]]:
    beside = Path(sys.executable).with_name("qmp-shell")
    installed = str(beside) if beside.exists() else shutil.which("qmp-shell")
    yield f"{installed or 'qmp-shell'} {path}", "" if installed else "pip install qemu.qmp"
    yield f"socat - UNIX-CONNECT:{path}", 'begin with {"execute": "qmp_capabilities"}'


def _serve(screen: Screen, path: Path) -> int:
    with Daemon(path) as daemon:
        screen.say(
            f"qmpd (pid {daemon.pid}) listens on {screen.paint(str(path), BOLD)}; Ctrl-C ends it"
        )
        screen.say()
        screen.say("  in another terminal:")
        for words, remark in _ways_to_attach(path):
            screen.say(f"    {words}{remark and '   # ' + remark}")
        try:
            status = daemon.wait()
        except KeyboardInterrupt:
            screen.say("\nstopped")
            return 0
        if status == 0:
            screen.say("qmpd was told to quit")
            return 0
        raise DaemonError(f"qmpd hung up{daemon.last_words()}")


if __name__ == "__main__":
    sys.exit(main())
