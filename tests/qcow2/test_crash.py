"""Whenever the process dies or the power goes, the image holds no corruption."""

from __future__ import annotations

import pytest

from qmpd.block.drivers.qcow2.create import create
from qmpd.block.drivers.qcow2.image import Image
from tests.qcow2.images import JournalFile, MemoryFile, qemu_check, qemu_img, qemu_io, seeded

MIB = 1 << 20


def replay(start, journal):
    """The file after ``journal``."""
    file = MemoryFile(start)
    for event in journal:
        if event is not None:
            file.pwrite(*event)
    return bytes(file.data)


def crashes(start, journal, dice, samples):
    """Files that a crash may leave: any prefix, with any part of what was not yet flushed."""
    for _ in range(samples):
        end = dice.randint(0, len(journal))
        flushed = max((at for at in range(end) if journal[at] is None), default=-1)
        window = [event for event in journal[flushed + 1 : end] if event is not None]
        if dice.random() < 0.6:
            window = [event for event in window if dice.random() < 0.5]
            dice.shuffle(window)
        yield replay(start, journal[: flushed + 1] + window)


def corruptions(data):
    image = Image.open(MemoryFile(data), writable=False)
    return image.check().corruptions


def random_writes(image, dice, count, largest):
    size = image.virtual_size
    for _ in range(count):
        length = dice.randint(1, largest)
        offset = dice.randint(0, size - length)
        image.write(offset, dice.randbytes(length), image.read)
        if dice.random() < 0.15:
            image.flush()


def fresh(**keywords):
    file = MemoryFile()
    create(file, 4 * MIB, **keywords)
    return bytes(file.data)


SHAPES = [
    {"cluster_size": 512},
    {"cluster_size": 512, "refcount_bits": 64},
    {"cluster_size": 4096, "version": 2},
    {"cluster_size": 4096, "refcount_bits": 1},
    {"cluster_size": 65536},
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", SHAPES)
def test_random_writes(shape, seed):
    """Cut anywhere in random writes: references are never ahead of their refcounts."""
    dice = seeded(f"{shape}{seed}")
    start = fresh(**shape)
    file = JournalFile(start)
    image = Image.open(file, writable=True)
    random_writes(image, dice, 40, 30000)
    image.close()
    assert image.check().corruptions == image.check().leaks == 0
    for data in crashes(start, file.journal, dice, 60):
        assert corruptions(data) == 0


def test_tables_leave_a_full_cache_in_order(monkeypatch):
    """With room for a handful of tables only, those that leave do not overtake others."""
    monkeypatch.setattr("qmpd.block.drivers.qcow2.mapping._CACHE_BYTES", 0)
    monkeypatch.setattr("qmpd.block.drivers.qcow2.refcounts._CACHE_BYTES", 0)
    dice = seeded(7)
    start = fresh(cluster_size=512, refcount_bits=64)
    file = JournalFile(start)
    image = Image.open(file, writable=True)
    expected = bytearray(4 * MIB)
    for _ in range(60):
        length = dice.randint(1, 60000)
        offset = dice.randint(0, 4 * MIB - length)
        expected[offset : offset + length] = dice.randbytes(length)
        image.write(offset, bytes(expected[offset : offset + length]), image.read)
    assert image.read(0, 4 * MIB) == bytes(expected)
    image.close()
    assert image.check().corruptions == image.check().leaks == 0
    for data in crashes(start, file.journal, dice, 60):
        assert corruptions(data) == 0


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["snapshot", "compressed", "zero"])
def test_over_shared_compressed_and_zero_clusters(tmp_path, kind, seed):
    """Cut anywhere while old clusters are released: what refers to them went first."""
    dice = seeded(f"{kind}{seed}")
    start = used_image(tmp_path, kind)
    file = JournalFile(start)
    image = Image.open(file, writable=True)
    random_writes(image, dice, 40, 30000)
    image.close()
    path = tmp_path / "after.qcow2"
    path.write_bytes(bytes(file.data))
    assert qemu_check(path) == (0, 0)
    for number, data in enumerate(crashes(start, file.journal, dice, 60)):
        assert corruptions(data) == 0
        if number % 10 == 0:
            path.write_bytes(data)
            assert qemu_check(path)[0] == 0


def used_image(tmp_path, kind):
    """An image of 1 MiB of data that was snapshotted, compressed or zeroed by QEMU."""
    path = tmp_path / "used.qcow2"
    options = ("-f", "qcow2", "-o", "cluster_size=4096")
    qemu_img("create", "-q", *options, str(path), "4M")
    pattern = "write -q -P 7 0 1M"
    if kind == "zero":
        qemu_io(path, pattern, "write -q -z 4k 500k")
    elif kind == "snapshot":
        qemu_io(path, pattern)
        qemu_img("snapshot", "-c", "s", str(path))
    else:
        commands = [f"write -q -c -P {at % 200 + 1} {at * 4}k 4k" for at in range(256)]
        qemu_io(path, *commands)
    return path.read_bytes()


@pytest.mark.parametrize("seed", range(3))
def test_growing(seed):
    """Cut anywhere while the image grows: it has the old size or the new one, and is sound."""
    dice = seeded(seed)
    start = fresh(cluster_size=512)
    file = JournalFile(start)
    image = Image.open(file, writable=True)
    for number in range(5, 30, 5):
        image.resize(number * MIB)
        random_writes(image, dice, 5, 30000)
    image.close()
    assert image.check().corruptions == image.check().leaks == 0
    for data in crashes(start, file.journal, dice, 100):
        assert corruptions(data) == 0
        size = Image.open(MemoryFile(data), writable=False).virtual_size
        assert size in {n * MIB for n in (4, 5, 10, 15, 20, 25)}


@pytest.mark.oracle
def test_check_counts_like_qemu_img(tmp_path):
    """On images with random damage, corruptions and leaks are those of qemu-img check."""
    dice = seeded(1)
    pristine = used_image(tmp_path, "snapshot")
    path = tmp_path / "damaged.qcow2"
    for _ in range(30):
        data = bytearray(pristine)
        for _ in range(dice.randint(1, 4)):
            at = 8192 + dice.randint(0, 250) * 2  # the first refcount block
            data[at : at + 2] = dice.choice((0, 1, 2, 5)).to_bytes(2, "big")
        path.write_bytes(data)
        counts = Image.open(MemoryFile(bytes(data)), writable=False).check()
        assert (counts.corruptions, counts.leaks) == qemu_check(path)


@pytest.mark.parametrize("seed", range(3))
def test_flushed_data_survives(seed):
    """After a flush everything written before is there, whatever a later crash loses."""
    dice = seeded(seed)
    start = fresh(cluster_size=4096)
    file = JournalFile(start)
    image = Image.open(file, writable=True)
    random_writes(image, dice, 15, 30000)
    image.flush()
    expected = image.read(0, MIB)
    flushed = len(file.journal)
    for offset in range(MIB, 3 * MIB, 50000):
        image.write(offset, dice.randbytes(30000), image.read)
    image.flush()
    crash_point = replay(start, file.journal[:flushed])
    for data in crashes(crash_point, file.journal[flushed:], dice, 40):
        assert Image.open(MemoryFile(data), writable=False).read(0, MIB) == expected


@pytest.mark.parametrize("seed", range(3))
def test_abort_gives_everything_back(seed):
    """A prepared write that is aborted leaves no data, no leak and the same next offset."""
    dice = seeded(seed)
    file = MemoryFile(fresh(cluster_size=4096))
    image = Image.open(file, writable=True)
    random_writes(image, dice, 10, 30000)
    before = image.read(0, 4 * MIB)
    first = image.prepare_write(1000, 3 * MIB, image.read)
    image.abort_write(first)
    second = image.prepare_write(1000, 3 * MIB, image.read)
    assert [item.host_offset for item in first] == [item.host_offset for item in second]
    image.abort_write(second)
    assert image.read(0, 4 * MIB) == before
    image.close()
    assert image.check().corruptions == image.check().leaks == 0


@pytest.mark.parametrize("seed", range(3))
def test_lazy_refcounts_after_a_crash(seed):
    """A crash may leave a lazy image with wrong refcounts, but then it is marked dirty."""
    dice = seeded(seed)
    start = fresh(cluster_size=4096, lazy_refcounts=True)
    file = JournalFile(start)
    image = Image.open(file, writable=True)
    random_writes(image, dice, 30, 30000)
    dirty = 0
    for data in crashes(start, file.journal, dice, 60):
        broken = Image.open(MemoryFile(data), writable=False)
        assert broken.dirty or broken.check().corruptions == 0
        dirty += broken.check().corruptions > 0
        copy = MemoryFile(data)
        repaired = Image.open(copy, writable=True)
        assert not repaired.dirty
        assert repaired.check().corruptions == 0
        assert not broken.dirty or repaired.check().leaks == 0
    assert dirty
    image.close()
    assert not Image.open(MemoryFile(file.data), writable=False).dirty
