"""Expectations: what satisfies them, what does not, and what a failure tells."""

import json
import re
from unittest.mock import ANY

import pytest

from qmpd.lab.journal import Entry
from qmpd.testing import ExpectationError
from qmpd.testing.expect import Expecting


def journal(*happened):
    """A journal: ``("command", {…})`` requests, ``("EVENT", {…})`` events, ``(…, "error")``."""
    entries = []
    for serial, (name, members, *more) in enumerate(happened, 1):
        data = {"client": 2, "name": name}
        if more:
            data["text"] = json.dumps({"error": members})
            entries.append(Entry(serial, 0, "reply", data))
        elif name.isupper():
            data["text"] = json.dumps({"event": name, "data": members})
            entries.append(Entry(serial, 0, "event", data))
        else:
            data = {"client": 2, "command": name, "arguments": members}
            entries.append(Entry(serial, 0, "request", data))
    return entries


def complaint(expecting, *happened, jobs=()):
    with pytest.raises(ExpectationError) as failure:
        expecting.check(journal(*happened), jobs)
    return re.split(r"\nthe journal('s last lines:| is empty)", str(failure.value))[0].split("\n")[
        1:
    ]


PAUSE = ("job-pause", {"id": "j"})
RESUME = ("job-resume", {"id": "j"})
STATUS = ("JOB_STATUS_CHANGE", {"id": "j", "status": "paused"})


def test_without_expectations_everything_may_be_sent():
    Expecting().check(journal(PAUSE), [])


def test_without_expectations_a_strict_test_allows_nothing():
    expecting = Expecting()
    expecting.strict = True
    assert complaint(expecting, PAUSE) == [
        'unexpected: #1 request job-pause {"id": "j"}',
        "  expected here: no more requests",
    ]


def test_a_relaxed_test_allows_everything():
    expecting = Expecting()
    expecting.relaxed = True
    expecting.expect("job-pause", id="j")
    expecting.check(journal(RESUME), [("j", "running")])


def test_steps_in_their_order_satisfy():
    expecting = Expecting()
    expecting.expect("job-pause", id="j")
    expecting.expect_event("JOB_STATUS_CHANGE", status="paused")
    expecting.expect("job-resume")
    expecting.check(journal(PAUSE, STATUS, RESUME), [])


def test_events_and_errors_that_nobody_expects_are_no_failure():
    expecting = Expecting()
    expecting.expect("job-pause")
    error = {"class": "GenericError", "desc": "no"}
    expecting.check(journal(STATUS, PAUSE, ("job-pause", error, "error"), STATUS), [])


def test_steps_in_another_order_are_a_failure():
    expecting = Expecting()
    expecting.expect("job-pause")
    expecting.expect("job-resume")
    assert complaint(expecting, RESUME, PAUSE) == [
        'unexpected: #1 request job-resume {"id": "j"}',
        "  too early: first comes expect('job-pause')",
        "missing: expect('job-resume')",
        '  nearest: #1 request job-resume {"id": "j"}: it came at another place',
    ]


def test_an_event_that_comes_too_late_for_its_place_is_missing():
    expecting = Expecting()
    expecting.expect_event("JOB_STATUS_CHANGE")
    expecting.expect("job-resume")
    lines = complaint(expecting, RESUME, STATUS)
    assert lines[0] == 'unexpected: #1 request job-resume {"id": "j"}'
    assert "missing: expect('job-resume')" in lines


def test_an_unordered_group_takes_any_order_but_all_of_it():
    for order in ((PAUSE, RESUME), (RESUME, PAUSE)):
        expecting = Expecting()
        with expecting.in_any_order():
            expecting.expect("job-pause")
            expecting.expect("job-resume")
        expecting.expect("query-jobs")
        expecting.check(journal(*order, ("query-jobs", {})), [])
    expecting = Expecting()
    with expecting.in_any_order():
        expecting.expect("job-pause")
        expecting.expect("job-resume")
    assert complaint(expecting, PAUSE) == ["missing: expect('job-resume')"]


def test_an_ordered_group_within_an_unordered_one_keeps_its_order():
    def make():
        expecting = Expecting()
        with expecting.in_any_order():
            with expecting.in_order():
                expecting.expect("job-pause")
                expecting.expect("job-resume")
            expecting.expect("query-jobs")
        return expecting

    query = ("query-jobs", {})
    for order in ((query, PAUSE, RESUME), (PAUSE, query, RESUME), (PAUSE, RESUME, query)):
        make().check(journal(*order), [])
    assert complaint(make(), RESUME, query, PAUSE)[0].startswith(
        "unexpected: #1 request job-resume"
    )


def test_times_counts():
    expecting = Expecting()
    expecting.expect("job-pause", times=3)
    assert complaint(expecting, PAUSE, PAUSE) == ["missing: expect('job-pause')"]
    expecting = Expecting()
    expecting.expect("job-pause", times=2)
    assert complaint(expecting) == ["missing: expect('job-pause'), 2 times"]


def test_the_nearest_miss_is_the_one_with_the_fewest_differences():
    expecting = Expecting()
    expecting.expect("block-commit", job_id="a", top_node="mid", speed=lambda speed: speed > 0)
    near = {"job-id": "a", "top-node": "mid"}
    far = {"job-id": "b", "top-node": "mid", "speed": 0}
    lines = complaint(expecting, ("block-commit", far), ("block-commit", near))
    assert lines[0].startswith("unexpected: #1")
    assert lines[-1].startswith("  nearest: #2")
    assert lines[-1].endswith(": 'speed' is missing")


def test_values_may_be_objects_that_compare_equal_or_functions():
    expecting = Expecting()
    expecting.expect("block-commit", job_id=ANY, speed=lambda speed: speed > 0)
    expecting.check(journal(("block-commit", {"job-id": "x", "speed": 3, "device": "d"})), [])


def test_members_below_others_are_compared_as_they_are():
    expecting = Expecting()
    expecting.expect("blockdev-add", driver="qcow2", file={"driver": "file", "filename": "a"})
    asked = {"driver": "qcow2", "file": {"driver": "file", "filename": "b"}}
    assert "'file' is" in complaint(expecting, ("blockdev-add", asked))[1]


def test_errors_can_be_expected():
    expecting = Expecting()
    expecting.expect("job-pause")
    expecting.expect_error("job-pause", class_="GenericError")
    error = {"class": "GenericError", "desc": "Job not found"}
    expecting.check(journal(PAUSE, ("job-pause", error, "error")), [])


def test_ignored_commands_may_come_at_any_time():
    expecting = Expecting()
    expecting.expect("job-pause")
    expecting.ignore("query-*")
    expecting.check(journal(("query-jobs", {}), PAUSE, ("query-block", {})), [])


def test_an_ignored_command_can_still_be_expected():
    expecting = Expecting()
    expecting.ignore("query-*")
    expecting.expect("query-jobs")
    assert complaint(expecting, ("query-block", {})) == ["missing: expect('query-jobs')"]


def test_a_slip_of_the_pen_is_recognised():
    expecting = Expecting()
    expecting.expect("job-puase")
    assert complaint(expecting, PAUSE)[-1] == "  nearest name: 'job-pause'"


def test_a_job_that_is_left_behind_is_a_failure():
    assert complaint(Expecting(), jobs=[("j", "pending")]) == [
        "left behind: job 'j', which is pending"
    ]


def test_what_the_test_itself_does_does_not_count():
    expecting = Expecting()
    expecting.strict = True
    own = Entry(1, 0, "request", {"client": 1, "command": "quit", "arguments": {}})
    expecting.check([own], [])
