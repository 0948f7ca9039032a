"""``-drive``: a node and a named backend in one option, and often a device as well.

Nothing of it is checked against the contract beforehand: options are texts, children may be
described in part, and what is left out is guessed from the file.
"""

from __future__ import annotations

from qmpd.block import permissions as p
from qmpd.block import wording
from qmpd.block.byname import warn_of_guess
from qmpd.block.driver import driver_class, warn
from qmpd.block.implied import definition_of, nest, probe
from qmpd.block.node import User
from qmpd.block.opening import open_node
from qmpd.block.options import READ_ONLY, Flags
from qmpd.block.transaction import Transaction
from qmpd.block.untyped import Untyped
from qmpd.errors import QmpError
from qmpd.options import limits
from qmpd.options.errors import OptionError
from qmpd.schema.optiontexts import READ
from qmpd.schema.scalars import BOOL, UINT64, c_integer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.commands.devices import Names
    from qmpd.machine import Machine
    from qmpd.options.opts import Opts

_CACHE = {
    "none": (True, True, False),
    "off": (True, True, False),
    "directsync": (False, True, False),
    "writeback": (True, False, False),
    "unsafe": (True, False, True),
    "writethrough": (False, False, False),
}
"""Modes: whether write-back, direct, and without flushes."""
_ERROR_ACTIONS = {"ignore", "report", "stop"}
_ON = ("on", "yes", "true", "y")
_ACCOUNTS = ("stats-account-invalid", "stats-account-failed")
_ANY = -1
_PLACE = (("index", _ANY), ("bus", 0), ("unit", _ANY))
_NUMBERS = ("index", "bus", "unit")
_SWITCHES = ("read-only", "snapshot")
_REFUSED_AIO = "aio"
"""Stays among the options if it cannot be: the file is what refuses it."""
_LACKING = ("snapshot", "copy-on-read")

_UNITS = {
    "none": 0,
    "virtio": 0,
    "ide": 2,
    "scsi": 7,
    "floppy": 0,
    "pflash": 0,
    "mtd": 0,
    "sd": 0,
    "xen": 0,
}
"""Interfaces, and how many units a bus of each has; 0: buses are not counted."""
_DEVICES = {"virtio": ("virtio-blk-pci", ""), "ide": ("ide-hd", "ide-cd")}
_ON_BOARD = ("ide",)
_BUSES = 2
"""How many buses of these the board has."""
FIRST_ON_BOARD = 18
"""Which of the unattached devices the first disk of a PC board without defaults is."""


class Bays:
    """Which drives there are of each kind: they are numbered, and get devices by themselves."""

    def __init__(self) -> None:
        self._taken: set[tuple[str, int, int]] = set()
        self._on_board = 0
        self.devices: list[dict[str, Any]] = []
        """Devices that come with drives, to be plugged in behind those of the command line."""

    def take(self, interface: str, options: dict[str, str]) -> tuple[int, int]:
        """The bus and the unit of the next drive of an interface, or those that it asks for.

        Raises:
            QmpError: it cannot be there.
        """
        index, bus, unit = (_place(options.pop(name, None), missing) for name, missing in _PLACE)
        per_bus = _UNITS[interface]
        if index != _ANY:
            if bus or unit != _ANY:
                raise QmpError(wording.INDEX_WITH_UNIT)
            bus, unit = divmod(index, per_bus) if per_bus else (0, index)
        elif unit == _ANY:
            unit = 0
            while (interface, bus, unit) in self._taken:
                unit += 1
                if per_bus and unit >= per_bus:
                    bus, unit = bus + 1, unit - per_bus
        if per_bus and unit >= per_bus:
            raise QmpError(wording.unit_too_big(unit, per_bus - 1))
        if (interface, bus, unit) in self._taken:
            raise QmpError(wording.unit_taken(bus, unit, index))
        self._taken.add((interface, bus, unit))
        return bus, unit

    def on_board(self) -> str:
        """The path of the next device that the board itself makes of a drive."""
        self._on_board += 1
        return f"/machine/unattached/device[{FIRST_ON_BOARD + self._on_board - 1}]"


def open_drive(machine: Machine, names: Names, bays: Bays, given: Opts) -> None:
    """Open what ``-drive`` describes, name its backend, and plug in what belongs to it.

    Raises:
        QmpError: it cannot be done; nothing is left behind.
    """
    options = limits.renamed(given.items)
    writeback = _take_cache(options)
    _check(options, _NUMBERS, UINT64)
    _check(options, ("copy-on-read",), BOOL)
    medium = _take_medium(options)
    interface = _take_interface(options)
    _check(options, _SWITCHES, BOOL)
    bus, unit = bays.take(interface, options)
    filename = options.pop("file", "")
    user = User(given.id or _number(interface, medium, bus, unit), device=True, drive=True)
    user.writeback = writeback
    group = options.pop(limits.GROUP, user.name)
    members = limits.members(_take_limits(options), group)
    detect_zeroes = _take_rest(options)
    if members:
        from qmpd.commands.throttling import limit

        limit(machine, user, members)
    if medium == "cd":
        options["read-only"] = "on"
    _open(machine, user, filename, options, detect_zeroes)
    if (interface not in (*_DEVICES, "none")) or (interface in _ON_BOARD and not 0 <= bus < _BUSES):
        raise QmpError(wording.no_such_slot(interface, bus, unit))
    if interface in _DEVICES:
        kind = _DEVICES[interface][medium == "cd"]
        properties = {"driver": kind, "drive": user.name}
        if interface in _ON_BOARD:
            from qmpd.commands.devices import plug

            try:
                plug(machine, names, {**properties, "path": bays.on_board()})
            except QmpError as error:
                raise OptionError(error.desc) from error  # by then nobody knows which option
        else:
            bays.devices.append(properties)


def _check(options: dict[str, str], names: tuple[str, ...], kind: int) -> None:
    """Complain of a value that is no number, or no switch's position."""
    for name in names:
        if name in options:
            READ[kind](name, options[name])


def _take_cache(options: dict[str, str]) -> bool:
    mode = options.pop("cache", None)
    if mode is not None:
        if mode not in _CACHE:
            raise QmpError("invalid cache option")
        members = ("cache.writeback", "cache.direct", "cache.no-flush")
        for member, value in zip(members, _CACHE[mode], strict=True):
            options.setdefault(member, "on" if value else "off")
    _check(options, ("cache.writeback",), BOOL)
    return options.pop("cache.writeback", "on") in _ON


def _take_medium(options: dict[str, str]) -> str:
    medium = options.pop("media", "disk")
    if medium not in {"disk", "cdrom"}:
        raise QmpError(f"'{medium}' invalid media")
    return "cd" if medium == "cdrom" else "hd"


def _take_interface(options: dict[str, str]) -> str:
    interface = options.pop("if", "ide")
    if interface not in _UNITS:
        raise QmpError(f"unsupported bus type '{interface}'")
    return interface


def _place(text: str | None, missing: int) -> int:
    """A number that has been checked, of which 32 bits count."""
    if text is None:
        return missing
    number = int(c_integer(text)) & 0xFFFFFFFF
    return number - (number >> 31 << 32)


def _number(interface: str, medium: str, bus: int, unit: int) -> str:
    """What a drive is called that was given no name."""
    return f"{interface}{bus}-{medium}{unit}" if _UNITS[interface] else f"{interface}{unit}"


def _take_limits(options: dict[str, str]) -> dict[str, int]:
    _check(options, _ACCOUNTS, BOOL)
    for name in _ACCOUNTS:
        options.pop(name, None)
    taken = limits.take(options)
    aio = options.pop("aio", "threads")
    if aio not in {"threads", "native", "io_uring"}:
        raise QmpError("invalid aio option")
    if aio == "native" and options.get("cache.direct") not in _ON:
        options[_REFUSED_AIO] = aio
    limits.check(taken)
    return taken


def _take_rest(options: dict[str, str]) -> str:
    """Take what does not concern the node; what qmpd lacks is not passed over in silence.

    Returns:
        whether and how zeroes are to be found.
    """
    detect_zeroes = options.pop("detect-zeroes", "off")
    if detect_zeroes not in {"off", "on", "unmap"}:
        raise QmpError(wording.invalid_choice(detect_zeroes))
    limits.take_intervals(options)
    if "format" in options:
        if "driver" in options:
            raise QmpError("Cannot specify both 'driver' and 'format'")
        options["driver"] = options.pop("format")
    for name, kind in (("werror", "write"), ("rerror", "read")):
        action = options.pop(name, "report")
        if action not in _ERROR_ACTIONS and not (kind == "write" and action == "enospc"):
            raise QmpError(f"'{action}' invalid {kind} error action")
    for name in _LACKING:
        if options.pop(name, "off") in _ON:
            raise QmpError(f"qmpd does not have {name} for drives")
    return detect_zeroes


def _open(
    machine: Machine, user: User, filename: str, options: dict[str, Any], detect_zeroes: str
) -> None:
    graph = machine.graph
    if not filename and not options.keys() - {"read-only", _REFUSED_AIO}:
        machine.add_drive(user, None, 0, 0)
        last = machine.devices[user.name].last = Flags({READ_ONLY: options.get("read-only") in _ON})
        last.detect_zeroes = detect_zeroes
        return
    if options.get("backing") == "":
        warn(graph.about + wording.EMPTY_BACKING)
        options["backing"] = None
    refused = options.pop(_REFUSED_AIO, None)
    definition = _definition(options, filename)
    if refused is not None and _is_file(definition):
        raise QmpError(wording.AIO_NATIVE_NEEDS_DIRECT)
    if "driver" not in definition:
        if options.get("force-share") in _ON and options["read-only"] not in _ON:
            raise QmpError(wording.FORCE_SHARE_WRITABLE)
        definition["driver"] = probe(graph, definition)
        if definition["driver"] == "raw" and definition["read-only"] not in _ON:
            warn_of_guess(definition["file"])
    driver_class(definition["driver"])
    node = open_node(graph, Untyped(definition))
    node.flags.detect_zeroes = detect_zeroes  # unlike a definition's it stands by itself
    try:
        with Transaction() as tx:
            machine.add_drive(user, node, p.CONSISTENT_READ, p.ALL, tx)
    except BaseException:
        graph.collect([node])
        raise


def _is_file(definition: dict[str, Any]) -> bool:
    """Whether a file is what would be opened first."""
    file = definition.get("file", definition)
    return isinstance(file, dict) and file.get("driver") == "file" and "filename" in file


def _definition(options: dict[str, Any], filename: str) -> dict[str, Any]:
    for name, value in (("read-only", "off"), ("auto-read-only", "on")):
        options.setdefault(name, value)
    definition = _with_file(nest(options), filename)
    file = definition.get("file")
    if isinstance(file, dict):
        if "driver" not in file and "filename" not in file:
            raise QmpError(wording.NO_DRIVER_NOR_FILE)
        file.setdefault("driver", "file")
        if file["driver"] == "file" and "filename" not in file:
            raise QmpError(wording.needs_filename("file"))
    return definition


def _with_file(tree: dict[str, Any], filename: str) -> dict[str, Any]:
    """Put the file's name where the driver looks for it."""
    driver = tree.get("driver")
    if filename and driver is not None and driver_class(driver).is_protocol:
        return {**driver_class(driver).parse_filename(filename), **tree}
    found = definition_of(filename) if filename else {}
    if "driver" not in tree and "file" not in tree and not found:
        raise QmpError(wording.NO_DRIVER_NOR_FILE)
    if not found:
        return tree
    file = tree.get("file")
    if isinstance(file, dict):
        if not driver_class(file.get("driver", "file")).is_protocol:
            return {**tree, "file": _with_file(file, filename)}  # it belongs further below
        if "filename" in file and "filename" in found.get("file", {}):
            raise QmpError("Can't specify 'file' and 'filename' options at the same time")
        found["file"] = {**found.get("file", {}), **file}
    return {**tree, **found}
