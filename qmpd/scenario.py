"""A run's images, who may write them, and levers pulled beforehand, in a TOML file.

::

    on-demand = true            # images that nobody described spring up when opened
    [default]                   # what such an image is, and what [[image]] leaves out
    size = "64M"

    [[image]]
    path = "/images/mid.qcow2"
    format = "qcow2"            # or "raw"
    size = "64M"
    cluster-size = "64k"
    backing = "/images/base.qcow2"
    backing-format = "qcow2"
    data = [{ offset = "1M", length = "64k", pattern = 0x5a }]
    writable = false            # refuse to open it for writing, as sVirt would

    [[lever]]                   # with --lab: done before the first option is
    command = "x-qmpd-hold"
    arguments = { job = "commit0", before = "pending" }

With storage on the host only ``path``, ``readable`` and ``writable`` count: files are as
they are there.
"""

from __future__ import annotations

import os

from qmpd.errors import QmpError
from qmpd.storage.fdfile import FdFile
from qmpd.storage.host import HostStorage
from qmpd.storage.memory import MemoryStorage
from qmpd.storage.policy import AccessPolicy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.machine import Machine
    from qmpd.storage.host import Storage

DEFAULT_SIZE = 64 << 20
_UNITS = {"k": 10, "m": 20, "g": 30, "t": 40}


class DataExtent:
    """Bytes that an image is to hold: ``length`` bytes of ``pattern`` at ``offset``."""

    __slots__ = ("length", "offset", "pattern")

    def __init__(self, offset: int, length: int, pattern: int) -> None:
        self.offset = offset
        self.length = length
        self.pattern = pattern


class ImageSpec:
    """One image of a scenario; sizes in bytes."""

    __slots__ = (
        "backing",
        "backing_format",
        "cluster_size",
        "data",
        "format",
        "path",
        "readable",
        "size",
        "writable",
    )

    def __init__(self, path: str, settings: dict[str, Any]) -> None:
        self.path = path
        _check_types(settings)
        get = settings.get
        self.format = get("format", "raw" if path.endswith((".raw", ".img", ".iso")) else "qcow2")
        self.size = parse_size(get("size", DEFAULT_SIZE))
        self.cluster_size = parse_size(get("cluster-size", 65536))
        self.backing: str | None = get("backing")
        self.backing_format: str | None = get("backing-format")
        self.readable = bool(get("readable", True))
        self.writable = bool(get("writable", True))
        self.data = [
            DataExtent(
                parse_size(entry["offset"]), parse_size(entry["length"]), int(entry["pattern"])
            )
            for entry in get("data", [])
        ]
        if self.cluster_size.bit_count() != 1 or not 512 <= self.cluster_size <= 2 << 20:
            from qmpd.block.drivers.qcow2.wording import CREATE_CLUSTER_SIZE

            raise ValueError(CREATE_CLUSTER_SIZE)
        if self.format not in ("qcow2", "raw"):
            raise QmpError(f"image '{path}': unknown format '{self.format}'")


_IMAGE_KEYS = frozenset(
    (
        "path",
        "format",
        "size",
        "cluster-size",
        "backing",
        "backing-format",
        "readable",
        "writable",
        "data",
    )
)
_TOP_KEYS = frozenset(("on-demand", "default", "image", "lever"))
_LEVER_KEYS = frozenset(("command", "arguments"))


class Lever:
    """A command of the lab with its arguments, as a client would send them."""

    __slots__ = ("arguments", "command")

    def __init__(self, entry: dict[str, Any]) -> None:
        if "command" not in entry:
            raise QmpError("a lever needs a command")
        self.command = str(entry["command"])
        _check_keys(f"lever '{self.command}': ", entry, _LEVER_KEYS)
        self.arguments: dict[str, Any] = entry.get("arguments", {})
        if not isinstance(self.arguments, dict):
            raise QmpError(f"lever '{self.command}': 'arguments' is no table")

    def pull(self, machine: Machine) -> None:
        """Do what the command does.

        Raises:
            QmpError: the lab has no such command, or it refuses the arguments.
        """
        from qmpd.schema.visitor import keywords, visit_arguments

        handler = machine.dispatcher.commands.get(self.command)
        if handler is None or not self.command.startswith("x-qmpd-"):
            raise QmpError(f"there is no lever '{self.command}'")
        try:
            visited = visit_arguments(self.command, self.arguments)
            handler.load()(machine, **keywords(self.command, visited))
        except QmpError as error:
            raise QmpError(f"lever '{self.command}': {error.desc}") from error
        if machine.levers is not None:
            machine.levers.note_pull(self.command, self.arguments)


class Scenario:
    """Everything a scenario file says."""

    def __init__(self, content: dict[str, Any] | None = None) -> None:
        content = content or {}
        _check_keys("", content, _TOP_KEYS)
        self._default: dict[str, Any] = content.get("default", {})
        _check_keys("default: ", self._default, _IMAGE_KEYS - {"path"})
        try:
            ImageSpec("default", self._default)
        except (TypeError, ValueError) as error:
            raise QmpError(f"default: {error}") from error
        self._on_demand = content.get("on-demand", False)
        if not isinstance(self._on_demand, bool):
            raise QmpError(f"'on-demand' cannot be {self._on_demand!r}")
        self.images = [self._spec(entry) for entry in _tables(content, "image")]
        self.levers = [Lever(entry) for entry in _tables(content, "lever")]

    def _spec(self, entry: dict[str, Any]) -> ImageSpec:
        if not isinstance(entry.get("path"), str):
            raise QmpError("an image needs a path")
        _check_keys(f"image '{entry['path']}': ", entry, _IMAGE_KEYS)
        try:
            return ImageSpec(entry["path"], {**self._default, **entry})
        except (KeyError, TypeError, ValueError) as error:
            raise QmpError(f"image '{entry['path']}': {error}") from error

    def storage(self, kind: str) -> Storage:
        """Make the storage that the scenario describes.

        Args:
            kind: ``host`` or ``memory``.

        Raises:
            QmpError: an image cannot be made.
        """
        policy = AccessPolicy()
        storage: Storage = HostStorage(policy) if kind == "host" else self._memory(policy)
        for spec in self.images:
            _restrict(policy, spec)
        return storage

    def pull_levers(self, machine: Machine) -> None:
        """Pull all levers, in their order.

        Raises:
            QmpError: the machine has no lab, or a lever cannot be pulled.
        """
        if self.levers and machine.levers is None:
            raise QmpError("[[lever]] needs --lab")
        for lever in self.levers:
            lever.pull(machine)

    def _memory(self, policy: AccessPolicy) -> MemoryStorage:
        storage = MemoryStorage(policy)
        for spec in self.images:
            make_image(storage, spec)
        if self._on_demand:
            storage.on_demand = lambda path: self._spring_up(storage, path)
        return storage

    def _spring_up(self, storage: MemoryStorage, path: str) -> None:
        spec = ImageSpec(path, self._default)
        make_image(storage, spec)
        _restrict(storage.policy, spec)


def _restrict(policy: AccessPolicy, spec: ImageSpec) -> None:
    if not spec.readable:
        policy.deny_read(spec.path)
    if not spec.writable:
        policy.deny_write(spec.path)


def make_image(storage: MemoryStorage, spec: ImageSpec) -> None:
    """Make an image in RAM.

    Raises:
        QmpError: its description makes no sense.
    """
    try:
        file = FdFile(storage.create(spec.path))
        if spec.format == "raw":
            file.truncate(spec.size)
            for extent in spec.data:
                file.pwrite(extent.offset, bytes([extent.pattern]) * extent.length)
        else:
            _make_qcow2(file, spec)
    except FileExistsError:
        raise QmpError(f"image '{spec.path}' is described twice") from None
    except (OSError, ValueError, QmpError) as error:
        storage.remove(spec.path)
        text = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise QmpError(f"image '{spec.path}': {text}") from error


def _make_qcow2(file: FdFile, spec: ImageSpec) -> None:
    from qmpd.block.drivers.qcow2.create import create
    from qmpd.block.drivers.qcow2.image import Image

    create(
        file,
        spec.size,
        cluster_size=spec.cluster_size,
        backing_file=spec.backing,
        backing_format=spec.backing_format or ("qcow2" if spec.backing else None),
    )
    if not spec.data:
        return
    image = Image.open(file, writable=True)
    for extent in spec.data:
        data = bytes([extent.pattern]) * extent.length
        image.write(extent.offset, data, lambda _offset, length: bytes(length))
    image.close()


def parse_size(value: int | str) -> int:
    """A size in bytes from a number or a text such as ``64M`` (powers of 1024).

    Raises:
        ValueError: the text is no size.
    """
    if isinstance(value, int):
        size = value
    else:
        shift = _UNITS.get(value[-1:].lower(), 0)
        try:
            size = int(value[:-1] if shift else value, 0) << shift
        except ValueError:
            raise ValueError(f"'{value}' is no size") from None
    if size < 0:
        raise ValueError(f"'{value}' is negative")
    return size


_TYPES: dict[str, type | tuple[type, ...]] = {
    "format": str,
    "size": (int, str),
    "cluster-size": (int, str),
    "backing": str,
    "backing-format": str,
    "readable": bool,
    "writable": bool,
    "data": list,
}


def _check_types(settings: dict[str, Any]) -> None:
    """Raise ValueError for a setting of the wrong kind."""
    for key, kind in _TYPES.items():
        if settings.get(key) is not None and not isinstance(settings[key], kind):
            raise ValueError(f"'{key}' cannot be {settings[key]!r}")
    for entry in settings.get("data", []):
        missing = {"offset", "length", "pattern"} - set(entry if isinstance(entry, dict) else ())
        if missing:
            raise ValueError(f"data needs '{min(missing)}'")


def _check_keys(where: str, given: dict[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise QmpError(f"{where}unknown key '{unknown[0]}'")


def _tables(content: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = content.get(name, [])
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise QmpError(f"'{name}' is to be written as [[{name}]]")
    return found


def load(path: str) -> Scenario:
    """Read a scenario file.

    Raises:
        QmpError: it cannot be read, or says something unknown.
    """
    import tomllib

    try:
        with open(path, "rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise QmpError(os.strerror(error.errno or 0)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise QmpError(str(error)) from error
    return Scenario(content)
