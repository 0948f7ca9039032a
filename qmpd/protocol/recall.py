"""Remembering requests: clients send the same ones all day, with another ``id`` each time.

A line that was parsed exactly once tells how every line is to be read that differs from
it in the id alone: what stands before the id is the same bytes in the same lexical state.
So a request is recognised by its *head*, the text up to ``"id":``, if the rest is a plain
id and the closing brace. Replies that never change can then be given line by line without
making a request at all.
"""

from __future__ import annotations

from qmpd.protocol.messages import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MARK = '"id":'
_MAX_HEADS = 256
_MAX_LINE = 1024
_MAX_DIGITS = 18


def plain_id(tail: str) -> str:
    """The id in what follows the mark, in its canonical spelling; empty if it is not plain."""
    literal = tail[1:-1]
    if not (literal.isdigit() and tail[-1] == "}" and tail[0] == " "):
        tail = tail.strip(" \t\r")
        if tail[-1:] != "}":
            return ""
        literal = tail[:-1].strip(" \t")
    if literal.isdigit():
        if len(literal) <= _MAX_DIGITS and (literal[0] != "0" or literal == "0"):
            return literal
        return ""
    inner = literal[1:-1]
    if literal == f'"{inner}"' and inner.replace("-", "").replace("_", "").isalnum():
        return literal
    return ""


class Recall:
    """What was learned from requests of one monitor."""

    __slots__ = ("_constants", "_requests")

    def __init__(self) -> None:
        self._requests: dict[str, Request] = {}
        self._constants: dict[str, str] = {}

    def request(self, line: str) -> Request | None:
        """The request that ``line`` is, if one like it was seen before."""
        head, mark, tail = line.rpartition(MARK)
        known = self._requests.get(head) if mark else None
        if known is None or not known.has_id:
            known = self._requests.get(line)
            return None if known is None or known.has_id else known
        literal = plain_id(tail)
        if not literal:
            return None
        value: Any = int(literal) if literal[0] != '"' else literal[1:-1]
        again = Request(known.command, known.arguments, value, has_id=True, head=head)
        again.visited = known.visited
        return again

    def learn(self, line: str, request: Request) -> None:
        """Note that exactly ``line`` was ``request``."""
        if len(line) > _MAX_LINE or request.oob:
            return
        head = line
        if request.has_id:
            head, _, tail = line.rpartition(MARK)
            literal = plain_id(tail)
            value = request.id
            if not literal or value.__class__ not in (int, str):
                return
            if literal != (f'"{value}"' if value.__class__ is str else str(value)):
                return
        if len(self._requests) >= _MAX_HEADS:
            self._requests.clear()
            self._constants.clear()
        request.head = head
        self._requests[head] = request

    def is_fixed(self, line: str) -> bool:
        """Whether the reply to a line like this one is known, if its id is plain."""
        return line.rpartition(MARK)[0] in self._constants

    def fix(self, request: Request, reply: str) -> None:
        """Note that requests of this head are always answered with ``reply`` (encoded)."""
        if request.head and request.has_id:
            self._constants[request.head] = f'{{"return": {reply}, "id": '

    def answer(self, lines: list[str]) -> tuple[list[str], int]:
        """Answer lines from the first on while the replies are known and fixed.

        Returns:
            the answers, and how many characters of the input they are for.
        """
        answers: list[str] = []
        constants = self._constants
        done = 0
        for line in lines:
            head, _, tail = line.rpartition(MARK)
            prefix = constants.get(head)
            if prefix is None:
                break
            literal = tail[1:-1]
            # The usual spelling is recognised here, without a call.
            if not (literal.isdigit() and tail[0] == " " and tail[-1] == "}") or (
                literal[0] == "0" or len(literal) > _MAX_DIGITS
            ):
                literal = plain_id(tail)
                if not literal:
                    break
            answers.append(f"{prefix}{literal}}}\r\n")
            done += len(line) + 1
        return answers, done
