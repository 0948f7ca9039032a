"""``-drive``: a node and a named backend in one option, and often a device as well.

Nothing of it is checked against the contract beforehand: options are texts, children may be
described in part, and what is left out is guessed from the file.
"""

from __future__ import annotations

from sys import stderr

from qmpd.block import permissions as p
from qmpd.block import wording
from qmpd.block.driver import driver_class
from qmpd.block.implied import definition_of, nest, probe
from qmpd.block.node import User
from qmpd.block.opening import open_node
from qmpd.block.transaction import Transaction
from qmpd.block.untyped import Untyped
from qmpd.errors import QmpError
from qmpd.options import limits
from qmpd.options.errors import OptionError
from qmpd.schema.optiontexts import READ
from qmpd.schema.scalars import BOOL, UINT64

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
_GUESSED = """\
WARNING: Image format was not specified for '{}' and probing guessed raw.
         Automatically detecting the format is dangerous for raw images, write operations on \
block 0 will be restricted.
         Specify the 'raw' format explicitly to remove the restrictions.
"""
_ERROR_ACTIONS = {"ignore", "report", "stop"}
_ON = ("on", "yes", "true", "y")
_WITHOUT_MEANING = ("index", "bus", "unit", "stats-account-invalid", "stats-account-failed")
_NUMBERS = ("index", "unit", "bus")
_SWITCHES = ("read-only", "copy-on-read", "snapshot")
_TWO_NAMES = "'read-only' and its alias 'readonly' can't be used at the same time"
_REFUSED_AIO = "aio"
"""Stays among the options if it cannot be: the file is what refuses it."""
_LACKING = ("snapshot", "copy-on-read")

_UNITS = {"none": 0, "virtio": 0, "ide": 2, "scsi": 7, "floppy": 0, "pflash": 0, "mtd": 0, "sd": 0}
"""Interfaces, and how many units a bus of each has; 0: buses are not counted."""
_DEVICES = {"virtio": ("virtio-blk-pci", ""), "ide": ("ide-hd", "ide-cd")}
_ON_BOARD = ("ide",)
FIRST_ON_BOARD = 18
"""Which of the unattached devices the first disk of a PC board without defaults is."""


class Bays:
    """Which drives there are of each kind: they are numbered, and get devices by themselves."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}
        self._on_board = 0
        self.devices: list[dict[str, Any]] = []
        """Devices that come with drives, to be plugged in behind those of the command line."""
        self.groups: dict[str, dict[str, int | str]] = {}
        """Limits of drives as queries show them; who comes last sets those of his group."""

    def take(self, interface: str, medium: str) -> str:
        """The name of the next drive of an interface."""
        unit = self._taken.get(interface, 0)
        self._taken[interface] = unit + 1
        per_bus = _UNITS[interface]
        if not per_bus:
            return f"{interface}{unit}"
        return f"{interface}{unit // per_bus}-{medium}{unit % per_bus}"

    def on_board(self) -> str:
        """The path of the next device that the board itself makes of a drive."""
        self._on_board += 1
        return f"/machine/unattached/device[{FIRST_ON_BOARD + self._on_board - 1}]"


def open_drive(machine: Machine, names: Names, bays: Bays, given: Opts) -> None:
    """Open what ``-drive`` describes, name its backend, and plug in what belongs to it.

    Raises:
        QmpError: it cannot be done; nothing is left behind.
    """
    options = dict(given.items)
    limits.rename(options)
    if "readonly" in options:
        if "read-only" in options:
            raise QmpError(_TWO_NAMES)
        options["read-only"] = options.pop("readonly")
    writeback = _take_cache(options)
    _check(options, _NUMBERS, UINT64)
    medium = _take_medium(options)
    interface = _take_interface(options)
    _check(options, _SWITCHES, BOOL)
    number = bays.take(interface, medium)
    filename = options.pop("file", "")
    user = User(given.id or number, device=True, drive=True)
    user.writeback = writeback
    group = options.pop(limits.GROUP, user.name)
    members = limits.members(_take_rest(options), group)
    if "format" in options:
        if "driver" in options:
            raise QmpError("Cannot specify both 'driver' and 'format'")
        options["driver"] = options.pop("format")
    if members:
        user.limits = bays.groups.setdefault(group, {})
        user.limits.clear()
        user.limits.update(members)
    _open(machine, user, filename, options, read_only=medium == "cd")
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
    if interface not in (*_DEVICES, "none"):
        raise QmpError(f"machine type does not support if={interface},bus=0,unit=0")
    return interface


def _take_rest(options: dict[str, str]) -> dict[str, int]:
    """Take what does not concern the node; what qmpd lacks is not passed over in silence.

    Returns:
        the limits.
    """
    for name in _WITHOUT_MEANING:
        options.pop(name, None)
    taken = limits.take(options)
    aio = options.pop("aio", "threads")
    if aio not in {"threads", "native", "io_uring"}:
        raise QmpError("invalid aio option")
    if aio == "native" and options.get("cache.direct") not in _ON:
        options[_REFUSED_AIO] = aio
    limits.check(taken)
    for name, kind in (("werror", "write"), ("rerror", "read")):
        action = options.pop(name, "report")
        if action not in _ERROR_ACTIONS and not (kind == "write" and action == "enospc"):
            raise QmpError(f"'{action}' invalid {kind} error action")
    for name in _LACKING:
        if options.pop(name, "off") in _ON:
            raise QmpError(f"qmpd does not have {name} for drives")
    return taken


def _open(
    machine: Machine, user: User, filename: str, options: dict[str, str], *, read_only: bool
) -> None:
    graph = machine.graph
    if read_only:
        options["read-only"] = "on"
    detect_zeroes = options.pop("detect-zeroes", "off")
    if detect_zeroes not in {"off", "on", "unmap"}:
        raise QmpError(f"invalid parameter value: {detect_zeroes}")
    if not filename and not options.keys() - {"read-only", _REFUSED_AIO}:
        machine.add_drive(user, None, 0, 0)
        return
    refused = options.pop(_REFUSED_AIO, None)
    definition = _definition(options, filename)
    if refused is not None and _is_file(definition):
        raise QmpError(wording.AIO_NATIVE_NEEDS_DIRECT)
    if "driver" not in definition:
        if options.get("force-share") in _ON and options["read-only"] not in _ON:
            raise QmpError(wording.FORCE_SHARE_WRITABLE)
        definition["driver"] = probe(graph, definition)
        if definition["driver"] == "raw":
            stderr.write(_GUESSED.format(_name(definition["file"])))
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


def _name(file: dict[str, Any] | str) -> str:
    if isinstance(file, str):
        return file
    return str(file.get("filename") or f"{file['driver']}://")


def _definition(options: dict[str, str], filename: str) -> dict[str, Any]:
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
        if "filename" in file and "filename" in found.get("file", {}):
            raise QmpError("Can't specify 'file' and 'filename' options at the same time")
        found["file"] = {**found.get("file", {}), **file}
    return {**tree, **found}
