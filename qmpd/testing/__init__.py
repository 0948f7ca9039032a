"""What authors of tests import: daemons for tests, levers, expectations, clients.

With pytest the fixtures ``qmpd``, ``qmpd_thread`` and ``qmpd_process`` are there without
any import; the classes here do the same elsewhere. ``docs/testing.md`` shows how.
Names are imported at first use, since every pytest session loads the plugin next door.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qmpd.lab.journal import Entry
    from qmpd.testing.async_client import AsyncClient
    from qmpd.testing.client import Client
    from qmpd.testing.expect import ExpectationError
    from qmpd.testing.images import Chain, Layer
    from qmpd.testing.inbox import CommandError, DaemonGoneError
    from qmpd.testing.inloop import QmpdInLoop
    from qmpd.testing.process import QmpdProcess, StartError
    from qmpd.testing.pulls import JobEndedError, JobState, OpenFile
    from qmpd.testing.settings import Settings
    from qmpd.testing.thread import QmpdThread

_HOMES = {
    "AsyncClient": "qmpd.testing.async_client",
    "Chain": "qmpd.testing.images",
    "Client": "qmpd.testing.client",
    "CommandError": "qmpd.testing.inbox",
    "DaemonGoneError": "qmpd.testing.inbox",
    "Entry": "qmpd.lab.journal",
    "ExpectationError": "qmpd.testing.expect",
    "JobEndedError": "qmpd.testing.pulls",
    "JobState": "qmpd.testing.pulls",
    "Layer": "qmpd.testing.images",
    "OpenFile": "qmpd.testing.pulls",
    "QmpdInLoop": "qmpd.testing.inloop",
    "QmpdProcess": "qmpd.testing.process",
    "QmpdThread": "qmpd.testing.thread",
    "Settings": "qmpd.testing.settings",
    "StartError": "qmpd.testing.process",
}

__all__ = [
    "AsyncClient",
    "Chain",
    "Client",
    "CommandError",
    "DaemonGoneError",
    "Entry",
    "ExpectationError",
    "JobEndedError",
    "JobState",
    "Layer",
    "OpenFile",
    "QmpdInLoop",
    "QmpdProcess",
    "QmpdThread",
    "Settings",
    "StartError",
]


def __getattr__(name: str) -> object:
    """Import what is asked for."""
    from importlib import import_module

    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
