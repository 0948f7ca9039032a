"""-blockdev on the command line: keyval and JSON, order, error lines, exit status."""

import pytest

from qmpd.testing.oracle import Program, StartError, chain, image

PROGRAMS = pytest.mark.parametrize("program", Program, ids=["storage-daemon", "system"])

FORMAT_ERRORS = [
    ("", "Parameter 'driver' is missing"),
    (",driver=null-co", "Invalid parameter ''"),
    ("driver=null-co,1a=1,node-name=n", "Invalid parameter '1a'"),
    ("driver=null-co,a..b=1", "Invalid parameter 'a..b'"),
    ("driver=null-co,.a=1", "Invalid parameter '.a'"),
    ("driver=null-co,read-only", "Expected '=' after parameter 'read-only'"),
    ("driver=null-co,size=1,size.x=1", "Parameters 'size.*' used inconsistently"),
    ("driver=raw,file=f,file.driver=file", "Parameters 'file.*' used inconsistently"),
    ("driver=null-co,node-name=n,size.x=1", "Parameters 'size.*' are unexpected"),
    ("driver=quorum,vote-threshold=1,node-name=n,children.1.driver=null-co", "Parameter 'children.0' missing"),
    ("driver=quorum,children.0.driver=null-co,children.x.driver=null-co", "Parameters 'children.*' used inconsistently"),
    ("driver", "Parameter 'driver' does not accept value 'driver'"),
    ("bogus,node-name=n", "Parameter 'driver' does not accept value 'bogus'"),
    ("driver=null-co", "'node-name' must be specified for the root node"),
    ("driver=null-co,node-name=n,size=1k", "Parameter 'size' expects integer"),
    ("driver=null-co,node-name=n,size=x", "Parameter 'size' expects integer"),
    ("driver=null-co,node-name=n,read-only=1", "Parameter 'read-only' expects 'on' or 'off'"),
    ("driver=null-co,node-name=n,cache.direct=x", "Parameter 'cache.direct' expects 'on' or 'off'"),
    ("driver=null-co,node-name=n,x=1", "Parameter 'x' is unexpected"),
    ("driver=raw,node-name=n,file.driver=null-co,file.x=1", "Parameter 'file.x' is unexpected"),
    (" {'driver':'null-co'}", "Parameter 'driver' does not accept value ' {'driver':'null-co'}'"),
    ("{'driver':'null-co'", "JSON parse error, premature EOI"),
    ("{'driver':'null-co'}x", "Expecting at most one JSON value"),
    ("{'driver':'null-co'} {}", "Expecting at most one JSON value"),
    ("{'driver':'raw','node-name':'n','file.driver':'null-co'}", "Parameter 'file' is missing"),
    ("{'driver':'null-co','node-name':'n','size':'1'}", "Invalid parameter type for 'size', expected: integer"),
    ("{'driver':'raw','node-name':'n','file':{'driver':'file'}}", "Parameter 'file.filename' is missing"),
    ("help", "Help is not available for this option"),
]  # fmt: skip


@PROGRAMS
@pytest.mark.parametrize(("text", "desc"), FORMAT_ERRORS)
def test_bad_definition(start_server, program, text, desc):
    """The last line names the option and its argument; the exit status is 1."""
    ended = start_server.refused(program.blockdev_option, text, program=program)
    assert ended.last_line == f"PROG: {program.blockdev_option} {text}: {desc}"
    assert ended.status == 1


@PROGRAMS
@pytest.mark.parametrize(
    ("definitions", "desc"),
    [
        (
            ["driver=raw,node-name=r,file=f", "driver=null-co,node-name=f"],
            "driver=raw,node-name=r,file=f: Cannot find device='f' nor node-name='f'",
        ),
        (
            ["driver=null-co,node-name=n", "driver=null-co,node-name=n"],
            "driver=null-co,node-name=n: Duplicate nodes with node-name='n'",
        ),
        (
            ["driver=file,node-name=n,filename=none"],
            "driver=file,node-name=n,filename=none: Could not open 'none': No such file or directory",
        ),
        (
            ["file,node-name=s,filename=img,read-only=on", "qcow2,node-name=q,file=s"],
            "qcow2,node-name=q,file=s: Block node is read-only",
        ),
        (
            ["driver=null-co,node-name=1"],
            "driver=null-co,node-name=1: Invalid node-name: '1'",
        ),
        (
            ["driver=file,node-name=n,filename="],
            "driver=file,node-name=n,filename=: The 'file' block driver requires a file name",
        ),
    ],
)
def test_definition_that_cannot_be_opened(start_server, program, definitions, desc):
    """References name earlier definitions; the first failure ends the program."""
    image(start_server.dir, "img")
    words = [word for text in definitions for word in (program.blockdev_option, text)]
    ended = start_server.refused(*words, program=program)
    assert ended.last_line == f"PROG: {program.blockdev_option} {desc}"
    assert ended.status == 1


def test_system_checks_all_definitions_before_opening_any(start_server):
    """A bad driver name later on the line is told before the missing file."""
    ended = start_server.refused(
        *("-blockdev", "driver=file,node-name=f,filename=none"),
        *("-blockdev", "driver=bogus,node-name=n"),
        program=Program.SYSTEM,
    )
    assert ended.last_line == (
        "PROG: -blockdev driver=bogus,node-name=n: Parameter 'driver' does not accept value 'bogus'"
    )


def test_storage_daemon_works_from_left_to_right(start_server):
    """The missing file is told before the bad driver name later on the line."""
    ended = start_server.refused(
        *("--blockdev", "driver=file,node-name=f,filename=none"),
        *("--blockdev", "driver=bogus,node-name=n"),
    )
    assert ended.last_line == (
        "PROG: --blockdev driver=file,node-name=f,filename=none: "
        "Could not open 'none': No such file or directory"
    )


def test_bad_definition_after_the_monitor(start_server):
    """A failure after the monitor's option still ends the program with status 1."""
    with pytest.raises(StartError) as caught:
        start_server("--blockdev", "driver=raw,node-name=r,file=f")
    assert caught.value.status == 1
    assert caught.value.stderr.endswith("Cannot find device='f' nor node-name='f'\n")


def test_locked_image(start_server):
    """A second line asks whether another process uses the image."""
    image(start_server.dir, "img")
    words = ["--blockdev", "file,node-name=s,filename=img"]
    words += ["--blockdev", "qcow2,node-name=q,file=s"]
    start_server(*words)
    ended = start_server.refused(*words)
    first, second = ended.stderr.splitlines()
    assert first.endswith(': --blockdev qcow2,node-name=q,file=s: Failed to get "write" lock')
    assert second == "Is another process using the image [img]?"


SAME_TREE = [
    (
        "driver=qcow2,node-name=q,read-only=on,file.driver=file,file.node-name=s,file.filename=a,,b,backing.driver=null-co,backing.node-name=b,backing.size=0x400",
        '{"driver": "qcow2", "node-name": "q", "read-only": true, "file": {"driver": "file", "node-name": "s", "filename": "a,b"}, "backing": {"driver": "null-co", "node-name": "b", "size": 1024}}',
    ),
    (
        "null-co,node-name=n,read-only=yes,size=010,",
        "{'driver': 'null-co', 'node-name': 'n', 'read-only': true, 'size': 8}",
    ),
    (
        "driver=file,driver=null-co,node-name=m,node-name=n,cache.no-flush=true,cache.direct=n",
        '{"driver":"null-co","node-name":"n","cache":{"no-flush":true,"direct":false}}',
    ),
    (
        "file,node-name=n,filename=a,,b,read-only=on,auto-read-only=off,discard=unmap,force-share=y",
        '{"driver":"file","node-name":"n","filename":"a,b","read-only":true,"auto-read-only":false,"discard":"unmap","force-share":true}',
    ),
]  # fmt: skip


@PROGRAMS
@pytest.mark.parametrize(("keyval", "json_text"), SAME_TREE)
def test_both_syntaxes_define_the_same_tree(start_server, program, keyval, json_text):
    image(start_server.dir, "a,b")
    one, other = (
        start_server(program.blockdev_option, text, program=program).nodes()
        for text in (keyval, json_text)
    )
    assert one == other
    assert len(one) >= 1


@PROGRAMS
def test_empty_backing_means_none(start_server, program):
    """The old spelling of null still works and says that it is deprecated, and where."""
    chain(start_server.dir, "c0", "c1")
    words = [
        program.blockdev_option,
        "qcow2,node-name=q,file.driver=file,file.filename=c1,backing=",
    ]
    server = start_server(*words, program=program)
    assert "backing_file" not in server.nodes()["q"]
    warning = 'warning: Use of "backing": "" is deprecated; use "backing": null instead'
    assert server.stderr.endswith(f": {' '.join(words)}: {warning}\n")


@PROGRAMS
@pytest.mark.parametrize("option", ["offset", "size"])
def test_advice_about_sizes(start_server, program, option):
    """A negative size is told with two lines of advice, which a client of QMP does not get."""
    text = f"raw,node-name=r,file.driver=null-co,{option}=-1"
    ended = start_server.refused(program.blockdev_option, text, program=program)
    first, *advice = ended.stderr.splitlines()
    sentence = f"Parameter '{option}' expects a non-negative number below 2^64"
    assert first.endswith(f": {program.blockdev_option} {text}: {sentence}")
    assert advice == [
        "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-",
        "and exabytes, respectively.",
    ]
    server = start_server(program=program)
    raw = {"driver": "raw", "node-name": "r", "file": {"driver": "null-co"}, option: -1}
    assert server.refusal("blockdev-add", **raw) == sentence
