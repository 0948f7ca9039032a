"""The oracle: the same script on a real QEMU 7.2 and on qmpd, byte by byte.

Three ways to use it:

- ``compare(script, images)`` runs a script on both in lock-step and stops at the
  first difference, with a report that says where;
- the fixtures of `qmpd.testing.oracle.plugin` run an ordinary test on either;
- `Server` starts one side alone.

The environment variable ``QMPD_ORACLE_SIDES=real,real`` lets `compare` run the real
program against itself, which shows that a script is deterministic.
"""

from qmpd.testing.oracle.compare import Transcript, compare
from qmpd.testing.oracle.connection import Connection
from qmpd.testing.oracle.descriptors import Descriptor
from qmpd.testing.oracle.graph import Edge
from qmpd.testing.oracle.images import MIB, chain, image, info, qemu_img
from qmpd.testing.oracle.normalise import normalise
from qmpd.testing.oracle.report import Difference, first_difference
from qmpd.testing.oracle.script import (
    ScriptError,
    Step,
    on_host,
    raw,
    reconnect,
    refused,
    show_descriptors,
    show_graph,
    wait_event,
    wait_job,
    wait_progress,
)
from qmpd.testing.oracle.server import CommandError, Server, ServerGoneError, call
from qmpd.testing.oracle.start import Ended, Program, Side, StartError, run_to_end

__all__ = [
    "MIB",
    "CommandError",
    "Connection",
    "Descriptor",
    "Difference",
    "Edge",
    "Ended",
    "Program",
    "ScriptError",
    "Server",
    "ServerGoneError",
    "Side",
    "StartError",
    "Step",
    "Transcript",
    "call",
    "chain",
    "compare",
    "first_difference",
    "image",
    "info",
    "normalise",
    "on_host",
    "qemu_img",
    "raw",
    "reconnect",
    "refused",
    "run_to_end",
    "show_descriptors",
    "show_graph",
    "wait_event",
    "wait_job",
    "wait_progress",
]
