"""Draws again whenever something has changed, until the daemon ends or Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from qmpd.show.client import IDENTITY, HungUpError
from qmpd.show.model import take
from qmpd.show.style import style_of
from qmpd.show.text import draw

if TYPE_CHECKING:
    from typing import TextIO

    from qmpd.show.client import Client
    from qmpd.show.model import Picture
    from qmpd.show.style import Style

POLL = 0.2
"""Seconds between two looks at the daemon when no event comes."""
_TELLING = ("transition", "open", "lock", "request")
"""Kinds of journal entries behind which the picture may have changed."""
_MOVING = frozenset(("running", "ready", "aborting"))
"""States in which a job's progress changes without any entry."""
# Control functions of ECMA-48 and xterm's alternate screen.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _END_OF_LINE, _END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


class Watcher:
    """Knows when to ask again; with a lab it asks little as long as nothing happens."""

    def __init__(self, client: Client, *, lab: bool) -> None:
        self._client = client
        self._lab = lab
        self._serial = 0
        self._held: Any = None
        if lab:
            self._news(["connect"])  # only what comes from now on is news

    def first(self) -> Picture:
        """Take the first picture."""
        self._heard = self._client.events
        return take(self._client, lab=self._lab)

    def next(self, last: Picture) -> Picture:
        """Wait for the next moment to look, and return the picture of then."""
        self._client.listen(POLL)
        heard, self._heard = self._heard, self._client.events
        if self._lab and heard == self._client.events and not self._stirs(last):
            return last
        return take(self._client, lab=self._lab)

    def _stirs(self, last: Picture) -> bool:
        held = self._client.execute("x-qmpd-jobs")
        changed, self._held = held != self._held, held
        moves = any(job.status in _MOVING for job in last.jobs)
        return self._news(list(_TELLING)) or changed or moves

    def _news(self, kinds: list[str]) -> bool:
        """Whether others have done something; reads the journal up to its end."""
        entries = self._client.execute("x-qmpd-journal", since=self._serial, kinds=kinds)
        if entries:
            self._serial = entries[-1]["serial"]
        return any(entry["data"].get("id") != IDENTITY for entry in entries)


class Canvas:
    """Where pictures are drawn: over each other on a terminal, else one after another."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._shown: list[str] = []

    def __enter__(self) -> Self:
        """Take the screen."""
        if self._terminal:
            self._stream.write(_ENTER)
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back, and leave the last picture on it."""
        if self._terminal:
            self._stream.write(_LEAVE + "\n".join([*self._shown, ""]))
        self._stream.flush()

    def show(self, picture: Picture) -> None:
        """Draw, unless it looks as before."""
        style = style_of(self._stream)
        lines = draw(picture, style)
        if lines == self._shown:
            return
        first, self._shown = not self._shown, lines
        if self._terminal:
            text = "\n".join(f"{line}{_END_OF_LINE}" for line in _clipped(lines, style))
            self._stream.write(f"{_HOME}{text}{_END_OF_SCREEN}")
        else:
            self._stream.write("\n".join([*([] if first else [""]), *lines, ""]))
        self._stream.flush()


def _clipped(lines: list[str], style: Style) -> list[str]:
    if len(lines) <= style.height:
        return lines
    room = style.height - 1
    return [*lines[:room], style.cut(f"({len(lines) - room} more lines)", style.width)]


def watch(client: Client, stream: TextIO, *, lab: bool) -> None:
    """Draw until the daemon ends."""
    watcher = Watcher(client, lab=lab)
    with Canvas(stream) as canvas:
        try:
            picture = watcher.first()
            while True:
                canvas.show(picture)
                picture = watcher.next(picture)
        except HungUpError:
            return
