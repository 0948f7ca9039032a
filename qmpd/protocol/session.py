"""One monitor's conversation: bytes in, requests and answers out, no I/O.

A session is in one of two states. What arrives takes it to the next one by
`TRANSITIONS`, from which the diagram in the documentation is made, too.
"""

from __future__ import annotations

from qmpd.errors import CommandNotFound, QmpError
from qmpd.protocol import capabilities, wording
from qmpd.protocol.encoder import encode_string, encode_text, indent
from qmpd.protocol.messages import Request, read_request
from qmpd.protocol.parser import INCOMPLETE, StreamParser
from qmpd.protocol.recall import Recall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# States.
NEGOTIATION = "negotiation"
COMMAND = "command"

# What can happen.
CAPABILITIES = "qmp_capabilities"
REQUEST = "any other command"
INVALID = "malformed input or arguments"
RESET = "new client"

# What the session does about it.
ACCEPT = "enable capabilities, return {}"
DISPATCH = "hand the request out"
EXPECT_NEGOTIATION = "error: negotiation expected"
ALREADY_NEGOTIATED = "error: already negotiated"
REPORT = "error: what is wrong"
FORGET = "forget everything"

TRANSITIONS = {
    (NEGOTIATION, CAPABILITIES): (COMMAND, ACCEPT),
    (NEGOTIATION, REQUEST): (NEGOTIATION, EXPECT_NEGOTIATION),
    (NEGOTIATION, INVALID): (NEGOTIATION, REPORT),
    (NEGOTIATION, RESET): (NEGOTIATION, FORGET),
    (COMMAND, CAPABILITIES): (COMMAND, ALREADY_NEGOTIATED),
    (COMMAND, REQUEST): (COMMAND, DISPATCH),
    (COMMAND, INVALID): (COMMAND, REPORT),
    (COMMAND, RESET): (NEGOTIATION, FORGET),
}
"""(state, input) to (next state, action)."""

_REFUSALS = {
    EXPECT_NEGOTIATION: wording.EXPECTING_NEGOTIATION,
    ALREADY_NEGOTIATED: wording.ALREADY_NEGOTIATED,
}


class Session:
    """The wire's side of one monitor, for one client after the other.

    `version` is what the greeting tells, an object of ``qemu`` and ``package``; `oob`
    says whether the greeting offers out-of-band execution; `pretty` spreads all
    output over several lines. Behaviour observed on QEMU 7.2.
    """

    __slots__ = ("_oob", "_parser", "_pretty", "_recall", "_state", "_version", "oob_enabled")

    def __init__(self, version: dict[str, Any], *, oob: bool = True, pretty: bool = False) -> None:
        """Start before the first client."""
        self._version = version
        self._oob = oob
        self._pretty = pretty
        self._state = NEGOTIATION
        self._parser = StreamParser()
        self._recall = Recall()
        self.oob_enabled = False

    @property
    def negotiated(self) -> bool:
        """Whether commands are accepted and events delivered."""
        return self._state == COMMAND

    @property
    def buffered(self) -> int:
        """Bytes of input not processed yet."""
        return self._parser.buffered

    def reset(self) -> None:
        """Forget the client: its negotiation, and input it sent in vain."""
        self._state = TRANSITIONS[self._state, RESET][0]
        self._parser = StreamParser()
        self._recall = Recall()
        self.oob_enabled = False

    def greeting(self) -> bytes:
        """Return the first line a client reads."""
        offered = [capabilities.OOB] if self._oob else []
        return self._line(encode_text({"QMP": {"version": self._version, "capabilities": offered}}))

    def receive_data(self, data: bytes) -> None:
        """Take what the client sent, in pieces of any size; `next_item` reads it."""
        self._parser.feed(data)

    def next_item(self) -> Request | bytes | None:
        """Return the next thing to be done, or nothing until there is more input.

        A `Request` is to be executed, and answered by `reply` or `error`, before the
        next item is asked for, unless out-of-band execution is enabled. Bytes are an
        answer of the session's own, to be sent.
        """
        parser = self._parser
        line = parser.plain_line()
        if line and self._state == COMMAND:
            known = self._recall.request(line)
            if known is not None:
                parser.skip(len(line) + 1)
                return known
        end = parser.position + len(line)
        value: Any = None
        happened = REQUEST
        try:
            value = parser.next_value()
            if value is INCOMPLETE:
                return None
            request = read_request(value, self.oob_enabled)
            if request.command == capabilities.COMMAND:
                self._check_capabilities(request)
                happened = CAPABILITIES
        except QmpError as error:
            self._state = TRANSITIONS[self._state, INVALID][0]
            return self.error(_sender(value), error)
        self._state, action = TRANSITIONS[self._state, happened]
        if action is DISPATCH:
            if line and parser.only_space_since(end):
                self._recall.learn(line, request)
            return request
        if action is ACCEPT:
            self.oob_enabled = capabilities.OOB in request.arguments.get("enable", [])
            return self.reply(request, {})
        return self.error(request, CommandNotFound(_REFUSALS[action]))

    def _check_capabilities(self, request: Request) -> None:
        if request.oob:
            raise QmpError(wording.no_oob_support(request.command))
        wanted = capabilities.read_arguments(request.arguments)
        if wanted and not self._oob and not self.negotiated:
            raise QmpError(wording.capability_unavailable(capabilities.OOB))

    def reply(self, request: Request, value: Any) -> bytes:
        """Return the answer to a request that succeeded with `value`."""
        # What most commands return and most clients send. A bool is not meant by an int here.
        if not value and value.__class__ is dict and request.id.__class__ is int:
            return self._line(f'{{"return": {{}}, "id": {request.id}}}')
        return self._answer(request, encode_text(value))

    def reply_encoded(self, request: Request, value: bytes, *, fixed: bool = False) -> bytes:
        """As `reply`, for a `value` that `encoder.encode` has already encoded.

        `fixed` says that the answer to this request will never be another one.
        """
        if self._pretty:
            return self._answer(request, value.decode("ascii"))
        if fixed:
            self._recall.fix(request, value.decode("ascii"))
        # Such values may be long: they are copied once.
        identity = b""
        if request.has_id:
            identity = f', "id": {encode_text(request.id)}'.encode("ascii")
        return b"".join((b'{"return": ', value, identity, b"}\r\n"))

    def answer_known(self, most: int) -> bytes:
        """Answer requests whose replies are fixed, at most so many, as far as they come next."""
        if self._state != COMMAND:
            return b""
        if not self._recall.is_fixed(self._parser.plain_line()):
            return b""
        lines = self._parser.plain_lines(most)
        answers, count = self._recall.answer(lines)
        self._parser.skip(count)
        return "".join(answers).encode("ascii")

    def error(self, request: Request, error: QmpError) -> bytes:
        """Return the answer to a request that failed."""
        identity = f'"id": {encode_text(request.id)}, ' if request.has_id else ""
        desc = encode_string(error.desc)
        return self._line(
            f'{{{identity}"error": {{"class": "{error.error_class}", "desc": {desc}}}}}'
        )

    def event(
        self, name: str, data: dict[str, Any] | None, seconds: int, microseconds: int
    ) -> bytes | None:
        """Return an event at a time since the epoch; nothing if the client is not to see it.

        `data` of None leaves the member out, as events without any data do.
        """
        if self._state != COMMAND:
            return None
        member = "" if data is None else f', "data": {encode_text(data)}'
        return self._line(
            f'{{"timestamp": {{"seconds": {seconds}, "microseconds": {microseconds}}},'
            f' "event": "{name}"{member}}}'
        )

    def _answer(self, request: Request, value: str) -> bytes:
        identity = f', "id": {encode_text(request.id)}' if request.has_id else ""
        return self._line(f'{{"return": {value}{identity}}}')

    def _line(self, text: str) -> bytes:
        if self._pretty:
            return indent(text.encode("ascii")).replace(b"\n", b"\r\n") + b"\r\n"
        return f"{text}\r\n".encode("ascii")


def _sender(value: Any) -> Request:
    """Return what is known of an unreadable request: maybe its ``id``."""
    members = value if type(value) is dict else {}
    return Request("", {}, members.get("id"), "id" in members)
