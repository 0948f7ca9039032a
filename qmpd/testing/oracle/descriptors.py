"""Which image files a process holds open, how, and which bytes it has locked.

Read from ``/proc/PID/fd`` and ``/proc/PID/fdinfo`` (Linux, proc(5)); the locks are
QEMU's open-file-description locks on bytes 100 to 103 (permission in use) and 200 to
203 (permission not shared).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

_ACCESS = {os.O_RDONLY: "ro", os.O_WRONLY: "wo", os.O_RDWR: "rw"}


class Descriptor(NamedTuple):
    """One open file.

    Attributes:
        path: relative to the server's directory.
        mode: ``ro``, ``rw`` or ``wo``; with ``+direct`` after it for O_DIRECT.
        locked: the bytes under a shared (read) lock, ascending.
        exclusive: the bytes under an exclusive (write) lock, ascending.
    """

    path: str
    mode: str
    locked: tuple[int, ...]
    exclusive: tuple[int, ...] = ()

    def __str__(self) -> str:
        """Format as ``base.qcow2 rw locks 100 101 103 201 203``."""
        text = f"{self.path} {self.mode} locks {' '.join(map(str, self.locked)) or 'none'}"
        if self.exclusive:
            text += f" exclusive {' '.join(map(str, self.exclusive))}"
        return text


def descriptors(pid: int, directory: Path) -> list[Descriptor]:
    """List the descriptors of process `pid` on files below `directory`, sorted by path."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = link.readlink()
            info = Path(f"/proc/{pid}/fdinfo/{link.name}").read_text()
        except FileNotFoundError:
            continue  # closed meanwhile
        # An import looks into the working directory for a moment, from another thread.
        if target.is_relative_to(directory) and target != directory:
            found.append(_parse(str(target.relative_to(directory)), info))
    return sorted(found)


def _parse(path: str, info: str) -> Descriptor:
    mode = "?"
    locks: dict[str, set[int]] = {"READ": set(), "WRITE": set()}
    for line in info.splitlines():
        key, _, value = line.partition(":")
        words = value.split()
        if key == "flags":
            flags = int(words[0], 8)
            mode = _ACCESS[flags & os.O_ACCMODE] + ("+direct" if flags & os.O_DIRECT else "")
        elif key == "lock" and words[1] == "OFDLCK":
            kind, first, last = words[3], int(words[6]), int(words[7])
            locks[kind].update(range(first, last + 1))
    return Descriptor(path, mode, tuple(sorted(locks["READ"])), tuple(sorted(locks["WRITE"])))
