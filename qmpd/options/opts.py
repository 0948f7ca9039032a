"""QEMU's older option syntax, ``value,key=value,flag,noflag``, which never nests.

``-chardev``, ``-mon``, ``-device``, ``-name`` and the system emulator's ``-object`` speak
it. A bare word after the first item is a switch that is on, or off with ``no`` before it.
"""

from __future__ import annotations

from qmpd.options import wording
from qmpd.options.errors import BadOption
from qmpd.options.keyval import take_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_TRUTHS = {"on", "yes", "true", "y", "off", "no", "false", "n"}
_HELP = ("help", "?")
_TRUE = {"on", "yes", "true", "y"}

# What a parameter holds, in the tables of parameters below.
STRING, SWITCH, NUMBER, SIZE = range(4)
_NUMBERS = (NUMBER, SIZE)


class Opts:
    """One option's parameters in the order given; of equal names the last one counts."""

    __slots__ = ("id", "items", "warnings")

    def __init__(self) -> None:
        """Begin without parameters."""
        self.id: str | None = None
        self.items: list[tuple[str, str]] = []
        self.warnings: list[tuple[str, str]] = []

    def get(self, name: str) -> str | None:
        """Return a parameter's text, or ``None``."""
        return dict(self.items).get(name)

    def switch(self, name: str, default: bool = False) -> bool:
        """Return a switch's position."""
        value = self.get(name)
        return default if value is None else is_on(value)


def parse(text: str, implied: str, known: dict[str, int] | None = None) -> Opts:
    """Parse option text; the first item may be the bare value of ``implied``.

    ``known`` says which parameters there are; without it any are taken.
    Raises :class:`BadOption`.
    """
    opts = Opts()
    items = list(_items(text, implied))
    # The id is looked for before anything else; of several the first one counts.
    opts.id = next((value for name, value, _ in items if name == "id"), None)
    if opts.id is not None and not is_identifier(opts.id):
        raise BadOption(wording.wrong_value("id", "an identifier"), wording.IDENTIFIER_HINT)
    for name, value, short in items:
        if short:
            hint = wording.short_form_hint(_long_form(name, value))
            opts.warnings.append((wording.short_form(short), hint))
        if name == "id":
            continue
        if known is not None:
            check(name, value, known, opts)
        opts.items.append((name, value))
    return opts


def _long_form(name: str, value: str) -> str:
    """How a switch is spelled in full; "delay" has an opposite that has a name of its own."""
    if name == "delay":
        return "nodelay=off" if value == "on" else "nodelay=on"
    return f"{name}={value}"


def _items(text: str, implied: str) -> Iterator[tuple[str, str, str]]:
    position = 0
    while position < len(text):
        name, value, position, short = _take_item(text, position, implied)
        implied = ""
        yield name, value, short


def _take_item(text: str, position: int, implied: str) -> tuple[str, str, int, str]:
    end = position
    while end < len(text) and text[end] not in "=,":
        end += 1
    name = text[position:end]
    if text[end : end + 1] == "=":
        value, position = take_value(text, end + 1)
        return name, value, position, ""
    if implied:
        value, position = take_value(text, position)
        return implied, value, position, ""
    if name.startswith("no"):
        return name[2:], "off", end + 1, name
    return name, "on", end + 1, "" if name in _HELP else name


def check(name: str, value: str, known: dict[str, int], opts: Opts) -> None:
    """Check one parameter against what is ``known``; raises :class:`BadOption`."""
    bad = ""
    if name not in known:
        bad = wording.invalid_parameter(name)
    elif known[name] == SWITCH and value not in _TRUTHS:
        bad = wording.wrong_value(name, "'on' or 'off'")
    elif known[name] in _NUMBERS:
        _check_number(name, value, known[name], opts)
    if bad:
        raise BadOption(bad, warnings=opts.warnings)


def _check_number(name: str, value: str, kind: int, opts: Opts) -> None:
    from qmpd.errors import QmpError
    from qmpd.schema.optiontexts import read_number, read_size

    try:
        (read_number if kind == NUMBER else read_size)(name, value)
    except QmpError as bad:
        raise BadOption(bad.desc, bad.hint, warnings=opts.warnings) from None


def number(text: str) -> int:
    """Read a number that has been checked; a negative one is taken modulo 2^64."""
    from qmpd.schema.scalars import KEYVAL, UINT64

    value: int = KEYVAL[UINT64](text, None)
    return value


def is_on(text: str) -> bool:
    """Read a switch's position."""
    return text in _TRUE


def is_identifier(text: str) -> bool:
    """Tell whether a text can name an object or device."""
    rest = text.replace("-", "").replace(".", "").replace("_", "")
    return text.isascii() and text[:1].isalpha() and rest.isalnum()
