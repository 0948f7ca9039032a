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
