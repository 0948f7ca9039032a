"""Character devices that a monitor can sit on: sockets and standard input/output.

``_socket`` instead of ``socket`` saves a third of the start-up time; only descriptors are
kept, so that nothing depends on the object's class.
"""

from __future__ import annotations

import errno
import os
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket

from qmpd.block.driver import strerror
from qmpd.errors import QmpError

BACKLOG = 1


class Chardev:
    """Something that clients come from.

    ``listening`` is the descriptor to accept on, -1 if there is none.
    ``own_thread`` says whether QEMU would give the monitor a thread of its own and thus
    offer out-of-band execution.
    """

    own_thread = True

    def __init__(self) -> None:
        self.listening = -1
        self._client: tuple[int, int] | None = None

    def take_client(self) -> tuple[int, int] | None:
        """The client that was there from the start, as descriptors to read and write."""
        client, self._client = self._client, None
        return client

    def accept(self) -> tuple[int, int] | None:
        """The next client, None if it has gone already."""
        try:
            listener = socket(fileno=self.listening)
            try:
                fd, _ = listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - the C level's only way
            finally:
                listener.detach()
        except OSError:
            return None
        return fd, fd

    def remove(self) -> None:
        """Remove what the device has left in the file system."""


class Stdio(Chardev):
    """One client, on standard input and output."""

    def __init__(self) -> None:
        super().__init__()
        self._client = (os.dup(0), os.dup(1))


class SocketClient(Chardev):
    """``server=off``: qmpd connects to somebody who listens."""

    def __init__(self, path: str) -> None:
        super().__init__()
        connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        try:
            connection.connect(path)
        except OSError as error:
            connection.close()
            raise QmpError(f"Failed to connect to '{path}': {strerror(error)}") from error
        fd = connection.detach()
        self._client = (fd, fd)


class SocketServer(Chardev):
    """``server=on`` on a path or on a descriptor that listens already."""

    def __init__(self, *, path: str | None = None, fd: int = -1, wait: bool = False) -> None:
        super().__init__()
        # Going to the background changes the directory.
        self._path = None if path is None else os.path.abspath(path)
        self._inode: tuple[int, int] | None = None
        if path is not None:
            self.listening = self._bind(path)
        else:
            self.listening = _check_listening(fd)
        try:
            if wait:
                os.set_blocking(self.listening, True)
                while self._client is None:
                    self._client = self.accept()
            os.set_blocking(self.listening, False)
        except BaseException:  # an interrupt while waiting, above all
            os.close(self.listening)
            self.remove()
            raise

    def _bind(self, path: str) -> int:
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        try:
            try:
                listener.bind(path)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or _is_alive(path):
                    raise
                os.unlink(path)  # left behind by somebody who was killed
                listener.bind(path)
            listener.listen(BACKLOG)
            found = os.stat(path)
            self._inode = (found.st_dev, found.st_ino)
        except OSError as error:
            listener.close()
            raise QmpError(f"Failed to bind socket to {path}: {_reason(error)}") from error
        return listener.detach()

    def remove(self) -> None:
        """Remove the socket, unless somebody else has put another one there."""
        if self._path is None or self._inode is None:
            return
        try:
            found = os.stat(self._path)
            if (found.st_dev, found.st_ino) == self._inode:
                os.unlink(self._path)
        except OSError:
            pass  # it is gone, which is what was wanted
        self._inode = None


def _reason(error: OSError) -> str:
    return strerror(error) if error.errno else str(error)


def _is_alive(path: str) -> bool:
    probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    probe.setblocking(False)  # noqa: FBT003 - the socket API's own signature
    try:
        probe.connect(path)
    except OSError as error:
        return error.errno == errno.EAGAIN
    finally:
        probe.close()
    return True


def _check_listening(fd: int) -> int:
    from _socket import SO_ACCEPTCONN, SOL_SOCKET

    try:
        listener = socket(fileno=fd)
    except OSError as error:
        raise QmpError(f"Failed to use descriptor {fd}: {strerror(error)}") from error
    try:
        if not listener.getsockopt(SOL_SOCKET, SO_ACCEPTCONN):
            listener.listen(BACKLOG)
    except OSError as error:
        raise QmpError(f"Failed to listen on descriptor {fd}: {strerror(error)}") from error
    finally:
        listener.detach()
    os.set_inheritable(fd, False)  # noqa: FBT003 - the call's own signature
    return fd
