"""Pytest fixtures: the same test on the real QEMU and on qmpd.

Name this module in a conftest's ``pytest_plugins``. A test that asks for `server`,
`start_server` or `side` runs twice, as ``[real]`` (marked ``oracle``) and ``[qmpd]``.

Markers:

- ``only_real(reason)``, ``only_qmpd(reason)``: a documented divergence; the test is
  made for one side only.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from qmpd.testing.oracle.server import Server
from qmpd.testing.oracle.start import Ended, Program, Side, real_is_installed, run_to_end

if TYPE_CHECKING:
    from collections.abc import Iterator

_ONLY = {"only_real": Side.REAL, "only_qmpd": Side.QMPD}


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    for marker, side in _ONLY.items():
        config.addinivalue_line(
            "markers", f"{marker}(reason): a documented divergence, run on {side} only"
        )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test for each side, or for the only one that its marker names."""
    if "side" not in metafunc.fixturenames:
        return
    only = [side for marker, side in _ONLY.items() if _reason(metafunc, marker)]
    marks = {
        Side.REAL: [
            pytest.mark.oracle,
            pytest.mark.skipif(not real_is_installed(), reason="QEMU is not installed"),
        ]
    }
    sides = [pytest.param(side, id=side, marks=marks.get(side, ())) for side in only or Side]
    metafunc.parametrize("side", sides)


def _reason(metafunc: pytest.Metafunc, name: str) -> str | None:
    marker = metafunc.definition.get_closest_marker(name)
    if marker is None:
        return None
    reason = marker.args[0] if marker.args else marker.kwargs.get("reason")
    if not isinstance(reason, str):
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: {name} needs a reason")
    return reason


class Start:
    """Starts servers of one side for a test; they all share one directory.

    Attributes:
        dir: their working directory, where the test puts its images.
        side: who is started.
    """

    def __init__(self, side: Side, root: Path, stack: ExitStack) -> None:
        """Make the directory below `root`; servers go onto `stack`."""
        self.side = side
        self.dir = root / "images"
        self.dir.mkdir()
        self._root = root
        self._stack = stack
        self._count = 0

    def __call__(
        self, *arguments: str, program: Program = Program.STORAGE_DAEMON, **options: Any
    ) -> Server:
        """Start a server with these command-line words.

        Args:
            arguments: beyond the monitor's; ``{dir}`` stands for the directory.
            program: what is started or played.
            options: ``monitors``, ``negotiate``, ``unprivileged`` of `Server`.

        Raises:
            StartError: it ended instead of greeting.
        """
        self._count += 1
        control = self._root / f"control{self._count}"
        control.mkdir()
        server = Server(self.side, self.dir, control, arguments, program=program, **options)
        return self._stack.enter_context(server)

    def refused(self, *arguments: str, program: Program = Program.STORAGE_DAEMON) -> Ended:
        """Run a program whose command line is bad and return how it ended."""
        return run_to_end(self.side, program, arguments, self.dir)


@pytest.fixture
def start_server(side: Side) -> Iterator[Start]:
    """Yield a `Start`: begins as many servers as the test needs, ends them after it."""
    with ExitStack() as stack:
        root = Path(tempfile.mkdtemp(prefix="qmpd-oracle-"))
        stack.callback(shutil.rmtree, root)
        yield Start(side, root, stack)


@pytest.fixture
def server(start_server: Start) -> Server:
    """Return a storage daemon in command mode, without any node, in an empty directory."""
    return start_server()
