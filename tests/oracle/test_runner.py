"""The runner itself: it finds differences, says where, forgives nothing else, cleans up."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from qmpd.testing.oracle import (
    CommandError,
    Difference,
    ScriptError,
    Server,
    Side,
    StartError,
    call,
    compare,
    first_difference,
    image,
    normalise,
    on_host,
    refused,
    show_descriptors,
    wait_job,
)
from qmpd.testing.oracle.report import Said, check_equal

HERE = Path("/the/directory")
BOTH_REAL = (Side.REAL, Side.REAL)


def event(status, job="j"):
    time = '"timestamp": {"seconds": 1, "microseconds": 2}'
    data = f'"data": {{"status": "{status}", "id": "{job}"}}'
    return f'{{{time}, "event": "JOB_STATUS_CHANGE", {data}}}\r\n'.encode()


# -- normalise -------------------------------------------------------------------------------


def test_normalise_replaces_exactly_what_it_documents():
    time = b'"timestamp": {"seconds": 12, "microseconds": 345678}'
    rest = b'"event": "#block%s", "x": {"actual-size": %d, "size": 4096, "file": "%s/a"}}\r\n'
    assert normalise([b"{" + time + b", " + rest % (b"123", 4096, bytes(HERE))], HERE) == [
        b'{"timestamp": T, ' + rest % (b"", 0, b"DIR")
    ]


def test_normalise_keeps_unknown_bytes():
    lines = [b'{"return":{},  "id": "\\u00E9"}\r\n', b"no json\n"]
    assert normalise(lines, HERE) == lines


def test_drains_are_left_out_in_pairs_of_one_job():
    lines = [event("paused"), event("paused", "k"), event("running"), event("running", "k")]
    assert normalise([event("created"), *lines, event("waiting")], HERE) == normalise(
        [event("created"), event("waiting")], HERE
    )


@pytest.mark.parametrize(
    "lines",
    [
        [event("paused")],
        [event("running"), event("paused")],
        [event("paused"), event("running", "k")],
        [event("paused"), b'{"return": {}}\r\n', event("running")],
        [event("standby"), event("ready")],
    ],
)
def test_a_pause_that_can_be_observed_stays(lines):
    assert len(normalise(lines, HERE)) == len(lines)


def test_graph_is_compared_without_ids_and_order():
    def reply(first, second):
        edge = {
            "name": "file",
            "parent": first,
            "shared-perm": ["write"],
            "perm": [],
            "child": second,
        }
        nodes = [{"name": "q", "type": "block-driver", "id": first}]
        nodes.append({"name": "s", "type": "block-driver", "id": second})
        return json.dumps({"return": {"edges": [edge], "nodes": nodes}}).encode()

    assert normalise([reply(1, 2)], HERE) == normalise([reply(7, 3)], HERE)
    assert normalise([reply(1, 2)], HERE)[-1] == b"block-driver 'q' -file-> 's' -/w\n"


# -- reports ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "path"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({"a": {"b": [0, 1]}}, {"a": {"b": [0, 2]}}, "a.b.1"),
        ({"a": 1}, {"a": 1, "b": 2}, "b"),
        ({"a": 1, "b": 2}, {"a": 1}, "b"),
        ([1], [1, 2], "1"),
        ({"a": 1}, {"a": True}, "a"),
        ({"a": 1}, {"a": 1.0}, "a"),
        ({"x": {"a": 1, "b": 2}}, {"x": {"b": 2, "a": 1}}, "x.(order of members)"),
    ],
)
def test_first_difference(one, other, path):
    assert first_difference(one, other) == path


def test_report_shows_both_lines_and_the_member():
    one = Said("real", [b'{"return": {"a": [1, {"b": 2}]}}\r\n'])
    other = Said("qmpd", [b'{"return": {"a": [1, {"b": 3}]}}\r\n'])
    with pytest.raises(Difference) as caught:
        check_equal("step 4: query", one, other)
    assert str(caught.value).splitlines()[:6] == [
        "step 4: query",
        "line 1 differs, first at: return.a.1.b",
        '  real: {"return": {"a": [1, {"b": 2}]}}',
        '  qmpd: {"return": {"a": [1, {"b": 3}]}}',
        "  real has there: 2",
        "  qmpd has there: 3",
    ]


def test_report_of_equal_values_in_different_bytes():
    """The parsed lines agree, the bytes do not: the position of the first wrong one is told."""
    with pytest.raises(Difference) as caught:
        check_equal("step", Said("real", [b'{"a": 1}\r\n']), Said("qmpd", [b'{"a":1}\r\n']))
    assert caught.value.path == ""
    assert "differs" in str(caught.value)


def test_missing_line_is_a_difference():
    with pytest.raises(Difference, match=r"\(nothing\)"):
        check_equal("step", Said("real", [b"a\n", b"b\n"]), Said("qmpd", [b"a\n"]))


# -- compare ---------------------------------------------------------------------------------


def second(directory):
    """Whether this is the directory of the second side."""
    return directory.name.endswith("2")


@pytest.mark.oracle
def test_compare_finds_a_different_reply():
    def images(directory):
        image(directory, "img", fmt="raw", size=1024 if second(directory) else 512)

    with pytest.raises(Difference) as caught:
        compare(
            [
                call("blockdev-add", driver="file", node_name="s", filename="img"),
                call("query-named-block-nodes"),
            ],
            images,
            sides=BOTH_REAL,
        )
    assert caught.value.step == 'step 2: {"execute": "query-named-block-nodes"}'
    assert caught.value.path == "return.0.image.virtual-size"


@pytest.mark.oracle
def test_compare_finds_a_different_descriptor():
    def images(directory):
        image(directory, "img")
        (directory / "img").chmod(0o444 if second(directory) else 0o644)

    node = call("blockdev-add", driver="file", node_name="s", filename="img", read_only=True)
    extra = on_host("hold", lambda directory: (directory / "img").chmod(0o644))
    compare([node, show_descriptors(), extra], images, sides=BOTH_REAL)
    writable = call("blockdev-add", driver="file", node_name="s", filename="img")
    with pytest.raises(Difference, match="Permission denied"):
        compare([writable], images, sides=BOTH_REAL, unprivileged=True)


@pytest.mark.oracle
@pytest.mark.parametrize(
    "writes", [["write -P 1 0 64k"], ["write -P 2 0 64k"], ["write -z 0 64k"]], ids=str
)
def test_compare_finds_different_images(writes):
    """Other data, other allocation: each is found after the script has run."""

    def images(directory):
        image(directory, "img", writes=["write -P 7 0 64k"])
        if second(directory):
            image(directory, "img", writes=writes)

    with pytest.raises(Difference, match="image img afterwards"):
        compare([call("query-jobs")], images, sides=BOTH_REAL)


@pytest.mark.oracle
def test_compare_finds_a_missing_file():
    def images(directory):
        image(directory, "img")
        if second(directory):
            image(directory, "other")

    with pytest.raises(Difference, match="the files afterwards"):
        compare([call("query-jobs")], images, sides=BOTH_REAL)


@pytest.mark.oracle
def test_mistakes_of_the_script_are_not_agreement():
    """If the reference refuses, or never says what is waited for, the script is wrong."""
    with pytest.raises(ScriptError, match="was refused"):
        compare([call("job-cancel", id="none")], sides=BOTH_REAL)
    with pytest.raises(ScriptError, match="wanted the error"):
        compare([refused("something else", call("job-cancel", id="none"))], sides=BOTH_REAL)
    with pytest.raises(ScriptError, match="closed the connection"):
        compare([call("quit"), wait_job("j", "null")], sides=BOTH_REAL)


# -- servers ---------------------------------------------------------------------------------


def test_everything_is_cleaned_up(side):
    """The process is gone, the descriptors of the test are closed."""
    root = Path(tempfile.mkdtemp())
    before = set(os.listdir("/proc/self/fd"))
    with Server(side, root, root) as running:
        running.execute("query-jobs")
        pid = running.pid
        assert Path(f"/proc/{pid}").exists()
    assert not Path(f"/proc/{pid}").exists()
    assert set(os.listdir("/proc/self/fd")) == before
    shutil.rmtree(root)


def test_failed_start_tells_why(start_server):
    with pytest.raises(StartError) as caught:
        start_server("--blockdev", "driver=bogus,node-name=n")
    assert caught.value.status == 1
    assert "does not accept value 'bogus'" in caught.value.stderr


def test_refused_command_raises(server):
    with pytest.raises(CommandError) as caught:
        server.execute("job-cancel", id="none")
    assert (caught.value.error_class, caught.value.desc) == ("GenericError", "Job not found")
    with pytest.raises(AssertionError, match="succeeded"):
        server.refusal("query-jobs")
