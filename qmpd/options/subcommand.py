"""The command lines of sub-commands: what they share, and how they complain."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE = 2
"""The exit status of a sub-command that was not asked properly."""


class UsageError(Exception):
    """Not asked properly; the text is for people."""


class Parser(argparse.ArgumentParser):
    """Complains in one line, and of what it does not know before what is missing."""

    def __init__(self, program: str, about: str) -> None:
        """Parse the options of ``program``, which ``about`` describes."""
        super().__init__(
            prog=program,
            description=about,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse what was asked.

        Raises:
            UsageError: it was not asked properly.
        """
        for word in words:
            if word == "--":
                break
            name = word.partition("=")[0]
            if name.startswith("--") and not self._knows(name):
                self.error(f"there is no option {name}")
        return self.parse_args(words)

    def _knows(self, name: str) -> bool:
        return any(known.startswith(name) for known in self._option_string_actions)

    def error(self, message: str) -> NoReturn:
        """Leave the rest, a line and the status, to who has asked."""
        raise UsageError(f"{message}; see {self.prog} --help")
