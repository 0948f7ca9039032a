"""The lab: levers that a test pulls over the socket. They exist only with ``--lab``."""

from typing import Any

from qmpd.schema.models.common import JobStatus
from qmpd.schema.models.kinds import LAB, Choice, Command, Int, Opt, Struct


class QmpdHold(Struct):
    """Stop a job before a transition."""

    job: str
    """The job's identifier; it need not exist yet; ``*`` is any job."""
    before: JobStatus
    """The state that the job is not to reach."""


class QmpdJob(Struct):
    """The job that a lever is about."""

    job: str
    """The job's identifier; ``*`` is any job."""


class QmpdProgression(Choice):
    """How a job moves from chunk to chunk."""

    IMMEDIATE = "immediate"
    TIMED = "timed"
    STEPPED = "stepped"
    HELD = "held"


class QmpdProgress(Struct):
    """Say how a job moves from chunk to chunk."""

    job: str
    """The job's identifier; it need not exist yet; ``*`` is any job."""
    mode: QmpdProgression
    """At full speed, with a pause between chunks, one chunk a step, or not at all."""
    delay_ms: Opt[Int] = None
    """Milliseconds between chunks, for ``timed``."""


class QmpdStep(Struct):
    """Let a job do some chunks of 512 KiB."""

    job: str
    """The job's identifier."""
    count: Opt[Int] = None
    """How many chunks; 1 when absent."""


class QmpdAccess(Choice):
    """A kind of access to an image."""

    READ = "read"
    WRITE = "write"


class QmpdDeny(Struct):
    """Refuse to open an image, with EACCES, as a security label would."""

    path: str
    """The image's file name."""
    access: Opt[QmpdAccess] = None
    """``write`` when absent; ``read`` refuses every open."""
    from_open: Opt[Int] = None
    """Begin with that many-th open that asks for the access, counted from 1, from now on."""


class QmpdAllow(Struct):
    """Take back what was refused."""

    path: str
    """The image's file name."""


class QmpdOperation(Choice):
    """What an I/O fault strikes."""

    READ = "read"
    WRITE = "write"
    FLUSH = "flush"
    OPEN = "open"
    TRUNCATE = "truncate"


class QmpdFault(Struct):
    """Let I/O fail, or take its time."""

    operation: QmpdOperation
    """What is to fail."""
    node: Opt[str] = None
    """The node; any when absent. Offsets count as the node does."""
    path: Opt[str] = None
    """The file's name; any when absent. The one to use with ``open``."""
    errno: Opt[str] = None
    """The error's name, such as ``ENOSPC``; ``EIO`` when absent, ``0`` only delays."""
    offset: Opt[Int] = None
    """Where the range begins, in bytes."""
    length: Opt[Int] = None
    """How many bytes the range has; up to the end when absent."""
    count: Opt[Int] = None
    """How many times; 0, also when absent, is for ever."""
    delay_ms: Opt[Int] = None
    """Milliseconds that the operation takes before it fails or goes on."""


class QmpdFaultId(Struct):
    """A fault by its number."""

    id: Int
    """The number."""


class QmpdFaultClear(Struct):
    """Remove faults."""

    id: Opt[Int] = None
    """Which one; all when absent."""


class QmpdDie(Struct):
    """End the daemon without a word."""

    job: Opt[str] = None
    """When this job reaches a state; at once when absent."""
    at: Opt[JobStatus] = None
    """That state; its event is the last thing that clients see."""


class QmpdLine(Choice):
    """A kind of line on the wire."""

    GREETING = "greeting"
    REPLY = "reply"
    EVENT = "event"


class QmpdTampering(Choice):
    """What happens to a line on the wire."""

    DELAY = "delay"
    SPLIT = "split"
    DROP = "drop"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    STALE_ID = "stale-id"
    HANG_UP = "hang-up"
    SILENCE = "silence"


class QmpdWire(Struct):
    """Tamper with lines to clients; monitors on which lab commands were sent are spared."""

    what: QmpdLine
    """Which lines."""
    action: QmpdTampering
    """What happens to them."""
    name: Opt[str] = None
    """Only those of this command or event."""
    count: Opt[Int] = None
    """How many times; 1 when absent, 0 is for ever."""
    delay_ms: Opt[Int] = None
    """Milliseconds, for ``delay`` and ``split``."""


class QmpdClockMode(Choice):
    """Which time the daemon lives in."""

    REAL = "real"
    STEPPED = "stepped"


class QmpdClock(Struct):
    """Choose the clock; a stepped one stands still."""

    mode: QmpdClockMode
    """Which clock."""
    start: Opt[Int] = None
    """Seconds since the epoch at which a stepped clock starts."""


class QmpdSeed(Struct):
    """Decide what is free to choose: the digits of the node names that are generated."""

    seed: Int
    """The same number gives the same names."""


class QmpdAdvance(Struct):
    """Move the stepped clock."""

    ms: Int
    """By how many milliseconds."""


class QmpdJournal(Struct):
    """Ask for what happened."""

    since: Opt[Int] = None
    """Only entries behind this number."""
    kinds: Opt[list[str]] = None
    """Only entries of these kinds."""


class QmpdEntry(Struct):
    """One thing that happened."""

    serial: Int
    """Its number."""
    wall: Int
    """Nanoseconds since the epoch."""
    kind: str
    """Such as ``request``, ``reply``, ``event``, ``transition``, ``open``, ``lock``, ``lever``."""
    data: Any
    """The details."""


class QmpdJobState(Struct):
    """Where a job stands, as levers see it."""

    job: str
    """The job's identifier."""
    status: JobStatus
    """Its state."""
    before: Opt[JobStatus] = None
    """The state before which a lever holds it."""


class QmpdFile(Struct):
    """A file node's descriptor."""

    node_name: str
    """The node."""
    path: str
    """The file's name."""
    access: str
    """``r`` or ``rw``: how the descriptor is open now."""
    locks: list[Int]
    """The bytes of the image locking protocol that it holds."""


def _lever(name: str, arguments: type[Struct] | None = None, returns: Any = None) -> Command:
    return Command(f"x-qmpd-{name}", arguments, returns, programs=frozenset({LAB}))


LEVERS = (
    _lever("hold", QmpdHold),
    _lever("release", QmpdJob),
    _lever("progress", QmpdProgress),
    _lever("step", QmpdStep),
    _lever("deny", QmpdDeny),
    _lever("allow", QmpdAllow),
    _lever("fault", QmpdFault, QmpdFaultId),
    _lever("fault-clear", QmpdFaultClear),
    _lever("die", QmpdDie),
    _lever("wire", QmpdWire),
    _lever("wire-clear"),
    _lever("clock", QmpdClock),
    _lever("advance", QmpdAdvance),
    _lever("seed", QmpdSeed),
    _lever("journal", QmpdJournal, list[QmpdEntry]),
    _lever("jobs", None, list[QmpdJobState]),
    _lever("files", None, list[QmpdFile]),
)
