"""Every test of this room runs on both event loops, and on what serves before there is one."""

import pytest

from tests.monitor.daemon import Daemon


def _loop(name):
    return None if name == "none" else name


@pytest.fixture(params=["uvloop", "asyncio", "none"])
def start(request, tmp_path):
    """Start a daemon; whatever is still running at the end is killed."""
    started = []

    def begin(*words, **keywords):
        daemon = Daemon(*words, directory=tmp_path, loop=_loop(request.param), **keywords)
        started.append(daemon)
        return daemon

    yield begin
    for daemon in started:
        daemon.close()
