"""New images are byte-identical to those of ``qemu-img create``."""

from __future__ import annotations

import pytest

from qmpd.block.drivers.qcow2.create import create
from qmpd.block.drivers.qcow2.image import Image
from qmpd.errors import QmpError
from tests.qcow2.images import DiskFile, MemoryFile, qemu_img

MIB = 1 << 20


def by_qemu(tmp_path, options, size, *more):
    path = tmp_path / "real.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", options, *more, str(path), str(size))
    return path.read_bytes()


CASES = [
    ("cluster_size=64k", 64 * MIB, {}),
    ("cluster_size=64k", 0, {}),
    ("cluster_size=64k", 513 * MIB, {}),
    ("compat=0.10", 64 * MIB, {"version": 2}),
    ("cluster_size=512", 64 * MIB, {"cluster_size": 512}),
    ("cluster_size=512", 2048 * MIB, {"cluster_size": 512}),
    ("cluster_size=512,refcount_bits=64", 1024 * MIB, {"cluster_size": 512, "refcount_bits": 64}),
    ("cluster_size=4k,refcount_bits=1", 1024 * MIB, {"cluster_size": 4096, "refcount_bits": 1}),
    ("cluster_size=2M,refcount_bits=8", 1024 * MIB, {"cluster_size": 2 * MIB, "refcount_bits": 8}),
    ("lazy_refcounts=on", 64 * MIB, {"lazy_refcounts": True}),
    ("extended_l2=on", 64 * MIB, {"extended_l2": True}),
]


@pytest.mark.oracle
@pytest.mark.parametrize(("options", "size", "keywords"), CASES)
def test_same_bytes_as_qemu_img(tmp_path, options, size, keywords):
    """Header, refcounts and L1 table lie where QEMU puts them, byte for byte."""
    path = tmp_path / "ours.qcow2"
    file = DiskFile(path)
    create(file, size, **keywords)
    file.close()
    assert path.read_bytes() == by_qemu(tmp_path, options, size)


@pytest.mark.oracle
@pytest.mark.parametrize("cluster_size", [512, 4096, 65536])
def test_backing_file_same_bytes(tmp_path, cluster_size):
    """The backing file's name and format stand where QEMU writes them."""
    file = MemoryFile()
    create(file, MIB, cluster_size=cluster_size, backing_file="/b/x", backing_format="qcow2")
    options = f"cluster_size={cluster_size}"
    expected = by_qemu(tmp_path, options, MIB, "-u", "-b", "/b/x", "-F", "qcow2")
    assert bytes(file.data) == expected


NEEDS_V3 = "compatibility level 1.1 %s above (use version=v3 or greater)"
REFUSED = [
    ({"cluster_size": 1000}, "Cluster size must be a power of two between 512 and 2048k"),
    ({"cluster_size": 256}, "Cluster size must be a power of two between 512 and 2048k"),
    ({"cluster_size": 4 * MIB}, "Cluster size must be a power of two between 512 and 2048k"),
    ({"refcount_bits": 3}, "Refcount width must be a power of two and may not exceed 64 bits"),
    ({"refcount_bits": 128}, "Refcount width must be a power of two and may not exceed 64 bits"),
    (
        {"refcount_bits": 8, "version": 2},
        "Different refcount widths than 16 bits require " + NEEDS_V3 % "or",
    ),
    (
        {"lazy_refcounts": True, "version": 2},
        "Lazy refcounts only supported with " + NEEDS_V3 % "and",
    ),
    (
        {"extended_l2": True, "cluster_size": 8192},
        "Extended L2 entries are only supported with cluster sizes of at least 16384 bytes",
    ),
    (
        {"backing_file": "a" * 1024, "backing_format": "raw"},
        f"Could not assign backing file '{'a' * 1024}' with format 'raw': Invalid argument",
    ),
    (
        {"backing_file": "a" * 600, "backing_format": "raw", "cluster_size": 512},
        f"Could not assign backing file '{'a' * 600}' with format 'raw': No space left on device",
    ),
]


@pytest.mark.parametrize(("keywords", "text"), REFUSED)
def test_refuses_in_qemus_words(keywords, text):
    """What the format cannot hold is refused with QEMU's sentence."""
    with pytest.raises(QmpError) as caught:
        create(MemoryFile(), MIB, **keywords)
    assert str(caught.value) == text


def test_new_image_reads_back_what_it_was_made_with():
    """The properties of a new image are those that were asked for."""
    file = MemoryFile()
    create(file, 3 * MIB, cluster_size=4096, refcount_bits=4, lazy_refcounts=True, backing_file="b")
    image = Image.open(file, writable=False)
    assert (image.virtual_size, image.cluster_size, image.version) == (3 * MIB, 4096, 3)
    assert (image.refcount_bits, image.lazy_refcounts, image.dirty) == (4, True, False)
    assert (image.backing_file, image.backing_format) == ("b", "")
    assert (image.compression_type, image.corrupt, image.extended_l2) == ("zlib", False, False)
    assert image.nb_snapshots == 0
