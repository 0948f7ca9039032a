"""Images with a past, made by QEMU: snapshots, zeros, compression, backing files, growth."""

from __future__ import annotations

from shutil import copyfile

import pytest

from qmpd.block.drivers.qcow2.image import Image
from qmpd.block.drivers.qcow2.types import COMPRESSED, UNALLOCATED, ZERO
from tests.qcow2.images import DiskFile, MemoryFile, qemu_check, qemu_img, qemu_io, qemu_map, seeded
from tests.qcow2.test_layout import assert_same_files, requests

pytestmark = pytest.mark.oracle

MIB = 1 << 20
SIZE = 8 * MIB
_ZSTD_MAGIC = bytes.fromhex("28b52ffd")


def prepare(path, kind, cluster_size, dice, *, extended=False):
    """An image of 8 MiB with random data in it, then something special of that kind."""
    options = ["-o", f"cluster_size={cluster_size},extended_l2={'on' if extended else 'off'}"]
    if kind == "backing":
        backing = path.with_name("backing.qcow2")
        if not backing.exists():
            qemu_img("create", "-q", "-f", "qcow2", str(backing), "4M")
            qemu_io(backing, "write -q -P 99 0 3M")
        options += ["-b", str(backing), "-F", "qcow2"]
    qemu_img("create", "-q", "-f", "qcow2", *options, str(path), str(SIZE))
    commands = []
    for index in dice.sample(range(SIZE // cluster_size - 8), 20):
        at = index * cluster_size
        flags = {"zero": dice.choice(("-z", "-P 3", "-P 4")), "compressed": "-c -P 5"}
        length = dice.randint(1, 8) * cluster_size if kind != "compressed" else cluster_size
        commands.append(f"write -q {flags.get(kind, '-P 6')} {at} {length}")
    qemu_io(path, *commands)
    if kind == "snapshot":
        qemu_img("snapshot", "-c", "one", str(path))
        qemu_io(path, f"write -q -P 8 0 {cluster_size * 5}")
        qemu_img("snapshot", "-c", "two", str(path))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("cluster_size", "extended"),
    [(512, False), (4096, False), (65536, False), (16384, True), (65536, True)],
)
@pytest.mark.parametrize("kind", ["snapshot", "zero", "backing"])
def test_same_writes_same_bytes(tmp_path, kind, cluster_size, extended, seed):
    """Writing over shared, zero and backed clusters gives the bytes that QEMU gives."""
    real, ours = tmp_path / "real.qcow2", tmp_path / "ours.qcow2"
    prepare(real, kind, cluster_size, seeded(seed), extended=extended)
    copyfile(real, ours)
    writes = requests(f"{kind}{seed}", SIZE, 60, 6 * cluster_size)
    qemu_io(real, *(f"write -q -P {pattern} {at} {length}" for at, length, pattern in writes))
    file = DiskFile(ours)
    image = Image.open(file, writable=True)
    for offset, length, pattern in writes:
        image.write(offset, bytes([pattern]) * length, guest_view(image, tmp_path))
    image.close()
    file.close()
    assert qemu_check(ours) == (0, 0)
    assert_same_files(real, ours)


def guest_view(image, tmp_path):
    """What the guest sees of an image whose backing file has 3 MiB of 99."""
    backed = (tmp_path / "backing.qcow2").exists()

    def read(offset, length):
        parts = []
        while length:
            extent = image.map(offset, length)
            if extent.kind == UNALLOCATED and backed:
                below = min(max(3 * MIB - offset, 0), extent.length)
                parts.append((b"\x63" * below).ljust(extent.length, b"\0"))
            else:
                parts.append(image.read(offset, extent.length))
            offset, length = offset + extent.length, length - extent.length
        return b"".join(parts)

    return read


@pytest.mark.parametrize(
    ("cluster_size", "extended"), [(4096, False), (65536, False), (16384, True), (65536, True)]
)
def test_over_compressed(tmp_path, cluster_size, extended):
    """Single-cluster writes over compressed clusters free and reuse what QEMU does."""
    real, ours = tmp_path / "real.qcow2", tmp_path / "ours.qcow2"
    for path in (real, ours):
        prepare(path, "compressed", cluster_size, seeded(5), extended=extended)
    dice = seeded(6)
    writes = [dice.randint(0, SIZE // cluster_size - 1) * cluster_size for _ in range(100)]
    qemu_io(real, *(f"write -q -P 9 {at} 512" for at in writes))
    file = DiskFile(ours)
    image = Image.open(file, writable=True)
    for offset in writes:
        image.write(offset, b"\x09" * 512, image.read)
    image.close()
    file.close()
    assert qemu_check(ours) == (0, 0)
    assert_same_files(real, ours)


KINDS = ["snapshot", "zero", "backing", "compressed"]


@pytest.mark.parametrize(
    "options", ["", "extended_l2=on,", "compression_type=zlib,refcount_bits=1,"]
)
@pytest.mark.parametrize("kind", [*KINDS, "extended"])
def test_map_and_read_agree_with_qemu(tmp_path, kind, options):
    """Extents, host offsets and contents are what qemu-img map and convert report."""
    path = tmp_path / "i.qcow2"
    refcounts = "refcount_bits=1" in options and kind == "snapshot"
    cluster = 65536 if not refcounts else 32768
    options = options if not refcounts else ""
    qemu_img(
        "create", "-q", "-f", "qcow2", "-o", f"{options}cluster_size={cluster}", str(path), "8M"
    )
    dice = seeded(kind + options)
    flag = {"zero": "-z", "compressed": "-c -P 5"}.get(kind, "-P 5")
    for index in dice.sample(range(60), 10):
        at, length = index * cluster, cluster * dice.randint(1, 9)
        if kind == "compressed":  # QEMU does not compress over what is allocated
            length = cluster
        elif kind == "extended":
            at, length = dice.randint(0, 3000) * 2048, dice.randint(1, 100) * 2048
        else:
            qemu_io(path, f"write -q -P 7 {dice.randint(0, 100) * cluster} {cluster * 4}")
        qemu_io(path, f"write -q {flag} {at} {length}")
    if kind == "snapshot":
        qemu_img("snapshot", "-c", "s", str(path))
    image = Image.open(MemoryFile(path.read_bytes()), writable=False)
    assert our_map(image) == their_map(path)
    raw = tmp_path / "raw"
    qemu_img("convert", "-O", "raw", str(path), str(raw))
    assert image.read(0, SIZE) == raw.read_bytes()
    assert (image.check().corruptions, image.check().leaks) == (0, 0)


def our_map(image):
    found, at = [], 0
    while at < SIZE:
        extent = image.map(at, SIZE - at)
        data = extent.kind not in {UNALLOCATED, ZERO}
        host = extent.host_offset if data else None
        item = [at, extent.length, data, extent.kind != UNALLOCATED, host]
        found.append(item)
        at += extent.length
    return merged(found)


def their_map(path):
    return merged(
        [
            [item["start"], item["length"], item["data"], item["present"], item.get("offset")]
            if item["data"]
            else [item["start"], item["length"], False, item["present"], None]
            for item in qemu_map(path)
        ]
    )


def merged(items):
    """Neighbours that differ in nothing but their place are one extent."""
    found = []
    for item in items:
        if found and found[-1][2:4] == item[2:4]:
            host = found[-1][4]
            follows = item[4] == (None if host is None else host + found[-1][1])
            if follows:
                found[-1][1] += item[1]
                continue
        found.append(list(item))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_growth_gives_the_same_bytes(tmp_path, seed):
    """qemu-img resize and Image.resize leave the same file, also with writes in between."""
    real, ours = tmp_path / "real.qcow2", tmp_path / "ours.qcow2"
    for path in (real, ours):
        prepare(path, "plain", 512, seeded(seed))
    for number, size in enumerate((9 * MIB, 40 * MIB, 41 * MIB, 500 * MIB)):
        writes = requests(f"{number}", size, 10, 30000)
        qemu_img("resize", "-q", str(real), str(size))
        qemu_io(real, *(f"write -q -P {pattern} {at} {length}" for at, length, pattern in writes))
        file = DiskFile(ours)
        image = Image.open(file, writable=True)
        image.resize(size)
        image.close()
        image = Image.open(file, writable=True)
        for offset, length, pattern in writes:
            image.write(offset, bytes([pattern]) * length, image.read)
        image.close()
        file.close()
    assert qemu_check(ours) == (0, 0)
    assert_same_files(real, ours)


def test_zstd(tmp_path):
    """Clusters compressed by zstd are read; one that is damaged is an I/O error."""
    path = tmp_path / "z.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", "compression_type=zstd", str(path), "1M")
    qemu_io(path, "write -q -c -P 7 0 64k")
    file = MemoryFile(path.read_bytes())
    image = Image.open(file, writable=False)
    assert image.map(0, 65536).kind == COMPRESSED
    assert image.read(0, 65536) == b"\7" * 65536
    packed = path.read_bytes().index(_ZSTD_MAGIC)
    file.pwrite(packed, b"\0" * 4)
    with pytest.raises(OSError, match="Input/output error"):
        Image.open(file, writable=False).read(0, 65536)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("cluster_size", [16384, 65536])
@pytest.mark.parametrize("kind", ["plain", "snapshot", "zero"])
def test_zeroes_by_subclusters(tmp_path, kind, cluster_size, seed):
    """Zeros over parts of clusters, between writes, are the flags and bytes that QEMU gives."""
    real, ours = tmp_path / "real.qcow2", tmp_path / "ours.qcow2"
    prepare(real, kind, cluster_size, seeded(seed), extended=True)
    copyfile(real, ours)
    dice = seeded(f"{kind}{seed}")
    step = cluster_size >> 5
    writes = [
        (at - at % step, length, dice.random() < 0.5, dice.random() < 0.5)
        for at, length, _ in requests(f"{kind}{seed}", SIZE - 6 * cluster_size, 60, cluster_size)
    ]
    writes = [(at, -(-length // step) * step, zero, unmap) for at, length, zero, unmap in writes]
    qemu_io(
        real,
        *(
            f"write -q {('-z -u' if unmap else '-z') if zero else '-P 7'} {at} {length}"
            for at, length, zero, unmap in writes
        ),
    )
    file = DiskFile(ours)
    image = Image.open(file, writable=True)
    for at, length, zero, unmap in writes:
        if zero:
            image.write_zeroes(at, length, image.read, unmap=unmap)
        else:
            image.write(at, b"\7" * length, image.read)
    image.close()
    file.close()
    assert qemu_check(ours) == (0, 0)
    assert_same_files(real, ours)
