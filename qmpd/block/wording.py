"""Every sentence of the block layer that a client can see (texts observed on QEMU 7.2)."""

from __future__ import annotations

from qmpd.schema.wording import SIZE_EXPECTED, wrong_value

FORCE_SHARE_WRITABLE = "force-share=on can only be used with read-only images"
DETECT_ZEROES_UNMAP = (
    "setting detect-zeroes to unmap is not allowed without setting discard operation to unmap"
)
READ_ONLY_NODE = "Block node is read-only"
UNALIGNED_SIZE = (
    "Cannot get 'write' permission without 'resize': "
    "Image size is not a multiple of request alignment"
)
ROOT_NEEDS_NAME = "'node-name' must be specified for the root node"
NODE_NAME_TOO_LONG = "Node name too long"
NODE_NAME_NOT_SPECIFIED = "node-name not specified"


def cannot_find(device: str, node_name: str) -> str:
    """A reference by name finds neither a device nor a node."""
    return f"Cannot find device='{device}' nor node-name='{node_name}'"


def cannot_find_reference(name: str) -> str:
    """The same for a child reference, which may be either."""
    return cannot_find(name, name)


def failed_to_find_node(name: str) -> str:
    """A command that takes only node names was given an unknown one."""
    return f"Failed to find node with node-name='{name}'"


def invalid_node_name(name: str) -> str:
    """The name breaks the rules for identifiers."""
    return f"Invalid node-name: '{name}'"


NO_BACKING_FILES = "Driver doesn't support backing files"
NO_DRIVER_NOR_FILE = "Must specify either driver or file"
NO_THROTTLE_GROUP = "Please specify a throttle group"


def no_child(name: str) -> str:
    """A child that the driver needs is missing."""
    return f'A block device must be specified for "{name}"'


def bad_json_name(reason: str) -> str:
    """A ``json:`` name that does not parse."""
    return f"Could not parse the JSON options: {reason}"


def name_of_a_drive(name: str) -> str:
    """A node cannot be called as a drive is."""
    return f"node-name={name} is conflicting with a device id"


def no_medium(drive: str) -> str:
    """A drive is empty."""
    return f"Device '{drive}' has no medium"


def drive_exists(name: str) -> str:
    """Two drives of one name."""
    return f"Device with id '{name}' already exists"


def drive_called_as_node(name: str) -> str:
    """A drive cannot be called as a node is."""
    return f"Device name '{name}' conflicts with an existing node name"


def duplicate_node_name(name: str) -> str:
    """The name is taken."""
    return f"Duplicate nodes with node-name='{name}'"


def could_not_open(filename: str, reason: str) -> str:
    """Opening failed with an errno."""
    return f"Could not open '{filename}': {reason}"


def could_not_open_backing(reason: str) -> str:
    """The backing file of a node could not be opened or referenced."""
    return f"Could not open backing file: {reason}"


def needs_filename(driver: str) -> str:
    """A protocol driver got an empty file name."""
    return f"The '{driver}' block driver requires a file name"


def not_regular(driver: str, filename: str) -> str:
    """The file driver was given something that is no regular file."""
    return f"'{driver}' driver requires '{filename}' to be a regular file"


def not_a_device(driver: str, filename: str) -> str:
    """The host_device driver was given a file."""
    return f"'{driver}' driver requires '{filename}' to be either a character or block device"


def no_throttle_group(name: str) -> str:
    """No throttle group has that name."""
    return f"Throttle group '{name}' does not exist"


def cannot_compress(driver: str) -> str:
    """The format below a compress filter has no compressed clusters."""
    return f"Compression is not supported for underlying format: {driver}"


def no_bottom(name: str) -> str:
    """The node up to which is to be copied does not exist."""
    return f"Bottom node '{name}' not found"


def bottom_is_filter(name: str) -> str:
    """The node up to which is to be copied holds no data of its own."""
    return f"Bottom node '{name}' is a filter"


def no_persistent_bitmaps(name: str) -> str:
    """A node's driver has no place for bitmaps."""
    return f"Can't store persistent bitmaps to {name}: Operation not supported"


def bitmap_not_persistent(bitmap: str, node: str, reason: str) -> str:
    """An image has no place for a bitmap."""
    return f"Can't make bitmap '{bitmap}' persistent in '{node}': {reason}"


def would_create_cycle(child: str, edge: str, parent: str) -> str:
    """The child already depends on the parent."""
    return f"Making '{child}' a {edge} child of '{parent}' would create a cycle"


def frozen_link(edge: str, parent: str, child: str) -> str:
    """A job needs this link as it is."""
    return f"Cannot change frozen '{edge}' link from '{parent}' to '{child}'"


def cannot_move_link(edge: str, child: str) -> str:
    """A filter is to be put into or taken out of a link that somebody needs as it is."""
    return f"Cannot change '{edge}' link to '{child}'"


def cannot_freeze_link(edge: str, parent: str, child: str) -> str:
    """Somebody else needs a link as it is already."""
    return f"Cannot change '{edge}' link from '{parent}' to '{child}'"


def implicit_child(edge: str, parent: str) -> str:
    """A filter that a job inserted cannot be replaced by hand."""
    return f"Cannot replace implicit {edge} child of {parent}"


def permission_conflict(
    node: str, permissions: str, needer: str, needer_edge: str, denier: str, denier_edge: str
) -> str:
    """Two parents of a node cannot live together."""
    return (
        f"Permission conflict on node '{node}': permissions '{permissions}' are both required by "
        f"{needer} (uses node '{node}' as '{needer_edge}' child) and unshared by "
        f"{denier} (uses node '{node}' as '{denier_edge}' child)."
    )


def read_only_with_writers(node: str) -> str:
    """A reopen would take away what writers need."""
    return f"Read-only block node '{node}' cannot support read-write users"


def lock_failed(byte: int) -> str:
    """A lock byte could not be taken."""
    return f"Failed to lock byte {byte}"


def lock_needed(permission: str) -> str:
    """Another process does not share what is needed."""
    return f'Failed to get "{permission}" lock'


def lock_shared(permission: str) -> str:
    """Another process uses what is not to be shared."""
    return f'Failed to get shared "{permission}" lock'


NO_DATA_FILE = "'data-file' can only be set for images with an external data file"


def who_uses(filename: str) -> str:
    """The hint below a lock that could not be had."""
    return f"Is another process using the image [{filename}]?"


CANNOT_RESIZE = "Image format driver does not support resize"
FIXED_SIZE = "Cannot resize fixed-size raw disks"


def could_not_resize(reason: str) -> str:
    """The host's file keeps its size."""
    return f"Could not resize file: {reason}"


def in_use(name: str) -> str:
    """Deletion: a device or a job's backend is on the node."""
    return f"Node {name} is in use"


def is_busy(name: str, reason: str) -> str:
    """An operation is blocked."""
    return f"Node '{name}' is busy: {reason}"


def used_as_backing(name: str) -> str:
    """The reason a backing node blocks operations."""
    return f"node is used as backing hd of '{name}'"


def used_by_job(kind: str) -> str:
    """The reason a job blocks operations on its nodes."""
    return f"block device is in use by block job: {kind}"


def not_monitor_owned(name: str) -> str:
    """Deletion: the node came with another one or with its image's header."""
    return f"Node {name} is not owned by the monitor"


def device_in_use(name: str) -> str:
    """Deletion: something still refers to the node."""
    return f"Block device {name} is in use"


def cannot_change_option(option: str) -> str:
    """Reopen: the option is fixed at open time."""
    return f"Cannot change the option '{option}'"


def cannot_reset_option(option: str) -> str:
    """Reopen: an option was left out that cannot go back to its default."""
    return f"Option '{option}' cannot be reset to its default value"


def backing_missing(name: str) -> str:
    """Reopen: the backing member must be repeated."""
    return f"backing is missing for '{name}'"


def no_reopen(driver: str, node: str) -> str:
    """Reopen: the driver cannot."""
    return f"Block format '{driver}' used by node '{node}' does not support reopening files"


def failed_to_prepare(filename: str) -> str:
    """Reopen: the driver cannot get ready and does not say why."""
    return f"failed while preparing to reopen image '{filename}'"


def flushing_failed(reason: str) -> str:
    """Reopen starts with a flush, which failed."""
    return f"Error flushing drive: {reason}"


def no_backing_support(driver: str, node: str) -> str:
    """The driver has no notion of a backing file."""
    return f"Driver '{driver}' of node '{node}' does not support backing files"


NO_FILE_CHILD = "Cannot set file child to format node without file child"


def unknown_driver(driver: str) -> str:
    """A file name or header names a driver that does not exist."""
    return f"Unknown driver '{driver}'"


def unsupported_option(driver: str, option: str, protocol: bool) -> str:
    """An option was left over when everybody had taken theirs."""
    if protocol:
        return f"Block protocol '{driver}' doesn't support the option '{option}'"
    return f"Block format '{driver}' does not support the option '{option}'"


INVALID_DISCARD = "Invalid discard option"


def invalid_choice(value: str) -> str:
    """A text is none of those that an option can be."""
    return f"invalid parameter value: {value}"


def unknown_protocol(protocol: str) -> str:
    """A file name has a protocol that does not exist."""
    return f"Unknown protocol '{protocol}'"


def raw_offset_too_big(offset: int, size: int) -> str:
    """The raw window starts beyond the end of its file."""
    return f"Offset ({offset}) cannot be greater than size of the containing file ({size})"


def raw_window_too_big(offset: int, size: int, real: int) -> str:
    """The raw window ends beyond the end of its file (the two blanks are QEMU's)."""
    return (
        f"The sum of offset ({offset}) and size ({size}) has to be smaller or equal to the "
        f" actual size of the containing file ({real})"
    )


def negative_size(option: str) -> str:
    """An option is a size, but the schema lets any integer pass."""
    return wrong_value(option, SIZE_EXPECTED)


RAW_UNALIGNED = "Specified size is not multiple of 512"
AIO_NATIVE_NEEDS_DIRECT = (
    "aio=native was specified, but it requires cache.direct=on, which was not specified."
)
NO_DIRECT = "filesystem does not support O_DIRECT"
LATENCY_INVALID = "latency-ns is invalid"
NO_LENGTH = "Could not refresh total sector count: No medium found"
LENGTH_TOO_LARGE = "Could not refresh total sector count: File too large"


TWO_NAMES = "Can't specify 'file' and 'filename' options at the same time"
REFERENCE_WITH_NAME = (
    "Cannot reference an existing block device with additional options or a new filename"
)
EMPTY_BACKING = 'warning: Use of "backing": "" is deprecated; use "backing": null instead'


def only_filename(driver: str) -> str:
    """A driver without files was handed a name from an image's header."""
    return f"The only allowed filename for this driver is '{driver}://'"


def not_a_pr_manager(name: str) -> str:
    """The object that is named is something else."""
    return f"Object with id '{name}' is not a persistent reservation manager"


def no_pr_manager(name: str) -> str:
    """The persistent reservation manager does not exist."""
    return f"No persistent reservation manager with id '{name}'"


OWN_BACKING_FILE = "Error: Trying to create an image with the same filename as the backing file"


def unknown_format(name: str) -> str:
    """A new image is to have a format that does not exist."""
    return f"Unknown file format '{name}'"


def format_cannot_create(name: str) -> str:
    """There are no images of that format."""
    return f"Format driver '{name}' does not support image creation"


def protocol_cannot_create(name: str) -> str:
    """There are no files behind that protocol."""
    return f"Protocol driver '{name}' does not support image creation"


def format_without_backing(name: str) -> str:
    """Images of that format have no backing file."""
    return f"Backing file not supported for file format '{name}'"


def too_large_for_format(name: str) -> str:
    """A new image of that size has no place for its tables."""
    return f"The image size is too large for file format '{name}' (try using a larger cluster size)"


def could_not_create(filename: str, reason: str) -> str:
    """The file of a new image could not be made."""
    return f"Could not create '{filename}': {reason}"


def formatting(
    filename: str,
    image_format: str,
    size: int,
    backing_file: str | None,
    backing_format: str | None,
) -> str:
    """What is printed when a new image is made: all options, commas in values doubled."""
    start = f"Formatting '{filename}', fmt={image_format}"
    if image_format != "qcow2":
        return f"{start} size={size}"
    backing = ""
    if backing_file is not None:
        name = backing_file.replace(",", ",,")
        backing = f" backing_file={name} backing_fmt={backing_format}"
    return (
        f"{start} cluster_size=65536 extended_l2=off compression_type=zlib size={size}{backing} "
        "lazy_refcounts=off refcount_bits=16"
    )


# --- drives of a command line ---------------------------------------------------------------

INDEX_WITH_UNIT = "index cannot be used with bus and unit"


def unit_too_big(unit: int, largest: int) -> str:
    """A drive asks for a place that no bus has."""
    return f"unit {unit} too big (max is {largest})"


def unit_taken(bus: int, unit: int, index: int) -> str:
    """A drive asks for a place that another one has; ``index`` -1 is none."""
    return f"drive with bus={bus}, unit={unit} (index={index}) exists"


def no_such_slot(interface: str, bus: int, unit: int) -> str:
    """The board has no place for a drive."""
    return f"machine type does not support if={interface},bus={bus},unit={unit}"
