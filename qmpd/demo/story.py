"""What happens in the demonstration, and what has to come of it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qmpd.demo import report
from qmpd.demo.client import Client, ConversationError, Line
from qmpd.demo.daemon import PATIENCE, Daemon
from qmpd.demo.observe import Snapshot, look

if TYPE_CHECKING:
    from collections.abc import Iterator

NEGOTIATE = {"execute": "qmp_capabilities", "id": "libvirt-1"}
DISMISS = {"execute": "job-dismiss", "arguments": {"id": report.JOB}, "id": "libvirt-20"}
QUIT = {"execute": "quit", "id": "libvirt-21"}

OVERLAY, TOP, BASE = "libvirt-9", "libvirt-10", "libvirt-12"

# What the commit has to bring, in this order; R is the reply.
EVENTS = ("created", "running", "R", "waiting", "pending", "BLOCK_JOB_COMPLETED", "concluded")
READ_ONLY, WRITABLE = "O_RDONLY", "O_RDWR"
MODES = {
    # layer: before, while pending, after
    "libvirt-2": (WRITABLE, WRITABLE, WRITABLE),
    "libvirt-9": (READ_ONLY, READ_ONLY, READ_ONLY),
    "libvirt-10": (READ_ONLY, READ_ONLY, READ_ONLY),
    "libvirt-11": (READ_ONLY, READ_ONLY, READ_ONLY),
    "libvirt-12": (READ_ONLY, WRITABLE, READ_ONLY),
}
MOMENTS = ("before", "while pending", "after")
CHAIN_BEFORE = tuple(report.LAYERS)
CHAIN_AFTER = ("libvirt-2", OVERLAY, BASE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was said and seen. ``snapshots`` are those of `MOMENTS`."""

    pid: int
    log: list[Line]
    snapshots: tuple[Snapshot, Snapshot, Snapshot]
    status: int


def tell() -> Outcome:
    """Have the report's conversation, and a second one that stops to look while pending.

    Raises:
        DaemonError, ConversationError: something did not even come to its end.
    """
    pending = _stop_at_pending()
    start = time.monotonic()
    with _conversation(start) as (daemon, client):
        before = look(client, daemon.pid)
        client.execute(report.block_commit(auto_finalize=True))
        client.wait_status("concluded")
        client.execute(DISMISS)
        after = look(client, daemon.pid)
        client.execute(QUIT)
        return Outcome(daemon.pid, client.log, (before, pending, after), daemon.wait(PATIENCE))


def _stop_at_pending() -> Snapshot:
    with _conversation() as (daemon, client):
        client.execute(report.block_commit(auto_finalize=False))
        client.wait_status("pending")
        return look(client, daemon.pid)


@contextmanager
def _conversation(start: float | None = None) -> Iterator[tuple[Daemon, Client]]:
    """Start a daemon and negotiate; whatever goes wrong is told with the daemon's last words."""
    with Daemon() as daemon, Client(daemon.path, start) as client:
        try:
            client.read()
            client.execute(NEGOTIATE)
            yield daemon, client
        except ConversationError as error:
            raise ConversationError(f"{error}{daemon.last_words()}") from error


def commit_events(log: list[Line]) -> tuple[str, ...]:
    """Return what the commit brought, in the words of `EVENTS`."""
    found: list[str] = []
    for line in log:
        message = line.message
        if message.get("event") == "JOB_STATUS_CHANGE":
            found.append(message["data"]["status"])
        elif "event" in message:
            found.append(message["event"])
        elif "return" in message and message.get("id") == "libvirt-19":
            found.append("R")
        if "concluded" in found:
            break
    return tuple(found)


def differences(outcome: Outcome) -> Iterator[str]:
    """Yield a sentence for everything that is not as it should be."""
    before, pending, after = outcome.snapshots
    old, new = before.backing[OVERLAY], after.backing[OVERLAY]
    facts: list[tuple[str, object, object]] = [
        ("events of the commit", EVENTS, commit_events(outcome.log)),
        ("chain before", CHAIN_BEFORE, before.chain),
        ("chain after", CHAIN_AFTER, after.chain),
        ("backing file of the overlay before", report.LAYERS[TOP], old),
        ("backing file of the overlay after", report.LAYERS[BASE], new),
        ("exit status", 0, outcome.status),
    ]
    for layer, modes in MODES.items():
        opened = tuple(moment.storage[layer].mode for moment in (before, pending, after))
        facts.append((f"access modes of {layer}-storage", modes, opened))
    for what, expected, seen in facts:
        if seen != expected:
            yield f"{what}: expected {expected}, saw {seen}"
