"""The same command line and the same commit draw the same picture of qmpd and of QEMU."""

import re
import subprocess
import sys

import pytest

from qmpd.testing.oracle.start import real_is_installed
from tests.show.daemon import SECONDS, Puller, chain, show, until

LAYERS = ("base", "middle", "top")
PROGRAMS = {"qmpd": (sys.executable, "-m", "qmpd"), "QEMU": ("qemu-storage-daemon",)}


def pictures_of(program, folder):
    """What is drawn of a program before, during and after a commit."""
    below = []
    for layer in LAYERS:
        path = str(folder / f"{layer}.qcow2")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *below, path, "1M"], check=True)
        below = ["-b", path, "-F", "qcow2"]
    words = [word.replace("/images/", f"{folder}/") for word in chain(*LAYERS)]
    for name in ("work", "look"):
        path = folder / f"{name}.sock"
        words += ["--chardev", f"socket,id={name},path={path},server=on,wait=off"]
        words += ["--monitor", name]
    child = subprocess.Popen([*PROGRAMS[program], *words])
    try:
        until((folder / "look.sock").exists)
        with Puller(folder / "work.sock") as puller:
            yield look(folder)
            puller.execute(
                "block-commit",
                job_id="j",
                device="top",
                top_node="middle",
                base_node="base",
                auto_finalize=False,
                auto_dismiss=False,
            )
            until(lambda: puller.execute("query-jobs")[0]["status"] == "pending")
            yield look(folder)
            puller.execute("job-finalize", id="j")
            until(lambda: puller.execute("query-jobs")[0]["status"] == "concluded")
            yield look(folder)
    finally:
        child.terminate()
        child.wait(SECONDS)


def look(folder):
    """The text, the drawing and the graph, without what differs from run to run."""
    found = []
    for kind in ("--once", "--dot", "--svg"):
        text = show(folder / "look.sock", kind, COLUMNS="300").stdout
        assert text
        text = re.sub(r"#block\d+", "#block000", text.replace(str(folder), ""))
        found.append(re.sub(r"\bn\d+\b", "n", text))
    return found


@pytest.mark.oracle
@pytest.mark.skipif(not real_is_installed(), reason="QEMU is not installed")
def test_the_pictures_are_the_same(tmp_path):
    of_qmpd, of_qemu = tmp_path / "qmpd-1", tmp_path / "QEMU-1"  # of the same length
    of_qmpd.mkdir()
    of_qemu.mkdir()
    ours, theirs = list(pictures_of("qmpd", of_qmpd)), list(pictures_of("QEMU", of_qemu))
    assert len(ours) == 3
    assert ours == theirs
