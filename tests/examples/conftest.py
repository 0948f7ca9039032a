"""The daemon of docs/lab.md."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.show.daemon import SECONDS, until

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "lab.md").read_text()
COMMAND_LINE = re.search(r"^```\n(qmpd .*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]


@pytest.fixture
def lab_of_page(tmp_path):
    """The daemon of the page, its sockets in a folder of ours."""
    words = shlex.split(COMMAND_LINE.replace("/tmp/", f"{tmp_path}/").replace("\\\n", " "))
    child = subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        until((tmp_path / "lab.sock").exists)
        yield tmp_path
    finally:
        child.terminate()
        child.wait(SECONDS)
