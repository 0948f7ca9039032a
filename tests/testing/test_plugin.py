"""The plugin in sessions of others: what passes, what fails, and what is said."""

import os
import re
import subprocess
import sys
from textwrap import dedent

import pytest

AUTO = """\
[pytest]
filterwarnings = error
addopts = --strict-markers
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
"""


@pytest.fixture
def session(tmp_path):
    def run(code, *words, ini=AUTO):
        tmp_path.joinpath("pytest.ini").write_text(ini)
        tmp_path.joinpath("test_it.py").write_text(dedent(code))
        # On a CI machine pytest repeats messages whole in its summary.
        ours = ("CI", "BUILD_NUMBER", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER")
        environment = {name: value for name, value in os.environ.items() if name not in ours}
        environment["COLUMNS"] = "200"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        counts = re.findall(r"(\d+) (passed|failed|errors?)", done.stdout.splitlines()[-1])
        return {what.rstrip("s"): int(count) for count, what in counts}, done.stdout

    return run


LEAVE = """
def leave(qmpd):
    qmpd.chain("base", "mid", "top")
    with qmpd.connect() as client:
        client.execute("block-commit", job_id="j", device="top", top_node="mid", auto_dismiss=False)
    qmpd.wait_for("j", "concluded")
"""


def test_leaving_a_job_behind_fails_the_test_unless_it_is_relaxed(session):
    counts, said = session(
        LEAVE
        + """
import pytest

def test_strict(qmpd_thread):
    leave(qmpd_thread)

@pytest.mark.qmpd_relaxed
def test_relaxed(qmpd_thread):
    leave(qmpd_thread)

def test_process(qmpd_process):
    leave(qmpd_process)
"""
    )
    assert counts == {"passed": 3, "error": 2}
    assert said.count("\nleft behind: job 'j', which is concluded\n") == 2
    assert "transition job='j' status='concluded'" in said
    assert "Traceback" not in said


def test_a_test_that_failed_by_itself_is_not_checked(session):
    counts, _ = session(
        LEAVE
        + """
def test_fails(qmpd_thread):
    leave(qmpd_thread)
    assert False
"""
    )
    assert counts == {"failed": 1}


def test_expectations_are_checked_at_the_end(session):
    counts, said = session("""
        import pytest

        async def test_loop(qmpd):
            qmpd.expect("query-jobs")

        def test_thread(qmpd_thread):
            qmpd_thread.expect("query-jobs")

        def test_process(qmpd_process):
            qmpd_process.expect("query-jobs")

        @pytest.mark.qmpd_strict
        def test_strict(qmpd_thread):
            with qmpd_thread.connect() as client:
                client.execute("query-jobs")

        async def test_by_hand(qmpd):
            qmpd.expect("query-jobs")
            with pytest.raises(AssertionError, match="missing"):
                qmpd.verify()
            async with await qmpd.connect() as client:
                await client.execute("query-jobs")

        def test_dead(qmpd_process):
            qmpd_process.expect("query-jobs")
            qmpd_process.die()
            qmpd_process.wait_until_dead()
    """)
    assert counts == {"passed": 6, "error": 5}
    assert said.count("\nmissing: expect('query-jobs')\n") == 3
    assert "unexpected: " in said
    assert "has taken its journal along: call verify() before" in said


def test_markers_set_the_daemon_up_and_the_nearest_wins(session):
    counts, _ = session("""
        import pytest

        pytestmark = pytest.mark.qmpd(program="storage-daemon", seed=1)

        def commands(qmpd):
            return {command["name"] for command in qmpd.client.execute("query-commands")}

        def test_module(qmpd_thread):
            assert "stop" not in commands(qmpd_thread)

        @pytest.mark.qmpd(program="system")
        def test_own(qmpd_thread):
            assert "stop" in commands(qmpd_thread)

        @pytest.mark.qmpd(
            program="system",
            blockdevs=["null-co,node-name=a", {"driver": "null-co", "node-name": "b"}],
            devices=["virtio-blk,drive=a,id=d0"],
        )
        @pytest.mark.parametrize("kind", ["qmpd_thread", "qmpd_process"])
        def test_nodes(request, kind):
            qmpd = request.getfixturevalue(kind)
            (device,) = qmpd.client.execute("query-block")
            assert device["qdev"] == "/machine/peripheral/d0/virtio-backend"
    """)
    assert counts == {"passed": 4}


def test_the_fixture_in_the_loop_works_in_strict_mode(session):
    counts, _ = session(
        """
        import pytest

        @pytest.mark.asyncio
        async def test_strict_mode(qmpd):
            assert await qmpd.client.execute("query-jobs") == []
        """,
        ini=AUTO.replace("asyncio_mode = auto", "asyncio_mode = strict"),
    )
    assert counts == {"passed": 1}


def test_without_pytest_asyncio_the_synchronous_fixtures_work(session, tmp_path):
    tmp_path.joinpath("blocker.py").write_text('import sys; sys.modules["pytest_asyncio"] = None')
    counts, _ = session(
        """
        def test_sync(qmpd_thread):
            assert qmpd_thread.client.execute("query-jobs") == []
        """,
        *("-p", "blocker", "-p", "no:asyncio"),
        ini="[pytest]",
    )
    assert counts == {"passed": 1}


def test_the_plugin_loads_nothing_that_a_session_without_qmpd_would_pay_for(session):
    counts, _ = session("""
        import sys

        def test_light():
            loaded = {name for name in sys.modules if name.startswith("qmpd")}
            assert loaded == {"qmpd", "qmpd.testing", "qmpd.testing.plugin"}
    """)
    assert counts == {"passed": 1}
