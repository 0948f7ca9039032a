"""Chains of images and nodes, in a line of a test."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from qmpd.scenario import ImageSpec, make_image, parse_size
from qmpd.storage.memory import MemoryStorage
from qmpd.storage.policy import AccessPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Size = int | str
    Extents = Sequence[tuple[Size, Size, int]]

MIB = 1 << 20
OWN_DATA = 64 * 1024


class Layer:
    """One image of a chain and its nodes.

    Attributes:
        name: the node of the format (qcow2).
        storage: the node of the protocol (file) below it.
        path: the image's file name, also what :func:`os.fspath` returns.
    """

    __slots__ = ("name", "path", "storage")

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.storage = f"{name}-storage"
        self.path = path

    def __fspath__(self) -> str:
        """The image's file name."""
        return self.path

    def __repr__(self) -> str:
        """Node and file."""
        return f"Layer({self.name!r}, {self.path!r})"


class Chain:
    """Layers from the base up to the active one; ``chain["mid"]`` is one of them."""

    def __init__(self, layers: Sequence[Layer], definitions: Sequence[dict[str, Any]]) -> None:
        self.layers = list(layers)
        self.definitions = list(definitions)
        """The arguments of the ``blockdev-add`` of every node, in order."""

    def __getitem__(self, name: str) -> Layer:
        """The layer with this node name."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)

    def __iter__(self) -> Iterator[Layer]:
        """From the base up."""
        return iter(self.layers)

    def __len__(self) -> int:
        """How many layers."""
        return len(self.layers)

    @property
    def base(self) -> Layer:
        """The lowest layer."""
        return self.layers[0]

    @property
    def active(self) -> Layer:
        """The uppermost layer."""
        return self.layers[-1]


class DiskImages(MemoryStorage):
    """Where images on disk are made: same interface as the ones in RAM."""

    def __init__(self) -> None:
        super().__init__(AccessPolicy())

    def create(self, path: str) -> int:
        """Make an empty file and return a descriptor, which :meth:`close` closes.

        Raises:
            FileExistsError: the name is taken.
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._images[path] = fd
        return fd


def make_chain(
    storage: MemoryStorage | None,
    folder: str,
    names: Sequence[str],
    size: Size,
    data: Mapping[str, Extents] | None,
) -> Chain:
    """Make the images of a chain, and say how its nodes are defined.

    Args:
        storage: the RAM to put them into; None puts them on disk.
        folder: the directory of the file names.
        names: node names, from the base up; files are ``NAME.qcow2``.
        size: of the virtual disk: bytes, or text such as ``64M``.
        data: what a layer holds: (offset, length, byte) each. When absent, the n-th layer
            holds 64 KiB of its own at n MiB, so that there is something to copy.
    """
    layers = [Layer(name, os.path.join(folder, f"{name}.qcow2")) for name in names]
    if data is None:
        data = _own_data(names, parse_size(size))
    target = DiskImages() if storage is None else storage
    below: Layer | None = None
    try:
        for layer in layers:
            make_image(target, _spec(layer, below, size, data.get(layer.name, ())))
            below = layer
    finally:
        if storage is None:
            target.close()
    return Chain(layers, _define(layers))


def _own_data(names: Sequence[str], size: int) -> dict[str, Extents]:
    stride = min(MIB, size // len(names) // OWN_DATA * OWN_DATA)
    if not stride:
        return {}
    return {name: [(at * stride, OWN_DATA, at % 255 + 1)] for at, name in enumerate(names)}


def _spec(layer: Layer, below: Layer | None, size: Size, extents: Extents) -> ImageSpec:
    settings: dict[str, Any] = {"format": "qcow2", "size": size}
    settings["data"] = [
        {"offset": offset, "length": length, "pattern": byte} for offset, length, byte in extents
    ]
    if below is not None:
        settings.update({"backing": below.path, "backing-format": "qcow2"})
    return ImageSpec(layer.path, settings)


def _define(layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """Nodes as libvirt defines them: storage and format apart, all but the active read-only."""
    definitions: list[dict[str, Any]] = []
    below: str | None = None
    for layer in layers:
        read_only = layer is not layers[-1]
        definitions.append(
            {
                "driver": "file",
                "node-name": layer.storage,
                "filename": layer.path,
                "auto-read-only": True,
                "discard": "unmap",
            }
        )
        definitions.append(
            {
                "driver": "qcow2",
                "node-name": layer.name,
                "read-only": read_only,
                "file": layer.storage,
                "backing": below,
            }
        )
        below = layer.name
    return definitions
