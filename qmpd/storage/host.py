"""Images as real files, opened with real flags."""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from qmpd.storage.policy import AccessPolicy

    class Storage(Protocol):
        """What the file driver needs of the place where images are."""

        policy: AccessPolicy

        def open(self, path: str, flags: int) -> int:
            """Open an image and return a new descriptor; raises OSError.

            With ``O_CREAT`` in the flags it is made if it is not there.
            """

        def remove(self, path: str) -> None:
            """Remove an image if it is there; raises OSError."""

        def canonical(self, path: str) -> str | None:
            """The one name of an image that exists, None if it does not."""

        def close(self) -> None:
            """Give everything back that outlives single descriptors."""


_NEW_MODE = 0o644


class HostStorage:
    """The file system of the machine."""

    __slots__ = ("policy",)

    def __init__(self, policy: AccessPolicy) -> None:
        self.policy = policy

    def open(self, path: str, flags: int) -> int:
        """Open ``path``; the descriptor is closed on exec.

        Raises:
            OSError: what the kernel or the policy says.
        """
        self.policy.check(path, flags)
        if "\0" in path:  # QEMU's spelling of it exists in no directory either
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return os.open(path, flags | os.O_CLOEXEC | os.O_NOCTTY, _NEW_MODE)

    def remove(self, path: str) -> None:
        """Unlink ``path``; that it is gone already is no error."""
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass

    def canonical(self, path: str) -> str | None:
        """The real path, None if there is no such file."""
        try:
            return os.path.realpath(path, strict=True)
        except OSError:
            return None

    def close(self) -> None:
        """Nothing outlives the descriptors."""
