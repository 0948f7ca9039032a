"""Every test of this room runs on both event loops."""

import pytest

from tests.monitor.daemon import Daemon


@pytest.fixture(params=["uvloop", "asyncio"])
def start(request, tmp_path):
    """Start a daemon; whatever is still running at the end is killed."""
    started = []

    def begin(*words, **keywords):
        daemon = Daemon(*words, directory=tmp_path, loop=request.param, **keywords)
        started.append(daemon)
        return daemon

    yield begin
    for daemon in started:
        daemon.close()
