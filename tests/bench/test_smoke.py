"""The benchmark itself works; no figure is judged here, since times depend on the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.bench.client import CompiledEngine, PythonEngine, RefusedError, make_engine, message
from tests.bench.servers import QMPD, Cores, Launcher

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="cores cannot be chosen here"
)


@pytest.mark.oracle
def test_a_row_is_measured_on_both_sides(tmp_path):
    """One row, from starting both programs to the file with figures of both."""
    file = tmp_path / "figures.json"
    words = [sys.executable, "-m", "tests.bench", "--quick", "--only", "ping-one"]
    done = subprocess.run([*words, "--json", str(file)], check=True, capture_output=True, text=True)
    [figure] = json.loads(file.read_text())
    assert figure["ratio"] == pytest.approx(figure["theirs"] / figure["ours"])
    assert len(figure["runs"]["ours"]) == len(figure["runs"]["theirs"]) > 1
    assert "| ping-one" in done.stdout


def test_rows_after_a_pinned_one_have_their_two_cores():
    """Measuring pins this process; that must not become the choice of the next row."""
    before = Cores.two()
    mine = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, Cores.one().client)
        assert Cores.two() == before
    finally:
        os.sched_setaffinity(0, mine)


@pytest.mark.parametrize("kind", [CompiledEngine, PythonEngine])
def test_both_engines_measure(kind):
    """C and Python count the same answers of the same server."""
    engine = make_engine() if kind is CompiledEngine else PythonEngine()
    if not isinstance(engine, kind):
        pytest.skip("there is no C compiler")
    mine = os.sched_getaffinity(0)
    launcher = Launcher()
    text = message("query-version")
    try:
        fd = launcher.start(QMPD, Cores.one()).client.fd
        assert len(engine.rounds(fd, text, 3)) == 3
        assert engine.pipeline(fd, text * 100, 100) > 0
        refused = message("query-jobs", name="command") + message("no-such-command")
        with pytest.raises(RefusedError):
            engine.watch(fd, refused, b"", b"never")
    finally:
        launcher.stop_all()
        os.sched_setaffinity(0, mine)
