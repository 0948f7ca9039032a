"""The demonstration notices when something is not as it should be."""

from dataclasses import replace

import pytest

from qmpd.demo import report
from qmpd.demo.client import Client, ConversationError
from qmpd.demo.daemon import Daemon, DaemonError
from qmpd.demo.observe import Storage
from qmpd.demo.story import commit_events, differences, tell


@pytest.fixture(scope="module")
def outcome():
    return tell()


def changed(outcome, moment, **fields):
    snapshots = list(outcome.snapshots)
    snapshots[moment] = replace(snapshots[moment], **fields)
    return replace(outcome, snapshots=tuple(snapshots))


def only_difference(outcome):
    (sentence,) = differences(outcome)
    return sentence


def test_nothing_differs(outcome):
    assert list(differences(outcome)) == []


def test_every_missing_event_is_noticed(outcome):
    announced = [line for line in outcome.log if "event" in line.message][:6]
    for line in announced:
        log = [other for other in outcome.log if other is not line]
        assert only_difference(replace(outcome, log=log)).startswith("events of the commit")
    assert len(announced) == len(commit_events(outcome.log)) - 1  # all but the reply


def test_a_base_that_stays_writable_is_noticed(outcome):
    storage = outcome.snapshots[2].storage | {"libvirt-12": Storage("cw-r", "c-u-", "O_RDWR")}
    assert "libvirt-12-storage" in only_difference(changed(outcome, 2, storage=storage))


def test_a_wrong_backing_file_is_noticed(outcome):
    backing = outcome.snapshots[2].backing | {"libvirt-9": "/tmp/commit2.qcow2"}
    assert "overlay after" in only_difference(changed(outcome, 2, backing=backing))


def test_a_wrong_chain_is_noticed(outcome):
    assert "chain after" in only_difference(changed(outcome, 2, chain=outcome.snapshots[0].chain))


def test_a_bad_exit_is_noticed(outcome):
    assert only_difference(replace(outcome, status=1)).startswith("exit status")


def test_the_clock_never_runs_backwards(outcome):
    times = [line.seconds for line in outcome.log]
    assert times == sorted(times)


def test_a_refused_request_tells_why():
    with Daemon() as daemon, Client(daemon.path) as client:
        client.read()
        with pytest.raises(ConversationError, match="Expecting capabilities negotiation"):
            client.execute({"execute": "query-jobs"})


def test_a_daemon_that_dies_is_noticed():
    """The listening socket goes with the daemon, so its client is told."""
    with Daemon() as daemon, Client(daemon.path) as client:
        client.read()
        daemon._child.kill()
        with pytest.raises(ConversationError, match="hung up"):
            client.read()


def test_a_daemon_that_cannot_start_tells_why(monkeypatch):
    monkeypatch.setattr(report, "SCENARIO", "nonsense = true")
    with pytest.raises(ConversationError, match=r"ended with status 1: .*unknown key 'nonsense'"):
        tell()


def test_a_place_where_nobody_can_listen_is_named(tmp_path):
    path = tmp_path / "missing" / "socket"
    with pytest.raises(DaemonError, match=f"cannot listen on {path}: No such file"):
        Daemon(path)
