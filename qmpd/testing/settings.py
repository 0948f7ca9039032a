"""How a daemon for a test is set up; the same for all three kinds."""

from __future__ import annotations

import json
import os
import shutil
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


class Folders:
    """Where a daemon's socket and images are: folders of its own, which go when it goes.

    The socket's is below a short path, since the kernel allows no more than 107 bytes; the
    images' is the same if they are to be in RAM.
    """

    def __init__(self, settings: Settings) -> None:
        ram = RAM if os.access(RAM, os.W_OK) else None
        self.socket = tempfile.mkdtemp(prefix="qmpd-", dir=ram)
        self.images = self.socket
        if settings["storage"] == "host":
            self.images = tempfile.mkdtemp(prefix="qmpd-")

    def remove(self) -> None:
        """Remove them and what is in them."""
        for folder in {self.socket, self.images}:
            shutil.rmtree(folder, ignore_errors=True)


def node_words(settings: Settings) -> list[str]:
    """The options of a command line that define nodes and devices."""
    words = []
    for blockdev in settings["blockdevs"]:
        text = blockdev if isinstance(blockdev, str) else json.dumps(blockdev)
        words += ["--blockdev", text]
    for device in settings["devices"]:
        words += ["--device", device]
    return words
