"""The pytest plugin: fixtures that give a test its own daemon.

Fixtures: ``qmpd`` (in the test's own event loop), ``qmpd_thread`` (in a thread, for tests
without a loop), ``qmpd_process`` (as a process). Markers:

- ``qmpd(**settings)``: the settings of the daemon (:class:`qmpd.testing.Settings`);
- ``qmpd_relaxed``: check nothing at the end;
- ``qmpd_strict``: every request that nobody expects is a failure, even without expectations.

Every pytest session on a machine with qmpd loads this: it imports nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import pytest

try:
    from pytest_asyncio import fixture as async_fixture
except ImportError:  # other plugins for asynchronous tests take ordinary fixtures
    async_fixture = pytest.fixture  # type: ignore[assignment]  # the same as far as it is used here

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator

    from qmpd.testing.expect import Expecting
    from qmpd.testing.inloop import QmpdInLoop
    from qmpd.testing.process import QmpdProcess
    from qmpd.testing.settings import Settings
    from qmpd.testing.thread import QmpdThread

    _AnyDaemon = QmpdInLoop | QmpdThread | QmpdProcess

MARKERS = (
    "qmpd(**settings): how the daemon of the fixture is set up",
    "qmpd_relaxed: let the client send what it likes and leave jobs behind",
    "qmpd_strict: every request that nobody expects is a failure, even without expectations",
)
_Daemon = TypeVar("_Daemon", "QmpdThread", "QmpdProcess")
_failed = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether the test itself failed: then what it left behind is no news."""
    report = yield
    if report.when == "call":
        item.stash[_failed] = report.failed
    return report


def _settings(request: pytest.FixtureRequest) -> Settings:
    """What the markers say, the nearest last."""
    found: Settings = {}
    for marker in reversed(list(request.node.iter_markers("qmpd"))):
        found.update(marker.kwargs)
    return found


def _prepare(request: pytest.FixtureRequest, daemon: Expecting) -> None:
    daemon.relaxed = request.node.get_closest_marker("qmpd_relaxed") is not None
    if request.node.get_closest_marker("qmpd_strict") is not None:
        daemon.strict = True


def _verify(request: pytest.FixtureRequest, daemon: _AnyDaemon) -> None:
    """Check what happened, unless the test has failed by itself."""
    if request.node.stash.get(_failed, False):
        return
    complaint = ""
    try:
        daemon.verify()
    except AssertionError as error:
        complaint = str(error)
    if complaint:
        pytest.fail(complaint, pytrace=False)


def _running(request: pytest.FixtureRequest, daemon: _Daemon) -> Iterator[_Daemon]:
    _prepare(request, daemon)
    daemon.start()
    try:
        yield daemon
        _verify(request, daemon)
    finally:
        daemon.close()


@async_fixture
async def qmpd(request: pytest.FixtureRequest) -> AsyncIterator[QmpdInLoop]:
    """A daemon in the test's own event loop."""
    from qmpd.testing.inloop import QmpdInLoop

    daemon = QmpdInLoop(**_settings(request))
    _prepare(request, daemon)
    await daemon.start()
    try:
        yield daemon
        _verify(request, daemon)
    finally:
        await daemon.close()


@pytest.fixture
def qmpd_thread(request: pytest.FixtureRequest) -> Iterator[QmpdThread]:
    """A daemon in a thread of its own."""
    from qmpd.testing.thread import QmpdThread

    yield from _running(request, QmpdThread(**_settings(request)))


@pytest.fixture
def qmpd_process(request: pytest.FixtureRequest) -> Iterator[QmpdProcess]:
    """A daemon as a process."""
    from qmpd.testing.process import QmpdProcess

    yield from _running(request, QmpdProcess(**_settings(request)))
