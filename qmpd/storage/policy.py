"""Who may open what for writing: the stand-in for sVirt.

On a libvirt host the kernel refuses an open that the security label does not allow, and
the management application changes the label before an operation that needs more. The
policy does the same for a whole daemon, and can be changed while it runs.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class AccessPolicy:
    """Decides about every open, before storage sees it.

    Paths are compared after ``os.path.abspath``. Nothing is refused by default.
    """

    __slots__ = ("_no_read", "_no_write", "hooks")

    def __init__(self) -> None:
        self._no_write: set[str] = set()
        self._no_read: set[str] = set()
        self.hooks: list[Callable[[str, int], None]] = []
        """Called with path and open flags before each open; may raise OSError."""

    def deny_write(self, path: str) -> None:
        """Refuse every later open of ``path`` for writing with EACCES."""
        self._no_write.add(os.path.abspath(path))

    def deny_read(self, path: str) -> None:
        """Refuse every later open of ``path`` with EACCES."""
        self._no_read.add(os.path.abspath(path))

    def allow(self, path: str) -> None:
        """Take back what was refused for ``path``."""
        path = os.path.abspath(path)
        self._no_write.discard(path)
        self._no_read.discard(path)

    def check(self, path: str, flags: int) -> None:
        """Raise what the kernel would raise for an open of ``path`` with ``flags``.

        Raises:
            PermissionError: EACCES, the access is refused.
        """
        for hook in self.hooks:
            hook(path, flags)
        if not self._no_write and not self._no_read:
            return
        where = os.path.abspath(path)
        writing = (flags & os.O_ACCMODE) != os.O_RDONLY
        if where in self._no_read or (writing and where in self._no_write):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
