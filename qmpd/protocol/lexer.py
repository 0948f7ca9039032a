"""Bytes to tokens, in QEMU's dialect of JSON.

The dialect differs from RFC 8259 in both directions: single-quoted strings are
tokens, comments and byte-order marks are not. A stream has no framing at all, so
the lexer keeps its state over any split of the input, and gets back on its feet
after garbage by itself (observed on QEMU 7.2; ``tests/protocol/test_oracle.py``).

The automaton is a table: for every state, 256 successors, one a byte. A successor
is another state, or the kind of a complete token. Bits of it say whether the byte
itself belongs to what comes next (``_AGAIN``).
"""

from __future__ import annotations

# Kinds of tokens.
NONE = 0
ERROR = 1
OVERSIZE = 2
LCURLY = 3
RCURLY = 4
LSQUARE = 5
RSQUARE = 6
COLON = 7
COMMA = 8
INTEGER = 9
FLOAT = 10
KEYWORD = 11
STRING = 12

MAX_TOKEN_SIZE = 64 << 20
"""Bytes one token may have, and all tokens of one value together must stay below."""

MAX_NESTING = 1024
"""Braces and brackets that may be open at once."""

MAX_TOKENS = 2 << 20
"""Tokens one value may have."""

# States; all of them above the kinds, so that one number tells both apart.
_START = 16
_RECOVERY = 17
_DQ_STRING = 18
_DQ_ESCAPE = 19
_SQ_STRING = 20
_SQ_ESCAPE = 21
_SIGN = 22
_ZERO = 23
_DIGITS = 24
_POINT = 25
_FRACTION = 26
_EXPONENT = 27
_EXPONENT_SIGN = 28
_EXPONENT_DIGITS = 29
_KEYWORD = 30

_AGAIN = 0x80  # the byte is not part of this token: it is looked at again

_EVERY = bytes(range(256))
_TEXT = bytes(range(0x20, 0xFE))
_DIGIT = b"0123456789"
_LOWER = b"abcdefghijklmnopqrstuvwxyz"
_EXPONENT_MARK = b"eE"
_PUNCTUATION = b"{}[]:,"

# Rows are filled from left to right, so a later pair overrules an earlier one;
# what no pair names is a lexical error.
_RULES = {
    _START: (
        (b" \t\r\n", _START),
        (b'"', _DQ_STRING),
        (b"'", _SQ_STRING),
        (b"-", _SIGN),
        (b"0", _ZERO),
        (b"123456789", _DIGITS),
        (_LOWER, _KEYWORD),
        (b"{", LCURLY),
        (b"}", RCURLY),
        (b"[", LSQUARE),
        (b"]", RSQUARE),
        (b":", COLON),
        (b",", COMMA),
    ),
    _RECOVERY: (
        (_EVERY, _START | _AGAIN),
        (_TEXT, _RECOVERY),
        (b"\t", _RECOVERY),
        (_PUNCTUATION, _START | _AGAIN),
    ),
    _DQ_STRING: ((_TEXT, _DQ_STRING), (b"\\", _DQ_ESCAPE), (b'"', STRING)),
    _DQ_ESCAPE: ((_TEXT, _DQ_STRING),),
    _SQ_STRING: ((_TEXT, _SQ_STRING), (b"\\", _SQ_ESCAPE), (b"'", STRING)),
    _SQ_ESCAPE: ((_TEXT, _SQ_STRING),),
    _SIGN: ((b"0", _ZERO), (b"123456789", _DIGITS)),
    _ZERO: (
        (_EVERY, INTEGER | _AGAIN),
        (_DIGIT, ERROR),
        (b".", _POINT),  # but no exponent: 0e5 is the number 0 and the word e, and so on
    ),
    _DIGITS: (
        (_EVERY, INTEGER | _AGAIN),
        (_DIGIT, _DIGITS),
        (b".", _POINT),
        (_EXPONENT_MARK, _EXPONENT),
    ),
    _POINT: ((_DIGIT, _FRACTION),),
    _FRACTION: (
        (_EVERY, FLOAT | _AGAIN),
        (_DIGIT, _FRACTION),
        (_EXPONENT_MARK, _EXPONENT),
    ),
    _EXPONENT: ((b"+-", _EXPONENT_SIGN), (_DIGIT, _EXPONENT_DIGITS)),
    _EXPONENT_SIGN: ((_DIGIT, _EXPONENT_DIGITS),),
    _EXPONENT_DIGITS: ((_EVERY, FLOAT | _AGAIN), (_DIGIT, _EXPONENT_DIGITS)),
    _KEYWORD: ((_EVERY, KEYWORD | _AGAIN), (_LOWER, _KEYWORD)),
}


def _row(rules: tuple[tuple[bytes, int], ...]) -> bytes:
    row = bytearray([ERROR]) * 256
    for members, successor in rules:
        for byte in members:
            row[byte] = successor
    return bytes(row)


_TABLE = {state: _row(rules) for state, rules in _RULES.items()}

# The bytes that leave a state as it is; runs of them are passed over in C.
_RUNS = {
    state: bytes(byte for byte in _EVERY if row[byte] == state) for state, row in _TABLE.items()
}


def _run_end(data: bytes, position: int, end: int, members: bytes) -> int:
    """Where a run of `members` that has reached `position` ends, at most at `end`."""
    window = 64
    while position < end:
        piece = data[position : min(position + window, end)]
        rest = len(piece.lstrip(members))
        position += len(piece) - rest
        if rest:
            break
        window *= 2
    return position


class Lexer:
    """Turns a stream of bytes into tokens, one a call.

    After `scan` and `flush`, `kind` is the kind of the token found, or `NONE`;
    `text` is its source text (of an `ERROR`, up to and with the offending byte).
    """

    __slots__ = ("_held", "_parts", "_state", "kind", "text")

    def __init__(self) -> None:
        """Start before the first token."""
        self.kind = NONE
        self.text = b""
        self._state = _START
        self._parts: list[bytes] = []
        self._held = 0

    @property
    def idle(self) -> bool:
        """Whether the lexer stands between two tokens, not skipping garbage."""
        return self._state == _START

    def scan(self, data: bytes, position: int) -> int:
        """Lex `data` from `position` until one token is complete.

        Returns the position behind what was consumed. A `kind` of `NONE` says that
        all of `data` was used up without completing a token.
        """
        if self._state in (_START, _RECOVERY):
            position = self._skip(data, position)
        end = min(len(data), position + MAX_TOKEN_SIZE + 1 - self._held)
        begin = position
        state = self._state
        while position < end:
            successor = _TABLE[state][data[position]]
            if successor == state:
                position = _run_end(data, position + 1, end, _RUNS[state])
            elif successor >= _AGAIN:
                return self._complete(successor & ~_AGAIN, data[begin:position], position)
            elif successor < _START:
                position += 1
                return self._complete(successor, data[begin:position], position)
            else:
                position += 1
                state = successor
        self._state = state
        self._hold(data[begin:end])
        return end

    def flush(self) -> None:
        """End the input: what has begun is a token now, or an error."""
        self.kind = NONE
        if self._state not in (_START, _RECOVERY):
            self._complete(_TABLE[self._state][0] & ~_AGAIN, b"", 0)
        self._state = _START

    def _skip(self, data: bytes, position: int) -> int:
        """Pass over white space or garbage, up to the first byte of a token."""
        end = len(data)
        if self._state == _RECOVERY:
            position = _run_end(data, position, end, _RUNS[_RECOVERY])
            if position == end:
                return end
            self._state = _START
        if position < end and data[position] <= 0x20:
            position = _run_end(data, position, end, _RUNS[_START])
        return position

    def _complete(self, kind: int, tail: bytes, position: int) -> int:
        if self._parts:
            self._parts.append(tail)
            tail = b"".join(self._parts)
            self._parts.clear()
            self._held = 0
        self.kind = kind
        self.text = tail
        self._state = _RECOVERY if kind == ERROR else _START
        return position

    def _hold(self, piece: bytes) -> None:
        """Keep the beginning of a token whose end has not arrived."""
        self.kind = NONE
        if piece:
            self._parts.append(piece)
            self._held += len(piece)
        if self._held > MAX_TOKEN_SIZE:
            self._complete(OVERSIZE, b"", 0)
