"""Which QEMU is played: every row of the table shows where it holds, and not where it does not."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from qmpd import cli
from qmpd.demo import report
from qmpd.errors import QmpError
from qmpd.jobs import wording
from qmpd.lab import differences as d
from qmpd.lab import profile as p
from qmpd.machine import SYSTEM, Machine
from qmpd.storage.memory import MemoryStorage
from qmpd.storage.policy import AccessPolicy
from tests.machine.world import Refused, World, _Listener

PAGE = Path(__file__).parents[2] / "docs" / "profiles.md"
OLD = ("3.1", "founding", "4.0")
NEW = ("7.2.0", "7.2")


class Played(World):
    """A machine with images in RAM that plays a profile."""

    def __init__(self, profile, program=SYSTEM):
        storage = MemoryStorage(AccessPolicy())
        super().__init__(storage, program)
        loop, listener = self.loop, _Listener(self.events)
        self.machine.close()
        self.storage = MemoryStorage(AccessPolicy())
        self.machine = Machine(program=program, storage=self.storage, profile=profile)
        self.machine.scheduler = self.machine.jobs.scheduler = loop
        self.machine.monitors.append(listener)


@pytest.fixture
def play():
    made = []

    def make(profile, **settings):
        made.append(Played(profile, **settings))
        return made[-1]

    yield make
    for world in made:
        world.close()


def schema(world):
    return {entry["name"]: entry for entry in world.do("query-qmp-schema")}


def argument_names(entries, command, driver=None):
    entry = entries[entries[command]["arg-type"]]
    if driver is not None:
        (kind,) = [v["type"] for v in entry["variants"] if v["case"] == driver]
        entry = entries[kind]
    return {member["name"] for member in entry["members"]}


def types_below(entries, start):
    seen, work = set(), [start]
    while work:
        name = work.pop()
        if name in seen:
            continue
        seen.add(name)
        entry = entries[name]
        work += [entry[key] for key in ("element-type", "arg-type", "ret-type") if key in entry]
        if entry["meta-type"] != "enum":
            parts = [*entry.get("members", ()), *entry.get("variants", ())]
            work += [part["type"] for part in parts]
    return [entries[name] for name in seen]


# --- names and versions ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "version"),
    [("3.1", (3, 1, 0)), ("founding", (3, 1, 50)), ("4.0", (4, 0, 0)), ("7.2.0", (7, 2, 0))],
)
def test_a_profile_tells_its_version_and_no_package(play, name, version):
    world = play(name)
    told = world.do("query-version")
    assert tuple(told["qemu"][key] for key in ("major", "minor", "micro")) == version
    assert told["package"] == ""
    assert world.machine.version == told


def test_the_default_is_no_profile_at_all():
    machine = Machine(profile=p.DEFAULT)
    assert machine.profile is None
    assert machine.version == Machine().version
    machine.close()


def test_an_unknown_profile_is_one_line_that_lists_the_known_ones(capsys):
    assert cli.main(["--profile", "5", "--blockdev", "null-co,node-name=x"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for name in p.NAMES:
        assert name in said


# --- commands --------------------------------------------------------------------------


@pytest.mark.parametrize("name", p.NAMES)
def test_commands_are_listed_exactly_where_they_existed(play, name):
    world = play(name)
    listed = {entry["name"] for entry in world.do("query-commands")}
    described = {n for n, entry in schema(world).items() if entry["meta-type"] == "command"}
    for row in (row for row in d.ROWS if row.kind == d.COMMAND):
        here = row in p.Profile(name).rows
        assert (row.subject in listed) == here, row.subject
        assert (row.subject in described) == here, row.subject
    assert described == listed


def test_a_command_that_does_not_exist_yet_is_not_found(play):
    world = play("4.0")
    with pytest.raises(Refused) as caught:
        world.do("blockdev-reopen", options=[])
    assert caught.value.error_class == "CommandNotFound"
    assert caught.value.desc == "The command blockdev-reopen has not been found"


def test_the_experimental_reopen_takes_one_nodes_options(play):
    world = play("4.0")
    world.image("/a", format="raw")
    world.add_file("a", "/a", read_only=True)
    options = {"driver": "file", "node_name": "a", "filename": "/a"}
    world.do("x-blockdev-reopen", **options, read_only=False)
    assert not world.node("a").flags.read_only
    assert world.refusal("x-blockdev-reopen", node_name="a") == "Parameter 'driver' is missing"


# --- arguments -------------------------------------------------------------------------


@pytest.mark.parametrize("name", p.NAMES)
def test_arguments_are_described_exactly_where_they_existed(play, name):
    entries = schema(play(name))
    for row in (row for row in d.ROWS if row.kind == d.ARGUMENT):
        command, _, member = row.subject.partition(" ")
        driver, dot, inner = member.partition(".")
        names = argument_names(entries, command, driver if dot else None)
        here = row in p.Profile(name).rows
        assert ((inner if dot else member) in names) == here, row.subject


@pytest.mark.parametrize("name", OLD)
def test_later_arguments_are_unexpected(play, name):
    world = play(name)
    refused = world.refusal("query-named-block-nodes", flat=True)
    assert refused == "Parameter 'flat' is unexpected"
    refused = world.refusal("block-commit", device="x", on_error="stop")
    assert refused == "Parameter 'on-error' is unexpected"
    nested = {"driver": "file", "filename": "/a", "aio-max-batch": 1}
    refused = world.refusal("blockdev-add", driver="raw", node_name="r", file=nested)
    assert refused == "Parameter 'file.aio-max-batch' is unexpected"
    refused = world.refusal(
        "blockdev-add", driver="file", node_name="f", filename="/a", aio="io_uring"
    )
    assert refused == "Parameter 'aio' does not accept value 'io_uring'"
    refused = world.refusal("blockdev-add", driver="compress", node_name="c", file="x")
    assert refused == "Parameter 'driver' does not accept value 'compress'"
    limited = {"driver": "copy-on-read", "file": "x", "bottom": "y"}
    refused = world.refusal("blockdev-add", node_name="c", **limited)
    assert refused == "Parameter 'bottom' is unexpected"


@pytest.mark.parametrize("name", OLD)
def test_later_drivers_are_not_offered(play, name):
    offered = json.dumps(play(name).do("query-qmp-schema"))
    assert '"copy-on-read"' in offered
    assert '"compress"' not in offered


def test_known_faults_are_found_before_later_arguments(play):
    refused = play("4.0").refusal("block-commit", on_error="stop")
    assert refused == "Parameter 'device' is missing"


@pytest.mark.parametrize("name", NEW)
def test_recent_profiles_take_them(play, name):
    assert play(name).do("query-named-block-nodes", flat=True) == []


def test_definitions_on_the_command_line_are_held_to_the_version(capsys):
    node = "driver=null-co,node-name=x,read-zeroes=on"
    assert cli.main(["--profile", "4.0", "--blockdev", node]) == 1
    assert capsys.readouterr().err == (
        f"qmpd: --blockdev {node}: Parameter 'read-zeroes' is unexpected\n"
    )


def test_objects_had_their_properties_in_a_member(play):
    world = play("4.0")
    arguments = {"qom_type": "secret", "id": "s"}
    assert world.refusal("object-add", **arguments, data="x") == "Parameter 'data' is unexpected"
    world.do("object-add", **arguments, props={"data": "x"})
    assert world.machine.objects == {"s": "secret"}
    assert argument_names(schema(world), "object-add") == {"qom-type", "id", "props"}


# --- replies and events ----------------------------------------------------------------


def members_of(value):
    """All member names anywhere in a value."""
    if isinstance(value, list):
        return set().union(*map(members_of, value))
    if isinstance(value, dict):
        return set(value).union(*map(members_of, value.values()))
    return set()


@pytest.mark.parametrize("name", p.NAMES)
@pytest.mark.parametrize("query", ["query-named-block-nodes", "query-block", "query-blockstats"])
def test_replies_have_exactly_the_members_of_the_version(play, name, query):
    world = play(name)
    world.images(["a", "b"])
    world.add_chain(["a", "b"])
    given = {"query_nodes": True} if query == "query-blockstats" else {}
    if query == "query-block":
        _plug(world)
    found = members_of(json.loads(_wire(world, query, **given)))
    entries = schema(world)
    told = {
        member["name"]
        for entry in types_below(entries, entries[query]["ret-type"])
        for member in entry.get("members", ())
        if entry["meta-type"] == "object"
    }
    for row in (row for row in d.ROWS if row.kind == d.REPLY):
        command, _, member = row.subject.partition(" ")
        if command == query:
            here = row in p.Profile(name).rows
            assert (member in found) == here, row.subject
            assert (member in told) == here, row.subject


def _plug(world):
    from qmpd.commands.devices import Names, plug

    plug(world.machine, Names(), {"driver": "virtio-blk-pci", "drive": "b", "id": "d"})


def _wire(world, command, **arguments):
    from qmpd.commands.dispatch import Encoded
    from qmpd.protocol.encoder import encode

    (answer,) = world.submit(command, **arguments)
    value, error = answer
    assert error is None
    return value.data if isinstance(value, Encoded) else encode(value)


@pytest.mark.parametrize("name", p.NAMES)
def test_the_schema_refers_to_nothing_that_is_missing_and_has_nothing_in_vain(play, name):
    entries = schema(play(name))
    roots = [n for n, entry in entries.items() if entry["meta-type"] in ("command", "event")]
    used = {entry["name"] for root in roots for entry in types_below(entries, root)}
    assert used == set(entries)


def test_features_and_enum_members_came_later(play):
    old, new = schema(play("4.0")), schema(play("7.2.0"))
    assert not any("features" in json.dumps(entry) for entry in old.values())
    assert not any("members" in entry for entry in old.values() if entry["meta-type"] == "enum")
    assert any("dynamic-auto-read-only" in entry.get("features", ()) for entry in new.values())
    assert all("members" in entry for entry in new.values() if entry["meta-type"] == "enum")


@pytest.mark.parametrize(("name", "told"), [("3.1", {"guest"}), ("4.0", {"guest", "reason"})])
def test_shutdown_had_no_reason(play, name, told):
    world = play(name)
    assert argument_names(schema(world), "SHUTDOWN") == told
    world.do("quit")
    (data,) = [data for event, data in world.events if event == "SHUTDOWN"]
    assert data.keys() == told


@pytest.mark.parametrize(("name", "first"), [("7.2.0", "reply"), ("7.2", "SHUTDOWN")])
def test_replies_came_before_what_their_commands_set_off(play, name, first):
    world = play(name)
    order = []
    from qmpd.protocol.messages import Request

    world.machine.emit = lambda event, _data: order.append(event)
    world.machine.dispatcher.submit(Request("quit", {}), lambda *_: order.append("reply"))
    assert order[0] == first
    assert len(order) == 2


# --- auto-read-only --------------------------------------------------------------------


def test_static_auto_read_only_opens_for_writing_at_once_and_for_ever(play):
    world = play("3.1")
    world.image("/a", format="raw")
    world.add_file("a", "/a", auto_read_only=True)
    assert world.node("a").driver.access_mode == "rw"
    world.do("blockdev-add", driver="raw", node_name="r", file="a", read_only=True)
    assert world.node("a").driver.access_mode == "rw"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_static_auto_read_only_gives_up_for_good(play, number):
    world = play("3.1")
    world.image("/a", format="raw")

    def refuse(path, flags):
        if flags & os.O_ACCMODE != os.O_RDONLY:
            raise OSError(number, os.strerror(number), path)

    world.policy.hooks.append(refuse)
    world.add_file("a", "/a", auto_read_only=True)
    world.policy.hooks.clear()  # too late
    (told,) = [n for n in world.do("query-named-block-nodes") if n["node-name"] == "a"]
    assert told["ro"] is True
    assert world.node("a").driver.access_mode == "r"
    refused = world.refusal("blockdev-add", driver="qcow2", node_name="q", file="a", backing=None)
    assert refused == "Block node is read-only"


def test_static_auto_read_only_passes_other_failures_on(play):
    refused = play("3.1").refusal(
        "blockdev-add", driver="file", node_name="a", filename="/none", auto_read_only=True
    )
    assert refused == "Could not open '/none': No such file or directory"


def test_dynamic_auto_read_only_follows_the_users(play):
    world = play("4.0")
    world.image("/a")
    world.add_file("a", "/a", auto_read_only=True)
    assert world.node("a").driver.access_mode == "r"
    world.do("blockdev-add", driver="qcow2", node_name="q", file="a", backing=None)
    assert world.node("a").driver.access_mode == "rw"


# --- the report ------------------------------------------------------------------------

LAYERS = [f"l{number}" for number in range(5)]


def commit(world, *, auto_read_only=True, overlays=2):
    """Commit l2 into l0, all nodes defined apart; returns whether the machine died."""
    died = []
    world.machine.jobs.die = lambda: died.append(True)
    layers = LAYERS[: 3 + overlays]
    world.images(layers, data=False)
    below = None
    for name in layers:
        world.add_file(f"s-{name}", name, auto_read_only=auto_read_only)
        world.do(
            "blockdev-add",
            driver="qcow2",
            node_name=name,
            file=f"s-{name}",
            backing=below,
            read_only=name != layers[-1],
        )
        below = name
    world.commit(layers[-1], "l2", "l0")
    world.run()
    return bool(died)


def test_the_report_dies_after_pending(play, capfd):
    world = play("founding")
    assert commit(world)
    assert world.statuses() == ["created", "running", "waiting", "pending"]
    assert wording.ASSERTION in capfd.readouterr().err


@pytest.mark.parametrize("name", ["3.1", "4.0", "7.2"])
def test_the_others_finish_the_same_commit(play, name):
    world = play(name)
    assert not commit(world)
    assert world.statuses()[-2:] == ["concluded", "null"]


@pytest.mark.parametrize("chain", [{"overlays": 1}, {"auto_read_only": False}])
def test_other_commits_finish_in_the_report_too(play, chain):
    """An overlay that is writable already, and files that follow nobody's permissions."""
    world = play("founding")
    assert not commit(world, **chain)
    assert world.statuses()[-2:] == ["concluded", "null"]


def test_the_process_ends_as_the_reports_did(tmp_path):
    """Killed by SIGABRT, with the assertion as its last word, and no core left behind."""
    words = report.arguments()
    monitor = next(word for word in words if "id=charmonitor" in word)
    path = tmp_path / "monitor"
    words[words.index(monitor)] = f"socket,id=charmonitor,path={path},server=on,wait=off"
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(report.SCENARIO)
    own = ["--profile", "founding", "--storage", "memory", "--scenario", str(scenario)]
    with (
        subprocess.Popen(
            [sys.executable, "-m", "qmpd", *words, *own], stderr=subprocess.PIPE, text=True
        ) as child,
        closing(socket.socket(socket.AF_UNIX)) as client,
    ):
        while not path.exists():
            assert child.poll() is None
            time.sleep(0.01)
        client.connect(str(path))
        client.sendall(b'{"execute": "qmp_capabilities"}' + report.BLOCK_COMMIT.encode())
        said = client.makefile().read().splitlines()
        _, complaints = child.communicate(timeout=30)
    assert child.returncode == -signal.SIGABRT
    assert complaints.splitlines()[-1] == f"qmpd: {report.ABORT}"
    assert json.loads(said[-1])["data"]["status"] == "pending"


def test_the_words_of_the_assertion_are_the_reports():
    assert wording.ASSERTION == report.ABORT


# --- the fifth permission --------------------------------------------------------------


def test_edges_shared_a_fifth_permission_but_for_intermediate_nodes(play):
    world = play("4.0")
    world.images(LAYERS, data=False)
    world.add_chain(LAYERS)
    world.do(
        "block-commit",
        job_id="j",
        device=LAYERS[4],
        top_node=LAYERS[2],
        base_node=LAYERS[0],
        auto_finalize=False,
    )
    world.run()
    edges = world.do("x-debug-query-block-graph")["edges"]
    without = {edge["name"] for edge in edges if "graph-mod" not in edge["shared-perm"]}
    assert without == {"intermediate node"}
    assert all(edge["shared-perm"][0] == "graph-mod" for edge in edges if edge["name"] == "file")
    values = [
        entry["values"]
        for entry in schema(world).values()
        if entry["meta-type"] == "enum" and "consistent-read" in entry["values"]
    ]
    assert [value[-1] for value in values] == ["graph-mod"]


def test_nobody_shares_it_today(play):
    world = play("7.2.0")
    world.image("/a")
    world.add_file("a", "/a")
    world.do("blockdev-add", driver="qcow2", node_name="q", file="a", backing=None)
    graph = world.do("x-debug-query-block-graph")
    assert "graph-mod" not in json.dumps(graph)


# --- the page --------------------------------------------------------------------------


def shown(version):
    major, minor, micro = version
    return f"{major}.{minor}" + (f".{micro}" if micro else "")


def line(row):
    since = shown(row.since) if row.since != d.FIRST else ""
    until = shown(row.until) if row.until != d.LAST else ""
    span = (
        f"`{row.only}` only"
        if row.only
        else " ".join(
            part
            for part in (f"since {since}" if since else "", f"before {until}" if until else "")
            if part
        )
    )
    return f"| {row.kind} | `{row.subject}` | {span} | {row.shows} | {row.source} |"


def test_the_page_has_every_row_and_no_other():
    written = [text for text in PAGE.read_text().splitlines() if text.startswith("| ")]
    rows = [text for text in written if text.split("|")[1].strip() in KINDS]
    assert rows == [line(row) for row in d.ROWS]


def test_the_page_names_every_profile():
    text = PAGE.read_text()
    for name in p.NAMES:
        assert f"`{name}`" in text


KINDS = {d.COMMAND, d.ARGUMENT, d.VALUE, d.REPLY, d.EVENT, d.SCHEMA, d.BEHAVIOUR}


@pytest.mark.parametrize("row", d.ROWS, ids=lambda row: row.subject)
def test_every_row_is_about_something_that_qmpd_has(row):
    """A misspelt subject would hide nothing and never be noticed."""
    assert row.kind in KINDS
    if row.kind == d.BEHAVIOUR:
        assert isinstance(getattr(p.Profile(p.DEFAULT), row.subject), bool)


def test_find_raises_for_strangers():
    with pytest.raises(QmpError, match="unknown profile 'x'"):
        p.find("x")
    assert p.find(None) is None
