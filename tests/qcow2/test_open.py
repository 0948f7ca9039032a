"""Damaged headers are refused with the text of the real qemu-storage-daemon."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmpd.block.drivers.qcow2.create import create
from qmpd.block.drivers.qcow2.image import Image
from qmpd.errors import QmpError
from tests.qcow2.daemon import StorageDaemon
from tests.qcow2.images import MemoryFile, seeded

# Field: (offset, struct format, interesting values)
FIELDS = {
    "magic": (0, "I", (0, 0x514649FB)),
    "version": (4, "I", (0, 1, 2, 3, 4, 0xFFFFFFFF)),
    "backing offset": (8, "Q", (0, 1, 72, 104, 120, 512, 65000, 65535, 65536, 65537, 1 << 63)),
    "backing length": (16, "I", (0, 1, 536, 537, 1023, 1024, 0xFFFFFFFF)),
    "cluster bits": (20, "I", (0, 8, 9, 12, 13, 14, 15, 16, 17, 21, 22, 0xFFFFFFFF)),
    "size": (
        24,
        "Q",
        (
            0,
            1,
            511,
            1 << 20,
            1 << 29,
            (1 << 29) + 1,
            1 << 40,
            1 << 62,
            (1 << 63) - 1,
            1 << 63,
            (1 << 64) - (1 << 29),
            (1 << 64) - 1,
        ),
    ),
    "crypt": (32, "I", (0, 1, 2, 3, 0xFFFFFFFF)),
    "L1 size": (36, "I", (0, 1, 2, 4194304, 4194305, 0xFFFFFFFF)),
    "L1 offset": (
        40,
        "Q",
        (0, 1, 512, 65536, 196608, 1 << 40, (1 << 63) - 65536, 1 << 63, (1 << 64) - 65536),
    ),
    "table offset": (48, "Q", (0, 1, 512, 65536, 1 << 40, (1 << 63) - 65536, 1 << 63)),
    "table clusters": (56, "I", (0, 1, 2, 128, 129, 0x10000, 0xFFFFFFFF)),
    "snapshots": (60, "I", (0, 0, 65537, 0xFFFFFFFF)),
    "snapshot offset": (64, "Q", (0, 1, 65536, 1 << 63)),
    "incompatible": (72, "Q", (0, 0, 1, 2, 4, 8, 16, 24, 32, 64, 0x60, 1 << 63)),
    "compatible": (80, "Q", (0, 1, (1 << 64) - 1)),
    "autoclear": (88, "Q", (0, 2, 4, 1 << 63)),
    "refcount order": (96, "I", (0, 4, 6, 7, 0xFFFFFFFF)),
    "header length": (100, "I", (0, 72, 103, 104, 105, 108, 111, 112, 113, 120, 65536, 65544)),
    "compression": (104, "B", (0, 1, 2, 255)),
    "extension": (112, "I", (0, 0xE2792ACA, 0x6803F857, 0x23852875, 0x0537BE77, 0x12345678)),
    "extension length": (116, "I", (0, 15, 16, 24, 384, 65416, 65417, 0xFFFFFFFF)),
    "extension data": (120, "Q", (0, 65536, 1 << 32, 1)),
}


def damaged(pristine, changes):
    data = bytearray(pristine)
    for name, value in changes:
        offset, form, _ = FIELDS[name]
        struct.pack_into(">" + form, data, offset, value)
    return bytes(data)


def our_error(data, *, writable):
    try:
        Image.open(MemoryFile(data), writable=writable).close()
    except QmpError as error:
        return str(error)
    return None


def pristine(**keywords):
    file = MemoryFile()
    create(file, 64 << 20, **keywords)
    return bytes(file.data)


@pytest.fixture(scope="module")
def daemon():
    daemon = StorageDaemon()
    yield daemon
    daemon.close()


@pytest.mark.oracle
@pytest.mark.parametrize("name", FIELDS)
def test_one_field(daemon, tmp_path, name):
    """Every interesting value of every field gives the real daemon's answer."""
    path = tmp_path / "i.qcow2"
    for value in FIELDS[name][2]:
        for keywords in ({}, {"version": 2}, {"extended_l2": True}):
            for writable in (False, True):
                data = damaged(pristine(**keywords), [(name, value)])
                path.write_bytes(data)
                expected = daemon.open_error(path, writable=writable)
                compare(data, expected, writable, (name, hex(value), keywords))


def compare(data, expected, writable, what):
    ours = our_error(data, writable=writable)
    if ours is not None and ours.startswith("qmpd"):
        return  # what qmpd lacks it says in its own words
    assert ours == expected, what


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(4))
def test_several_fields(daemon, tmp_path, seed):
    """The order of the checks shows when several fields are wrong at once."""
    dice = seeded(seed)
    path = tmp_path / "i.qcow2"
    bases = [pristine(), pristine(version=2), pristine(cluster_size=4096)]
    for _ in range(150):
        names = dice.sample(list(FIELDS), dice.randint(2, 4))
        changes = [(name, dice.choice(FIELDS[name][2])) for name in names]
        data = damaged(dice.choice(bases), changes)
        if dice.random() < 0.1 and "incompatible" not in names:
            data = data[: dice.randint(0, len(data))]
        path.write_bytes(data)
        for writable in (False, True):
            expected = daemon.open_error(path, writable=writable)
            compare(data, expected, writable, (changes, len(data), seed))
            path.write_bytes(data)


FAR = (1 << 63) - (1 << 17)
TABLES = [
    *([("snapshots", 1), ("snapshot offset", at)] for at in (1 << 40, 1 << 56, FAR)),
    *(
        [
            ("autoclear", 1),
            ("extension", 0x23852875),
            ("extension length", 24),
            ("extension data", 1 << 32),
            ("directory size", 32),
            ("directory offset", at),
        ]
        for at in (0, 0x20000, 1 << 40, FAR, 1 << 63)
    ),
]
FIELDS_OF_TABLES = {"directory size": (128, "Q", ()), "directory offset": (136, "Q", ())}


@pytest.mark.oracle
@pytest.mark.parametrize("changes", TABLES)
def test_snapshot_table_and_bitmap_directory(daemon, tmp_path, monkeypatch, changes):
    """Tables that are out of reach or filled with something else are refused alike."""
    for name, field in FIELDS_OF_TABLES.items():
        monkeypatch.setitem(FIELDS, name, field)
    data = damaged(pristine(), changes)
    path = tmp_path / "i.qcow2"
    path.write_bytes(data)
    compare(data, daemon.open_error(path, writable=False), False, changes)  # noqa: FBT003 - a flag


@given(st.binary(max_size=300), st.booleans())
def test_garbage_never_gives_a_traceback(garbage, writable):
    """Whatever follows a valid start, opening gives an image or an error with a text."""
    data = b"QFI\xfb\0\0\0\3" + garbage
    assert our_error(data, writable=writable) != ""
