"""Definitions that were never checked against the contract: those in images' headers.

Each option stays as somebody wrote it, text or number, until the driver asks for it; then it
is converted, and complained of, as an option of a command line would be. Queries show it as
it was written (all observed on QEMU 7.2).
"""

from __future__ import annotations

from qmpd.block import wording
from qmpd.block.driver import driver_class
from qmpd.block.options import COMMON, DETECT_ZEROES, DISCARD, FORCE_SHARE, flatten
from qmpd.errors import QmpError
from qmpd.protocol.encoder import encode_text, hash_order
from qmpd.schema import optiontexts, scalars
from qmpd.schema.visitor import visit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.node import Node

_BOOL, _SIZE, _NUMBER, _TEXT = scalars.BOOL, scalars.SIZE, scalars.UINT64, scalars.STR
_DISCARD = {"ignore": "ignore", "off": "ignore", "unmap": "unmap", "on": "unmap"}
_DETECT_ZEROES = ("off", "on", "unmap")

_COMMON: dict[str, Any] = {
    "node-name": _TEXT,
    "cache.direct": _BOOL,
    "cache.no-flush": _BOOL,
    "read-only": _BOOL,
    "auto-read-only": _BOOL,
    "force-share": _BOOL,
    DISCARD: _DISCARD,
    DETECT_ZEROES: _DETECT_ZEROES,
}
_FILE: dict[str, Any] = {
    "filename": _TEXT,
    "aio-max-batch": _NUMBER,
    "drop-cache": _BOOL,
    "x-check-cache-dropped": _BOOL,
    "pr-manager": _TEXT,
    "aio": ("threads", "native", "io_uring"),
    "locking": ("auto", "on", "off"),
}
_NULL: dict[str, Any] = {"size": _SIZE, "latency-ns": _NUMBER, "read-zeroes": _BOOL}
_OVERLAP_CHECKS = (
    *("main-header", "active-l1", "active-l2", "refcount-table", "refcount-block"),
    *("snapshot-table", "inactive-l1", "inactive-l2", "bitmap-directory"),
)
_QCOW2: dict[str, Any] = {
    "lazy-refcounts": _BOOL,
    "pass-discard-request": _BOOL,
    "pass-discard-snapshot": _BOOL,
    "pass-discard-other": _BOOL,
    "overlap-check": _TEXT,
    "overlap-check.template": _TEXT,
    **{f"overlap-check.{what}": _BOOL for what in _OVERLAP_CHECKS},
    "cache-size": _SIZE,
    "l2-cache-size": _SIZE,
    "l2-cache-entry-size": _SIZE,
    "refcount-cache-size": _SIZE,
    "cache-clean-interval": _NUMBER,
    "encrypt.format": _TEXT,
    "encrypt.key-secret": _TEXT,
}
_BLKDEBUG: dict[str, Any] = {
    "config": _TEXT,
    "align": _SIZE,
    "max-transfer": _SIZE,
    "opt-write-zero": _SIZE,
    "max-write-zero": _SIZE,
    "opt-discard": _SIZE,
    "max-discard": _SIZE,
}
_RULES = frozenset(("inject-error", "set-state", "take-child-perms", "unshare-child-perms"))
"""Lists of structures: for them the contract says what is right."""

_DRIVERS: dict[str, dict[str, Any]] = {
    "file": _FILE,
    "host_device": _FILE,
    "compress": {},
    "copy-on-read": {"bottom": _TEXT},
    "throttle": {"throttle-group": _TEXT},
    "blkdebug": _BLKDEBUG,
    "raw": {"size": _SIZE, "offset": _SIZE},
    "null-co": _NULL,
    "null-aio": _NULL,
    "qcow2": _QCOW2,
}
_EARLY = frozenset(("lazy-refcounts", "encrypt.format", "encrypt.key-secret"))
"""Options that are asked for before the others are looked at as a whole."""


_NOTHING: tuple[Any, ...] = (None, {}, [])
"""What an option may be without saying anything."""


class Untyped(dict["str", "Any"]):
    """A definition as it stands in a name; children nested."""


class Texts(dict["str", "Any"]):
    """A node's options, flat, converted when they are asked for.

    The first option of a kind that is asked for brings complaints about all of the kind:
    those of every driver, then those of the driver ``name``.
    """

    __slots__ = ("_pending", "_table", "written")

    def __init__(self, name: str, written: dict[str, Any]) -> None:
        super().__init__((key, written[key]) for key in written if written[key] not in _NOTHING)
        self.written = written
        self._table = _COMMON | _DRIVERS[name]
        self._pending = [_COMMON, _DRIVERS[name]]

    def __getitem__(self, key: str) -> Any:
        """The option's value.

        Raises:
            QmpError: it, or another one of its kind, makes no sense.
        """
        self._absorb(key)
        value = super().__getitem__(key)
        if key not in self._table:
            return value
        try:
            return _converted(key, value, self._table[key])
        except QmpError:
            if key in _EARLY:  # complained of with the others
                return None
            raise

    def get(self, key: str, default: Any = None) -> Any:
        """The same, or ``default`` where there is no value."""
        self._absorb(key)
        if key not in self:
            return default
        return self[key]

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Nothing is inherited in place of what is there, even if it has no value."""
        if key not in self.written:
            return super().setdefault(key, default)
        return default

    def _absorb(self, key: str) -> None:
        if key in _EARLY:
            return
        for table in self._pending:
            if key in table:
                self._pending.remove(table)
                self._check(table)
                return

    def _check(self, table: dict[str, Any]) -> None:
        checked = {key for key in self if isinstance(table.get(key), int)}
        chosen = [key for key in table if isinstance(table[key], tuple) and table is not _COMMON]
        for key in [*hash_order(checked), *(key for key in chosen if key in self)]:
            _converted(key, dict.__getitem__(self, key), table[key])

    def settled(self) -> dict[str, Any]:
        """All options converted; the node has been opened with them."""
        return {key: self[key] for key in self}


def text_of(value: Any) -> str:
    """How an option would be written that came as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "on" if value else "off"
    return encode_text(value)


def _converted(key: str, value: Any, kind: Any) -> Any:
    text = text_of(value)
    if kind is _DISCARD:
        if text not in _DISCARD:
            raise QmpError(wording.INVALID_DISCARD)
        return _DISCARD[text]
    if isinstance(kind, tuple):
        if text not in kind:
            raise QmpError(wording.invalid_choice(text))
        return text
    if kind == _TEXT:
        return text
    return optiontexts.READ[kind](key, text)


def flat_options(definition: dict[str, Any], children: frozenset[str]) -> dict[str, Any]:
    """The options of one node of an untyped definition, as they are written."""
    return flatten(definition, children)


def prepared(definition: Untyped) -> dict[str, Any]:
    """A definition whose driver is known, and those of its children, ready to be opened.

    Of a driver that is not known well enough here the contract says what is right.

    Raises:
        QmpError: there is no such driver, or something is missing.
    """
    driver = driver_class(definition["driver"])
    if driver.name not in _DRIVERS or _RULES & definition.keys():
        try:
            typed: dict[str, Any] = visit("BlockdevOptions", definition)
        except QmpError as error:
            raise unsupported(definition, error) from None
        return typed
    found = Untyped(definition)
    for name in (*driver.open_children, *driver.late_children):
        found[name] = _child(definition.get(name))
        if isinstance(found[name], str) and any(key.startswith(f"{name}.") for key in found):
            raise QmpError(wording.REFERENCE_WITH_NAME)
    if "data-file" in found:
        found["data-file"] = _child(found["data-file"])
        if found["data-file"] is None:
            del found["data-file"]
    if definition.get("backing") in (None, "") and not driver.supports_backing:
        found.pop("backing", None)
    if isinstance(found.get("backing"), dict):
        found["backing"] = Untyped(found["backing"])
    name = found.pop("node-name", None)
    if name is not None:
        found["node-name"] = text_of(name)
    return found


def _child(wanted: Any) -> Any:
    """What a child's name stands for; None if the driver will miss the child."""
    if isinstance(wanted, str):
        return wanted
    if not isinstance(wanted, (dict, list)) or not wanted:
        return None
    if isinstance(wanted, list):
        raise QmpError(wording.NO_DRIVER_NOR_FILE)
    child = Untyped(wanted)
    if not isinstance(child.get("driver"), str):
        if not isinstance(child.get("filename"), str):
            raise QmpError(wording.NO_DRIVER_NOR_FILE)
        child["driver"] = "file"
    return child


def refuse_rest(node: Node, definition: Untyped) -> None:
    """Complain of what nobody has taken.

    Raises:
        QmpError: of the first such option in the order of the wire.
    """
    driver = node.driver
    known = _COMMON.keys() | _DRIVERS[driver.name].keys() | {"driver"} | COMMON | {FORCE_SHARE}
    if "backing" in definition and not driver.supports_backing:
        raise QmpError(wording.NO_BACKING_FILES)
    options = flat_options(definition, driver.child_names)
    rest = [
        key
        for key in hash_order(options)
        if key not in known or (key == "bottom" and not isinstance(options[key], str))
    ]
    if rest:
        raise QmpError(wording.unsupported_option(driver.name, rest[0], driver.is_protocol))


def unsupported(given: dict[str, Any], error: QmpError) -> QmpError:
    """Say what drivers say of texts that were never checked against the contract."""
    _, path, *rest = error.desc.split("'") if "'" in error.desc else ("", "")
    *parents, option = path.split(".")
    if rest[:1] == [" does not accept value "] and option == "driver":
        return QmpError(wording.unknown_driver(rest[1]))
    for name in parents:
        given = given[name]
    if "driver" not in given:
        return error
    driver = driver_class(given["driver"])
    if rest == [" is missing"]:
        no_name = wording.needs_filename(driver.name)
        return QmpError(no_name if driver.is_protocol else wording.no_child("file"))
    if rest == [" is unexpected"]:
        return QmpError(wording.unsupported_option(driver.name, option, driver.is_protocol))
    return error
