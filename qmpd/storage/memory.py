"""Images in RAM.

Each image is a memfd. Opening it goes through ``/proc/self/fd``, which makes a new open
file description with its own access mode and its own locks, as a real file would have.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmpd.storage.policy import AccessPolicy


class MemoryStorage:
    """Named images in RAM; they live as long as the storage."""

    __slots__ = ("_images", "on_demand", "policy")

    def __init__(self, policy: AccessPolicy) -> None:
        self.policy = policy
        self._images: dict[str, int] = {}
        self.on_demand: Callable[[str], None] | None = None
        """Called with the path of an image that does not exist; may create it."""

    def create(self, path: str) -> int:
        """Make an empty image and return the descriptor that keeps it alive.

        Raises:
            FileExistsError: the name is taken.
        """
        if path in self._images:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        fd = os.memfd_create(os.path.basename(path) or "image", os.MFD_CLOEXEC)
        self._images[path] = fd
        return fd

    def remove(self, path: str) -> None:
        """Forget an image; descriptors on it stay valid."""
        fd = self._images.pop(path, None)
        if fd is not None:
            os.close(fd)

    def __contains__(self, path: str) -> bool:
        return path in self._images

    def paths(self) -> list[str]:
        """The names of all images, oldest first."""
        return list(self._images)

    def canonical(self, path: str) -> str | None:
        """The normalised name, None if there is no such image."""
        path = os.path.normpath(path)
        return path if any(os.path.normpath(name) == path for name in self._images) else None

    def open(self, path: str, flags: int) -> int:
        """Open an image; a name that nobody created is ENOENT without ``O_CREAT``.

        Raises:
            OSError: what a file system or the policy would say.
        """
        self.policy.check(path, flags)
        if flags & os.O_CREAT and path not in self._images:
            self.create(path)
        elif path not in self._images and self.on_demand is not None:
            self.on_demand(path)
            self.policy.refuse(path, flags)  # it may have come with restrictions
        fd = self._images.get(path)
        if fd is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        flags &= ~(
            getattr(os, "O_DIRECT", 0) | os.O_CREAT
        )  # pages in RAM have no cache to go around
        return os.open(f"/proc/self/fd/{fd}", flags | os.O_CLOEXEC)

    def close(self) -> None:
        """Drop all images."""
        for fd in self._images.values():
            os.close(fd)
        self._images.clear()
