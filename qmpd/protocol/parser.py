"""Tokens to values, and a stream of bytes to a stream of values.

`ValueBuilder` is the grammar, a table; it never recurses. `StreamParser` adds what
makes a stream: where a value ends, the limits, and starting afresh after an error.

QEMU collects all tokens of a value, until braces and brackets balance, and parses
them then. Here they are parsed as they come and only the outcome waits for the
balance: the same on the wire, without keeping tokens.
"""

from __future__ import annotations

from qmpd.errors import QmpError
from qmpd.protocol import lexer, literals, wording
from qmpd.protocol.encoder import to_bytes
from qmpd.protocol.fast import is_candidate, scan_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

INCOMPLETE = object()
"""What `StreamParser.next_value` returns when it needs more data."""

# What the grammar expects next.
_VALUE = 0
_FIRST_ELEMENT = 1
_AFTER_ELEMENT = 2
_FIRST_KEY = 3
_AFTER_KEY = 4
_AFTER_MEMBER = 5
_KEY = 6
_DONE = 7

_OPENING = {lexer.LCURLY: _FIRST_KEY, lexer.LSQUARE: _FIRST_ELEMENT}

_SCALARS: dict[int, Callable[[bytes], Any]] = {
    lexer.INTEGER: literals.integer,
    lexer.FLOAT: float,
    lexer.KEYWORD: literals.keyword,
    lexer.STRING: literals.string,
}

# Where punctuation is expected: the token that closes the container, or 0; the one
# that goes on, and to what; the error if it is neither.
_PUNCTUATION = {
    _AFTER_ELEMENT: (lexer.RSQUARE, lexer.COMMA, _VALUE, wording.SEPARATOR_IN_LIST),
    _AFTER_MEMBER: (lexer.RCURLY, lexer.COMMA, _KEY, wording.SEPARATOR_IN_DICT),
    _AFTER_KEY: (lexer.NONE, lexer.COLON, _VALUE, wording.MISSING_COLON),
}

# Where a value is expected: the token that closes an empty container instead.
_CLOSING = {_FIRST_ELEMENT: lexer.RSQUARE, _FIRST_KEY: lexer.RCURLY}

_BRACES = {lexer.LCURLY: 1, lexer.RCURLY: -1}
_BRACKETS = {lexer.LSQUARE: 1, lexer.RSQUARE: -1}


class ValueBuilder:
    """Builds one value from its tokens: what is in `value` once brackets balance."""

    __slots__ = ("_expected", "_key", "_open", "value")

    def __init__(self) -> None:
        """Start before the first token of the value."""
        self.value: Any = None
        self._expected = _VALUE
        self._key = ""
        # The containers around: (container, the key it will have, what was expected).
        self._open: list[tuple[Any, str, int]] = []

    def add(self, kind: int, text: bytes) -> None:
        """Take one token; raises `QmpError` for the first one that does not fit."""
        expected = self._expected
        if expected in _PUNCTUATION:
            closing, going_on, following, error = _PUNCTUATION[expected]
            if kind == going_on:
                self._expected = following
            elif kind == closing:
                self._close()
            else:
                raise QmpError(error)
        elif kind in _OPENING:
            self._open.append((self.value, self._key, expected))
            self.value = {} if kind == lexer.LCURLY else []
            self._expected = _OPENING[kind]
        elif kind in _SCALARS:
            self._place(_SCALARS[kind](text))
        elif kind == _CLOSING.get(expected):
            self._close()
        else:
            raise QmpError(wording.EXPECTING_VALUE)

    def _close(self) -> None:
        finished = self.value
        self.value, self._key, self._expected = self._open.pop()
        self._place(finished)

    def _place(self, value: Any) -> None:
        """Put a complete value where one was expected."""
        if not self._open:
            self.value = value
            self._expected = _DONE
        elif self._expected in (_FIRST_KEY, _KEY):
            if type(value) is not str:
                raise QmpError(wording.KEY_NOT_STRING)
            self._key = value
            self._expected = _AFTER_KEY
        elif type(self.value) is list:
            self.value.append(value)
            self._expected = _AFTER_ELEMENT
        else:
            if self._key in self.value:
                raise QmpError(wording.DUPLICATE_KEY)
            self.value[self._key] = value
            self._expected = _AFTER_MEMBER


class StreamParser:
    """Values out of a stream of bytes, one at a time and only when asked for."""

    __slots__ = (
        "_braces",
        "_brackets",
        "_builder",
        "_data",
        "_error",
        "_lexer",
        "_plain",
        "_position",
        "_size",
        "_tokens",
        "_waiting",
    )

    def __init__(self) -> None:
        """Start with an empty stream."""
        self._lexer = lexer.Lexer()
        self._data = b""
        self._plain = ""  # the same text while it may go the fast way
        self._position = 0
        self._waiting: list[bytes] = []
        self._restart()

    def _restart(self) -> None:
        self._builder = ValueBuilder()
        self._error: QmpError | None = None
        self._braces = 0
        self._brackets = 0
        self._tokens = 0
        self._size = 0

    @property
    def buffered(self) -> int:
        """Bytes that were fed but not looked at."""
        return len(self._data) - self._position + sum(map(len, self._waiting))

    def feed(self, data: bytes) -> None:
        """Take input; nothing is parsed before `next_value`."""
        if self._position < len(self._data):
            self._waiting.append(data)
        else:
            self._load(data)

    def _load(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._plain = data.decode("ascii") if is_candidate(data) else ""

    def next_value(self) -> Any:
        """Return the next value, or `INCOMPLETE`; raises `QmpError` for a malformed one."""
        while True:
            if self._position == len(self._data):
                if not self._waiting:
                    return INCOMPLETE
                self._load(b"".join(self._waiting))
                self._waiting.clear()
            if self._plain and not self._tokens and self._lexer.idle:
                found = scan_object(self._plain, self._position)
                if found:
                    value, self._position = found
                    return value
                self._plain = ""
            if self._next_token():
                return self._finish()

    def plain_line(self) -> str:
        """The line that is read next, if a value begins with it and all is plain; else empty."""
        if self._plain and not self._tokens and self._lexer.idle:
            end = self._plain.find("\n", self._position)
            if end >= 0:
                return self._plain[self._position : end]
        return ""

    def plain_lines(self, most: int) -> list[str]:
        """At most so many complete lines, under the same conditions."""
        if not self._plain or self._tokens or not self._lexer.idle:
            return []
        lines = self._plain[self._position :].split("\n", most)
        del lines[-1]
        return lines

    def skip(self, count: int) -> None:
        """Go on behind ``count`` characters of plain lines that were dealt with."""
        self._position += count

    @property
    def position(self) -> int:
        """Where in the present piece of input the next value is looked for."""
        return self._position

    def only_space_since(self, position: int) -> bool:
        """Whether the last value of this piece had ended at `position`, and a line with it."""
        return self._plain[position : self._position].isspace()

    def flush(self) -> Any:
        """Return what the end of the input completes; as `next_value` otherwise."""
        self._lexer.flush()
        if self._lexer.kind and self._take(self._lexer.kind, self._lexer.text):
            return self._finish()
        if not self._tokens:
            return INCOMPLETE
        if self._error is None:
            self._error = QmpError(wording.PREMATURE_END)
        return self._finish()

    def _next_token(self) -> bool:
        """Take the next token, if there is one; true when a value or error ends there."""
        self._position = self._lexer.scan(self._data, self._position)
        kind = self._lexer.kind
        return bool(kind) and self._take(kind, self._lexer.text)

    def _take(self, kind: int, text: bytes) -> bool:
        limit = self._count(kind, text)
        if limit:
            self._error = QmpError(limit)
            return True
        if self._error is None:
            try:
                self._builder.add(kind, text)
            except QmpError as error:
                self._error = error
        open_here = self._braces > 0 or self._brackets > 0
        return not (open_here and self._braces >= 0 and self._brackets >= 0)

    def _count(self, kind: int, text: bytes) -> str:
        """Account for a token; returns the error, if any, that ends the value here."""
        if kind == lexer.ERROR:
            return wording.stray(text)
        if kind in _BRACES:
            self._braces += _BRACES[kind]
        elif kind in _BRACKETS:
            self._brackets += _BRACKETS[kind]
        self._size += len(text)
        self._tokens += 1
        if kind == lexer.OVERSIZE or self._size >= lexer.MAX_TOKEN_SIZE:
            return wording.TOKEN_SIZE_LIMIT
        if self._tokens > lexer.MAX_TOKENS:
            return wording.TOKEN_COUNT_LIMIT
        if self._braces + self._brackets > lexer.MAX_NESTING:
            return wording.NESTING_LIMIT
        return ""

    def _finish(self) -> Any:
        """Hand out the outcome and start afresh."""
        value, error = self._builder.value, self._error
        self._restart()
        if error is not None:
            raise error
        return value


def parse_string(text: str | bytes) -> Any:
    """Parse a text of one value that has an end: a command line's, a ``json:`` name's.

    Raises `QmpError` as QEMU does for malformed, truncated, missing or second values.
    """
    parser = StreamParser()
    parser.feed(text if isinstance(text, bytes) else to_bytes(text))
    value = _next_or_last(parser)
    if value is INCOMPLETE:
        raise QmpError(wording.NO_VALUE)
    try:
        second = _next_or_last(parser)
    except QmpError:
        raise QmpError(wording.SECOND_VALUE) from None
    if second is not INCOMPLETE:
        raise QmpError(wording.SECOND_VALUE)
    return value


def _next_or_last(parser: StreamParser) -> Any:
    value = parser.next_value()
    return parser.flush() if value is INCOMPLETE else value
