"""Reading options one kind at a time: first their text, then what it means.

The two steps are apart because the system emulator takes them apart: it reads the text of
every option before it makes anything of the first one.
"""

from __future__ import annotations

import os

from qmpd.errors import QmpError
from qmpd.options import chardev, keyval, known, objects, opts, wording
from qmpd.options.errors import BadOption, OptionError
from qmpd.protocol.parser import parse_string
from qmpd.schema.visitor import visit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from qmpd.options.chardev import Chardev
    from qmpd.options.opts import Opts

_MON = {"mode": opts.STRING, "chardev": opts.STRING, "pretty": opts.SWITCH}
_NAME = {"guest": opts.STRING, "process": opts.STRING, "debug-threads": opts.SWITCH}
_ADD_FD = {"fd": opts.NUMBER, "set": opts.NUMBER, "opaque": opts.STRING}
_STANDARD_ERROR = 2
_STORAGES = {"host", "memory"}


class Monitor:
    """A monitor on a character device.

    It speaks QMP, with ``pretty`` indented, or is for a ``human`` to type at.
    """

    __slots__ = ("chardev", "human", "pretty")

    def __init__(self, device: Chardev, *, pretty: bool, human: bool) -> None:
        """Attach a monitor to a device."""
        self.chardev = device
        self.pretty = pretty
        self.human = human


class Option:
    """One option: its kind, its text, how the line spelled it, and what it was read as.

    ``kind`` is one of the names in :mod:`qmpd.options.known`; ``value`` is

    - ``blockdev``, ``object``, ``nbd-server``, ``export``: the typed members, as the visitor gives them;
    - ``device``: the properties, texts unless they came as JSON, ``driver`` among them;
    - ``chardev``: a :class:`~qmpd.options.chardev.Chardev`;
    - ``mon``: a :class:`Monitor`, whichever option asked for it.
    """

    __slots__ = ("kind", "spelling", "text", "value")

    def __init__(self, kind: str, spelling: str, text: str, value: Any = None) -> None:
        """Keep what is known before the option is read."""
        self.kind = kind
        self.spelling = spelling
        self.text = text
        self.value = value


class Context:
    """What earlier options have set up."""

    __slots__ = ("busy", "chardevs", "ids", "short_monitors", "system", "warnings")

    def __init__(self, system: bool) -> None:
        """Begin with nothing; ``system`` tells the system emulator from the storage daemon."""
        self.system = system
        self.ids: set[tuple[str, str]] = set()
        self.chardevs: dict[str, Chardev] = {}
        self.busy: set[str] = set()
        self.short_monitors = 0
        self.warnings: list[tuple[str, str]] = []

    def enter(self, given: Opts, what: str) -> Opts:
        """Take note of an option's id. Raises :class:`BadOption` if it is taken."""
        self.warnings += given.warnings
        if self.system and given.id is not None:
            if (what, given.id) in self.ids:
                raise BadOption(wording.duplicate_id(given.id, what))
            self.ids.add((what, given.id))
        return given


def is_json(text: str) -> bool:
    """Tell whether an option's text is JSON: only its first byte counts."""
    return text.startswith("{")


def _visited(type_name: str, text: str, implied_key: str) -> dict[str, Any]:
    if is_json(text):
        return visit(type_name, parse_string(text))
    return visit(type_name, keyval.parse(text, implied_key), keyval=True)


def _read_blockdev(_context: Context, option: Option) -> list[Option]:
    option.value = _visited("BlockdevOptions", option.text, "driver")
    return [option]


def _read_nbd_server(_context: Context, option: Option) -> list[Option]:
    option.value = _visited("NbdServerOptions", option.text, "")
    return [option]


def _read_export(_context: Context, option: Option) -> list[Option]:
    option.value = _visited("BlockExportOptions", option.text, "type")
    return [option]


def _read_object(context: Context, option: Option) -> list[Option]:
    if context.system and not is_json(option.text):
        option.value = objects.build(context.enter(objects.parse(option.text), "object"))
    else:
        option.value = _visited("ObjectOptions", option.text, "qom-type")
    return [option]


def _build_object(context: Context, option: Option) -> None:
    if opts.is_identifier(option.value["id"]):
        return
    text = wording.wrong_value("id", "an identifier")
    if context.system:
        # By then the system emulator has forgotten which option it is about.
        raise OptionError(text, wording.IDENTIFIER_HINT)
    raise BadOption(text, wording.IDENTIFIER_HINT)


def _read_chardev(context: Context, option: Option) -> list[Option]:
    option.value = context.enter(chardev.parse(option.text), "chardev")
    return [option]


def _build_chardev(context: Context, option: Option) -> None:
    device = chardev.build(option.value)
    stdio_taken = any(d.backend == chardev.STDIO for d in context.chardevs.values())
    if device.backend == chardev.STDIO and stdio_taken:
        raise BadOption(wording.SECOND_STDIO)
    if device.id in context.chardevs:
        raise BadOption(wording.duplicate_chardev(device.id))
    context.chardevs[device.id] = option.value = device


def _read_mon(context: Context, option: Option) -> list[Option]:
    given = context.enter(opts.parse(option.text, "chardev", _MON), "mon")
    option.value = dict(given.items)
    return [option]


def _read_monitor(context: Context, option: Option) -> list[Option]:
    if context.system:
        if option.text == "none":
            return []
        return _read_short(context, option, {"mode": "readline"})
    return [Option(known.MON, option.spelling, option.text, _visit_monitor(option.text))]


def _visit_monitor(text: str) -> dict[str, str]:
    # Back to texts, so that one step builds the monitors of both programs.
    visited = _visited("MonitorOptions", text, "chardev")
    if "pretty" in visited:
        visited["pretty"] = "on" if visited["pretty"] else "off"
    return visited


def _read_qmp(context: Context, option: Option) -> list[Option]:
    return _read_short(context, option, {"mode": "control"})


def _read_qmp_pretty(context: Context, option: Option) -> list[Option]:
    return _read_short(context, option, {"mode": "control", "pretty": "on"})


def _read_short(context: Context, option: Option, mode: dict[str, str]) -> list[Option]:
    """Read a monitor that brings its own character device, or refers to one."""
    made = []
    if option.text.startswith("chardev:"):
        name = option.text.removeprefix("chardev:")
    else:
        name = f"compat_monitor{context.short_monitors}"
        given = _short_device(option.text)
        given.id = name
        made.append(Option(known.CHARDEV, option.spelling, option.text, given))
    context.short_monitors += 1
    made.append(Option(known.MON, option.spelling, option.text, {**mode, "chardev": name}))
    return made


def _short_device(text: str) -> Opts:
    wrong = wording.device_parse_error(text)
    try:
        given = chardev.parse_short(text)
    except BadOption as bad:
        raise BadOption(wrong, warnings=[(bad.text, bad.hint)]) from None
    if given is None:
        raise BadOption(wrong)
    return given


def _build_monitor(context: Context, option: Option) -> None:
    given: dict[str, str] = option.value
    mode = given.get("mode", "readline" if context.system else "control")
    if mode not in {"readline", "control"}:
        raise BadOption(wording.wrong_choice("mode", mode))
    name = given.get("chardev")
    if name is None:
        raise BadOption(wording.missing("chardev"))
    device = context.chardevs.get(name)
    if device is None:
        raise BadOption(wording.no_chardev(name))
    pretty = opts.is_on(given.get("pretty", "off"))
    human = mode == "readline"
    if human and not context.system:
        raise BadOption(wording.ONLY_QMP)
    if human and pretty:
        raise BadOption(wording.PRETTY_HMP)
    if name in context.busy:
        raise BadOption(wording.chardev_in_use(name))
    if device.backend not in {chardev.SOCKET, chardev.STDIO, chardev.NULL}:
        raise BadOption(wording.backend_without_monitor(device.backend))
    context.busy.add(name)
    option.value = Monitor(device, pretty=pretty, human=human)


MONITORS = (known.MON, known.MONITOR)


def chardev_of(option: Option) -> str | None:
    """The character device that a monitor's option names, None if it cannot be read."""
    try:
        given = option.value or _visit_monitor(option.text)
    except QmpError:
        return None
    found: str | None = given.get("chardev")
    return found


def _read_drive(context: Context, option: Option) -> list[Option]:
    option.value = context.enter(opts.parse(option.text, ""), "drive")
    return [option]


def _read_qtest(_context: Context, option: Option) -> list[Option]:
    given = _short_device(option.text)
    given.id = known.QTEST
    option.value = chardev.build(given)
    return [option]


def _read_device(context: Context, option: Option) -> list[Option]:
    if is_json(option.text):
        option.value = parse_string(option.text)
        if option.value.get("driver").__class__ is not str:
            raise BadOption(wording.missing("driver"))
        return [option]
    given = context.enter(opts.parse(option.text, "driver"), "device")
    option.value = dict(given.items)
    if given.id is not None:
        option.value["id"] = given.id
    return [option]


def _build_device(_context: Context, option: Option) -> None:
    if "driver" not in option.value:
        raise BadOption(wording.missing("driver"))


def _read_add_fd(context: Context, option: Option) -> list[Option]:
    option.value = context.enter(opts.parse(option.text, "", _ADD_FD), "add-fd")
    return [option]


def _check_add_fd(_context: Context, option: Option) -> None:
    """Check a descriptor that is passed in; nothing here opens it by the number of its set."""
    given = option.value
    fd = _signed(opts.number(given.get("fd") or "-1"), 32)
    if fd < 0:
        raise BadOption(wording.needs_number("fd"))
    if fd <= _STANDARD_ERROR:
        raise BadOption(wording.STANDARD_STREAM)
    try:
        inherited = os.get_inheritable(fd)
    except OSError:
        inherited = False
    if not inherited:
        raise BadOption(wording.FD_INVALID)
    if _signed(opts.number(given.get("set") or "-1"), 64) < 0:
        raise BadOption(wording.needs_number("set"))


def _signed(value: int, bits: int) -> int:
    """Take the low bits of a number as C does when it assigns it."""
    value &= (1 << bits) - 1
    return value - (value >> (bits - 1) << bits)


def guest_name(text: str) -> str | None:
    """Return the machine's name from ``-name`` text. Raises :class:`BadOption`."""
    return opts.parse(text, "guest", _NAME).get("guest")


def storage(text: str) -> str:
    """Return where images live, from ``--storage`` text. Raises :class:`BadOption`."""
    if text not in _STORAGES:
        raise BadOption(wording.wrong_choice("storage", text))
    return text


READ: dict[str, Callable[[Context, Option], list[Option]]] = {
    known.ADD_FD: _read_add_fd,
    known.BLOCKDEV: _read_blockdev,
    known.CHARDEV: _read_chardev,
    known.DEVICE: _read_device,
    known.DRIVE: _read_drive,
    known.EXPORT: _read_export,
    known.MON: _read_mon,
    known.MONITOR: _read_monitor,
    known.NBD_SERVER: _read_nbd_server,
    known.OBJECT: _read_object,
    known.QMP: _read_qmp,
    known.QMP_PRETTY: _read_qmp_pretty,
    known.QTEST: _read_qtest,
}

BUILD: dict[str, Callable[[Context, Option], None]] = {
    known.ADD_FD: _check_add_fd,
    known.CHARDEV: _build_chardev,
    known.MON: _build_monitor,
    known.OBJECT: _build_object,
    known.DEVICE: _build_device,
}

# The order in which the system emulator acts on what it has read.
SYSTEM_ORDER = (
    known.ADD_FD,
    known.OBJECT,
    known.CHARDEV,
    known.QTEST,
    known.BLOCKDEV,
    known.DRIVE,
    known.MON,
    known.DEVICE,
)
