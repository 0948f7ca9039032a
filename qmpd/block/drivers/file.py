"""``file``: an image in a file, with dynamic auto-read-only and image locks.

The descriptor's access mode follows the permissions of the users, not the definition
(observed on QEMU 7.2): with ``auto-read-only`` the file is open for writing exactly while
somebody holds write, write-unchanged or resize on the node. The change is a new open by
path; a failure leaves the old descriptor in place.
"""

from __future__ import annotations

import errno
import os
import stat

from qmpd.block import permissions as p
from qmpd.block import wording
from qmpd.block.driver import DATA, ZERO, Driver, Extent, WriteTargets, strerror
from qmpd.block.filename import without_prefix
from qmpd.errors import QmpError
from qmpd.storage import locks, zeroes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from qmpd.block.graph import Graph
    from qmpd.block.options import Flags
    from qmpd.block.transaction import Transaction

_pread = os.pread
_fstat = os.fstat


def _mode(flags: Flags, perm: int) -> int:
    if flags.auto_read_only:
        mode = os.O_RDWR if perm & p.WRITING else os.O_RDONLY
    else:
        mode = os.O_RDONLY if flags.read_only else os.O_RDWR
    return mode | os.O_DIRECT if flags.direct else mode


_BLOCK = 4096


class FileDriver(Driver):
    """One image file and the descriptor on it."""

    name = "file"
    is_protocol = True
    is_leaf = True
    has_footprint = True
    mutable_options = frozenset(("x-check-cache-dropped",))
    strong_options = ("filename",)
    unrepeatable_options = frozenset(("aio-max-batch",))

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.fd = -1
        self.path = ""
        self._mode = os.O_RDONLY
        self._believed = os.O_RDONLY
        """What permission checks take for the descriptor's mode."""
        self._locked = 0
        self._wanted = 0
        self._locking = True
        self._unflushed = False
        self._length = 0

    # --- life --------------------------------------------------------------------------

    @classmethod
    def parse_filename(cls, name: str) -> dict[str, Any]:
        """The prefix is not part of the path."""
        return {"filename": without_prefix(name)}

    def open(self, options: dict[str, Any]) -> None:
        """Open the file as nobody needs it yet.

        Raises:
            QmpError: the file cannot be opened so, or is no regular file.
        """
        self.path = options["filename"]
        flags = self.node.flags
        self._locking = options.get("locking", "auto") != "off"
        if options.get("pr-manager") is not None:
            known = options["pr-manager"] in self.graph.objects
            complaint = wording.not_a_pr_manager if known else wording.no_pr_manager
            raise QmpError(complaint(options["pr-manager"]))
        if self.graph.static_auto_read_only and flags.auto_read_only:
            self.fd = self._open_for_ever()
        else:
            self._mode = _mode(flags, 0)
            self.fd = self._open(self._mode)
        self._believed = self._mode
        try:
            if options.get("aio") == "native" and not flags.direct:
                raise QmpError(wording.AIO_NATIVE_NEEDS_DIRECT)
            self._length = (self._first_size() + 511) & ~511
            if flags.direct:
                self._probe(self.fd)
        except QmpError:
            os.close(self.fd)
            self.fd = -1
            raise

    def _first_size(self) -> int:
        """Look at what was opened: its size, if it is of the right kind."""
        found = os.fstat(self.fd)
        if not stat.S_ISREG(found.st_mode):
            raise QmpError(wording.not_regular(self.name, self.path))
        return found.st_size

    def _open_for_ever(self) -> int:
        """Decide once and for all how the file is open, as QEMU 3.1 did."""
        node = self.node
        flags = node.flags
        flags.auto_read_only = False
        for options in (node.options.explicit, node.options.effective):
            options["auto-read-only"] = False
        self._mode = _mode(flags, 0)
        try:
            return self.graph.storage.open(self.path, self._mode)
        except OSError as error:
            if flags.read_only or error.errno not in {errno.EACCES, errno.EROFS}:
                raise QmpError(wording.could_not_open(self.path, strerror(error))) from error
        flags.read_only = node.options.effective["read-only"] = True
        self._mode = _mode(flags, 0)
        return self._open(self._mode)

    def _open(self, mode: int) -> int:
        try:
            return self.graph.storage.open(self.path, mode)
        except OSError as error:
            reason = strerror(error)
            if error.errno == errno.EINVAL and mode & os.O_DIRECT:
                reason = wording.NO_DIRECT
            raise QmpError(wording.could_not_open(self.path, reason)) from error

    def close(self) -> None:
        """Close the descriptor, which drops its locks."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self._locked = self._wanted = 0
            self.graph.unsure.discard(self)

    def reopen_prepare(
        self, tx: Transaction, options: dict[str, Any], flags: Flags
    ) -> Iterable[str]:
        """The permission check opens what the new flags ask for.

        Unless it does, the descriptor counts as open for reading from now on, however it is
        open, and the next check opens it anew or not at all. How requests have to be aligned
        is found out with the descriptor that was there before (observed on QEMU 7.2).
        """
        del options
        fd = self.fd

        def commit() -> None:
            self.request_alignment = 1
            if flags.direct:
                self._probe(fd)
            self._believe(os.O_RDONLY)

        tx.on_commit(commit)
        return ("x-check-cache-dropped", "drop-cache")

    def _probe(self, fd: int) -> None:
        from qmpd.storage import direct

        self.request_alignment = direct.alignment(fd)

    def _believe(self, mode: int) -> None:
        self._believed = mode
        if mode == self._mode and not self._length % self.request_alignment:
            self.graph.unsure.discard(self)
        else:
            self.graph.unsure.add(self)

    # --- permissions -------------------------------------------------------------------

    def check_permissions(self, tx: Transaction, perm: int, shared: int, flags: Flags) -> None:
        """Open the descriptor that the permissions ask for, and lock before it counts.

        Raises:
            QmpError: the open or a lock failed; nothing has changed then.
        """
        mode = _mode(flags, perm)
        wanted = locks.byte_set(perm, ~shared) if self._locking else 0
        if mode == self._believed and wanted == self._wanted:
            return
        before = self.fd, self._mode, self._believed, self._locked, self._wanted
        old_fd = self.fd
        new_fd = self._open_locked(mode, wanted, perm, shared)
        extra = wanted & ~self._locked
        self._wanted = wanted
        if new_fd >= 0:
            self.fd, self._mode, self._believed, self._locked = new_fd, mode, mode, wanted
        else:
            self._locked |= wanted

        def commit() -> None:
            if new_fd >= 0:
                os.close(old_fd)
                self._believe(mode)
            surplus = self._locked & ~self._wanted
            if surplus:
                locks.release(self.fd, surplus)
                self._locked = self._wanted

        def abort() -> None:
            self.fd, self._mode, self._believed, self._locked, self._wanted = before
            if new_fd >= 0:
                os.close(new_fd)
            locks.release(old_fd, extra)

        tx.on_commit(commit)
        tx.on_abort(abort)

    def _open_locked(self, mode: int, wanted: int, perm: int, shared: int) -> int:
        """Open anew if the mode asks for it (else -1), and hold old and new locks."""
        new_fd = self._open(mode) if mode != self._believed else -1
        if new_fd >= 0 and self.node.flags.direct:
            self._probe(new_fd)
        if self.graph.levers is not None:
            self.graph.levers.journal.add("lock", node=self.node.name, bytes=locks.numbers(wanted))
        try:
            self._lock(self.fd, new_fd, self._locked, wanted, perm, shared)
        except QmpError:
            if new_fd >= 0:
                os.close(new_fd)
            raise
        return new_fd

    def _lock(self, fd: int, new_fd: int, held: int, wanted: int, perm: int, shared: int) -> None:
        try:
            if wanted & ~held:
                locks.take(fd, wanted & ~held)
                found = locks.conflict(fd, perm, ~shared & p.ALL)
                if found is not None:
                    kind, bit = found
                    say = wording.lock_needed if kind == "used" else wording.lock_shared
                    raise QmpError(say(p.names(1 << bit)), wording.who_uses(self.path))
            if new_fd >= 0:
                locks.take(new_fd, wanted)
        except locks.LockError as error:
            locks.release(fd, wanted & ~held)
            raise QmpError(wording.lock_failed(error.byte)) from error
        except QmpError:
            locks.release(fd, wanted & ~held)
            raise

    # --- data --------------------------------------------------------------------------

    def length(self) -> int:
        """The file's size in whole sectors, as it was when last asked for or written to.

        Like the original, a node does not notice what others do to its file, nor does a
        reopen look at it.
        """
        return self._length

    def size(self) -> int:
        """The file's size as it is."""
        return os.fstat(self.fd).st_size

    def pread(self, offset: int, length: int) -> bytes:
        """Read; what lies behind the end of the file is zero."""
        self.disturb("read", offset, length)
        if self._mode & os.O_DIRECT:
            from qmpd.storage import direct

            data = direct.read(self.fd, offset, length)
        else:
            data = _pread(self.fd, length, offset)
        while len(data) < length:
            more = (
                b""
                if self._mode & os.O_DIRECT
                else _pread(self.fd, length - len(data), offset + len(data))
            )
            if not more:
                return data + bytes(length - len(data))
            data += more
        return data

    def pwrite(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of ``data``."""
        self.disturb("write", offset, len(data))
        self.note_written(offset + len(data), len(data))
        if self._mode & os.O_DIRECT:
            from qmpd.storage import direct

            direct.write(self.fd, offset, data)
            return
        done = os.pwrite(self.fd, data, offset)
        while done < len(data):
            done += os.pwrite(self.fd, memoryview(data)[done:], offset + done)

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True) -> None:
        """Let the file system do it if it can."""
        self.disturb("write", offset, length)
        if not zeroes.make(self.fd, offset, length, unmap=unmap):
            super().write_zeroes(offset, length)
        self.note_written(offset + length, length)

    def flush(self) -> None:
        """Wait until the disk has what was written, unless the node says not to."""
        self.disturb("flush")
        if self._unflushed and not self.node.flags.no_flush:
            os.fdatasync(self.fd)
            self._unflushed = False

    def note_written(self, end: int, length: int = 0) -> None:
        """There is something to flush now."""
        super().note_written(end, length)
        self._unflushed = True
        if end > self._length:
            self._length = (end + 511) & ~511

    @property
    def frees_zeroes(self) -> bool:
        """By punching holes."""
        return True

    @property
    def resizable(self) -> bool:
        """A regular file is."""
        return True

    def truncate(self, size: int) -> None:
        """Set the file's size."""
        self.disturb("truncate", size)
        self._unflushed = True
        try:
            was_empty = not os.fstat(self.fd).st_size
            os.ftruncate(self.fd, size)
            if was_empty and size:  # the first block of a file has its place from the beginning
                os.pwrite(self.fd, bytes(512 if size < _BLOCK else _BLOCK), 0)
        except OSError as error:
            raise OSError(error.errno, wording.could_not_resize(strerror(error))) from error
        self._length = (size + 511) & ~511

    def extent(self, offset: int, length: int) -> Extent:
        """Data or a hole, as the file system tells."""
        try:
            start = os.lseek(self.fd, offset, os.SEEK_DATA)
        except OSError:
            return Extent(ZERO, length)
        if start > offset:
            return Extent(ZERO, min(start - offset, length))
        end = os.lseek(self.fd, offset, os.SEEK_HOLE)
        size = min(max(end - offset, 1), length)
        return Extent(DATA, size, self.fd if self.offloads else -1, offset)

    def locate(self, offset: int, length: int) -> tuple[int, int] | None:
        """The file itself, except with O_DIRECT, which wants aligned buffers."""
        del length
        return (self.fd, offset) if self.offloads and not self._mode & os.O_DIRECT else None

    def write_targets(self, offset: int, length: int) -> WriteTargets | None:
        """The file itself, except with O_DIRECT, which wants aligned buffers."""
        if self._mode & os.O_DIRECT or not self.offloads:
            return None
        return WriteTargets(self.fd, [(offset, offset, length)], _nothing, _nothing)

    # --- description -------------------------------------------------------------------

    def exact_filename(self) -> str:
        """The file name."""
        return self.path

    def footprint(self) -> tuple[int, ...]:
        """What the file system says now."""
        found = _fstat(self.fd)
        return found.st_dev, found.st_ino, found.st_blocks, found.st_size

    def describe(self, info: dict[str, Any]) -> None:
        """Allocated bytes, and that there is nothing to repair."""
        info["actual-size"] = os.fstat(self.fd).st_blocks * 512
        info["dirty-flag"] = False

    @property
    def lock_bytes(self) -> list[int]:
        """The offsets of the bytes that are locked for this node."""
        return locks.numbers(self._locked)

    @property
    def access_mode(self) -> str:
        """``r`` or ``rw``: how the descriptor is open now."""
        return "r" if self._mode & os.O_ACCMODE == os.O_RDONLY else "rw"


class HostDeviceDriver(FileDriver):
    """A device of the host: of a fixed size, and with data everywhere."""

    name = "host_device"

    @classmethod
    def parse_filename(cls, name: str) -> dict[str, Any]:
        """The prefix is not part of the path."""
        return {"filename": name.removeprefix("host_device:")}

    def _first_size(self) -> int:
        mode = os.fstat(self.fd).st_mode
        if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)):
            raise QmpError(wording.not_a_device(self.name, self.path))
        return self.size()

    def size(self) -> int:
        """Where the device ends; what has no end has no size."""
        return os.lseek(self.fd, 0, os.SEEK_END)

    def extent(self, offset: int, length: int) -> Extent:
        """Data: a device does not tell of holes."""
        return Extent(DATA, length, self.fd if self.offloads else -1, offset)

    @property
    def resizable(self) -> bool:
        """A device is as it is."""
        return False


def _nothing() -> None:
    pass
