"""What other versions of QEMU did differently: one row for each difference.

A row says in which versions something holds, what it is about, and how a client notices.
:mod:`qmpd.lab.profile` plays the rows; ``docs/profiles.md`` shows them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    Version = tuple[int, int, int]

COMMAND = "command"
"""``subject`` is a command that exists only in these versions."""
ARGUMENT = "argument"
"""``subject`` is ``COMMAND MEMBER``; for ``blockdev-add`` the member is ``DRIVER.MEMBER``."""
VALUE = "value"
"""The same with ``=VALUE`` behind it: one value of an enumeration."""
REPLY = "reply"
"""``subject`` is ``COMMAND MEMBER``: a member of what the command returns, at any depth."""
EVENT = "event"
"""``subject`` is ``EVENT MEMBER``: a member of the event's data."""
SCHEMA = "schema"
"""``subject`` is something that ``query-qmp-schema`` tells."""
BEHAVIOUR = "behaviour"
"""``subject`` is a flag of :class:`qmpd.lab.profile.Profile`."""

DOCUMENTED = "QEMU's QMP reference"
RECORDED = "query-commands of 3.1 and 4.0 as published by libvirt"
REPORTED = "report of 11 March 2019 and the mails that followed"
OBSERVED = "observed on QEMU 7.2"

FIRST: Version = (0, 0, 0)
LAST: Version = (99, 0, 0)


class Row:
    """One difference, in force from version ``since`` up to, but not with, ``until``."""

    __slots__ = ("kind", "only", "shows", "since", "source", "subject", "until")

    def __init__(
        self,
        kind: str,
        subject: str,
        *,
        shows: str,
        source: str = DOCUMENTED,
        since: str = "",
        until: str = "",
        only: str = "",
    ) -> None:
        self.kind = kind
        self.subject = subject
        self.since = version(since) if since else FIRST
        self.until = version(until) if until else LAST
        self.only = only
        """Name of the one profile that the row is about."""
        self.shows = shows
        self.source = source

    def holds(self, when: Version, profile: str) -> bool:
        """Whether the row is in force for a profile that plays version ``when``."""
        return self.since <= when < self.until and self.only in ("", profile)


def version(text: str) -> Version:
    """Read ``4.0`` or ``7.2.9``."""
    major, minor, micro = (*map(int, text.split(".")), 0, 0)[:3]
    return major, minor, micro


_REFUSED = "`CommandNotFound`; missing in `query-commands` and `query-qmp-schema`"
_UNEXPECTED = "`Parameter '…' is unexpected`; missing in `query-qmp-schema`"
_MISSING = "the member is missing, in `query-qmp-schema` too"

ROWS: tuple[Row, ...] = (
    Row(COMMAND, "blockdev-reopen", since="6.1", shows=_REFUSED),
    Row(
        COMMAND,
        "x-blockdev-reopen",
        since="4.0",
        until="6.1",
        shows="takes the options of one node, without a list around them",
        source=RECORDED,
    ),
    Row(COMMAND, "x-debug-query-block-graph", since="4.0", shows=_REFUSED, source=RECORDED),
    *(
        Row(COMMAND, f"block-dirty-bitmap-{verb}", since="4.0", shows=_REFUSED)
        for verb in ("enable", "disable", "merge")
    ),
    Row(ARGUMENT, "block-dirty-bitmap-add disabled", since="4.0", shows=_UNEXPECTED),
    *(
        Row(COMMAND, command, since="5.2", shows=_REFUSED)
        for command in ("block-export-add", "block-export-del", "query-block-exports")
    ),
    Row(ARGUMENT, "nbd-server-start max-connections", since="5.2", shows=_UNEXPECTED),
    Row(ARGUMENT, "nbd-server-start tls-authz", since="4.0", shows=_UNEXPECTED),
    Row(ARGUMENT, "nbd-server-add description", since="5.0", shows=_UNEXPECTED),
    Row(ARGUMENT, "nbd-server-add bitmap", since="4.0", shows=_UNEXPECTED),
    Row(ARGUMENT, "blockdev-change-medium force", since="7.1", shows=_UNEXPECTED),
    Row(ARGUMENT, "query-named-block-nodes flat", since="5.0", shows=_UNEXPECTED),
    Row(ARGUMENT, "block-commit on-error", since="5.0", shows=_UNEXPECTED),
    Row(ARGUMENT, "block-stream bottom", since="6.0", shows=_UNEXPECTED),
    Row(ARGUMENT, "block-stream filter-node-name", since="6.0", shows=_UNEXPECTED),
    Row(ARGUMENT, "blockdev-add file.aio-max-batch", since="6.2", shows=_UNEXPECTED),
    Row(ARGUMENT, "blockdev-add file.drop-cache", since="4.0", shows=_UNEXPECTED),
    Row(ARGUMENT, "blockdev-add null-aio.read-zeroes", since="4.1", shows=_UNEXPECTED),
    Row(ARGUMENT, "blockdev-add null-co.read-zeroes", since="4.1", shows=_UNEXPECTED),
    Row(ARGUMENT, "blockdev-add qcow2.data-file", since="4.0", shows=_UNEXPECTED),
    Row(ARGUMENT, "blockdev-add copy-on-read.bottom", since="6.0", shows=_UNEXPECTED),
    Row(VALUE, "blockdev-add compress.driver=compress", since="4.2", shows="the value is refused"),
    Row(VALUE, "drive-mirror sync=bitmap", since="4.2", shows="the value is refused"),
    Row(VALUE, "blockdev-mirror sync=bitmap", since="4.2", shows="the value is refused"),
    Row(VALUE, "blockdev-add file.aio=io_uring", since="5.0", shows="the value is refused"),
    *(
        Row(REPLY, f"{command} {member}", since=since, shows=_MISSING)
        for command in ("query-block", "query-named-block-nodes")
        for member, since in (("compression-type", "5.1"), ("extended-l2", "5.2"))
    ),
    *(
        Row(REPLY, f"query-blockstats {member}", since="4.2", shows=_MISSING)
        for member in (
            "unmap_bytes",
            "unmap_operations",
            "unmap_total_time_ns",
            "unmap_merged",
            "failed_unmap_operations",
            "invalid_unmap_operations",
            "driver-specific",
        )
    ),
    Row(EVENT, "SHUTDOWN reason", since="4.0", shows=_MISSING),
    Row(
        SCHEMA,
        "features",
        since="4.1",
        shows="no entry has features; the first was `dynamic-auto-read-only` of the driver `file`",
    ),
    Row(SCHEMA, "members of enumerations", since="6.2", shows="enumerations have `values` only"),
    Row(
        BEHAVIOUR,
        "object_props",
        until="5.0",
        shows="`object-add` takes the properties in a member `props`",
    ),
    Row(
        BEHAVIOUR,
        "static_auto_read_only",
        until="4.0",
        source=REPORTED,
        shows="an auto-read-only file is opened for writing at once and stays so; "
        "on EACCES or EROFS the node is read-only for good",
    ),
    Row(
        BEHAVIOUR,
        "nested_update_aborts",
        only="founding",
        source=REPORTED,
        shows="the daemon dies after `pending` when an intermediate commit is finalized whose "
        "overlay has to be reopened for writing while the base's file is auto-read-only",
    ),
    Row(
        BEHAVIOUR,
        "graph_mod",
        until="7.0",
        source=REPORTED,
        shows="a fifth permission, `graph-mod`, that every edge of an intermediate commit shares "
        "except those of the job to intermediate nodes",
    ),
    Row(
        BEHAVIOUR,
        "reply_first",
        until="7.2.9",
        source=OBSERVED,
        shows="a reply comes before the events of what its command has set off, "
        "such as `SHUTDOWN` after `quit`",
    ),
)
