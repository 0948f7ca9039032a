"""How a daemon for a test is set up; the same for all three kinds."""

from __future__ import annotations

import json
import os
import tempfile
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence


RAM = "/dev/shm"  # noqa: S108 - a folder of its own is made below it


class Settings(TypedDict, total=False):
    """The keyword arguments of every daemon and of the marker ``qmpd``."""

    blockdevs: Sequence[str | dict[str, Any]]
    """Nodes that are there from the start, as ``-blockdev`` takes them, or as dictionaries."""
    devices: Sequence[str]
    """Guest devices, as ``-device`` takes them: ``virtio-blk,drive=top``."""
    storage: Literal["memory", "host"]
    """Where images are: in RAM (the default) or in the file system."""
    program: Literal["system", "storage-daemon"]
    """Which program is played: qemu-system-x86_64 (the default) or qemu-storage-daemon."""
    profile: str | None
    """Which QEMU is played; None is 7.2."""
    seed: int
    """Decides what is free to choose, such as the digits of generated node names."""
    clock: Literal["real", "stepped"]
    """A stepped clock stands still until the test advances it."""


def complete(settings: Settings) -> Settings:
    """Fill in what was not given.

    Raises:
        TypeError: there is no such setting.
    """
    unknown = sorted(settings.keys() - Settings.__annotations__.keys())
    if unknown:
        raise TypeError(f"there is no setting {unknown[0]!r}")
    defaults: Settings = {
        "blockdevs": (),
        "devices": (),
        "storage": "memory",
        "program": "system",
        "profile": None,
        "seed": 0,
        "clock": "real",
    }
    return {**defaults, **settings}


def make_folder(settings: Settings) -> str:
    """Make a folder for the daemon's socket and images, in RAM if they are to be there."""
    in_ram = settings["storage"] == "memory" and os.access(RAM, os.W_OK)
    return tempfile.mkdtemp(prefix="qmpd-", dir=RAM if in_ram else None)


def node_words(settings: Settings) -> list[str]:
    """The options of a command line that define nodes and devices."""
    words = []
    for blockdev in settings["blockdevs"]:
        text = blockdev if isinstance(blockdev, str) else json.dumps(blockdev)
        words += ["--blockdev", text]
    for device in settings["devices"]:
        words += ["--device", device]
    return words
