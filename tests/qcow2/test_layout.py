"""Images written by qmpd and by QEMU with the same requests are laid out alike."""

from __future__ import annotations

import pytest

from qmpd.block.drivers.qcow2.image import Image
from tests.qcow2.images import DiskFile, qemu_check, qemu_img, qemu_io, seeded

pytestmark = pytest.mark.oracle

KIB = 1024
MIB = KIB * KIB


def requests(seed, size, count, largest):
    dice = seeded(seed)
    found = []
    for number in range(count):
        length = dice.choice((dice.randint(1, largest), dice.randint(1, 64) * 512))
        offset = dice.randint(0, size - 1)
        if dice.random() < 0.4 and found:
            offset = found[-1][0] + found[-1][1]
        length = min(length, size - offset)
        if length > 0:
            found.append((offset, length, number % 255 + 1))
    return found


def write_both(tmp_path, writes):
    real, ours = tmp_path / "real.qcow2", tmp_path / "ours.qcow2"
    qemu_io(real, *(f"write -P {pattern} {at} {length}" for at, length, pattern in writes))
    file = DiskFile(ours)
    image = Image.open(file, writable=True)
    for offset, length, pattern in writes:
        image.write(offset, bytes([pattern]) * length, image.read)
    image.close()
    file.close()
    return real, ours


CASES = [
    ("cluster_size=512", 4 * MIB, 300, 20 * KIB),
    ("cluster_size=512,refcount_bits=64", 8 * MIB, 300, 60 * KIB),
    ("cluster_size=512,refcount_bits=1", 4 * MIB, 200, 60 * KIB),
    ("cluster_size=1k,refcount_bits=2", 8 * MIB, 200, 60 * KIB),
    ("cluster_size=4k", 64 * MIB, 200, 300 * KIB),
    ("cluster_size=4k,refcount_bits=8", 64 * MIB, 200, 300 * KIB),
    ("cluster_size=64k", 2048 * MIB, 150, 400 * KIB),
    ("cluster_size=64k,compat=0.10", 2048 * MIB, 80, 400 * KIB),
    ("cluster_size=64k,lazy_refcounts=on", 2048 * MIB, 80, 400 * KIB),
    ("cluster_size=16k,extended_l2=on", 256 * MIB, 200, 100 * KIB),
    ("cluster_size=64k,extended_l2=on", 2048 * MIB, 150, 400 * KIB),
    ("cluster_size=128k,extended_l2=on,lazy_refcounts=on", 2048 * MIB, 100, 400 * KIB),
    ("cluster_size=2M,extended_l2=on", 4096 * MIB, 30, 5 * MIB),
    ("cluster_size=2M,refcount_bits=32", 4096 * MIB, 30, 5 * MIB),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("options", "size", "count", "largest"), CASES)
def test_same_writes_same_bytes(tmp_path, options, size, count, largest, seed):
    """Random and sequential writes give byte-identical files."""
    for name in ("real", "ours"):
        qemu_img(
            "create", "-q", "-f", "qcow2", "-o", options, str(tmp_path / f"{name}.qcow2"), str(size)
        )
    writes = requests(f"{options} {seed}", size, count, largest)
    real, ours = write_both(tmp_path, writes)
    assert qemu_check(ours) == (0, 0)
    assert_same_files(real, ours)


def assert_same_files(real, ours):
    left, right = real.read_bytes(), ours.read_bytes()
    if left == right:
        return
    size = max(len(left), len(right))
    left, right = left.ljust(size, b"\0"), right.ljust(size, b"\0")
    different = [at for at in range(0, size, 512) if left[at : at + 512] != right[at : at + 512]]
    assert different == [], [hex(at) for at in different[:20]]
