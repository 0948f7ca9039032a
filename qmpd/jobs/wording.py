"""Every sentence about jobs that a client can see (texts observed on QEMU 7.2)."""

from __future__ import annotations

JOB_NOT_FOUND = "Job not found"
ALREADY_PAUSED = "Job is already paused"
NOT_PAUSED = "Can't resume a job that was not paused"
SPEED_NEGATIVE = "Parameter 'speed' expects a non-negative value"
NEED_ROOT_NODE = "Need a root block node"
TOP_BOTH = "'top-node' and 'top' are mutually exclusive"
BASE_BOTH = "'base-node' and 'base' are mutually exclusive"
INTO_ITSELF = "cannot commit an image into itself"
SAME_FILES = "Invalid files for merge: top and base are the same"
MIRROR_INTO_ITSELF = "Can't mirror node into itself"
MIRROR_TO_FILTER = "Cannot mirror to a filter on top of a node in the source's backing chain"
DIFFERENT_SIZES = "Source and target image have different sizes"
GRANULARITY_RANGE = "Parameter 'granularity' expects a value in range [512B, 64MB]"
GRANULARITY_POWER = "Parameter 'granularity' expects a power of 2"
REPLACES_WITHOUT_NAME = "a node-name must be provided when replacing a named node of the graph"
BUFFER_SIZE = "Invalid parameter 'buf-size'"
REPLACEMENT_IN_USE = "block device is in use by block-job-complete"
NO_BASE = "There is no backimg image"
ASSERTION = "block/file-posix.c:2715: raw_check_perm: Assertion `!s->perm_change_fd' failed."
BACKING_FILE_WITHOUT_BASE = "backing file specified, but streaming the entire chain"
BACKING_FILE_WITH_ACTIVE = "'backing-file' specified, but 'top' is the active layer"
BACKING_FILE_WITH_WRITER = "'backing-file' specified, but 'top' has a writer on it"


def refused_verb(job: str, status: str, verb: str) -> str:
    """The job's state does not allow the verb."""
    return f"Job '{job}' in state '{status}' cannot accept command verb '{verb}'"


def block_job_not_found(job: str) -> str:
    """No block job has that id."""
    return f"Block job '{job}' not found"


def paused(job: str) -> str:
    """A soft cancel is refused while the user has paused the job."""
    return f"The block job for device '{job}' is currently paused"


def cannot_complete(job: str) -> str:
    """The job has no manual completion, or was cancelled."""
    return f"The active block job '{job}' cannot be completed"


def invalid_id(job: str) -> str:
    """The id breaks the rules for identifiers."""
    return f"Invalid job ID '{job}'"


def id_in_use(job: str) -> str:
    """The id is taken until the job is dismissed."""
    return f"Job ID '{job}' already in use"


def device_not_found(device: str) -> str:
    """The device of a job command is neither a drive nor a node."""
    return f"Device '{device}' not found"


def not_in_chain(node: str) -> str:
    """A node is not below the device."""
    return f"'{node}' is not in this backing file chain"


def top_file_not_found(name: str) -> str:
    """No layer has that file name."""
    return f"Top image file {name} not found"


def base_file_not_found(name: str) -> str:
    """No layer below the top has that file name."""
    return f"Can't find '{name}' in the backing chain"


def not_in_backing_chain(node: str, top: str) -> str:
    """Between the base of a stream and its device there are only filters."""
    return f"'{node}' is not in the backing chain of '{top}'"


def not_below(node: str, top: str) -> str:
    """The base of a stream is not in the chain below the device."""
    return f"Node '{node}' is not a backing image of '{top}'"


def not_in_chain_from(node: str, top: str) -> str:
    """The bottom of a stream is not in the device's chain."""
    return f"Node '{node}' is not in a chain starting from '{top}'"


def filter_as_bottom(node: str) -> str:
    """The bottom of a stream has to be an image."""
    return f"Node '{node}' is a filter, use a non-filter node as 'bottom'"


def both_given(one: str, other: str) -> str:
    """Two options that exclude each other."""
    return f"'{one}' and '{other}' cannot be specified at the same time"


def could_not_create_node(reason: str) -> str:
    """A stream's filter could not be made."""
    return f"Could not create node: {reason}"


def cannot_freeze(link: str, child: str) -> str:
    """A link leads to a node that another job takes away at its end."""
    return f"Cannot freeze '{link}' link to '{child}'"


def backing_link(reason: str) -> str:
    """The overlay's header could not be rewritten."""
    return f"Could not update backing file link: {reason}"


def sync_not_supported(mode: str) -> str:
    """A mirror has no bitmap of the user's."""
    return f"Sync mode '{mode}' not supported"


def cannot_replace(node: str, source: str) -> str:
    """The target of a mirror cannot take that node's place."""
    return (
        f"Cannot replace '{node}' by a node mirrored from '{source}', because it cannot be "
        "guaranteed that doing so would not lead to an abrupt change of visible data"
    )


def replacement_gone(node: str) -> str:
    """The node whose place the target is to take is no longer there."""
    return f"Node name '{node}' not found"
