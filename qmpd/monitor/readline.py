"""The line editor of the human monitor: keys in, echo and finished lines out.

It echoes as the original does, byte by byte, whether or not a terminal is there to see it:
for every key the whole line anew (observed on QEMU 7.2). Names are not completed.
"""

from __future__ import annotations

PROMPT = b"(qemu) "
_LONGEST = 4094
_REMEMBERED = 64
_LEFT, _RIGHT, _CLEAR_TO_END = b"\x1b[D", b"\x1b[C", b"\x1b[K"
_CLEAR_SCREEN = b"\x1b[2J\x1b[1;1H"
_PLAIN, _ESCAPED, _SEQUENCE, _SINGLE = range(4)
_AFTER_ESCAPE = {ord("["): _SEQUENCE, ord("O"): _SINGLE}
_ENTER = b"\r\n"
_SPACE, _ESCAPE = 0x20, 0x1B


class Editor:
    """One line after the other, with what was typed before."""

    __slots__ = ("_echo", "_history", "_index", "_line", "_number", "_recalled", "_shown", "_state")

    def __init__(self) -> None:
        self._history: list[bytes] = []
        self._echo: list[bytes] = []
        self._state = _PLAIN
        self._number = 0
        """The parameter of an escape sequence."""
        self._reset()

    def _reset(self) -> None:
        self._line = b""
        self._index = 0
        self._shown: tuple[bytes, int] = (b"", 0)
        """What stands on the screen, and where the cursor is."""
        self._recalled = -1
        """Which line of the history is shown, -1 for none."""

    def feed(self, key: int) -> bytes | None:
        """Take one byte; returns the line if that ends it. :meth:`echo` has what to show."""
        if self._state == _ESCAPED:
            self._state = _AFTER_ESCAPE.get(key, _PLAIN)
            self._number = 0
        elif self._state == _SINGLE:
            self._state = _PLAIN
            self._act(_SINGLES.get(key))
        elif self._state == _SEQUENCE:
            self._sequence(key)
        elif key in _ENTER:
            return self._finish()
        elif key == _ESCAPE:
            self._state = _ESCAPED
        elif key in _KEYS:
            self._act(_KEYS[key])
        elif key >= _SPACE:
            self._insert(bytes((key,)))
        self._update()
        return None

    def echo(self) -> bytes:
        """What is to be shown since the last time."""
        shown = b"".join(self._echo)
        self._echo.clear()
        return shown

    def _finish(self) -> bytes:
        line = self._line
        self._echo.append(b"\r\n")
        if line:
            self._history = [*(old for old in self._history if old != line), line]
            del self._history[:-_REMEMBERED]
        self._reset()
        return line

    def _sequence(self, key: int) -> None:
        if chr(key).isdigit():
            self._number = self._number * 10 + key - ord("0")
            return
        self._state = _PLAIN
        name = f"{self._number}~" if key == ord("~") else chr(key)
        self._act(_SEQUENCES.get(name))

    def _act(self, action: str | None) -> None:
        if action is not None:
            getattr(self, f"_{action}")()

    def _update(self) -> None:
        line, index = self._line, self._index
        shown, cursor = self._shown
        if line != shown:
            self._echo += [_LEFT * cursor, line, _CLEAR_TO_END, _LEFT * (len(line) - index)]
        elif index != cursor:
            self._echo.append(
                _LEFT * (cursor - index) if index < cursor else _RIGHT * (index - cursor)
            )
        self._shown = line, index

    # --- keys --------------------------------------------------------------------------

    def _insert(self, text: bytes) -> None:
        if len(self._line) < _LONGEST:
            self._line = self._line[: self._index] + text + self._line[self._index :]
            self._index += len(text)

    def _delete(self) -> None:
        self._line = self._line[: self._index] + self._line[self._index + 1 :]

    def _backspace(self) -> None:
        if self._index:
            self._index -= 1
            self._delete()

    def _delete_word(self) -> None:
        left = self._line[: self._index].rstrip(b" ")
        left = left[: left.rfind(b" ", 1) + 1]  # a blank that begins the line goes as well
        self._line = left + self._line[self._index :]
        self._index = len(left)

    def _left(self) -> None:
        self._index = max(self._index - 1, 0)

    def _right(self) -> None:
        self._index = min(self._index + 1, len(self._line))

    def _home(self) -> None:
        self._index = 0

    def _end(self) -> None:
        self._index = len(self._line)

    def _clear_screen(self) -> None:
        self._echo += [_CLEAR_SCREEN, PROMPT]
        self._shown = b"", 0

    def _older(self) -> None:
        number = self._recalled if self._recalled >= 0 else len(self._history)
        if number:
            self._recall(number - 1)

    def _newer(self) -> None:
        if 0 <= self._recalled < len(self._history) - 1:
            self._recall(self._recalled + 1)
        elif self._recalled >= 0:
            self._recalled = -1
            self._line, self._index = b"", 0

    def _recall(self, number: int) -> None:
        self._recalled = number
        self._line = self._history[number]
        self._index = len(self._line)


_KEYS = {
    0x01: "home",
    0x04: "delete",
    0x05: "end",
    0x08: "backspace",
    0x0C: "clear_screen",
    0x17: "delete_word",
    0x7F: "backspace",
}
"""Control characters, and what they do."""
_SEQUENCES = {
    "A": "older",
    "B": "newer",
    "C": "right",
    "D": "left",
    "1~": "home",
    "3~": "delete",
    "4~": "end",
}
_SINGLES = {ord("F"): "end", ord("H"): "home"}
