"""Metadata that makes no sense: QEMU's reasons, EIO, and no further I/O on a marked image."""

from __future__ import annotations

import errno
import re
import struct
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmpd.block.drivers.qcow2.create import create
from qmpd.block.drivers.qcow2.image import Image
from qmpd.block.drivers.qcow2.types import ImageCorruptError
from qmpd.errors import QmpError
from tests.qcow2.images import MemoryFile, no_backing

COPIED = 1 << 63
L1, L2, REFTABLE, REFBLOCK = 0x30000, 0x40000, 0x10000, 0x20000
MIB = 1 << 20


def image_with(changes, version=3):
    """64 KiB clusters, 1 MiB written; then words are overwritten."""
    file = MemoryFile()
    create(file, 64 * MIB, version=version)
    image = Image.open(file, writable=True)
    image.write(0, b"\1" * MIB, no_backing)
    image.close()
    for offset, form, value in changes:
        struct.pack_into(">" + form, file.data, offset, value)
    return file


CASES = [
    ("read", [(L1, "Q", COPIED | 0x40200)], 3),
    ("read", [(L2, "Q", COPIED | 0x50200)], 3),
    ("read", [(L2, "Q", COPIED | 0x50201)], 3),
    ("read", [(L2, "Q", COPIED | 0x50001)], 2),
    ("read", [(L2, "Q", 1)], 2),
    ("write", [(L1, "Q", COPIED | 0x40200)], 3),
    ("write", [(L2, "Q", COPIED | 0x50200)], 3),
    ("write", [(L2, "Q", COPIED | 0x50201)], 3),
    ("write", [(L2, "Q", COPIED | REFTABLE)], 3),
    ("write", [(L2, "Q", COPIED | REFBLOCK)], 3),
    ("write", [(L2, "Q", COPIED | L1)], 3),
    ("write", [(L2, "Q", COPIED | L2)], 3),
    ("write far", [(REFTABLE, "Q", 0x20200)], 3),
    ("write far", [(REFTABLE, "Q", 0)], 3),
    ("write far", [(REFBLOCK, "Q", (0,) * 8)], 3),
    ("write far", [(REFBLOCK + 8, "Q", (0,) * 6)], 3),
    ("write", [(L1, "Q", L2), (REFBLOCK + 8, "H", 0)], 3),
]


def unpacked(changes):
    for offset, form, value in changes:
        words = value if isinstance(value, tuple) else (value,)
        for number, word in enumerate(words):
            yield offset + number * struct.calcsize(form[0]), form[0], word


def run(image, request):
    if request == "read":
        image.read(0, 65536)
    else:
        image.write(0 if request == "write" else 32 * MIB, bytes(65536), image.read)


@pytest.mark.oracle
@pytest.mark.parametrize(("request_", "changes", "version"), CASES)
def test_reason_is_qemus(tmp_path, request_, changes, version):
    """The message is the one that QEMU prints for the same image and request."""
    file = image_with(list(unpacked(changes)), version)
    path = tmp_path / "i.qcow2"
    path.write_bytes(file.data)
    command = {"read": "read 0 64k", "write": "write 0 64k", "write far": "write 32M 64k"}[request_]
    done = subprocess.run(
        ["qemu-io", "-c", command, str(path)], capture_output=True, text=True, check=False
    )
    reason = re.search(r"Marking image as corrupt: (.*); further", done.stderr + done.stdout)
    assert reason is not None
    image = Image.open(file, writable=True)
    with pytest.raises(ImageCorruptError) as caught:
        run(image, request_)
    assert (caught.value.message, caught.value.fatal) == (reason[1], True)
    assert caught.value.errno == errno.EIO
    assert image.corrupt


def test_marked_image_takes_no_more_io():
    """After a fatal corruption every request fails with ENOMEDIUM, and reopening is read-only."""
    file = image_with([(L2, "Q", COPIED | 0x50200)])
    image = Image.open(file, writable=True)
    with pytest.raises(ImageCorruptError):
        image.read(0, 512)
    with pytest.raises(OSError, match="No medium found") as caught:
        image.read(MIB, 512)
    assert caught.value.errno == errno.ENOMEDIUM
    with pytest.raises(QmpError, match="qcow2: Image is corrupt; cannot be opened read/write"):
        Image.open(file, writable=True)
    assert Image.open(file, writable=False).corrupt


def test_read_only_image_is_not_marked():
    """A read-only image reports the corruption as not fatal and stays usable elsewhere."""
    file = image_with([(L2, "Q", COPIED | 0x50200)])
    before = bytes(file.data)
    image = Image.open(file, writable=False)
    with pytest.raises(ImageCorruptError) as caught:
        image.read(0, 512)
    assert not caught.value.fatal
    assert image.read(65536, 512) == b"\1" * 512
    assert bytes(file.data) == before


def test_bad_deflate_stream_is_an_io_error():
    """A compressed cluster that does not inflate reads as EIO."""
    file = image_with([(L2, "Q", (1 << 62) | 0x50000)])
    image = Image.open(file, writable=False)
    with pytest.raises(OSError, match="Input/output error"):
        image.read(0, 512)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from((L1, L2, L2 + 8, L2 + 64, REFTABLE, REFBLOCK, REFBLOCK + 8)),
            st.integers(0, (1 << 64) - 1)
            | st.integers(0, 40).map(lambda n: COPIED | n << 16)
            | st.integers(0, (1 << 56) - 1).map(lambda n: n | 1 << 62),
        ),
        max_size=4,
    ),
    st.booleans(),
)
def test_no_damage_gives_a_traceback(words, writable):
    """Whatever the tables hold, requests end in data or an OSError."""
    file = image_with([(offset, "Q", word) for offset, word in words])
    image = Image.open(file, writable=writable)
    for request in ("read", "write", "write far") if writable else ("read",):
        try:
            run(image, request)
        except OSError:
            continue
        except MemoryError:  # a valid place far away: more than a file in RAM can be
            return
    try:
        image.close()
    except (OSError, MemoryError):
        return
