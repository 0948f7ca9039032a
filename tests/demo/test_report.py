"""The report as data is the report."""

import json

from qmpd.demo import report


def test_the_request_is_sent_as_libvirt_wrote_it():
    sent = json.dumps(report.block_commit(auto_finalize=True), separators=(",", ":"))
    assert sent == report.BLOCK_COMMIT


def test_the_command_line_begins_behind_environment_and_program():
    words = report.arguments()
    assert words[:3] == ["-name", "guest=upstream-bj,debug-threads=on", "-S"]
    assert words[-2:] == ["-msg", "timestamp=on"]
    assert f"socket,id=charmonitor,fd={report.DESCRIPTOR},server,nowait" in words


def test_the_chain_is_found_in_the_command_line():
    assert list(report.LAYERS.values()) == [f"/tmp/commit{n}.qcow2" for n in (4, 3, 2, 1, 0)]
