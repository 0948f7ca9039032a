"""The contract of QMP as pydantic models, and the one list of its commands and events.

``DEFINITIONS`` stands in the order in which QEMU registers them, which ``query-qmp-schema``
shows as it is and ``query-commands`` backwards.
"""

from qmpd.schema.models import (
    bitmaps,
    blockdev,
    control,
    exports,
    jobs,
    lab,
    media,
    objects,
    query,
    snapshots,
    stats,
)
from qmpd.schema.models.kinds import STORAGE_DAEMON, STRUCTS, Command, Event
from qmpd.schema.models.reference import BlockdevRef, BlockdevRefOrNull

DEFINITIONS: tuple[Command | Event, ...] = (
    *control.RUN_STATE,
    *media.MEDIA,
    query.QUERY_BLOCK,
    stats.QUERY_BLOCKSTATS,
    jobs.QUERY_BLOCK_JOBS,
    media.BLOCK_RESIZE,
    snapshots.BLOCKDEV_SNAPSHOT_SYNC,
    snapshots.BLOCKDEV_SNAPSHOT,
    snapshots.CHANGE_BACKING_FILE,
    jobs.BLOCK_COMMIT,
    query.QUERY_NAMED_BLOCK_NODES,
    query.X_DEBUG_QUERY_BLOCK_GRAPH,
    jobs.DRIVE_MIRROR,
    *bitmaps.BITMAPS,
    jobs.BLOCKDEV_MIRROR,
    jobs.BLOCK_STREAM,
    *jobs.BLOCK_JOB_VERBS,
    blockdev.BLOCKDEV_ADD,
    blockdev.BLOCKDEV_REOPEN,
    blockdev.BLOCKDEV_DEL,
    query.BLOCK_IMAGE_CORRUPTED,
    *jobs.BLOCK_JOB_EVENTS,
    blockdev.X_BLOCKDEV_SET_IOTHREAD,
    *jobs.JOBS,
    *exports.EXPORTS,
    snapshots.TRANSACTION,
    *control.CONTROL,
    *objects.OBJECTS,
    *control.DEVICES,
    *control.MISC,
    *lab.LEVERS,
)

# QEMU registers this one by hand, after all others.
_LAST = "device_add"
COMMANDS: dict[str, Command] = {
    d.name: d for d in sorted(DEFINITIONS, key=lambda d: d.name == _LAST) if isinstance(d, Command)
}
# The storage daemon has the module with this one behind all others.
LAST = {STORAGE_DAEMON: snapshots.TRANSACTION.name}
EVENTS: dict[str, Event] = {d.name: d for d in DEFINITIONS if isinstance(d, Event)}

# Types of command-line options that no command has.
OPTIONS = (control.MonitorOptions, exports.NbdServerOptions)

NAMESPACE: dict[str, object] = {
    **STRUCTS,
    "BlockdevRef": BlockdevRef,
    "BlockdevRefOrNull": BlockdevRefOrNull,
}

for _model in STRUCTS.values():
    _model.model_rebuild(_types_namespace=NAMESPACE)

__all__ = ["COMMANDS", "DEFINITIONS", "EVENTS", "LAST", "NAMESPACE", "OPTIONS"]
