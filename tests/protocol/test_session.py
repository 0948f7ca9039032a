"""One monitor's conversation: negotiation, checks of requests, answers, events."""

from __future__ import annotations

import random
from typing import Any

import pytest

from qmpd.errors import CommandNotFound, DeviceNotFound, QmpError
from qmpd.protocol import session as wire_session
from qmpd.protocol.messages import Request
from qmpd.protocol.session import Session
from tests.protocol import streams
from tests.protocol.wire import NEGOTIATE, VERSION, converse


def error(desc: str, name: str = "GenericError", identity: str = "") -> bytes:
    quoted = desc.replace("\\", "\\\\").replace('"', '\\"')
    return f'{{{identity}"error": {{"class": "{name}", "desc": "{quoted}"}}}}\r\n'.encode()


def fresh(*, negotiated: bool = True, oob: bool = False) -> Session:
    session = Session(VERSION)
    if negotiated:
        arguments = b', "arguments": {"enable": ["oob"]}' if oob else b""
        session.receive_data(b'{"execute": "qmp_capabilities"' + arguments + b"}")
        assert session.next_item() == b'{"return": {}}\r\n'
    return session


def first(session: Session, text: bytes) -> Any:
    session.receive_data(text)
    return session.next_item()


def test_greeting():
    """The first line tells version and capabilities, in QEMU's order."""
    version = {"qemu": {"major": 7, "minor": 2, "micro": 22}, "package": "Debian 1:7.2"}
    numbers = (
        b'"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2"}'
    )
    start = b'{"QMP": {' + numbers + b', "capabilities": '
    assert Session(version).greeting() == start + b'["oob"]}}\r\n'
    assert Session(version, oob=False).greeting() == start + b"[]}}\r\n"


EXPECTING = "Expecting capabilities negotiation with 'qmp_capabilities'"


def test_negotiation_comes_first():
    """Any other command is told so, whether it exists or not, and its id comes back."""
    session = fresh(negotiated=False)
    answer = first(session, b'{"execute": "query-version", "id": "x"}')
    assert answer == error(EXPECTING, "CommandNotFound", '"id": "x", ')
    assert first(session, b'{"execute": "bogus"}') == error(EXPECTING, "CommandNotFound")
    assert not session.negotiated


def test_negotiation_happens_once():
    """A second qmp_capabilities is ignored, but not its bad arguments."""
    session = fresh()
    assert session.negotiated
    already = "Capabilities negotiation is already complete, command ignored"
    assert first(session, NEGOTIATE) == error(already, "CommandNotFound")
    answer = first(session, b'{"execute": "qmp_capabilities", "arguments": {"foo": 1}}')
    assert answer == error("Parameter 'foo' is unexpected")
    assert session.negotiated


@pytest.mark.parametrize(
    ("arguments", "desc"),
    [
        (b'{"enable": "oob"}', "Invalid parameter type for 'enable', expected: array"),
        (b'{"enable": null}', "Invalid parameter type for 'enable', expected: array"),
        (b'{"enable": ["oob", 1]}', "Invalid parameter type for 'enable[1]', expected: string"),
        (b'{"enable": ["bogus"]}', "Parameter 'null' does not accept value 'bogus'"),
        (b'{"foo": 1}', "Parameter 'foo' is unexpected"),
        (b'{"foo": 1, "enable": [""]}', "Parameter 'null' does not accept value ''"),
        (b"[]", "QMP input member 'arguments' must be an object"),
    ],
)
def test_failed_negotiation(arguments: bytes, desc: str):
    """Bad arguments have their own sentences, and leave the session as it was."""
    session = fresh(negotiated=False)
    text = b'{"execute": "qmp_capabilities", "id": 1, "arguments": ' + arguments + b"}"
    assert first(session, text) == error(desc, identity='"id": 1, ')
    assert not session.negotiated
    assert not session.oob_enabled
    assert first(session, NEGOTIATE) == b'{"return": {}}\r\n'


def test_out_of_band_not_offered():
    """What the greeting did not offer cannot be enabled."""
    session = Session(VERSION, oob=False)
    text = b'{"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}}'
    assert first(session, text) == error("Capability oob not available")
    assert not session.negotiated
    assert first(session, NEGOTIATE) == b'{"return": {}}\r\n'
    already = "Capabilities negotiation is already complete, command ignored"
    assert first(session, text) == error(already, "CommandNotFound")


def test_out_of_band_enabled():
    """Asking for oob, even twice, makes exec-oob a member of requests."""
    session = fresh(negotiated=False)
    text = b'{"execute": "qmp_capabilities", "arguments": {"enable": ["oob", "oob"]}}'
    assert first(session, text) == b'{"return": {}}\r\n'
    assert session.oob_enabled
    request = first(session, b'{"exec-oob": "yank", "arguments": {"a": 1}, "id": 5}')
    assert isinstance(request, Request)
    assert (request.command, request.arguments, request.oob) == ("yank", {"a": 1}, True)
    assert (request.id, request.has_id) == (5, True)


def test_negotiation_is_not_out_of_band():
    """qmp_capabilities itself does not run out of band."""
    answer = first(fresh(oob=True), b'{"exec-oob": "qmp_capabilities"}')
    assert answer == error("The command qmp_capabilities does not support OOB")


@pytest.mark.parametrize(
    ("text", "desc"),
    [
        (b"5 ", "QMP input must be a JSON object"),
        (b'[{"execute": "quit"}]', "QMP input must be a JSON object"),
        (b"null\n", "QMP input must be a JSON object"),
        (b"{}", "QMP input lacks member 'execute'"),
        (b'{"arguments": {}}', "QMP input lacks member 'execute'"),
        (b'{"execute": null}', "QMP input member 'execute' must be a string"),
        (b'{"execute": 5, "bogus": 1}', "QMP input member 'bogus' is unexpected"),
        (b'{"arguments": [], "execute": 5}', "QMP input member 'execute' must be a string"),
        (b'{"arguments": [], "control": 5}', "QMP input member 'control' is unexpected"),
        (b'{"execute": "a", "arguments": null}', "QMP input member 'arguments' must be an object"),
        (b'{"exec-oob": "a"}', "QMP input member 'exec-oob' is unexpected"),
        (b'{"execute": "a", "": 1}', "QMP input member '' is unexpected"),
    ],
)
@pytest.mark.parametrize("negotiated", [True, False])
def test_malformed_requests(text: bytes, desc: str, negotiated: bool):
    """Members are looked at in hash order, and the first violation is reported."""
    session = fresh(negotiated=negotiated)
    assert first(session, text) == error(desc)
    assert session.negotiated is negotiated


@pytest.mark.parametrize(
    ("text", "desc"),
    [
        (b'{"exec-oob": 1}', "QMP input member 'exec-oob' must be a string"),
        (
            b'{"exec-oob": "a", "execute": "b"}',
            "QMP input member 'execute' clashes with 'exec-oob'",
        ),
        (
            b'{"execute": "b", "exec-oob": "a"}',
            "QMP input member 'execute' clashes with 'exec-oob'",
        ),
        (b'{"execute": 1, "exec-oob": "a"}', "QMP input member 'execute' must be a string"),
    ],
)
def test_malformed_requests_out_of_band(text: bytes, desc: str):
    """With oob enabled, the two ways to name a command exclude each other."""
    assert first(fresh(oob=True), text) == error(desc)


def test_id_of_malformed_requests():
    """The id comes back whenever the input was an object that had one."""
    answer = first(fresh(), b'{"bogus": 1, "id": {"b": 1.0, "a": null}}')
    assert answer == error(
        "QMP input member 'bogus' is unexpected", identity='"id": {"a": null, "b": 1}, '
    )


def test_malformed_json_has_no_id():
    """What could not be parsed had no id; the next request is none the worse."""
    session = fresh()
    session.receive_data(b'{"id": 1, "execute": tru}\n{"execute": "x", "id": 2}')
    assert session.next_item() == error("JSON parse error, invalid keyword 'tru'")
    request = session.next_item()
    assert isinstance(request, Request)
    assert (request.command, request.id) == ("x", 2)


@pytest.mark.parametrize(
    ("text", "id_", "has_id"),
    [(b"", None, False), (b', "id": null', None, True), (b', "id": [1]', [1], True)],
)
def test_requests(text: bytes, id_: Any, has_id: bool):
    """A request is handed out with all its members, and tells a null id from none."""
    request = first(fresh(), b'{"execute": "x"' + text + b"}")
    assert isinstance(request, Request)
    shown = f"Request(arguments={{}}, command='x', has_id={has_id}, id={id_}, oob=False)"
    assert repr(request) == shown


def test_replies():
    """The id stands behind a return and before an error."""
    session = fresh()
    request = Request("x", {}, {"b": 1, "a": "ä"}, has_id=True)
    identity = b'"id": {"a": "\\u00E4", "b": 1}'
    assert session.reply(request, [1]) == b'{"return": [1], ' + identity + b"}\r\n"
    assert session.reply_encoded(request, b"[1]") == session.reply(request, [1])
    failed = session.error(request, DeviceNotFound("no 'ü'"))
    rest = b', "error": {"class": "DeviceNotFound", "desc": "no \'\\u00FC\'"}}\r\n'
    assert failed == b"{" + identity + rest


def test_replies_without_id():
    """Nothing is added where no id was."""
    session, request = fresh(), Request("x", {})
    assert session.reply(request, {}) == b'{"return": {}}\r\n'
    assert session.error(request, QmpError("no")) == error("no")
    assert session.error(request, CommandNotFound("no")) == error("no", "CommandNotFound")


def test_events():
    """Events come with their time, and only after negotiation."""
    stamp = b'{"timestamp": {"seconds": 1, "microseconds": 20}, "event": "STOP"'
    session = fresh(negotiated=False)
    assert session.event("STOP", None, 1, 20) is None
    assert first(session, NEGOTIATE) == b'{"return": {}}\r\n'
    assert session.event("STOP", None, 1, 20) == stamp + b"}\r\n"
    data = {"device": "d", "len": 0}
    expected = stamp + b', "data": {"device": "d", "len": 0}}\r\n'
    assert session.event("STOP", data, 1, 20) == expected


def test_pipelined_requests_see_the_state_they_arrive_in():
    """Requests are read one at a time, so negotiation counts for the very next one."""
    session = fresh(negotiated=False)
    session.receive_data(b'{"execute": "x"}' + NEGOTIATE + b'{"execute": "x"}')
    assert session.next_item() == error(EXPECTING, "CommandNotFound")
    assert session.buffered == len(NEGOTIATE) + 16
    assert session.next_item() == b'{"return": {}}\r\n'
    assert isinstance(session.next_item(), Request)
    assert session.next_item() is None
    assert session.buffered == 0


def test_reset_forgets_the_client():
    """The next client starts from the beginning, whatever the last one left behind."""
    session = fresh(oob=True)
    session.receive_data(b'{"execute": "a"}{"execute": "b"}@{"execute"')
    session.next_item()
    session.reset()
    assert not session.negotiated
    assert not session.oob_enabled
    assert session.buffered == 0
    assert first(session, NEGOTIATE) == b'{"return": {}}\r\n'


def test_pretty_output():
    """All that a pretty monitor says is spread over lines that end with CR LF."""
    session = Session(VERSION, pretty=True)
    assert session.greeting().startswith(b'{\r\n    "QMP": {\r\n        "version": {\r\n')
    assert first(session, NEGOTIATE) == b'{\r\n    "return": {\r\n    }\r\n}\r\n'
    reply = session.reply_encoded(Request("x", {}, "a, b", has_id=True), b'["c", 1]')
    lines = ["{", '    "return": [', '        "c",', "        1", "    ],", '    "id": "a, b"', "}"]
    assert reply.decode() == "\r\n".join([*lines, ""])
    event = session.event("STOP", None, 1, 2) or b""
    assert event.endswith(b'    },\r\n    "event": "STOP"\r\n}\r\n')


@pytest.mark.parametrize("seed", range(60))
def test_split_at_every_position(seed: int):
    """The answers do not depend on how the input arrives."""
    generator = random.Random(seed)  # noqa: S311 - reproducible, not secret
    stream = streams.stream(generator)[:400]
    whole = converse([stream])
    for position in range(0, len(stream), 1 + len(stream) // 60):
        assert converse([stream[:position], stream[position:]]) == whole
    assert converse([bytes([byte]) for byte in stream]) == whole


def test_transitions_are_complete():
    """For every state the table says what every input does."""
    states = {wire_session.NEGOTIATION, wire_session.COMMAND}
    inputs = {what for _, what in wire_session.TRANSITIONS}
    assert set(wire_session.TRANSITIONS) == {(state, what) for state in states for what in inputs}
    assert {state for state, _ in wire_session.TRANSITIONS.values()} == states
