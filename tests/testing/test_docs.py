"""docs/testing.md: its code runs, and its tables leave nothing out."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

from qmpd.testing import AsyncClient, QmpdInLoop, QmpdProcess, QmpdThread, Settings

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "testing.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\w+\.py)\n")
INI = """\
[pytest]
filterwarnings = error
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
"""


def write_out(folder):
    """Put every block of code into a file; returns the number of tests."""
    folder.joinpath("pytest.ini").write_text(INI)
    text = DOCUMENT.read_text()
    blocks = BLOCK.findall(text)
    for number, block in enumerate(blocks):
        named = FILE.match(block)
        folder.joinpath(named[1] if named else f"test_{number}.py").write_text(block)
    return len(re.findall(r"^(?:async )?def test_", text, re.MULTILINE))


def run(folder, *words):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_every_example_of_the_document_passes(tmp_path):
    tests = write_out(tmp_path)
    said = run(tmp_path)
    assert f"{tests} passed in" in said, said


def test_the_tests_of_the_example_pass():
    said = run(ROOT, "examples/test_commit.py")
    assert "3 passed in" in said, said


def public(thing):
    return {name for name, _ in inspect.getmembers(thing) if not name.startswith("_")}


def test_the_tables_name_every_public_member():
    names = set(Settings.__annotations__)
    for kind in (QmpdInLoop, QmpdThread, QmpdProcess):
        names |= public(kind) - {"check", "has_expectations"}
    protocol = {"connection_made", "data_received", "connection_lost", "eof_received"}
    flow = {"pause_writing", "resume_writing", "wait_until", "connect"}
    names |= public(AsyncClient) - protocol - flow
    text = DOCUMENT.read_text()
    assert sorted(name for name in names if f"`{name}" not in text) == []
