"""What can be wrong with a command line.

::

    OptionError     one line for the user, complete but for the program's name
    BadOption       the text alone, before it is known which argument it is about
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class OptionError(Exception):
    """The program cannot start like this. ``hint``, if any, is a line of advice to print below."""

    def __init__(self, text: str, hint: str = "") -> None:
        """Keep the text and the advice apart."""
        super().__init__(text)
        self.text = text
        self.hint = hint


class BadOption(Exception):  # noqa: N818 - an inner signal, which users see as OptionError
    """An option's text is wrong."""

    def __init__(
        self, text: str, hint: str = "", *, warnings: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Keep the text and the advice apart.

        ``warnings`` are said about the option before, each with a line of advice or none.
        """
        super().__init__(text)
        self.text = text
        self.hint = hint
        self.warnings = warnings
