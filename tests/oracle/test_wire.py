"""The protocol as bytes: greeting, negotiation, dialect, recovery, dispatch, ids, connections."""

import json
import re

import pytest

from qmpd.testing.oracle import Program, ServerGoneError, chain
from tests.oracle.building import separate

SILENCE = 0.2  # seconds in which nothing may arrive; a server that speaks does so in 1 ms

NOT_YET = (
    b'{"error": {"class": "CommandNotFound", '
    b'"desc": "Expecting capabilities negotiation with \'qmp_capabilities\'"}}\r\n'
)


NOT_FOUND = (
    b'{%s"error": {"class": "CommandNotFound", '
    b'"desc": "The command no-such has not been found"}}\r\n'
)


def ask(server, data, replies=1):
    """Send bytes, return the next lines as they came."""
    server.send(data)
    return [server.read_line() for _ in range(replies)]


def desc_of(line):
    return json.loads(line)["error"]["desc"]


def generic(desc):
    return f'{{"error": {{"class": "GenericError", "desc": "{desc}"}}}}\r\n'.encode()


@pytest.fixture
def fresh(start_server):
    """Return a server that still waits for negotiation."""
    return start_server(negotiate=False)


# -- greeting and negotiation ----------------------------------------------------------------


def test_greeting(fresh):
    """The greeting comes unasked, in hash order, with oob offered and CR LF at the end."""
    assert re.fullmatch(
        rb'\{"QMP": \{"version": \{"qemu": \{"micro": \d+, "minor": 2, "major": 7\}, '
        rb'"package": "[^"]*"\}, "capabilities": \["oob"\]\}\}\r\n',
        fresh.greeting,
    )


def test_greeting_matches_query_version(fresh):
    fresh.execute("qmp_capabilities")
    assert fresh.execute("query-version") == json.loads(fresh.greeting)["QMP"]["version"]


def test_command_before_negotiation(fresh):
    """Any known or unknown command has to wait; the id stands before the error."""
    assert ask(fresh, b'{"execute": "query-version", "id": 7}') == [
        NOT_YET.replace(b"{", b'{"id": 7, ', 1)
    ]
    assert ask(fresh, b'{"execute": "no-such"}') == [NOT_YET]


@pytest.mark.parametrize(
    ("enable", "desc"),
    [
        (b'"enable": ["bogus"]', "Parameter 'null' does not accept value 'bogus'"),
        (b'"enable": "oob"', "Invalid parameter type for 'enable', expected: array"),
        (b'"foo": 1', "Parameter 'foo' is unexpected"),
        (b'"foo.bar.b": 1, "filename": 2, "id": 3', "Parameter 'filename' is unexpected"),
        (
            b'"foo.bar.b": 1, "enable": [], "id": 3, "filename": 2',
            "Parameter 'filename' is unexpected",
        ),
    ],
)
def test_failed_negotiation_stays_in_negotiation(fresh, enable, desc):
    request = b'{"execute": "qmp_capabilities", "arguments": {' + enable + b"}}"
    assert ask(fresh, request) == [generic(desc)]
    assert ask(fresh, b'{"execute": "query-version"}') == [NOT_YET]
    assert ask(fresh, b'{"execute": "qmp_capabilities"}') == [b'{"return": {}}\r\n']


def test_capability_may_be_asked_twice(fresh):
    request = b'{"execute": "qmp_capabilities", "arguments": {"enable": ["oob", "oob"]}}'
    assert ask(fresh, request) == [b'{"return": {}}\r\n']


def test_second_negotiation(server):
    assert server.error("qmp_capabilities") == (
        "CommandNotFound",
        "Capabilities negotiation is already complete, command ignored",
    )


# -- out of band -----------------------------------------------------------------------------


def test_oob_without_the_capability(server):
    assert ask(server, b'{"exec-oob": "query-version"}') == [
        generic("QMP input member 'exec-oob' is unexpected")
    ]


def test_oob_with_the_capability(fresh):
    """A command that does not support it says so, an unknown one is unknown."""
    fresh.execute("qmp_capabilities", enable=["oob"])
    assert desc_of(*ask(fresh, b'{"exec-oob": "query-version", "id": 1}')) == (
        "The command query-version does not support OOB"
    )
    assert json.loads(*ask(fresh, b'{"exec-oob": "no-such"}'))["error"] == {
        "class": "CommandNotFound",
        "desc": "The command no-such has not been found",
    }


@pytest.mark.parametrize(
    "members",
    [b'"execute": "a", "exec-oob": "b"', b'"exec-oob": "b", "execute": "a"'],
)
def test_oob_clashes_with_execute(fresh, members):
    """The clash is told the same way in whichever order the client wrote."""
    fresh.execute("qmp_capabilities", enable=["oob"])
    assert desc_of(*ask(fresh, b"{" + members + b"}")) == (
        "QMP input member 'execute' clashes with 'exec-oob'"
    )


# -- ids -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "echoed"),
    [
        (b"null", b"null"),
        (b'"x"', b'"x"'),
        (b"1e3", b"1000"),
        (b"-0", b"0"),
        (b"1.5", b"1.5"),
        (b"1e400", b"inf"),  # no JSON, but what the original sends
        (b"0.1", b"0.10000000000000001"),
        (b"18446744073709551615", b"18446744073709551615"),
        (b"18446744073709551616", b"1.8446744073709552e+19"),
        (b"-9223372036854775808", b"-9223372036854775808"),
        (b'{"type": 1, "name": [null, {"z": true}]}', b'{"name": [null, {"z": true}], "type": 1}'),
        (b"[]", b"[]"),
        (b"'single \\' quotes'", b'"single \' quotes"'),
        (b'"\\u0000\\u00e9\\ud83d\\ude00/\x7f"', b'"\\u0000\\u00E9\\uD83D\\uDE00/\\u007F"'),
    ],
)
def test_id_is_echoed_by_value(server, given, echoed):
    """The id comes back re-serialised, after the return value."""
    assert ask(server, b'{"execute": "query-jobs", "id": ' + given + b"}") == [
        b'{"return": [], "id": ' + echoed + b"}\r\n"
    ]


def test_duplicate_key_inside_an_id(server):
    assert ask(server, b'{"execute": "query-jobs", "id": {"a": 1, "a": 2}}') == [
        generic("JSON parse error, duplicate key")
    ]


# -- malformed text --------------------------------------------------------------------------

PARSE_ERRORS = [
    (b"@\n", [r"stray '@'"]),
    (b"01 \n", [r"stray '01'"]),
    (b".5\n", [r"stray '.'"]),
    (b"%s\n", [r"stray '%'"]),
    (b"+1\n", [r"stray '+'"]),
    (b"\xff", [r"stray '\uFFFD'"]),
    (b"tru\n", ["invalid keyword 'tru'"]),
    (b"nope\n", ["invalid keyword 'nope'"]),
    (b'{"a": "\\q"}', ["invalid escape sequence in string"]),
    (b'{"a": "\\u12"}', [r"\\u12\" is not a valid Unicode character"]),
    (b'{"a": "\\ud800"}', [r"\\ud800 is not a valid Unicode character"]),
    (b'{"a": "\xc3\x28"}', ["invalid UTF-8 sequence in string"]),
    (b"{5: 1}", ["key is not a string in object"]),
    (b'{"a" 1}', ["missing : in object pair"]),
    (b'{"a": 1 "b": 2}', ["expected separator in dict"]),
    (b"[1 2]", ["expected separator in list"]),
    (b'{"execute":}', ["expecting value"]),
    (b"[1,]", ["expecting value"]),
    (b"}", ["expecting value"]),
    (b"]", ["expecting value"]),
    (b",", ["expecting value"]),
    (b":", ["expecting value"]),
    (b'{"a": 1, "a": 2}', ["duplicate key"]),
    (b'{"execute": "a\n"}', [r"stray '\"a\n'", "expecting value"]),
]


@pytest.mark.parametrize(("text", "errors"), PARSE_ERRORS)
def test_malformed_text(server, text, errors):
    """Every mistake has its own sentence, and the next request is understood."""
    lines = ask(server, text, len(errors))
    assert lines == [generic(f"JSON parse error, {error}") for error in errors]
    assert ask(server, b'\n{"execute": "query-jobs"}') == [b'{"return": []}\r\n']


@pytest.mark.parametrize(
    ("byte", "shown"), [(b"\xff", r"\uFFFD"), (b"\x1b", r"\u001B"), (b"\x00", "")]
)
def test_break_in_the_middle_of_a_string(server, byte, shown):
    """A byte that cannot be in a string ends the request; the next one is clean."""
    assert ask(server, b'{"execute": "query' + byte) == [
        generic(f"JSON parse error, stray '\\\"query{shown}'")
    ]
    assert ask(server, b'{"execute": "query-jobs"}') == [b'{"return": []}\r\n']


def test_escape_between_tokens_drops_what_came_before(server):
    stray = generic(r"JSON parse error, stray '\u001B'")
    assert ask(server, b'{"execute":\x1b{"execute": "query-jobs"}', 2) == [
        stray,
        b'{"return": []}\r\n',
    ]


def test_resynchronisation_answers_every_break(server):
    assert ask(server, b"\xff\xff\xff", 3) == [generic(r"JSON parse error, stray '\uFFFD'")] * 3
    assert ask(server, b'{"execute": "query-jobs"}') == [b'{"return": []}\r\n']


def test_second_mistake_in_the_shadow_of_the_first_is_silent(server):
    assert ask(server, b'@@@\n{"execute": "query-jobs"}', 2) == [
        generic("JSON parse error, stray '@'"),
        b'{"return": []}\r\n',
    ]


def test_nesting_limit(server):
    """1024 open brackets are allowed; the next one starts the parser afresh."""
    deep = ask(server, b"[" * 1024 + b"]" * 1024)
    assert deep == [generic("QMP input must be a JSON object")]
    too_deep = ask(server, b"[" * 1025 + b"]" * 1025, 1026)
    assert too_deep == [
        generic("JSON nesting depth limit exceeded"),
        *[generic("JSON parse error, expecting value")] * 1025,
    ]


# -- dispatch --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_text", "desc"),
    [
        (b"[]", "QMP input must be a JSON object"),
        (b"5\n", "QMP input must be a JSON object"),
        (b"{}", "QMP input lacks member 'execute'"),
        (b'{"execute": 5}', "QMP input member 'execute' must be a string"),
        (b'{"execute": null}', "QMP input member 'execute' must be a string"),
        (b'{"execute": "query-jobs", "arguments": []}', "QMP input member 'arguments' must be an object"),
        (b'{"execute": "query-jobs", "arguments": null}', "QMP input member 'arguments' must be an object"),
        (b'{"execute": "query-jobs", "bogus": 1}', "QMP input member 'bogus' is unexpected"),
        (b'{"execute": "query-jobs", "control": {}}', "QMP input member 'control' is unexpected"),
        # Members are looked at in hash order, whatever the order of the text.
        (b'{"execute": 5, "bogus": 1}', "QMP input member 'bogus' is unexpected"),
        (b'{"bogus": 1, "execute": 5}', "QMP input member 'bogus' is unexpected"),
        (b'{"arguments": [], "execute": 5}', "QMP input member 'execute' must be a string"),
    ],
)  # fmt: skip
def test_request_checks(server, request_text, desc):
    assert ask(server, request_text) == [generic(desc)]


def test_unknown_command_echoes_the_id(server):
    assert ask(server, b'{"execute": "no-such", "id": [1]}') == [NOT_FOUND % b'"id": [1], ']


@pytest.mark.parametrize(
    ("name", "arguments", "desc"),
    [
        ("job-cancel", {}, "Parameter 'id' is missing"),
        ("job-cancel", {"id": 5}, "Invalid parameter type for 'id', expected: string"),
        ("job-cancel", {"id": "j", "x": 1}, "Parameter 'x' is unexpected"),
        ("job-cancel", {"x": 1}, "Parameter 'id' is missing"),
        ("query-jobs", {"x": 1}, "Parameter 'x' is unexpected"),
        (
            "block-commit",
            {"device": "d", "speed": "1"},
            "Invalid parameter type for 'speed', expected: integer",
        ),
        (
            "block-commit",
            {"device": "d", "speed": 1.5},
            "Invalid parameter type for 'speed', expected: integer",
        ),
        (
            "block-commit",
            {"device": "d", "speed": 1 << 63},
            "Invalid parameter type for 'speed', expected: integer",
        ),
        (
            "block-commit",
            {"device": "d", "auto-finalize": 1},
            "Invalid parameter type for 'auto-finalize', expected: boolean",
        ),
        (
            "block-commit",
            {"device": "d", "on-error": "x"},
            "Parameter 'on-error' does not accept value 'x'",
        ),
        ("blockdev-reopen", {"options": {}}, "Invalid parameter type for 'options', expected: array"),
        ("blockdev-reopen", {"options": [5]}, "Invalid parameter type for 'options[0]', expected: object"),
        ("blockdev-reopen", {"options": [{}]}, "Parameter 'options[0].driver' is missing"),
        (
            "blockdev-reopen",
            {"options": [{"driver": "qcow2", "file": 5}]},
            "Invalid parameter type for 'file', expected: BlockdevRef",  # the only one without a path
        ),
        (
            "blockdev-add",
            {"driver": "qcow2", "node-name": "q", "file": {"driver": "x"}},
            "Parameter 'driver' does not accept value 'x'",
        ),
    ],
)  # fmt: skip
def test_argument_checks(server, name, arguments, desc):
    assert server.refusal(name, **arguments) == desc


OBJECTS = [
    ({"qom-type": "iothread", "id": "1st"}, "Parameter 'id' expects an identifier"),
    ({"qom-type": "iothread", "id": "\u00e9"}, "Parameter 'id' expects an identifier"),
    ({"qom-type": "pef-guest", "id": "o"}, "invalid object type: pef-guest"),
    ({"qom-type": "secret", "id": "o"}, "Either 'file' or 'data' must be provided"),
    (
        {"qom-type": "secret", "id": "o", "data": "x", "file": "y"},
        "'file' and 'data' are mutually exclusive",
    ),
]


@pytest.mark.parametrize(("arguments", "desc"), OBJECTS)
@pytest.mark.parametrize("program", Program)
def test_objects_that_cannot_be_made(start_server, program, arguments, desc):
    server = start_server(program=program)
    assert server.refusal("object-add", **arguments) == desc


@pytest.mark.parametrize("program", Program)
def test_a_type_of_object_that_one_program_lacks(start_server, program):
    """The id is looked at first, then the type, then whether the id is taken."""
    server = start_server(program=program)
    server.execute("object-add", **{"qom-type": "iothread", "id": "o"})
    taken = "attempt to add duplicate property 'o' to object (type 'container')"
    missing = "invalid object type: rng-builtin"
    assert server.refusal("object-add", **{"qom-type": "rng-builtin", "id": "o"}) == (
        taken if program is Program.SYSTEM else missing
    )
    assert server.refusal("object-add", **{"qom-type": "secret", "id": "o"}) == taken


# -- framing and connections -----------------------------------------------------------------


def test_request_split_into_bytes(server):
    for byte in b'{"execute": "query-jobs", "id": "split"}':
        server.send(bytes([byte]))
    assert server.read_line() == b'{"return": [], "id": "split"}\r\n'


def test_many_requests_in_one_write(server):
    """Thirty requests without any space between them are answered in order."""
    lines = ask(server, b"".join(b'{"execute":"query-jobs","id":%d}' % i for i in range(30)), 30)
    assert lines == [b'{"return": [], "id": %d}\r\n' % i for i in range(30)]


def test_requests_in_any_layout(server):
    """Blank lines and requests of several lines are what they are, however often they come."""
    layouts = (
        b'\r\n{"execute":"query-jobs","id":%d}\r\n\r\n',
        b'{\r\n"execute":"query-named-block-nodes",\r\n"id":%d}\r\n',
        b'{\n"execute":"query-commands",\n"arguments":{"id":%d}\n}\n',
    )
    lines = ask(server, b"".join(layouts[i % 3] % i for i in range(30)), 30)
    refused = generic("Parameter 'id' is unexpected")
    assert lines == [
        refused if i % 3 == 2 else b'{"return": [], "id": %d}\r\n' % i for i in range(30)
    ]


def test_bare_number_waits_for_its_end(server):
    server.send(b"5")
    assert server.connection.is_silent(SILENCE)
    assert ask(server, b"\n") == [generic("QMP input must be a JSON object")]


def test_second_client_waits_for_the_first_to_leave(server):
    """It is greeted, and what it has already sent is read, when the first has gone."""
    second = server.connect()
    second.send(b'{"execute": "qmp_capabilities"}')
    assert second.is_silent(SILENCE)
    server.connection.close()
    assert second.read_line(10) == server.greeting
    assert second.read_line(10) == b'{"return": {}}\r\n'


def test_reconnect_begins_anew(server):
    """A half request is forgotten, negotiation is due again, nodes stay."""
    server.execute("blockdev-add", driver="null-co", node_name="n")
    server.send(b'{"execute": "query-')
    server.connection.close()
    server.connection = server.connect()
    assert server.read_line() == server.greeting
    assert ask(server, b'{"execute": "query-jobs"}') == [NOT_YET]
    server.execute("qmp_capabilities")
    assert list(server.nodes()) == ["n"]


def test_half_closed_connection_gets_its_answer(server):
    server.send(b'{"execute": "query-jobs"}')
    server.connection.shutdown_write()
    assert server.read_line() == b'{"return": []}\r\n'
    with pytest.raises(ServerGoneError):
        server.read_line()


def test_two_monitors(start_server):
    """Events go to monitors in command mode only, replies to who asked."""
    server = start_server(monitors=2)
    chain(server.dir, "c0", "c1", "c2")
    server.run(separate("c0", "c1", "c2"))
    second = server.connect(1)
    assert second.read_line(10) == server.greeting
    failing_commit(server)
    assert second.is_silent(SILENCE)
    second.send(b'{"execute": "qmp_capabilities"}')
    assert second.read_line(10) == b'{"return": {}}\r\n'
    failing_commit(server)
    events = [json.loads(second.read_line(10)) for _ in range(2)]
    assert events == server.events[-2:]
    assert [event["data"]["status"] for event in events] == ["created", "null"]
    assert second.is_silent(SILENCE)


def failing_commit(server):
    """Start a commit that is refused after its job exists: created, null, error."""
    arguments = {"job-id": "j", "device": "f2", "top-node": "f1", "base-node": "f0", "speed": -1}
    assert server.refusal("block-commit", **arguments) == (
        "Parameter 'speed' expects a non-negative value"
    )


@pytest.mark.parametrize(
    "rest",
    [b"@", b'{"execute": "query-version", "id": 2}\n', b'{"execute": "no-such"}', b"[]"],
)
def test_behind_quit_nothing_is_answered(server, rest):
    """Neither requests nor mistakes, nor what was asked before in the same words."""
    asked = b'{"execute": "query-version", "id": 1}\n'
    assert ask(server, asked) == ask(server, asked)
    assert ask(server, b'{"execute": "quit"}\n' + rest) == [b'{"return": {}}\r\n']
    with pytest.raises((ServerGoneError, ConnectionResetError)):
        server.read_line()
    assert server.ended() == 0


def test_quit_ends_the_server(server):
    """The daemon answers, closes the connection and leaves with status 0."""
    assert ask(server, b'{"execute": "quit"}') == [b'{"return": {}}\r\n']
    with pytest.raises(ServerGoneError):
        server.read_line()
    assert server.ended() == 0
