"""One emulated QEMU: storage, graph, jobs and monitors, built from parsed options.

A process can hold many of them; they share nothing.
"""

from __future__ import annotations

import os

from qmpd.block import wording
from qmpd.block.graph import Graph
from qmpd.block.permissions import ALL
from qmpd.block.transaction import Transaction
from qmpd.commands.dispatch import Dispatcher
from qmpd.errors import QmpError
from qmpd.jobs.manager import JobManager
from qmpd.monitor.monitor import Monitor
from qmpd.monitor.reactor import Reactor
from qmpd.storage.host import HostStorage
from qmpd.storage.policy import AccessPolicy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from qmpd.block.node import Node, User
    from qmpd.block.options import Flags
    from qmpd.commands.devices import Names
    from qmpd.commands.dispatch import Encoded
    from qmpd.commands.exports import Exports, Server
    from qmpd.commands.queries import FlatReport
    from qmpd.lab.levers import Levers
    from qmpd.lab.profile import Profile
    from qmpd.monitor.chardev import Chardev
    from qmpd.monitor.human import HumanMonitor
    from qmpd.monitor.qtest import Qtest
    from qmpd.options.opts import Opts
    from qmpd.storage.host import Storage

SYSTEM = "system"
STORAGE_DAEMON = "storage-daemon"

VERSION: dict[str, Any] = {
    "qemu": {"major": 7, "minor": 2, "micro": 22},
    "package": "Debian 1:7.2+dfsg-7+deb12u18+b3",
}


class Device:
    """A guest device that uses a node, or a drive that may be without one: what queries say.

    ``path`` is the device's id, or the QOM path of what has none; empty without a device.
    ``tray`` tells whether the medium lies in one, ``io_status`` whether errors can stop it.
    """

    __slots__ = (
        "adapts",
        "asks",
        "io_status",
        "iothread",
        "last",
        "path",
        "removable",
        "tray",
        "tray_open",
        "user",
    )

    def __init__(self, user: User, path: str, *, removable: bool) -> None:
        self.user = user
        self.path = path
        self.removable = self.tray = removable
        self.io_status = True
        self.iothread = ""
        self.tray_open = False
        self.adapts = False
        """Whether it writes to the medium that is in it just now, if that can be written."""
        self.asks = (0, ALL)
        """What it wants to do with the next medium, and shares."""
        self.last: Flags | None = None
        """What the medium before was like; None: nobody knows, so the next is read-only."""

    @property
    def drive(self) -> str:
        """The drive's name; empty if the device uses a node."""
        return self.user.name if self.user.drive else ""


def _find_profile(name: str | None) -> Profile | None:
    if name is None:
        return None
    from qmpd.lab.profile import find

    return find(name)


def _open_no_drive(_given: Opts) -> None:
    raise QmpError("there are no drives here")


def _random_digits() -> Iterator[int]:
    while True:
        yield os.urandom(1)[0] % 100


class Machine:
    """A QEMU that has no guest.

    Args:
        program: ``system`` or ``storage-daemon``: which program's commands and events.
        storage: where images are; the host's file system by default.
        name: what ``-name`` says.
        paused: start as with ``-S``.
        digits: the two digits behind generated node names.
        lab: have levers, and the commands that pull them.
        profile: which QEMU to play (``docs/profiles.md``); 7.2 by default.

    Raises:
        QmpError: there is no profile of that name.
    """

    def __init__(
        self,
        *,
        program: str = SYSTEM,
        storage: Storage | None = None,
        name: str = "",
        paused: bool = False,
        digits: Iterator[int] | None = None,
        lab: bool = False,
        profile: str | None = None,
    ) -> None:
        self.program = program
        self.name = name
        self.profile = _find_profile(profile)
        self.version = VERSION if self.profile is None else self.profile.version
        self.encoded_version: Encoded | None = None
        self.encoded_schema: Encoded | None = None
        self.flat_report: FlatReport | None = None
        self.run_state = "prelaunch" if paused else "running"
        self.scheduler = Reactor()
        self.levers: Levers | None = None
        if lab:
            from qmpd.lab.levers import Levers

            self.levers = Levers(self.scheduler.wall)
        self.storage = storage or HostStorage(AccessPolicy())
        self.graph = Graph(self.storage, digits or _random_digits())
        self.graph.no_aes = program == SYSTEM
        self.dispatcher = Dispatcher(self)
        self.jobs = JobManager(
            self.scheduler, self.emit, self.dispatcher.later, self.dispatcher.afterwards
        )
        self.graph.tell = self._tell
        self.graph.begin_drain = self.jobs.begin_drain
        self.graph.let_pass = self.jobs.let_pass
        self.graph.levers = self.jobs.levers = self.levers
        self.jobs.die = self.die
        if self.profile is not None:
            self.graph.static_auto_read_only = self.profile.static_auto_read_only
            self.jobs.nested_update_aborts = self.profile.nested_update_aborts
        if self.levers is not None:
            self.storage.policy.hooks.append(self._note_open)
        self.monitors: list[Monitor] = []
        self.slots: Names | None = None
        """Which devices there are, once there are any."""
        self.channels: list[Qtest | HumanMonitor] = []
        """What harnesses and humans connect to besides QMP monitors."""
        self.devices: dict[str, Device] = {}
        """By the backend's name, oldest first: a drive's, or the device's id or QOM path."""
        self.objects: dict[str, str] = {}
        """User-created objects: id to type."""
        self.graph.objects = self.objects
        self.exports: Exports | None = None
        """What other programs reach over NBD, once anybody has asked for that."""
        self.open_drive: Callable[[Opts], None] = _open_no_drive
        """Opens what ``drive_add`` describes, as ``-drive`` would."""
        self.on_quit: Callable[[], None] | None = None
        self.on_death: Callable[[], None] | None = None
        """Called after a sudden end; a process ends itself here."""
        self._quitting = False
        self._closed = False

    # --- building ----------------------------------------------------------------------

    def add_monitor(self, chardev: Chardev, *, pretty: bool = False) -> Monitor:
        """Put a control monitor on a character device."""
        monitor = Monitor(self.scheduler, self.dispatcher, chardev, self.version, pretty=pretty)
        monitor.levers = self.levers
        self.monitors.append(monitor)
        return monitor

    def plug(self, user: User, node: Node, perm: int, shared: int, *, removable: bool) -> Device:
        """Let a device use a node.

        Raises:
            QmpError: the permissions conflict with somebody's.
        """
        with Transaction() as tx:
            self.graph.add_user(tx, user, node, perm, shared)
        device = self.devices[user.name] = Device(user, user.name, removable=removable)
        return device

    def plug_empty(self, user: User, perm: int, shared: int) -> Device:
        """Enter a device that has no medium, and asks for so much of the first one."""
        self.graph.users[user] = None
        device = self.devices[user.name] = Device(user, user.name, removable=True)
        device.asks = perm, shared
        return device

    def plug_drive(
        self, name: str, path: str, perm: int, shared: int, *, removable: bool
    ) -> Device:
        """Let a device use a drive.

        Raises:
            QmpError: another one uses it, or the permissions conflict with somebody's.
        """
        device = self.devices[name]
        if device.path:
            raise QmpError(f"Drive '{name}' is already in use by another device")
        for edge in device.user.children.values():
            with Transaction() as tx:
                self.graph.change_user(tx, edge, perm, shared)
        device.path, device.removable, device.asks = path, removable, (perm, shared)
        return device

    def unplug(self, name: str) -> None:
        """Take a backend away; what only its drive held goes with it."""
        device = self.devices.pop(name)
        user = device.user
        node = user.node
        self.graph.users.pop(user, None)
        self.graph.drives.pop(name, None)
        if node is not None:
            self.graph.detach_loosely(*user.children.values())
            self.graph.collect([node])

    def add_drive(
        self, user: User, node: Node | None, perm: int, shared: int, tx: Transaction | None = None
    ) -> None:
        """Enter a drive, empty or with a node in it.

        Raises:
            QmpError: its name is taken.
        """
        if user.name in self.graph.drives:
            raise QmpError(wording.drive_exists(user.name))
        if user.name in self.graph.nodes:
            raise QmpError(wording.drive_called_as_node(user.name))
        if node is None or tx is None:
            self.graph.users[user] = None
        else:
            self.graph.add_user(tx, user, node, perm, shared)
        self.graph.drives[user.name] = user
        self.devices[user.name] = Device(user, "", removable=True)

    def serve_nbd(self, exports: Exports, path: str, limit: int) -> Server:
        """Let clients come to the exports, at most ``limit`` at a time unless it is 0.

        Raises:
            QmpError: nobody can listen on that path.
        """
        from qmpd.monitor.chardev import SocketServer
        from qmpd.monitor.nbd import NbdServer

        return NbdServer(self.scheduler, SocketServer(path=path), exports, self.jobs, limit)

    def start(self) -> None:
        """Let clients in."""
        for monitor in self.monitors:
            monitor.start()
        for channel in self.channels:
            channel.start()

    # --- events ------------------------------------------------------------------------

    def emit(self, name: str, data: dict[str, Any] | None) -> None:
        """Send an event to every monitor whose client has negotiated."""
        wall = self.scheduler.wall()
        for monitor in self.monitors:
            monitor.send_event(name, data, wall)

    def _tell(self, name: str, data: dict[str, Any]) -> None:
        if self.scheduler.on_worker():
            self.scheduler.call_from_anywhere(lambda: self.emit(name, data))
        else:
            self.emit(name, data)

    def _note_open(self, path: str, flags: int) -> None:
        if self.levers is not None:
            access = "r" if flags & os.O_ACCMODE == os.O_RDONLY else "rw"
            self.levers.journal.add("open", path=path, access=access)
            self.levers.faults.check("open", path=path)

    # --- the end -----------------------------------------------------------------------

    def quit(self, reason: str) -> None:
        """End in order: tell why, cancel the jobs, then let ``on_quit`` take over."""
        if self._quitting:
            return
        self._quitting = True
        if self.program == SYSTEM:
            self._tell_shutdown({"guest": False, "reason": reason})
        self.dispatcher.later(self._cancel_jobs)

    @property
    def quitting(self) -> bool:
        """Whether the end has been asked for: nothing is answered any more."""
        return self._quitting

    def _tell_shutdown(self, data: dict[str, Any]) -> None:
        profile = self.profile
        if profile is None:
            self.emit("SHUTDOWN", data)
            return
        told = profile.event("SHUTDOWN", data)
        if profile.reply_first:
            self.dispatcher.later(lambda: self.emit("SHUTDOWN", told))
        else:
            self.emit("SHUTDOWN", told)

    def _cancel_jobs(self) -> None:
        if self.exports is not None:
            self.exports.end()
        self.dispatcher.hold_reply()  # a job whose slice is on the worker ends a little later
        self.jobs.cancel_all(self.graph.nodes.values(), self._ended)

    def _ended(self) -> None:
        self.dispatcher.release_reply()
        if self.on_quit is not None:
            self.scheduler.call_soon(self.on_quit)  # behind the reply to who asked for it

    def die(self) -> None:
        """End as if killed: clients are cut off, nothing is written back."""
        if self._closed:
            return
        self._closed = True
        if self.exports is not None:
            self.exports.close()
        self.jobs.close()
        self.scheduler.close()  # its worker must not write to descriptors that are closed
        for monitor in self.monitors:
            if monitor.connection is not None:
                monitor.connection.flush()
            monitor.close()
        self.graph.abandon()
        self.storage.close()
        if self.on_death is not None:
            self.on_death()

    def close(self) -> None:
        """Close monitors, nodes and storage; images are written back."""
        if self._closed:
            return
        self._closed = True
        if self.exports is not None:
            self.exports.close()
        self.jobs.close()
        self.scheduler.close()
        for monitor in self.monitors:
            monitor.close()
        for channel in self.channels:
            channel.close()
        self.graph.close()
        self.storage.close()
