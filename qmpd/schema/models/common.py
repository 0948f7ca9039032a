"""Enums that several groups of commands share."""

from qmpd.schema.models.kinds import Choice


class OnOffAuto(Choice):
    """A switch that the program may set by itself."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class BlockdevDetectZeroesOptions(Choice):
    """What becomes of writes that contain only zeroes."""

    OFF = "off"
    ON = "on"
    UNMAP = "unmap"


class BlockDeviceIoStatus(Choice):
    """Whether I/O has failed lately, and how."""

    OK = "ok"
    FAILED = "failed"
    NOSPACE = "nospace"


class BlockPermission(Choice):
    """Permissions."""

    CONSISTENT_READ = "consistent-read"
    WRITE = "write"
    WRITE_UNCHANGED = "write-unchanged"
    RESIZE = "resize"


class JobType(Choice):
    """Kinds of background jobs."""

    COMMIT = "commit"
    STREAM = "stream"
    MIRROR = "mirror"
    BACKUP = "backup"
    CREATE = "create"
    AMEND = "amend"
    SNAPSHOT_LOAD = "snapshot-load"
    SNAPSHOT_SAVE = "snapshot-save"
    SNAPSHOT_DELETE = "snapshot-delete"


class JobStatus(Choice):
    """The states of a job's life."""

    UNDEFINED = "undefined"
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    READY = "ready"
    STANDBY = "standby"
    WAITING = "waiting"
    PENDING = "pending"
    ABORTING = "aborting"
    CONCLUDED = "concluded"
    NULL = "null"
