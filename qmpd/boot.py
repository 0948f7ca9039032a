"""From a command line to a machine that is ready to run."""

from __future__ import annotations

import os

from qmpd.block.driver import strerror
from qmpd.block.opening import add_node
from qmpd.errors import QmpError
from qmpd.machine import SYSTEM, Machine
from qmpd.options import known
from qmpd.options.errors import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmpd.commands.devices import Names
    from qmpd.drives import Bays
    from qmpd.monitor.chardev import Chardev
    from qmpd.options.argv import CommandLine
    from qmpd.options.chardev import Chardev as ChardevOption
    from qmpd.options.opts import Opts
    from qmpd.options.readers import Option
    from qmpd.scenario import Scenario
    from qmpd.storage.host import Storage


_OPENED = ("socket", "stdio")
"""Kinds of character devices that can be talked through."""


def build(line: CommandLine) -> Machine:
    """Do what the options say, in the order of the program that is played.

    Raises:
        OptionError: one of them cannot be done; nothing is left open.
    """
    scenario = _scenario(line)
    machine = _machine(line, scenario)
    try:
        if scenario is not None:
            _pull_levers(line, scenario, machine)
        _Builder(machine).run(line)
    except BaseException:
        machine.close()
        raise
    return machine


def _machine(line: CommandLine, scenario: Scenario | None) -> Machine:
    try:
        return Machine(
            program=line.program,
            storage=_storage(line, scenario),
            name=line.name or "",
            paused=line.stopped,
            lab=line.lab,
            profile=line.profile,
        )
    except QmpError as error:
        raise OptionError(f"--profile: {error.desc}") from error


def _scenario(line: CommandLine) -> Scenario | None:
    if line.scenario is None and line.storage == "host":
        return None
    from qmpd.scenario import Scenario, load

    try:
        return load(line.scenario) if line.scenario is not None else Scenario()
    except QmpError as error:
        raise OptionError(f"--scenario {line.scenario}: {error.desc}") from error


def _storage(line: CommandLine, scenario: Scenario | None) -> Storage | None:
    if scenario is None:
        return None
    try:
        return scenario.storage(line.storage)
    except QmpError as error:
        raise OptionError(f"--scenario {line.scenario}: {error.desc}") from error


def _pull_levers(line: CommandLine, scenario: Scenario, machine: Machine) -> None:
    try:
        scenario.pull_levers(machine)
    except QmpError as error:
        raise OptionError(f"--scenario {line.scenario}: {error.desc}") from error


class _Builder:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._monitored: set[str] = set()
        self._chardevs: dict[str, Chardev] = {}
        """Those that wait for their monitors."""
        self._names: Names | None = None
        self._bays: Bays | None = None
        machine.open_drive = self._open_drive
        self._acts: dict[str, Callable[[Option], None]] = {
            known.OBJECT: self._object,
            known.CHARDEV: self._chardev,
            known.BLOCKDEV: self._blockdev,
            known.MON: self._mon,
            known.DEVICE: self._device,
            known.QTEST: self._qtest,
            known.DRIVE: self._drive,
            known.NBD_SERVER: self._nbd_server,
            known.EXPORT: self._export,
        }

    def run(self, line: CommandLine) -> None:
        """Act on a line.

        Raises:
            OptionError: something cannot be done.
        """
        self._monitored = line.monitored()
        try:
            self._act(line)
        finally:
            for chardev in self._chardevs.values():
                chardev.close()

    def _act(self, line: CommandLine) -> None:
        for option in line:
            act = self._acts.get(option.kind)
            if act is None:
                continue
            self._machine.graph.about = f"{option.spelling}: "
            try:
                act(option)
            except QmpError as error:
                raise OptionError(f"{option.spelling}: {error.desc}", error.hint) from error
        self._machine.graph.about = ""
        try:
            self._plug_drives()
        except QmpError as error:
            raise OptionError(error.desc) from error

    def _object(self, option: Option) -> None:
        from qmpd.commands.objects import object_add

        try:
            object_add(self._machine, option.value)
        except QmpError as error:
            if self._machine.program == SYSTEM:
                # By then the system emulator has forgotten which option it is about.
                raise OptionError(error.desc, error.hint) from error
            raise

    def _chardev(self, option: Option) -> None:
        # One without a monitor stays closed: the line may come from another host.
        if option.value.id in self._monitored and option.value.backend in _OPENED:
            self._chardevs[option.value.id] = open_chardev(option.value)

    def _blockdev(self, option: Option) -> None:
        if self._machine.profile is not None:
            self._machine.profile.check_definition(option.value)
        add_node(self._machine.graph, option.value)

    def _mon(self, option: Option) -> None:
        device = option.value.chardev
        if device.backend == "null":
            return
        chardev = self._chardevs.pop(device.id)
        if option.value.human:
            from qmpd.monitor.human import HumanMonitor

            self._machine.channels.append(HumanMonitor(self._machine, chardev))
        else:
            self._machine.add_monitor(chardev, pretty=option.value.pretty)

    def _qtest(self, option: Option) -> None:
        if option.value.backend in _OPENED:
            from qmpd.monitor.qtest import Qtest

            machine = self._machine
            machine.channels.append(Qtest(machine.scheduler, open_chardev(option.value)))

    def _drive(self, option: Option) -> None:
        self._open_drive(option.value)

    def _nbd_server(self, option: Option) -> None:
        from qmpd.commands.exports import start_server

        start_server(self._machine, option.value)

    def _export(self, option: Option) -> None:
        from qmpd.commands.exports import block_export_add

        block_export_add(self._machine, option.value)

    def _open_drive(self, given: Opts) -> None:
        from qmpd.drives import Bays, open_drive

        self._bays = self._bays or Bays()
        open_drive(self._machine, self._device_names(), self._bays, given)

    def _device(self, option: Option) -> None:
        from qmpd.commands.devices import plug

        strict = option.text.startswith("{")
        plug(self._machine, self._device_names(), option.value, strict=strict)

    def _plug_drives(self) -> None:
        from qmpd.commands.devices import plug

        for properties in self._bays.devices if self._bays is not None else ():
            plug(self._machine, self._device_names(), properties)

    def _device_names(self) -> Names:
        from qmpd.commands.devices import Names

        self._names = self._names or Names()
        return self._names


def open_chardev(device: ChardevOption) -> Chardev:
    """Open the character device of a monitor.

    Raises:
        QmpError: it cannot be opened, or is of a kind that qmpd does not have.
    """
    from qmpd.monitor.chardev import SocketClient, SocketServer, Stdio, socket_number
    from qmpd.options.wording import lacking

    if device.backend == "stdio":
        return Stdio()
    if device.wrapped:
        raise QmpError(lacking(f"{device.wrapped[0]} sockets", "use a plain one"))
    if device.fd is not None:
        fd = socket_number(device.fd)
        return SocketServer(fd=fd, wait=device.wait) if device.server else SocketClient(fd=fd)
    if device.path is None:
        raise QmpError("qmpd has no TCP sockets; use path= or fd=")
    if device.server:
        return SocketServer(path=device.path, wait=device.wait)
    return SocketClient(path=device.path, reconnect=device.reconnect)


class Pidfile:
    """A locked file with the process's number, as QEMU writes it."""

    __slots__ = ("_fd", "_path")

    def __init__(self, path: str) -> None:
        import fcntl

        try:
            fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            reason = f"Could not create '{path}': {strerror(error)}"
            raise OptionError(f"cannot create PID file: {reason}") from error
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            raise OptionError("cannot create PID file: Cannot lock pid file") from error
        self._fd, self._path = fd, os.path.abspath(path)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)

    def remove(self) -> None:
        """Remove the file."""
        try:
            os.unlink(self._path)
        except OSError:
            pass  # somebody was faster
        os.close(self._fd)
