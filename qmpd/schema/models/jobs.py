"""Background jobs: starting a commit, steering any job, the events of a job's life."""

from typing import Annotated

from qmpd.schema.models.common import BlockDeviceIoStatus, JobStatus, JobType
from qmpd.schema.models.kinds import DEPRECATED, Choice, Command, Event, Int, Opt, Struct, Uint32
from qmpd.schema.models.snapshots import NewImageMode


class BlockdevOnError(Choice):
    """What a job does about an I/O error."""

    REPORT = "report"
    IGNORE = "ignore"
    ENOSPC = "enospc"
    STOP = "stop"
    AUTO = "auto"


class BlockCommit(Struct):
    """Write the data of the layers between top and base into base, and drop those layers."""

    job_id: Opt[str] = None
    """Identifier of the job; the device's name when absent."""
    device: str
    """The root node or drive of the chain."""
    base_node: Opt[str] = None
    """Node that receives the data; the bottom of the chain when absent."""
    base: Opt[Annotated[str, DEPRECATED]] = None
    """The same by file name."""
    top_node: Opt[str] = None
    """The topmost node whose data is written down; the device when absent."""
    top: Opt[Annotated[str, DEPRECATED]] = None
    """The same by file name."""
    backing_file: Opt[str] = None
    """Backing string that the overlay of top gets in its header."""
    speed: Opt[Int] = None
    """Most bytes per second; 0 for no limit."""
    on_error: Opt[BlockdevOnError] = None
    """What to do about an I/O error."""
    filter_node_name: Opt[str] = None
    """Name of the filter node that the job puts above top."""
    auto_finalize: Opt[bool] = None
    """Whether the job finalizes by itself."""
    auto_dismiss: Opt[bool] = None
    """Whether the job vanishes by itself once concluded."""


class BlockStream(Struct):
    """Copy what lower layers hold into a node, which then does without those layers."""

    job_id: Opt[str] = None
    """Identifier of the job; the device's name when absent."""
    device: str
    """The node or drive that receives the data."""
    base: Opt[str] = None
    """File name of the layer below which nothing is copied; everything is when absent."""
    base_node: Opt[str] = None
    """The same by node name."""
    backing_file: Opt[str] = None
    """Backing string that the device gets in its header."""
    bottom: Opt[str] = None
    """The lowest node that is copied, in place of a base."""
    speed: Opt[Int] = None
    """Most bytes per second; 0 for no limit."""
    on_error: Opt[BlockdevOnError] = None
    """What to do about an I/O error."""
    filter_node_name: Opt[str] = None
    """Name of the filter node that the job puts above the device."""
    auto_finalize: Opt[bool] = None
    """Whether the job finalizes by itself."""
    auto_dismiss: Opt[bool] = None
    """Whether the job vanishes by itself once concluded."""


class MirrorSyncMode(Choice):
    """What of a node is copied."""

    TOP = "top"
    FULL = "full"
    NONE = "none"
    INCREMENTAL = "incremental"
    BITMAP = "bitmap"


class MirrorCopyMode(Choice):
    """When what guests write is copied."""

    BACKGROUND = "background"
    WRITE_BLOCKING = "write-blocking"


class DriveMirror(Struct):
    """Copy a node into an image that is made or opened for that."""

    job_id: Opt[str] = None
    """Identifier of the job; the device's name when absent."""
    device: str
    """The root node or drive that is copied."""
    target: str
    """Name of the image."""
    format: Opt[str] = None
    """Format of the image; the device's, or what the image shows, when absent."""
    node_name: Opt[str] = None
    """Name of the node that the image becomes."""
    replaces: Opt[str] = None
    """The node whose place the image takes; the device when absent."""
    sync: MirrorSyncMode
    """What is copied: all, the topmost image, or only what guests write from now on."""
    mode: Opt[NewImageMode] = None
    """Whether the image is made (when absent, too) or there already."""
    speed: Opt[Int] = None
    """Most bytes per second; 0 for no limit."""
    granularity: Opt[Uint32] = None
    """Bytes that are copied even if less was written; the image's clusters when absent."""
    buf_size: Opt[Int] = None
    """Bytes that are on their way at a time."""
    on_source_error: Opt[BlockdevOnError] = None
    """What to do about an error of reading."""
    on_target_error: Opt[BlockdevOnError] = None
    """What to do about an error of writing."""
    unmap: Opt[bool] = None
    """Whether zeros give back the image's space (when absent, too)."""
    copy_mode: Opt[MirrorCopyMode] = None
    """Whether guests' writes go to the image at once or later."""
    auto_finalize: Opt[bool] = None
    """Whether the job finalizes by itself."""
    auto_dismiss: Opt[bool] = None
    """Whether the job vanishes by itself once concluded."""


class BlockdevMirror(Struct):
    """Copy a node into another one, which takes its place when the job is completed."""

    job_id: Opt[str] = None
    """Identifier of the job; the device's name when absent."""
    device: str
    """The root node or drive that is copied."""
    target: str
    """The node that receives the data."""
    replaces: Opt[str] = None
    """The node whose place the target takes; the device when absent."""
    sync: MirrorSyncMode
    """What is copied: all, the topmost image, or only what guests write from now on."""
    speed: Opt[Int] = None
    """Most bytes per second; 0 for no limit."""
    granularity: Opt[Uint32] = None
    """Bytes that are copied even if less was written; the target's clusters when absent."""
    buf_size: Opt[Int] = None
    """Bytes that are on their way at a time."""
    on_source_error: Opt[BlockdevOnError] = None
    """What to do about an error of reading."""
    on_target_error: Opt[BlockdevOnError] = None
    """What to do about an error of writing."""
    filter_node_name: Opt[str] = None
    """Name of the filter node that the job puts above the device."""
    copy_mode: Opt[MirrorCopyMode] = None
    """Whether guests' writes go to the target at once or later."""
    auto_finalize: Opt[bool] = None
    """Whether the job finalizes by itself."""
    auto_dismiss: Opt[bool] = None
    """Whether the job vanishes by itself once concluded."""


class JobId(Struct):
    """The job that a verb is about."""

    id: str
    """The job's identifier."""


class BlockJobDevice(Struct):
    """The block job that a verb is about."""

    device: str
    """The job's identifier."""


class BlockJobSetSpeed(BlockJobDevice):
    """A new limit for a block job."""

    speed: Int
    """Most bytes per second; 0 for no limit."""


class BlockJobCancel(BlockJobDevice):
    """A block job to end early."""

    force: Opt[bool] = None
    """Whether a job that is ready is aborted instead of completed without pivot."""


class JobInfo(Struct):
    """A job as query-jobs shows it."""

    id: str
    """The job's identifier."""
    type: JobType
    """The kind of job."""
    status: JobStatus
    """The job's state."""
    current_progress: Int
    """Progress made, in a unit of the job's own."""
    total_progress: Int
    """Progress at which the job is done."""
    error: Opt[str] = None
    """Why the job failed, once it has."""


class BlockJobInfo(Struct):
    """A block job as query-block-jobs shows it."""

    type: str
    """The kind of job."""
    device: str
    """The job's identifier."""
    len: Int
    """Offset at which the job is done, in bytes."""
    offset: Int
    """Progress made, in bytes."""
    busy: bool
    """Whether the job is doing something right now."""
    paused: bool
    """Whether the job is paused or about to be."""
    speed: Int
    """Limit in bytes per second, 0 for none."""
    io_status: BlockDeviceIoStatus
    """Whether I/O has failed."""
    ready: bool
    """Whether the job can be completed."""
    status: JobStatus
    """The job's state."""
    auto_finalize: bool
    """Whether the job finalizes by itself."""
    auto_dismiss: bool
    """Whether the job vanishes by itself."""
    error: Opt[str] = None
    """Why the job failed, once it has."""


class JobStatusChange(Struct):
    """A job has entered a state."""

    id: str
    """The job's identifier."""
    status: JobStatus
    """The new state."""


class BlockJobProgress(Struct):
    """How far a block job had come at an event."""

    type: JobType
    """The kind of job."""
    device: str
    """The job's identifier."""
    len: Int
    """Offset at which the job is done, in bytes."""
    offset: Int
    """Progress made, in bytes."""
    speed: Int
    """Limit in bytes per second, 0 for none."""


class BlockJobCompleted(BlockJobProgress):
    """A block job has ended, well or not."""

    error: Opt[str] = None
    """Why the job failed, if it did."""


class BlockJobPending(Struct):
    """A block job waits for job-finalize."""

    type: JobType
    """The kind of job."""
    id: str
    """The job's identifier."""


class IoOperationType(Choice):
    """Directions of I/O."""

    READ = "read"
    WRITE = "write"


class BlockErrorAction(Choice):
    """What was done about an I/O error."""

    IGNORE = "ignore"
    REPORT = "report"
    STOP = "stop"


class BlockJobError(Struct):
    """A block job has met an I/O error."""

    device: str
    """The job's identifier."""
    operation: IoOperationType
    """Whether a read or a write failed."""
    action: BlockErrorAction
    """What the job does about it."""


# QAPI keeps one argument type for each command even where the members agree, so
# introspection shows distinct types; the models are therefore distinct classes too.
class JobPause(JobId):
    """A job to pause."""


class JobResume(JobId):
    """A job to resume."""


class JobCancel(JobId):
    """A job to abort."""


class JobComplete(JobId):
    """A ready job to complete."""


class JobDismiss(JobId):
    """A concluded job to forget."""


class JobFinalize(JobId):
    """A pending job to finalize."""


class BlockJobPause(BlockJobDevice):
    """A block job to pause."""


class BlockJobResume(BlockJobDevice):
    """A block job to resume."""


class BlockJobComplete(BlockJobDevice):
    """A ready block job to complete."""


class BlockJobDismiss(JobId):
    """A concluded block job to forget."""


class BlockJobFinalize(JobId):
    """A pending block job to finalize."""


class BlockJobCancelled(BlockJobProgress):
    """A block job was cancelled."""


class BlockJobReady(BlockJobProgress):
    """A block job can be completed."""


BLOCK_COMMIT = Command("block-commit", BlockCommit)
BLOCK_STREAM = Command("block-stream", BlockStream)
DRIVE_MIRROR = Command("drive-mirror", DriveMirror)
BLOCKDEV_MIRROR = Command("blockdev-mirror", BlockdevMirror)
QUERY_BLOCK_JOBS = Command("query-block-jobs", None, list[BlockJobInfo])

BLOCK_JOB_VERBS = (
    Command("block-job-set-speed", BlockJobSetSpeed),
    Command("block-job-cancel", BlockJobCancel),
    Command("block-job-pause", BlockJobPause),
    Command("block-job-resume", BlockJobResume),
    Command("block-job-complete", BlockJobComplete),
    Command("block-job-dismiss", BlockJobDismiss),
    Command("block-job-finalize", BlockJobFinalize),
)

BLOCK_JOB_EVENTS = (
    Event("BLOCK_JOB_COMPLETED", BlockJobCompleted),
    Event("BLOCK_JOB_CANCELLED", BlockJobCancelled),
    Event("BLOCK_JOB_ERROR", BlockJobError),
    Event("BLOCK_JOB_READY", BlockJobReady),
    Event("BLOCK_JOB_PENDING", BlockJobPending),
)

JOBS = (
    Event("JOB_STATUS_CHANGE", JobStatusChange),
    Command("job-pause", JobPause),
    Command("job-resume", JobResume),
    Command("job-cancel", JobCancel),
    Command("job-complete", JobComplete),
    Command("job-dismiss", JobDismiss),
    Command("job-finalize", JobFinalize),
    Command("query-jobs", None, list[JobInfo]),
)
