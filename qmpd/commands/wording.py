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


# --- the human monitor ----------------------------------------------------------------------

UNTERMINATED = "unterminated string\n"
INVALID_SIZE = "invalid size"
NO_ACTIVE_JOBS = "No active jobs\n"
DRIVE_ADDED = "OK\n"
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
