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
_PATH_SIZE = 108
"""Bytes of a socket's path in the kernel's interface."""


class Chardev:
    """Something that clients come from.

    ``listening`` is the descriptor to accept on, -1 if there is none.
    ``own_thread`` says whether QEMU would give the monitor a thread of its own and thus
    offer out-of-band execution.
    """

    own_thread = True

    def __init__(self) -> None:
        self.listening = -1
        self.reconnect = 0
        """Seconds until a lost or refused connection is tried again; 0: it is not."""
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

    def close(self) -> None:
        """Take no more clients, let go of one that nobody took, and clean up."""
        client, self._client = self._client, None
        listening, self.listening = self.listening, -1
        for fd in {listening, *(client or ())} - {-1}:
            os.close(fd)
        self.remove()


class Stdio(Chardev):
    """One client, on standard input and output."""

    def __init__(self) -> None:
        super().__init__()
        try:
            self._client = (os.dup(0), os.dup(1))
        except OSError as error:
            raise QmpError(f"Failed to set FD nonblocking: {strerror(error)}") from error


class SocketClient(Chardev):
    """``server=off``: qmpd connects to somebody who listens, or was given a connection.

    With ``reconnect`` seconds nobody needs to listen yet, and a lost connection comes back.
    """

    def __init__(self, *, path: str | None = None, fd: int = -1, reconnect: int = 0) -> None:
        super().__init__()
        self.reconnect = reconnect
        self._path = path
        if path is None:
            os.set_inheritable(fd, False)  # noqa: FBT003 - the call's own signature
        elif reconnect:
            return
        else:
            fd = self._connect(path)
        self._client = (fd, fd)

    def take_client(self) -> tuple[int, int] | None:
        """The connection that there is; with ``reconnect`` the one that can be made now."""
        client = super().take_client()
        if client is None and self.reconnect and self._path is not None:
            try:
                fd = self._connect(self._path)
            except QmpError:
                return None
            client = fd, fd
        return client

    @staticmethod
    def _connect(path: str) -> int:
        _check_length(path)
        if not path:
            refused = os.strerror(errno.ECONNREFUSED)  # there is no socket without a name
            raise QmpError(f"Failed to connect to '': {refused}")
        connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        try:
            connection.connect(path)
        except OSError as error:
            connection.close()
            raise QmpError(f"Failed to connect to '{path}': {strerror(error)}") from error
        return connection.detach()


class SocketServer(Chardev):
    """``server=on`` on a path or on a descriptor that listens already."""

    def __init__(self, *, path: str | None = None, fd: int = -1, wait: bool = False) -> None:
        super().__init__()
        self.listening = self._bind(path) if path is not None else _listen(fd)
        self._note_path()
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
        _check_length(path)
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        try:
            try:
                listener.bind(path)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or _is_alive(path):
                    raise
                _unlink(path)  # left behind by somebody who was killed
                listener.bind(path)
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            raise QmpError(f"Failed to bind socket to {path}: {strerror(error)}") from error
        except QmpError:
            listener.close()
            raise
        return listener.detach()

    def _note_path(self) -> None:
        """Note what is to be removed at the end, also of a socket that somebody else made."""
        listener = socket(fileno=self.listening)
        name = listener.getsockname() if listener.family == AF_UNIX else ""
        listener.detach()
        # Going to the background changes the directory. What begins with NUL is no file.
        self._path = os.path.abspath(name) if name and isinstance(name, str) else ""
        self._inode: tuple[int, int] | None = None
        try:
            found = os.stat(self._path)
            self._inode = (found.st_dev, found.st_ino)
        except OSError:
            pass  # nothing that could be removed

    def remove(self) -> None:
        """Remove the socket, unless somebody else has put another one there."""
        if self._inode is None:
            return
        try:
            found = os.stat(self._path)
            if (found.st_dev, found.st_ino) == self._inode:
                os.unlink(self._path)
        except OSError:
            pass  # it is gone, which is what was wanted
        self._inode = None


def _check_length(path: str) -> None:
    if len(os.fsencode(path)) >= _PATH_SIZE:
        raise QmpError(
            f"UNIX socket path '{path}' is too long",
            hint=f"Path must be less than {_PATH_SIZE} bytes",
        )


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError as error:
        raise QmpError(f"Failed to unlink socket {path}: {strerror(error)}") from error


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


def socket_number(text: str) -> int:
    """The descriptor that is passed to qmpd under this number.

    Raises:
        QmpError: it is no number, or not that of a socket.
    """
    digits = text.lstrip(" \t\n\v\f\r")
    digits = digits[1:] if digits[:1] in {"+", "-"} else digits
    if not (digits.isascii() and digits.isdigit()):
        raise QmpError(f"Unable to parse FD number {text}")
    fd = int(text)
    if not -(1 << 31) <= fd < 1 << 31:
        reason = os.strerror(errno.ERANGE)
        raise QmpError(f"Unable to parse FD number {text}: {reason}")
    try:
        socket(fileno=fd).detach()
    except (OSError, ValueError) as error:
        raise QmpError(f"File descriptor '{text}' is not a socket") from error
    return fd


def _listen(fd: int) -> int:
    from _socket import SO_ACCEPTCONN, SOL_SOCKET

    listener = socket(fileno=fd)
    try:
        if not listener.getsockopt(SOL_SOCKET, SO_ACCEPTCONN):
            listener.listen(BACKLOG)
    except OSError as error:
        raise QmpError(f"Failed to listen on fd socket: {strerror(error)}") from error
    finally:
        listener.detach()
    os.set_inheritable(fd, False)  # noqa: FBT003 - the call's own signature
    return fd
