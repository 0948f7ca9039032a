"""The header is rewritten as QEMU does it, and nothing unknown gets lost."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmpd.block.drivers.qcow2.create import create
from qmpd.block.drivers.qcow2.header import Header
from qmpd.block.drivers.qcow2.image import Image
from qmpd.block.drivers.qcow2.parsing import (
    HEAD_SIZE,
    parse,
    read_backing_name,
    read_extensions,
)
from qmpd.errors import QmpError
from tests.qcow2.images import DiskFile, JournalFile, MemoryFile, qemu_check, qemu_img, qemu_io
from tests.qcow2.test_layout import assert_same_files

MIB = 1 << 20


@pytest.mark.oracle
@pytest.mark.parametrize("options", ["compat=1.1", "compat=0.10", "cluster_size=512"])
def test_new_backing_file_same_bytes_as_rebase(tmp_path, options):
    """``update_backing`` gives the file that ``qemu-img rebase -u`` gives."""
    paths = [tmp_path / "real.qcow2", tmp_path / "ours.qcow2"]
    for path in paths:
        qemu_img(
            "create",
            "-q",
            "-f",
            "qcow2",
            "-o",
            options,
            "-u",
            "-b",
            "old",
            "-F",
            "raw",
            str(path),
            "1M",
        )
    names = [("/new/name", "qcow2"), (None, ""), ("x" * 200, "raw")]
    for name, form in names:
        rebase = ["-b", name or ""] + (["-F", form] if name else [])
        qemu_img("rebase", "-u", "-f", "qcow2", *rebase, str(paths[0]))
        file = DiskFile(paths[1])
        image = Image.open(file, writable=True)
        image.update_backing(name, form)
        image.close()
        file.close()
        assert_same_files(*paths)


def image_file(**keywords):
    file = JournalFile()
    create(file, MIB, **keywords)
    file.journal.clear()
    return file


def test_one_write_of_the_first_cluster():
    """The header cluster is replaced in one write, so that a crash leaves the old or the new."""
    file = image_file(backing_file="old", backing_format="raw")
    image = Image.open(file, writable=True)
    image.update_backing("new", "qcow2")
    assert [event and (event[0], len(event[1])) for event in file.journal] == [(0, 65536)]
    assert (image.backing_file, image.backing_format) == ("new", "qcow2")


def test_an_empty_name_keeps_its_place():
    """An empty backing file name is there with length 0, as after block-commit to ``""``."""
    file = image_file()
    Image.open(file, writable=True).update_backing("", "qcow2")
    offset, length = struct.unpack_from(">QI", file.data, 8)
    assert (offset, length) == (0x210, 0)
    image = Image.open(file, writable=False)
    assert (image.backing_file, image.backing_format) == ("", "qcow2")


@pytest.mark.parametrize(
    ("length", "cluster_size", "code"),
    [(1024, 65536, errno.EINVAL), (600, 512, errno.ENOSPC)],
)
def test_a_name_that_does_not_fit_changes_nothing(length, cluster_size, code):
    """Too long a name fails with QEMU's error number; file and image stay as they were."""
    file = image_file(cluster_size=cluster_size, backing_file="old", backing_format="raw")
    before = bytes(file.data)
    image = Image.open(file, writable=True)
    with pytest.raises(OSError, match=r"Invalid argument|No space left on device") as caught:
        image.update_backing("n" * length, "raw")
    assert caught.value.errno == code
    assert bytes(file.data) == before
    assert (image.backing_file, image.backing_format) == ("old", "raw")


@given(
    st.binary(max_size=40).map(lambda data: data.ljust(-(-len(data) // 8) * 8, b"\0")),
    st.lists(st.tuples(st.integers(1, 1000), st.binary(max_size=50)), max_size=4),
    st.none() | st.binary(max_size=100).filter(lambda name: b"\0" not in name),
    st.sampled_from((2, 3)),
)
def test_serialised_and_parsed_again(fields, extensions, name, version):
    """Unknown fields and extensions survive any number of rewrites."""
    header = Header(version, 16)
    header.size = 1 << 20
    header.refcount_table_clusters = header.l1_entries = 1
    header.refcount_order = 4
    header.unknown_fields = fields if version == 3 else b""
    header.unknown_extensions = extensions
    header.backing_file = name
    first = header.serialise()
    file = MemoryFile(first)
    head = file.pread(0, HEAD_SIZE)
    again = parse(file, head, writable=True)
    read_extensions(again, file, head)
    read_backing_name(again, file, head)

    assert again.unknown_extensions == extensions
    assert (again.unknown_fields, again.backing_file) == (header.unknown_fields, name)
    assert again.serialise() == first


def test_unknown_features_are_named_by_the_image():
    """The feature name table of the image supplies the names of what QEMU does not know."""
    file = image_file()
    struct.pack_into(">Q", file.data, 72, 1 << 20 | 1 << 21)
    struct.pack_into(">BB46s", file.data, 120, 0, 20, b"time travel")
    with pytest.raises(QmpError) as caught:
        Image.open(file, writable=False)
    expected = "Unsupported qcow2 feature(s): time travel, Unknown incompatible feature: 200000"
    assert str(caught.value) == expected


def test_unknown_autoclear_bits_go_on_the_first_writable_open():
    """Read-only they stay; a writer has to clear what it does not understand."""
    file = image_file()
    struct.pack_into(">Q", file.data, 88, 1 << 7)
    Image.open(file, writable=False).close()
    assert struct.unpack_from(">Q", file.data, 88)[0] == 1 << 7
    Image.open(file, writable=True).close()
    assert struct.unpack_from(">Q", file.data, 88)[0] == 0


def test_dirty_bit_lives_as_long_as_the_image_is_writable():
    """With lazy refcounts the first write sets the bit; going read-only clears it."""
    file = image_file(lazy_refcounts=True)
    image = Image.open(file, writable=True)
    assert not image.dirty
    image.write(0, b"x", image.read)
    assert image.dirty
    image.set_writable(False)
    assert not image.dirty
    assert struct.unpack_from(">Q", file.data, 72)[0] == 0
    image.set_writable(True)
    image.write(MIB // 2, b"x", image.read)
    assert image.dirty


@pytest.mark.oracle
def test_writes_are_in_bitmaps(tmp_path):
    """While the image is writable its bitmaps are in use; closed, they have what was written."""
    path = tmp_path / "b.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", str(path), "1M")
    qemu_img("bitmap", "--add", str(path), "b0")
    qemu_img("bitmap", "--add", str(path), "another")
    assert '"in-use"' not in qemu_img("info", "--output=json", str(path))
    file = DiskFile(path)
    image = Image.open(file, writable=True)
    image.write(0, b"x", image.read)
    image.record(100 << 10, 100 << 10)
    image.write_zeroes(100 << 10, 100 << 10, image.read)
    assert qemu_img("info", "--output=json", str(path)).count('"in-use"') == 2
    image.close()
    assert image.check().corruptions == image.check().leaks == 0
    image = Image.open(file, writable=False)
    assert [bitmap.describe()["count"] for bitmap in image.bitmaps] == [256 << 10, 256 << 10]
    file.close()
    assert '"in-use"' not in qemu_img("info", "--output=json", str(path))
    assert qemu_check(path) == (0, 0)


@pytest.mark.oracle
def test_growth_over_a_longer_backing_file(tmp_path):
    """What growth uncovers reads as zeros, in the layout that qemu-img resize gives."""
    backing, real, ours = (tmp_path / name for name in ("b.qcow2", "real.qcow2", "ours.qcow2"))
    qemu_img("create", "-q", "-f", "qcow2", str(backing), "4M")
    qemu_io(backing, "write -q -P 99 0 4M")
    for path in (real, ours):
        qemu_img(
            "create", "-q", "-f", "qcow2", "-b", str(backing), "-F", "qcow2", str(path), "1000448"
        )
    qemu_img("resize", "-q", str(real), "3M")
    file = DiskFile(ours)
    image = Image.open(file, writable=True)
    image.resize(3 * MIB, cow_read=lambda _offset, length: b"\x63" * length)
    image.close()
    file.close()
    assert_same_files(real, ours)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (MIB + 1, "The new size must be a multiple of 512"),
        (1 << 62, "Failed to grow the L1 table: File too large"),
    ],
)
def test_sizes_that_are_refused(size, text):
    """Refused sizes leave the image as it is."""
    image = Image.open(image_file(), writable=True)
    with pytest.raises(QmpError) as caught:
        image.resize(size)
    assert str(caught.value) == text
    assert image.virtual_size == MIB
