"""Byte files for tests: on the disk, in memory, and one that keeps a journal."""

from __future__ import annotations

import json
import os
import random
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class DiskFile:
    """A ByteFile on a real file."""

    def __init__(self, path: Path | str) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def event(self, name: str) -> None:
        """Nobody listens."""

    def pread(self, offset: int, length: int) -> bytes:
        parts = []
        while length:
            part = os.pread(self.fd, length, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return b"".join(parts) + bytes(length)

    def pwrite(self, offset: int, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            done = os.pwrite(self.fd, view, offset)
            view = view[done:]
            offset += done

    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def truncate(self, size: int) -> None:
        os.ftruncate(self.fd, size)

    def clear(self, offset: int, length: int) -> bool:
        """What it does not do is written."""
        del offset, length
        return False

    def discard(self, offset: int, length: int) -> None:
        """Freed space is not looked at."""

    def flush(self) -> None:
        """Nothing to wait for: these tests never cut the power."""

    def close(self) -> None:
        os.close(self.fd)


class MemoryFile:
    """A ByteFile in RAM."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)

    def event(self, name: str) -> None:
        """Nobody listens."""

    def pread(self, offset: int, length: int) -> bytes:
        return bytes(self.data[offset : offset + length]).ljust(length, b"\0")

    def pwrite(self, offset: int, data: bytes | memoryview) -> None:
        end = offset + len(data)
        if end > len(self.data):
            self.data.extend(bytes(end - len(self.data)))
        self.data[offset:end] = data

    def size(self) -> int:
        return len(self.data)

    def truncate(self, size: int) -> None:
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))

    def clear(self, offset: int, length: int) -> bool:
        """What it does not do is written."""
        del offset, length
        return False

    def discard(self, offset: int, length: int) -> None:
        """Freed space is not looked at."""

    def flush(self) -> None:
        """RAM is as stable as it gets."""


class JournalFile(MemoryFile):
    """Records every write and flush: ``journal`` holds (offset, bytes), or None for a flush."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(data)
        self.journal: list[tuple[int, bytes] | None] = []

    def pwrite(self, offset: int, data: bytes | memoryview) -> None:
        super().pwrite(offset, data)
        self.journal.append((offset, bytes(data)))

    def flush(self) -> None:
        self.journal.append(None)


def qemu_img(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["qemu-img", *arguments], capture_output=True, text=True, check=check)
    return done.stdout


def qemu_map(path: Path | str) -> list[dict[str, object]]:
    return json.loads(qemu_img("map", "--output=json", str(path)))


def qemu_check(path: Path | str) -> tuple[int, int]:
    """(corruptions, leaks) that the real qemu-img finds."""
    found = json.loads(qemu_img("check", "--output=json", str(path), check=False))
    return found.get("corruptions", 0), found.get("leaks", 0)


def qemu_io(path: Path | str, *commands: str) -> None:
    arguments = [word for command in commands for word in ("-c", command)]
    done = subprocess.run(
        ["qemu-io", "-f", "qcow2", *arguments, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "failed" not in done.stdout, done.stdout


def no_backing(_offset: int, length: int) -> bytes:
    """A ``cow_read`` for fresh images without a backing file."""
    return bytes(length)


def seeded(seed: object) -> random.Random:
    """Dice that fall the same way for the same ``seed``."""
    return random.Random(str(seed))  # noqa: S311 - chooses test cases, keeps no secrets
