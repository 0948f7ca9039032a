"""Conversations played again: what counts as equal, and what is shown when they are not."""

import json
from pathlib import Path

import pytest

from qmpd import cli
from qmpd.replay import compare, player
from qmpd.replay.messages import Message
from tests.replay import talks

REPORT = Path(__file__).parent / "data" / "auto-read-only-series.txt"


@pytest.fixture
def replay(tmp_path, capsys, monkeypatch):
    """Play a text; returns the status, the output and the complaints."""
    monkeypatch.setattr(player, "PATIENCE", 1.0)  # what is to come is here at once

    def run(text, *words):
        path = tmp_path / "talk"
        path.write_text(text)
        status = cli.main(["replay", "--width", "110", *words, str(path)])
        return status, *capsys.readouterr()

    return run


def marks(output):
    """The marks between the columns, up to the end of the table."""
    table = output.split("\n\n")[0].splitlines()[1:]
    return "".join(line[54:55] for line in table if line[54:55] != "|")


def with_line(text):
    return f"{text}\n{talks.command_line()}"


def changed(talk, number, kind, body):
    return [*talk[:number], (kind, body), *talk[number + 1 :]]


# --- the report ------------------------------------------------------------------------


def test_the_report_ends_where_it_ended(replay):
    status, output, complaints = replay(REPORT.read_text(), "--profile", "founding")
    assert status == 0
    assert marks(output) == ""
    assert output.splitlines()[-1].count("QEMU closes the connection") == 2
    assert "Assertion" in complaints


@pytest.mark.parametrize("profile", [[], ["--profile", "4.0"], ["--profile", "3.1"]])
def test_others_go_on(replay, profile):
    status, output, _ = replay(REPORT.read_text(), *profile)
    assert status == 1
    first = next(line for line in output.splitlines() if line[54:55] == ">")
    assert first.startswith("-- QEMU closes the connection")
    assert "BLOCK_JOB_COMPLETED" in first
    assert "concluded" in output


# --- equal -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", talks.FORMS.values(), ids=talks.FORMS)
def test_every_form_is_played_to_its_end(replay, form):
    """Sizes, times and versions are others here, and the job is in no hurry to be seen."""
    status, output, complaints = replay(with_line(form(talks.WHOLE)))
    assert (status, complaints) == (0, ""), output
    assert output.count("job-dismiss") == 2


def test_a_recording_that_begins_in_the_middle_is_negotiated_silently(replay):
    status, output, _ = replay(with_line(talks.arrows(talks.WHOLE[3:])))
    assert status == 0
    assert "qmp_capabilities" not in output


def test_a_recording_that_ends_early_is_equal_so_far(replay):
    """The job goes on here, as it did there when nobody looked any more."""
    assert replay(with_line(talks.arrows(talks.WHOLE[:12])))[0] == 0


def test_nodes_can_come_from_the_conversation_itself(replay):
    talk = list(talks.START)
    below = None
    for number, name in enumerate(talks.LAYERS):
        node = {
            "driver": "qcow2",
            "node_name": name,
            "read_only": name != "top",
            "file": {"driver": "file", "filename": f"/images/{name}", "auto-read-only": True},
            "backing": below,
        }
        talk += [talks.request("blockdev-add", 10 + number, **node), talks.reply(10 + number)]
        below = name
    assert replay(talks.arrows([*talk, *talks.WHOLE[6:10]]))[0] == 0


def test_a_client_may_hang_up_and_come_again(replay):
    talk = [talks.GREETING, *talks.START, ("H", None), talks.GREETING, *talks.START]
    status, output, _ = replay(talks.transcript(talk))
    assert status == 0
    assert output.count("the client closes the connection") == 2


def test_what_a_client_sent_that_was_no_json_is_sent_again(replay):
    sent = json.dumps({"dir": "C", "raw": "{]"}) + "\n"
    error = {"class": "GenericError", "desc": "JSON parse error, expecting value"}
    text = talks.transcript(talks.START) + sent + talks.transcript([("R", {"error": error})])
    _, output, _ = replay(text)
    assert output.count("error GenericError: JSON parse error") == 2


def test_the_program_can_be_told(replay):
    talk = [*talks.START, talks.request("quit", 2), talks.reply(2), talks.CLOSED]
    assert replay(talks.arrows(talk), "--program", "storage-daemon")[0] == 0
    status, output, _ = replay(talks.arrows(talk), "--program", "system")
    assert status == 1
    assert "SHUTDOWN" in output


# --- different -------------------------------------------------------------------------


def test_another_error_is_the_first_difference(replay):
    error = {"class": "GenericError", "desc": "No"}
    talk = [
        *talks.START,
        talks.request("job-cancel", 2, id="j"),
        ("R", {"error": error, "id": "libvirt-2"}),
    ]
    status, output, _ = replay(talks.arrows(talk))
    assert status == 1
    assert marks(output) == ">"
    shown = output.split("The first difference, as far as it counts:\n")[1]
    assert '"desc": "No"' in shown.splitlines()[0]
    assert '"desc": "Job not found"' in shown.splitlines()[1]


def test_an_event_that_never_comes_is_missed(replay):
    talk = [*talks.START, talks.request("query-status", 2), talks.event("RESUME")]
    talk.append(talks.reply(2, {"running": True, "singlestep": False, "status": "running"}))
    status, output, _ = replay(talks.arrows(talk))
    assert status == 1
    assert "RESUME" in output
    assert "ours:   (nothing)" in output


def test_one_event_too_many_is_seen(replay):
    talk = [entry for entry in talks.WHOLE if entry != talks.status("pending")]
    status, output, _ = replay(with_line(talks.arrows(talk)))
    assert status == 1
    assert "theirs: (nothing)" in output
    assert '"pending"' in output


def test_the_order_counts(replay):
    talk = list(talks.WHOLE)
    talk[4], talk[5] = talk[5], talk[4]
    assert replay(with_line(talks.arrows(talk)))[0] == 1


def test_a_connection_that_was_closed_has_to_be_closed(replay):
    status, output, _ = replay(talks.arrows([*talks.START, talks.CLOSED]))
    assert status == 1
    assert "QEMU closes the connection" in output


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (11, {"status": "pending"}),
        (20, {"ro": True}),
        (20, {"node-name": "other"}),
    ],
)
def test_members_of_replies_that_count(replay, number, change):
    kind, body = talks.WHOLE[number]
    first = {**body["return"][0], **change}
    talk = changed(talks.WHOLE, number, kind, {**body, "return": [first, *body["return"][1:]]})
    assert replay(with_line(talks.arrows(talk)))[0] == 1


# --- what qmpd does not have -----------------------------------------------------------

UNKNOWN = [
    *talks.START,
    talks.request("query-migrate", 2),
    talks.event("NIC_RX_FILTER_CHANGED", path="x"),
    talks.reply(2, {"status": "none"}),
    talks.request("query-name", 3),
    talks.reply(3, {}),
]


def test_unknown_commands_are_a_difference(replay):
    status, output, _ = replay(talks.arrows(UNKNOWN))
    assert status == 1
    assert "CommandNotFound" in output


def test_unknown_commands_can_be_left_out(replay):
    status, output, _ = replay(talks.arrows(UNKNOWN), "--ignore-unknown")
    assert status == 0
    assert "query-migrate" not in output
    assert "query-name" in output


# --- images ----------------------------------------------------------------------------


def test_images_can_be_described(replay, tmp_path):
    """A file that nobody may write refuses here as it did there."""
    scenario = tmp_path / "s.toml"
    scenario.write_text('[[image]]\npath = "/images/a"\nformat = "raw"\nwritable = false\n')
    node = {"driver": "file", "node_name": "a", "filename": "/images/a"}
    desc = "Could not open '/images/a': Permission denied"
    talk = [
        *talks.START,
        talks.request("blockdev-add", 2, **node),
        ("R", {"id": "libvirt-2", "error": {"class": "GenericError", "desc": desc}}),
    ]
    assert replay(talks.arrows(talk), "--scenario", str(scenario))[0] == 0
    assert replay(talks.arrows(talk))[0] == 1


def test_images_for_snapshots(replay):
    """Overlays that were there come as empty ones, also in transactions; what was not there, not."""
    snapshot = {"node-name": "top", "snapshot-node-name": "n", "mode": "existing"}
    missing = "Could not open '/images/gone': No such file or directory"
    action = {"type": "blockdev-snapshot-sync", "data": snapshot | {"snapshot-file": "/images/n"}}
    talk = [
        *talks.START,
        talks.request("blockdev-snapshot-sync", 2, **snapshot, snapshot_file="/images/gone"),
        ("R", {"id": "libvirt-2", "error": {"class": "GenericError", "desc": missing}}),
        talks.request("transaction", 3, actions=[action]),
        talks.reply(3),
    ]
    status, output, _ = replay(with_line(talks.arrows(talk)))
    assert status == 0, output


def test_a_node_that_cannot_be_had_is_told_of(replay):
    line = "qemu-system-x86_64 -blockdev driver=nbd,node-name=n -device virtio-blk-pci,drive=n\n"
    status, _, complaints = replay(talks.arrows(talks.START) + line)
    assert status == 0
    assert complaints.count("qmpd replay: warning: ") == 2


def test_the_command_line_can_be_in_a_file_of_its_own(replay, tmp_path):
    line = tmp_path / "line"
    line.write_text(talks.command_line())
    assert replay(talks.arrows(talks.WHOLE), "--command-line", str(line))[0] == 0


# --- nothing to play -------------------------------------------------------------------


def test_a_text_without_conversation(replay):
    status, output, complaints = replay("Hello.\n")
    assert (status, output) == (2, "")
    assert complaints.count("\n") == 1
    assert complaints.endswith("no conversation found\n")


def test_without_any_definition_of_nodes(replay):
    complaints = replay('-> {"execute": "query-jobs"}\n<- {"return": []}\n')[2]
    assert complaints.endswith("neither a command line nor a blockdev-add: there are no nodes\n")


def test_a_file_without_the_command_line(replay, tmp_path):
    (tmp_path / "empty").write_text("Hello.\n")
    status, output, complaints = replay(
        talks.arrows(talks.WHOLE), "--command-line", str(tmp_path / "empty")
    )
    assert (status, output) == (2, "")
    assert complaints == f"qmpd replay: {tmp_path / 'empty'}: no command line found\n"


def test_a_scenario_that_makes_no_sense_is_named(replay, tmp_path):
    (tmp_path / "s.toml").write_text("[default]\ncluster-size = 777\n")
    status, _, complaints = replay(
        talks.arrows(talks.WHOLE), "--scenario", str(tmp_path / "s.toml")
    )
    assert status == 2
    assert complaints == (
        f"qmpd replay: {tmp_path / 's.toml'}: default: "
        "Cluster size must be a power of two between 512 and 2048k\n"
    )


@pytest.mark.parametrize(
    "words",
    [["/no/such/file"], [], ["--profile"], ["--width", "x", "f"]],
    ids=["no file", "nothing", "no name", "no number"],
)
def test_mistakes_are_one_line(capsys, words):
    assert cli.main(["replay", *words]) == 2
    output, complaints = capsys.readouterr()
    assert output == ""
    assert complaints.startswith("qmpd replay: ")
    assert complaints.count("\n") == 1


def test_an_unknown_profile(replay):
    status, _, complaints = replay(talks.arrows(talks.START), "--profile", "5")
    assert status == 2
    assert complaints.startswith("qmpd replay: unknown profile '5'")


# --- comparing -------------------------------------------------------------------------


def key(*messages):
    keys = compare.Keys()
    return [keys.of(Message(*message)) for message in messages][-1]


def test_times_and_generated_names_do_not_count():
    one = ("E", {"timestamp": {"seconds": 1}, "event": "X", "data": {"node": "#block123"}})
    other = ("E", {"timestamp": {"seconds": 2}, "event": "X", "data": {"node": "#block9"}})
    assert key(one) == key(other)


def test_whether_a_job_came_to_its_end_counts_and_not_where_that_was():
    assert key(talks.completed(length=1)) == key(talks.completed(length=2))
    kind, body = talks.completed()
    early = {**body, "data": {**body["data"], "offset": 0}}
    assert key((kind, body)) != key((kind, early))


def test_other_queries_count_as_answered():
    ask = talks.request("query-block", 1)
    assert key(ask, talks.reply(1, [1])) == key(ask, talks.reply(1, [2, 3]))
    assert key(ask, talks.reply(1, [1])) != key(ask, talks.reply(1, {"a": 1}))


def test_replies_without_id_belong_to_the_oldest_request():
    ask = ("C", {"execute": "query-status"})
    one, other = (("R", {"return": {"status": status}}) for status in ("running", "paused"))
    assert key(ask, one) != key(ask, other)


def test_drains_do_not_count():
    drain = [Message(*talks.status(value)) for value in ("running", "paused", "running")]
    assert compare.without_drains(drain) == drain[:1]
    both = [Message(*talks.status("paused")), Message(*talks.status("running", "k"))]
    assert compare.without_drains(both) == both


def test_the_page_tells_what_counts():
    text = (Path(__file__).parents[2] / "docs" / "replay.md").read_text()
    for command, members in compare.PICKED.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{command}` |"))
        assert row == f"| `{command}` | {', '.join(f'`{m}`' for m in members)} |"
    for command in compare.WHOLE:
        assert f"| `{command}` | everything |" in text
