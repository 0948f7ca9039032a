"""An NBD server (newstyle, fixed) for the machine's exports.

Numbers and messages are those of the protocol's description (doc/proto.md of the NBD
project). A client is a generator that asks for so many bytes, or for quiet.
"""

from __future__ import annotations

import errno
import os
import struct

from qmpd.errors import QmpError
from qmpd.jobs.mirroring import bitmaps_of_jobs, note_guest_write
from qmpd.monitor.nbd_extents import ALLOCATION, BITMAP, extents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from qmpd.block.node import Node
    from qmpd.commands.exports import Export, Exports
    from qmpd.jobs.manager import JobManager
    from qmpd.monitor.chardev import Chardev
    from qmpd.monitor.reactor import Reactor

    # What a client waits for: so many bytes, or for nobody to work on the images (None).
    Talk = Generator[int | None, bytes, None]

_GREETING = struct.pack(">8s8sH", b"NBDMAGIC", b"IHAVEOPT", 3)
_NO_ZEROES = 2
_OPTION = struct.Struct(">8sII")
_OPTION_REPLY = struct.Struct(">QIII")
_OPTION_REPLY_MAGIC = 0x3E889045565A9
_REQUEST = struct.Struct(">IHHQQI")
_REQUEST_MAGIC = 0x25609513
_SIMPLE = struct.Struct(">IIQ")
_SIMPLE_MAGIC = 0x67446698
_CHUNK = struct.Struct(">IHHQI")
_CHUNK_MAGIC = 0x668E33EF
_DONE = 1

_EXPORT_NAME, _ABORT, _LIST = 1, 2, 3
_INFO, _GO, _STRUCTURED, _LIST_META, _SET_META = 6, 7, 8, 9, 10
_ACK, _SERVER, _REP_INFO, _META = 1, 2, 3, 4
_UNSUPPORTED, _INVALID, _UNKNOWN = (1 << 31) + 1, (1 << 31) + 3, (1 << 31) + 6
_READ, _WRITE, _DISC, _FLUSH, _CACHE, _WRITE_ZEROES, _BLOCK_STATUS = 0, 1, 2, 3, 5, 6, 7
_FUA, _NO_HOLE, _ONE = 1, 2, 8
_OFFSET_DATA, _STATUS, _ERROR = 1, 5, (1 << 15) + 1
_LONGEST_OPTION, _LONGEST_REQUEST = 1 << 16, 32 << 20
_MOST_UNREAD = _MOST_UNSENT = 64 << 20
"""Bytes of requests and of replies that wait; a client that does not read is not read either."""
_FLAGS = 1 | 4 | 8 | 128 | 256 | 1024
"""Flags are there; flush, FUA, whole reads, many connections and prefetching are understood."""
_READ_ONLY, _ZEROES = 2, 64
_SHOWN = 80
"""Characters of a name that a complaint repeats."""


class NbdServer:
    """Takes clients on a socket and talks to each."""

    def __init__(
        self,
        reactor: Reactor,
        chardev: Chardev,
        exports: Exports,
        jobs: JobManager,
        limit: int,
    ) -> None:
        self.reactor = reactor
        self.exports = exports
        self.jobs = jobs
        self._chardev = chardev
        self._limit = limit
        self.clients: list[_Client] = []
        reactor.add_reader(chardev.listening, self._accept)

    def close(self) -> None:
        """Take no more clients, and let go of those that are there."""
        self.reactor.remove_reader(self._chardev.listening)
        self._chardev.close()
        for client in self.clients[:]:
            client.close()

    def _accept(self) -> None:
        found = self._chardev.accept()
        if found is None:
            return
        if self._limit and len(self.clients) >= self._limit:
            os.close(found[0])
            return
        self.clients.append(_Client(self, found[0]))


class _Client:
    """One connection."""

    def __init__(self, server: NbdServer, fd: int) -> None:
        self._server = server
        self._fd = fd
        self._input = bytearray()
        self._output = bytearray()
        self._export: Export | None = None
        self._structured = self._deaf = False
        self._contexts: list[tuple[int, str]] = []
        os.set_blocking(fd, False)
        server.reactor.add_reader(fd, self._readable)
        self._talk = self._conversation()
        self._wanted: int | None = next(self._talk)

    def close(self) -> None:
        """Let go of the client; twice is no more than once."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        if self._output:
            self._server.reactor.remove_writer(fd)
        if not self._deaf:
            self._server.reactor.remove_reader(fd)
        self._server.reactor.close_fd(fd)
        self._server.clients.remove(self)
        if self._export is not None:
            self._export.disconnect.remove(self.close)

    # --- bytes -------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, 1 << 20)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._input += data
        self._pump()

    def _pump(self) -> None:
        """Go on as far as there is something to go on with, and as the client reads replies."""
        while self._fd >= 0 and self._wanted is not None and len(self._input) >= self._wanted:
            if len(self._output) > _MOST_UNSENT:
                break
            data = bytes(self._input[: self._wanted])
            del self._input[: self._wanted]
            self._step(data)
        if self._fd >= 0 and self._deaf is not (len(self._input) > _MOST_UNREAD):
            self._deaf = not self._deaf
            if self._deaf:
                self._server.reactor.remove_reader(self._fd)
            else:
                self._server.reactor.add_reader(self._fd, self._readable)

    def _step(self, data: bytes) -> None:
        try:
            self._wanted = self._talk.send(data)
        except StopIteration:
            self._flush_output()
            self.close()
            return
        if self._wanted is None:
            self._server.jobs.when_quiet(self._quiet)

    def _quiet(self) -> None:
        if self._fd >= 0:
            self._step(b"")
            self._pump()

    def _send(self, *parts: bytes) -> None:
        waiting = bool(self._output)
        for part in parts:
            self._output += part
        if not waiting:
            self._flush_output()
            if self._output and self._fd >= 0:
                self._server.reactor.add_writer(self._fd, self._writable)

    def _writable(self) -> None:
        self._flush_output()
        if not self._output and self._fd >= 0:
            self._server.reactor.remove_writer(self._fd)
        self._pump()

    def _flush_output(self) -> None:
        try:
            while self._output and self._fd >= 0:
                del self._output[: os.write(self._fd, self._output)]
        except BlockingIOError:
            return
        except OSError:
            self._output.clear()  # the reader finds out that the client has gone

    # --- the handshake -----------------------------------------------------------------

    def _conversation(self) -> Talk:
        self._send(_GREETING)
        flags = int.from_bytes((yield 4), "big")
        while self._export is None:
            magic, option, length = _OPTION.unpack((yield _OPTION.size))
            if magic != b"IHAVEOPT" or length > _LONGEST_OPTION:
                return
            data = (yield length) if length else b""
            if option == _EXPORT_NAME:
                export = self._server.exports.called(data.decode(errors="surrogateescape"))
                if export is None:
                    return
                self._send(_facts(export), b"" if flags & _NO_ZEROES else bytes(124))
                self._enter(export)
            elif option == _ABORT:
                self._reply(option, _ACK)
                return
            else:
                self._negotiate(option, data)
        yield from self._serve(self._export)

    def _enter(self, export: Export) -> None:
        self._export = export
        export.disconnect.append(self.close)

    def _reply(self, option: int, kind: int, data: bytes = b"") -> None:
        self._send(_OPTION_REPLY.pack(_OPTION_REPLY_MAGIC, option, kind, len(data)), data)

    def _negotiate(self, option: int, data: bytes) -> None:
        if option == _LIST:
            for export in self._server.exports.listed:
                name = export.name.encode(errors="surrogateescape")
                told = struct.pack(">I", len(name)) + name + export.description.encode()
                self._reply(option, _SERVER, told)
            self._reply(option, _ACK)
        elif option == _STRUCTURED:
            self._structured = True
            self._reply(option, _ACK)
        elif option in (_INFO, _GO, _LIST_META, _SET_META) and len(data) >= 4:
            length = int.from_bytes(data[:4], "big")
            wanted = data[4 : 4 + length].decode(errors="surrogateescape")
            export_found = self._server.exports.called(wanted)
            if export_found is None:
                self._reply(option, _UNKNOWN, _not_present(wanted))
            elif option in (_INFO, _GO):
                self._inform(option, export_found)
            else:
                self._choose(option, export_found, data[4 + length :])
        else:
            self._reply(option, _INVALID if option in (_INFO, _GO) else _UNSUPPORTED)

    def _inform(self, option: int, export: Export) -> None:
        if export.description:
            self._reply(option, _REP_INFO, b"\0\2" + export.description.encode())
        self._reply(option, _REP_INFO, struct.pack(">HIII", 3, 1, 4096, _LONGEST_REQUEST))
        self._reply(option, _REP_INFO, b"\0\0" + _facts(export))
        self._reply(option, _ACK)
        if option == _GO:
            self._enter(export)

    def _choose(self, option: int, export: Export, rest: bytes) -> None:
        """Agree on what the client may ask about blocks, or say what it could ask."""
        offered = [ALLOCATION, *(BITMAP + bitmap.text() for bitmap in export.bitmaps)]
        count, at = int.from_bytes(rest[:4], "big"), 4
        wanted: list[str] = []
        for _ in range(count):
            length = int.from_bytes(rest[at : at + 4], "big")
            wanted.append(rest[at + 4 : at + 4 + length].decode(errors="surrogateescape"))
            at += 4 + length
        listing = option == _LIST_META
        chosen = [
            (number, name)
            for number, name in enumerate(offered)
            if name in wanted
            or (listing and (not wanted or any(name.startswith(w) for w in wanted)))
        ]
        for number, name in chosen:
            told = struct.pack(">I", 0 if listing else number) + name.encode()
            self._reply(option, _META, told)
        if not listing:
            self._contexts = chosen
        self._reply(option, _ACK)

    # --- requests ----------------------------------------------------------------------

    def _serve(self, export: Export) -> Talk:
        while True:
            magic, flags, kind, handle, offset, length = _REQUEST.unpack((yield _REQUEST.size))
            if magic != _REQUEST_MAGIC or (kind in (_READ, _WRITE) and length > _LONGEST_REQUEST):
                return
            data = (yield length) if kind == _WRITE and length else b""
            if kind == _DISC:
                return
            if not self._server.jobs.quiet:
                yield None
            try:
                _check_range(export, kind, offset, length)
                chunk, answer = self._do(export, kind, flags, offset, length, data)
            except OSError as error:
                self._fail(handle, error.errno or errno.EIO)
                continue
            except QmpError:
                self._fail(handle, errno.EIO)
                continue
            self._answer(handle, chunk, answer)

    def _answer(self, handle: int, chunk: int, answer: list[bytes]) -> None:
        if not self._structured:
            self._send(_SIMPLE.pack(_SIMPLE_MAGIC, 0, handle), b"".join(answer))
            return
        parts = answer or [b""]
        for number, part in enumerate(parts):
            last = _DONE if number == len(parts) - 1 else 0
            self._send(_CHUNK.pack(_CHUNK_MAGIC, last, chunk, handle, len(part)), part)

    def _fail(self, handle: int, number: int) -> None:
        number = number if number in _ERRNOS else errno.EINVAL
        if self._structured:
            told = struct.pack(">IH", number, 0)
            self._send(_CHUNK.pack(_CHUNK_MAGIC, _DONE, _ERROR, handle, len(told)), told)
        else:
            self._send(_SIMPLE.pack(_SIMPLE_MAGIC, number, handle))

    def _do(
        self, export: Export, kind: int, flags: int, offset: int, length: int, data: bytes
    ) -> tuple[int, list[bytes]]:
        """The kind of the chunks of an answer, and what is in them."""
        node = export.node
        if kind == _READ:
            found = node.driver.pread(offset, length)
            return _OFFSET_DATA, [(offset.to_bytes(8, "big") if self._structured else b"") + found]
        if kind == _BLOCK_STATUS and self._structured and self._contexts:
            one = bool(flags & _ONE)
            return _STATUS, [
                number.to_bytes(4, "big") + _packed(extents(export, name, offset, length, one))
                for number, name in self._contexts
            ]
        if kind in (_WRITE, _WRITE_ZEROES):
            self._write(node, offset, data if kind == _WRITE else None, length, flags)
        elif kind not in (_FLUSH, _CACHE):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if kind == _FLUSH or (kind != _CACHE and (flags & _FUA or export.writethrough)):
            node.driver.flush()
        return 0, []

    def _write(self, node: Node, offset: int, data: bytes | None, length: int, flags: int) -> None:
        if any(bitmap.closed for bitmap, _ in bitmaps_of_jobs(node, offset)):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        try:
            if data is None:
                node.driver.write_zeroes(offset, length, unmap=not flags & _NO_HOLE)
            else:
                node.driver.pwrite(offset, data)
            node.driver.note_written(offset + length, length)
        finally:
            note_guest_write(node, offset, length)


def _not_present(name: str) -> bytes:
    shown = name if len(name) <= _SHOWN else name[:_SHOWN] + "..."
    return f"export '{shown}' not present".encode(errors="replace")


_ERRNOS = {errno.EPERM, errno.EIO, errno.ENOMEM, errno.EINVAL, errno.ENOSPC, errno.ENOTSUP}


def _facts(export: Export) -> bytes:
    flags = _FLAGS | (_ZEROES if export.writable else _READ_ONLY)
    return struct.pack(">QH", export.node.driver.length(), flags)


def _check_range(export: Export, kind: int, offset: int, length: int) -> None:
    writes = kind in (_WRITE, _WRITE_ZEROES)
    number = 0
    if writes and not export.writable:
        number = errno.EPERM
    elif offset + length > export.node.driver.length():
        number = errno.ENOSPC if writes else errno.EINVAL
    if number:
        raise OSError(number, os.strerror(number))


def _packed(extents: list[tuple[int, int]]) -> bytes:
    return b"".join(struct.pack(">II", length, state) for length, state in extents)
