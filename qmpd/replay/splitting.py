"""A stream of JSON values to single ones, without looking at what they say."""

from __future__ import annotations

_OPEN, _CLOSE = frozenset(b"{["), frozenset(b"}]")
_QUOTES = frozenset(b"\"'")  # QEMU takes both
_BACKSLASH, _NEWLINE = ord("\\"), ord("\n")


class Splitter:
    """Collects bytes and gives out whole values as texts.

    What is outside of objects and lists ends with its line.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._depth = 0
        self._quote = 0
        self._escaped = False

    def feed(self, data: bytes) -> list[str]:
        """Take more of the stream and return what is whole now, without blanks around it."""
        found = []
        for byte in data:
            self._bytes.append(byte)
            if self._ends(byte):
                text = self._bytes.decode("utf-8", "replace").strip()
                self._bytes.clear()
                if text:
                    found.append(text)
        return found

    def _ends(self, byte: int) -> bool:
        """Whether a value ends with this byte."""
        if self._quote:
            if self._escaped:
                self._escaped = False
            elif byte == _BACKSLASH:
                self._escaped = True
            elif byte == self._quote:
                self._quote = 0
            return False
        if byte in _QUOTES and self._depth:
            self._quote = byte
        elif byte in _OPEN:
            self._depth += 1
        elif byte in _CLOSE:
            self._depth = max(self._depth - 1, 0)
            return self._depth == 0
        return byte == _NEWLINE and not self._depth
