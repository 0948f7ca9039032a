"""The command line: ``qmpd`` and ``python -m qmpd``."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qmpd.options.argv import CommandLine

PROGRAM = "qmpd"
SUBCOMMANDS = {
    "record": "qmpd.replay.recorder",
    "replay": "qmpd.replay.command",
    "show": "qmpd.show.command",
}
"""First words that are no options: the module whose ``main(arguments)`` returns the status."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run qmpd; returns the exit status.

    Whatever is wrong at the start is one line on standard error and status 1.
    """
    words = sys.argv[1:] if arguments is None else arguments
    try:
        # Everything is imported in here: an interrupt may come at any time.
        _end_on_signals()
        if words and words[0] in SUBCOMMANDS:
            return _subcommand(words)
        if words and words[0].isidentifier() and _is_mistyped(words):
            _say(f"there is no sub-command '{words[0]}'; there are {', '.join(SUBCOMMANDS)}")
            return 1
        return _daemon(words)
    except KeyboardInterrupt:
        return 1


def _is_mistyped(words: Sequence[str]) -> bool:
    """Whether the first word was meant for a sub-command: it is no image, there are no options."""
    from qmpd.options import known

    names = [word.lstrip("-").partition("=")[0] for word in words if word.startswith("-")]
    known_ones = [name for name in names if known.takes_argument(name) is not None]
    return not known_ones and not os.path.exists(words[0])


def _end_on_signals() -> None:
    """Let every signal that asks for the end be one, with all the cleaning up."""
    from _signal import (  # type: ignore[import-not-found]  # `signal` would import enum
        SIGHUP,
        SIGTERM,
    )
    from _signal import signal as handle_signal

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for number in (SIGTERM, SIGHUP):
        handle_signal(number, interrupt)


def _daemon(words: Sequence[str]) -> int:
    from qmpd.options.argv import CommandLine
    from qmpd.options.errors import OptionError

    try:
        line = CommandLine(words, _say)
        if line.help or line.version:
            return _written(PROGRAM, lambda: _tell(_about(version=line.version)))
        if line.listing is not None:
            from qmpd.listings import listing

            print(listing(line.listing))
            return 0
        _run(line)
    except OptionError as error:
        _say(error.text, error.hint)
        return 1
    return 0


def _subcommand(words: Sequence[str]) -> int:
    from importlib import import_module

    main = import_module(SUBCOMMANDS[words[0]]).main
    return _written(f"{PROGRAM} {words[0]}", lambda: main(words[1:]))


def _say(text: str, hint: str = "") -> None:
    sys.stderr.write(f"{PROGRAM}: {text}\n")
    if hint:
        sys.stderr.write(f"{hint}\n")


def _written(program: str, step: Callable[[], int]) -> int:
    """The status of a step that writes to standard output; 1, after one line, if it cannot."""
    try:
        status = step()
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # as when piped to head
        status = 0
    except OSError as error:
        sys.stderr.write(f"{program}: {error.strerror}\n")
        status = 1
    else:
        return status
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is flushed at exit
    return status


def _tell(text: str) -> int:
    print(text)
    return 0


def _about(*, version: bool) -> str:
    from qmpd.options.usage import HELP

    if not version:
        return HELP
    from importlib.metadata import version as installed

    return f"qmpd version {installed('qmpd')}"


def _run(line: CommandLine) -> None:
    from qmpd import boot, serve

    machine = boot.build(line)
    pidfile = None
    try:
        ready = serve.daemonize() if line.daemonize else None
        if line.pidfile is not None:
            pidfile = boot.Pidfile(line.pidfile)
        if ready is not None:
            ready()
    except BaseException:
        machine.close()
        raise
    try:
        serve.run(machine)
    finally:
        if pidfile is not None:
            pidfile.remove()


if __name__ == "__main__":
    sys.exit(main())
