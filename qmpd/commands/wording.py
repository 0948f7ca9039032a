"""Sentences of commands that are not about one node's definition (observed on QEMU 7.2)."""

from __future__ import annotations

IO_ERROR = "An IO error has occurred"

OVERLAY_NAME_MISSING = "New overlay node-name missing"
OVERLAY_NAME_IN_USE = "New overlay node-name already in use"
OVERLAY_IN_USE = "The overlay is already in use"
OVERLAY_IS_FILTER = "Filters cannot be used as overlays"
OVERLAY_HAS_BACKING = "The overlay already has a backing image"
OVERLAY_WITHOUT_BACKING = "The overlay does not support backing images"

ABORTED = "Transaction aborted using Abort action"


def not_grouped(action: str) -> str:
    """An action has nothing that could complete together with others."""
    return f"Action '{action}' does not support Transaction property completion-mode = grouped"


NO_BACKING_TO_CHANGE = "not allowing backing file change on an image without a backing file"


def other_chain(device: str) -> str:
    """The image is not below the device."""
    return f"'{device}' and image file are not in the same chain"


def could_not_change_backing(backing_file: str, reason: str) -> str:
    """The header could not be written."""
    return f"Could not change backing file to '{backing_file}': {reason}"


# --- media ----------------------------------------------------------------------------------

DEVICE_OR_ID = "Need exactly one of 'device' and 'id'"
NO_BACKEND = "Device does not have a block device backend"
NOT_REMOVABLE = "Device is not removable"
TRAY_CLOSED = "Tray of the device is not open"
NO_MEDIUM = "Device has no medium"
HAS_MEDIUM = "There already is a medium in the device"


def not_hotpluggable(path: str) -> str:
    """The path is that of something else than a device."""
    return f"{path} is not a hotpluggable device"


def not_removable(name: str) -> str:
    """The device holds its medium fast."""
    return f"Device '{name}' is not removable"


def tray_closed(name: str) -> str:
    """The medium is out of reach."""
    return f"Tray of device '{name}' is not open"


def already_in_use(name: str) -> str:
    """The medium is in a device, or a job's."""
    return f"Node '{name}' is already in use"


# --- sizes ----------------------------------------------------------------------------------

SIZE_NOT_POSITIVE = "Parameter 'size' expects a >0 size"
IMAGE_READ_ONLY = "Image is read-only"


def size_beyond_maximum(size: int, maximum: int) -> str:
    """No image can be so large."""
    return f"offset({size}) exceeds maximum({maximum})"


def device_in_use(device: str | None) -> str:
    """A node whose device is not named has none (observed on QEMU 7.2)."""
    return f"Device '{'(null)' if device is None else device}' is in use"


# --- the human monitor ----------------------------------------------------------------------

UNTERMINATED = "unterminated string\n"
INVALID_SIZE = "invalid size"
NO_ACTIVE_JOBS = "No active jobs\n"
DRIVE_ADDED = "OK\n"
NO_MODE_FOR_VNC = "Parameter 'read-only-mode' is invalid for VNC"
VNC_AND_WHAT = "Expected 'password' after 'vnc'"
CANNOT_PROMPT = "terminal does not support password prompting"
VNC_REFUSES = "Could not set password"
NEEDS_NODE_NAME = "'node-name' needs to be specified"


def unsupported_switch(name: str, letter: str) -> str:
    """A command of the human monitor does not have a switch."""
    return f"{name}: unsupported option -{letter}"


def extraneous(name: str) -> str:
    """A command of the human monitor was given too much."""
    return f"{name}: extraneous characters at the end of line"


def expected(name: str, what: str) -> str:
    """A command of the human monitor was given too little."""
    return f"{name}: {what} expected"


def bad_escape(letter: str) -> str:
    """A backslash stands before something that it does not change."""
    return f"unsupported escape code: '\\{letter}'\n"


def try_help(command: str) -> str:
    """Advice below a complaint about a line of the human monitor."""
    return f'Try "help {command}" for more information'


def unknown_command(name: str) -> str:
    """There is no such command in the human monitor."""
    return f"unknown command: '{name}'"


def lacking_command(name: str) -> str:
    """The original has this command of its human monitor."""
    return f"qmpd does not have '{name}'"


def cannot_commit(name: str, reason: str) -> str:
    """The human monitor's commit failed."""
    return f"'commit' error for '{name}': {reason}"


def cannot_hot_add(interface: int) -> str:
    """The human monitor adds drives without an interface only."""
    return f"Can't hot-add drive to type {interface}"


def duplicate_drive(name: str) -> str:
    """A drive of that name is there already."""
    return f"Duplicate ID '{name}' for drive"


def ejected(name: str) -> str:
    """The node's image was found corrupt."""
    return f"Block device {name} is ejected"


def in_use_by_backend(name: str) -> str:
    """A node is not to be moved to another thread as long as a device or a job may use it."""
    return (
        f"Node {name} is associated with a BlockBackend and could be in use "
        "(use force=true to override this check)"
    )


def no_iothread(name: str) -> str:
    """There is no thread of that name."""
    return f"Cannot find iothread {name}"


# --- exports --------------------------------------------------------------------------------

NBD_RUNNING = "NBD server already running"
NBD_NOT_RUNNING = "NBD server not running"
EXPORT_ID = "Invalid block export id"
EXPORT_READ_ONLY = "Cannot export read-only node as writable"
EXPORT_HARD_HINT = "Use mode='hard' to force client disconnect"


def no_tls_credentials(name: str) -> str:
    """There are no such credentials."""
    return f"No TLS credentials with id '{name}'"


def export_not_found(name: str) -> str:
    """There is no export with that id."""
    return f"Export '{name}' is not found"


def export_id_taken(name: str) -> str:
    """There is an export with that id."""
    return f"Block export id '{name}' is already in use"


def export_name_taken(name: str) -> str:
    """Clients know another export by that name."""
    return f"NBD server already has export named '{name}'"


def export_name_too_long(name: str) -> str:
    """The protocol has no room for the name."""
    return f"export name '{name}' too long"


def export_description_too_long(text: str) -> str:
    """The protocol has no room for the description."""
    return f"description '{text}' too long"


def export_iothread(name: str) -> str:
    """There is no such thread."""
    return f'iothread "{name}" not found'


def export_bitmap_not_found(name: str) -> str:
    """Neither the node nor what it is read through has such a bitmap."""
    return f"Bitmap '{name}' is not found"


def export_bitmap_enabled(name: str) -> str:
    """The bitmap would change under clients that cannot write."""
    return f"Enabled bitmap '{name}' incompatible with readonly export"


def export_has_clients(name: str) -> str:
    """An export is not ended as long as there are clients."""
    return f"export '{name}' still in use"


# --- bitmaps --------------------------------------------------------------------------------

BITMAP_NAME_EMPTY = "Bitmap name cannot be empty"
BITMAP_GRANULARITY = "Granularity must be power of 2 and at least 512"
BITMAP_REMOVE_HINT = "Try block-dirty-bitmap-remove to delete this bitmap from disk"


def node_not_found(name: str) -> str:
    """There is no node of that name, nor a drive."""
    return f"Node '{name}' not found"


def bitmap_not_found(name: str) -> str:
    """The node has no bitmap of that name."""
    return f"Dirty bitmap '{name}' not found"


def bitmap_exists(name: str) -> str:
    """The node has a bitmap of that name."""
    return f"Bitmap already exists: {name}"


def bitmap_name_too_long(name: str) -> str:
    """The name has more than 1023 bytes."""
    return f"Bitmap name too long: {name}"


def bitmap_busy(name: str) -> str:
    """Somebody else works on the bitmap."""
    return f"Bitmap '{name}' is currently in use by another operation and cannot be used"


def bitmap_inconsistent(name: str) -> str:
    """The bitmap was not saved when the image was last written."""
    return f"Bitmap '{name}' is inconsistent and cannot be used"


def bitmap_read_only(name: str) -> str:
    """The bitmap belongs to an image that cannot be written."""
    return f"Bitmap '{name}' is readonly and cannot be modified"


def cannot_remove_bitmap(name: str, reason: str) -> str:
    """The image could not be written."""
    return f"Failed to remove bitmap '{name}' from file: {reason}"


def bitmap_sizes(target: int, source: int) -> str:
    """Two bitmaps are of nodes of different sizes in bytes."""
    return (
        f"Bitmaps are of different sizes (destination size is {target}, "
        f"source size is {source}) and can't be merged"
    )
