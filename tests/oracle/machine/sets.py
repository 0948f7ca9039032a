"""Families of images that sequences work on: made once, put back before every sequence."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from qmpd.testing.oracle import MIB, chain, image, qemu_img

_BLOCK = 4096
_DIRECTORY = "tmpl0"  # as long as the directory of a side, so that absolute names can be replaced

SPARES = {
    "o0": {"size": MIB},
    "o1": {"size": 2 * MIB, "options": {"cluster_size": 4096}, "writes": ["write -P 77 64k 64k"]},
    "o2": {"size": MIB, "options": {"extended_l2": "on"}},
}
"""Images in every family that no header names, for overlays: what they are made with."""


class ImageSet:
    """The files of one family, in memory, without their holes.

    Args:
        layers: image names from base to top; each header names the one before.
        make: creates the files in a directory.
        short: whether the first cluster has no room for a long backing file's name.
        raw_base: whether the first layer is raw.
    """

    def __init__(self, layers, make, *, short=False, raw_base=False):
        self.layers = layers
        self.short = short
        self.raw_base = raw_base
        self._make = make

    @functools.cached_property
    def _files(self):
        root = Path(tempfile.mkdtemp(prefix="qmpd-oracle-"))
        atexit.register(shutil.rmtree, root, ignore_errors=True)
        directory = root / _DIRECTORY
        directory.mkdir()
        self._make(directory)
        for name, options in SPARES.items():
            image(directory, name, **options)
        files = {
            path.name: (path.stat().st_size, _extents(path.read_bytes()))
            for path in directory.iterdir()
        }
        return bytes(directory), files

    @property
    def names(self):
        """All files of the family."""
        return sorted(self._files[1])

    def __call__(self, directory):
        """Put the files into a directory, holes included."""
        made_in, files = self._files
        for name, (size, extents) in files.items():
            with (directory / name).open("wb") as file:
                for offset, data in extents:
                    file.seek(offset)
                    file.write(data.replace(made_in, bytes(directory)))
                file.truncate(size)


def _extents(data):
    extents = []
    for offset in range(0, len(data), _BLOCK):
        block = data[offset : offset + _BLOCK]
        if not any(block):
            continue
        if extents and extents[-1][0] + len(extents[-1][1]) == offset:
            extents[-1] = (extents[-1][0], extents[-1][1] + block)
        else:
            extents.append((offset, block))
    return extents


def _layers(count):
    return [f"c{number}" for number in range(count)]


def _deep(directory):
    """Ten layers, each with data of its own and some over its neighbour's."""
    writes = {
        name: [f"write -P {number + 1} {number * 96}k 96k", f"write -P {number + 11} 900k 8k"]
        for number, name in enumerate(_layers(10))
    }
    chain(directory, *_layers(10), writes=writes)


def _full(directory):
    """Layers so full that a job with a speed stops after its first chunk; absolute names."""
    writes = {
        "c0": ["write -P 1 0 512k"],
        "c1": ["write -P 2 0 1M"],
        "c2": ["write -P 3 64k 900k"],
        "c3": ["write -P 4 0 640k", "write -z 700k 100k"],
        "c4": ["write -P 5 256k 512k"],
    }
    chain(directory, *_layers(5), absolute=True, writes=writes)


def _shapes(directory):
    """Cluster sizes from 512 bytes to 2 MiB, both versions, refcounts from 1 bit to 64."""
    options = {
        "c0": {"cluster_size": 4096},
        "c1": {"cluster_size": 512},
        "c2": {"cluster_size": 65536, "compat": "0.10"},
        "c3": {"cluster_size": 2 * MIB},
        "c4": {"cluster_size": 1024, "refcount_bits": 64},
        "c5": {"cluster_size": 16384},
        "c6": {"cluster_size": 4096, "refcount_bits": 1, "lazy_refcounts": "on"},
    }
    writes = {
        name: [
            f"write -P {number + 1} {number * 100 + 1}k 90k",
            f"write -z {number * 64}k 32k",
            f"write -P {number + 21} {number * 3}k 700",
        ]
        for number, name in enumerate(_layers(7))
        if name != "c2"
    }
    chain(directory, *_layers(7), options=options, writes=writes)


def _sizes(directory):
    """Virtual sizes that differ, over a raw base."""
    size = {
        "c0": MIB // 2,
        "c1": MIB,
        "c2": 3 * MIB // 4 + 512,
        "c3": 2 * MIB,
        "c4": 3 * MIB,
    }
    writes = {
        "c0": ["write -P 1 0 300k"],
        "c1": ["write -P 2 128k 800k"],
        "c3": ["write -P 3 1M 700k", "write -z 0 64k"],
        "c4": ["write -P 4 2M 1M"],
    }
    chain(directory, *_layers(5), size=size, raw_base=True, writes=writes)


def _parts(directory):
    """Subclusters of several sizes."""
    options = {
        "c0": {"extended_l2": "on", "cluster_size": 16384},
        "c1": {"extended_l2": "on"},
        "c3": {"extended_l2": "on", "cluster_size": 2 * MIB},
    }
    writes = {
        name: [
            f"write -P {number + 1} {number * 100 + 1}k 90k",
            f"write -z {number * 64 + 5}k 32k",
            f"write -P {number + 21} {number * 3}k 700",
        ]
        for number, name in enumerate(_layers(5))
    }
    chain(directory, *_layers(5), options=options, writes=writes)


def _sparse(directory):
    """Layers with little or nothing in them, and strangers beside the chain."""
    chain(directory, *_layers(6), writes={"c2": ["write -P 1 0 64k"], "c5": ["write -P 2 0 4k"]})
    image(directory, "other", writes=["write -P 9 0 64k"])
    image(directory, "plain", fmt="raw", size=MIB // 2 + 512, writes=["write -P 8 0 64k"])
    image(directory, "lost", backing="gone", size=MIB)
    (directory / "junk").write_bytes(b"QFI")


def _marked(directory):
    """Persistent bitmaps, internal snapshots, compressed clusters, sparse zeroes, version 2."""
    options = {
        "c0": {"compat": "0.10", "cluster_size": 4096},
        "c2": {"compression_type": "zstd"},
        "c3": {"lazy_refcounts": "on"},
    }
    writes = {
        "c0": ["write -P 1 0 300k", "write -c -P 2 512k 4k"],
        "c1": ["write -P 3 64k 600k", "discard 128k 64k"],
        "c2": ["write -c -P 4 192k 64k", "write -z -u 320k 128k"],
        "c3": ["write -P 5 448k 200k"],
        "c4": ["write -P 6 0 64k", "write -c -P 7 960k 64k"],
    }
    chain(directory, *_layers(5), options=options, writes=writes)
    for name, *more in (
        ["c1"],
        ["c3", "-g", "4096"],
        ["c3", "--disable"],
        ["c4"],
        ["c4", "-g", "512"],
    ):
        bitmap = f"b{len(more)}"
        qemu_img(directory, "bitmap", "--add", *more, name, bitmap)
    for name in ("c1", "c4"):
        qemu_img(directory, "snapshot", "-c", "now", name)


SETS = {
    "full": ImageSet(_layers(5), _full),
    "deep": ImageSet(_layers(10), _deep),
    "shapes": ImageSet(_layers(7), _shapes, short=True),
    "sizes": ImageSet(_layers(5), _sizes, raw_base=True),
    "sparse": ImageSet(_layers(6), _sparse),
    "parts": ImageSet(_layers(5), _parts),
    "marked": ImageSet(_layers(5), _marked, short=True),
}
