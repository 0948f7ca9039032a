"""How things look in a terminal: colours, signs and room."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

# Select Graphic Rendition of ECMA-48.
BOLD, DIM, RED, GREEN, YELLOW, MAGENTA, CYAN = "1", "2", "31", "32", "33", "35", "36"
NARROWEST = 20


@dataclass(frozen=True, slots=True)
class Signs:
    """The signs of a picture."""

    node: str
    filter: str
    user: str
    branch: str
    last: str
    line: str
    done: str
    left: str
    cut: str


UNICODE = Signs("●", "◇", "◁", "├─ ", "└─ ", "│  ", "█", "░", "…")
ASCII = Signs("o", "%", "<", "|- ", "`- ", "|  ", "#", ".", "~")


@dataclass(frozen=True, slots=True)
class Style:
    """What a stream can show: ``width`` and ``height`` in characters."""

    width: int = 100
    height: int = 1 << 20
    colours: bool = False
    signs: Signs = UNICODE

    def paint(self, text: str, *codes: str) -> str:
        """Return ``text`` in colours, or as it is."""
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self.colours and codes else text

    def cut(self, text: str, width: int) -> str:
        """Return ``text`` in at most ``width`` characters."""
        if len(text) <= width:
            return text
        return text[: max(width - 1, 0)] + self.signs.cut

    def cut_left(self, text: str, width: int) -> str:
        """The same, but keep the end: of a file name it says more."""
        if len(text) <= width:
            return text
        return self.signs.cut + text[len(text) - max(width - 1, 0) :]


def style_of(stream: TextIO) -> Style:
    """What ``stream`` can show; NO_COLOR and TERM=dumb are respected."""
    terminal = stream.isatty()
    refused = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    size = shutil.get_terminal_size((100, 50))
    return Style(
        max(size.columns, NARROWEST),
        size.lines if terminal else 1 << 20,
        terminal and not refused,
        _signs(stream),
    )


def _signs(stream: TextIO) -> Signs:
    try:
        "●◇◁├─└│█░…".encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return ASCII
    return UNICODE
