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
        self._no_write: dict[str, int] = {}
        """Path to the number of opens that still succeed."""
        self._no_read: dict[str, int] = {}
        self.hooks: list[Callable[[str, int], None]] = []
        """Called with path and open flags before each open; may raise OSError."""

    def deny_write(self, path: str, *, from_open: int = 1) -> None:
        """Refuse opens of ``path`` for writing with EACCES, from the given one on."""
        self._no_write[os.path.abspath(path)] = from_open - 1

    def deny_read(self, path: str, *, from_open: int = 1) -> None:
        """Refuse all opens of ``path`` with EACCES, from the given one on."""
        self._no_read[os.path.abspath(path)] = from_open - 1

    def allow(self, path: str) -> None:
        """Take back what was refused for ``path``."""
        path = os.path.abspath(path)
        self._no_write.pop(path, None)
        self._no_read.pop(path, None)

    def check(self, path: str, flags: int) -> None:
        """Raise what the kernel would raise for an open of ``path`` with ``flags``.

        Raises:
            PermissionError: EACCES, the access is refused.
        """
        for hook in self.hooks:
            hook(path, flags)
        self.refuse(path, flags)

    def refuse(self, path: str, flags: int) -> None:
        """The refusal alone, without telling anybody of the open.

        Raises:
            PermissionError: EACCES, the access is refused.
        """
        if not self._no_write and not self._no_read:
            return
        where = os.path.abspath(path)
        writing = (flags & os.O_ACCMODE) != os.O_RDONLY
        tables = (self._no_read, self._no_write) if writing else (self._no_read,)
        refused = [_used_up(table, where) for table in tables]  # each counts the open
        if any(refused):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def _used_up(table: dict[str, int], where: str) -> bool:
    """Whether an open is refused; counts it if it is one of those that still succeed."""
    left = table.get(where)
    if left is None:
        return False
    if left > 0:
        table[where] = left - 1
    return left <= 0
