"""Making an empty image, laid out as ``qemu-img create`` does (observed on QEMU 7.2)."""

from __future__ import annotations

from qmpd.block.drivers.qcow2 import wording
from qmpd.block.drivers.qcow2.header import (
    COMPAT_LAZY_REFCOUNTS,
    INCOMPAT_EXTENDED_L2,
    V3_LENGTH,
    Header,
    check_backing_name,
)
from qmpd.block.drivers.qcow2.mapping import Mapping
from qmpd.block.drivers.qcow2.refcounts import Refcounts
from qmpd.block.drivers.qcow2.resize import grow_l1, set_size
from qmpd.block.drivers.qcow2.tables import encode_table, zeros
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.block.drivers.qcow2.types import ByteFile


def create(
    file: ByteFile,
    size: int,
    *,
    cluster_size: int = 65536,
    version: int = 3,
    backing_file: str | None = None,
    backing_format: str | None = None,
    refcount_bits: int = 16,
    lazy_refcounts: bool = False,
    extended_l2: bool = False,
) -> None:
    """Make an empty qcow2 image of ``size`` bytes in ``file``; raises ``QmpError``.

    ``cluster_size`` is bytes, a power of two from 512 to 2 MiB. ``version`` 2 allows
    neither lazy refcounts, extended L2 entries nor other than 16 refcount bits.
    """
    _check(cluster_size, version, refcount_bits, lazy=lazy_refcounts, extended=extended_l2)
    header = Header(version, cluster_size.bit_length() - 1)
    if version >= 3:
        header.header_length = V3_LENGTH
        header.refcount_order = refcount_bits.bit_length() - 1
        header.compatible = COMPAT_LAZY_REFCOUNTS if lazy_refcounts else 0
        header.incompatible = INCOMPAT_EXTENDED_L2 if extended_l2 else 0
    header.refcount_table_offset = cluster_size
    header.refcount_table_clusters = 1
    file.truncate(0)
    _write(file, 0, header.serialise(), wording.CREATE_HEADER)
    table = zeros(cluster_size // 8)
    table[0] = 2 * cluster_size
    _write(file, cluster_size, encode_table(table) + bytes(cluster_size), wording.CREATE_TABLE)
    mapping = Mapping(file, header, zeros(0))
    refcounts = Refcounts(file, header, mapping.cache, lambda: table)
    refcounts.allocate(3)
    size = -(-size // 512) * 512
    try:
        grow_l1(file, header, mapping, refcounts, size)
        set_size(file, header, size)
        refcounts.cache.flush()
    except OSError as error:
        raise QmpError(wording.create_l1(str(error.strerror))) from error
    if backing_file is not None:
        _set_backing(header, backing_file, backing_format or "")
    file.pwrite(0, header.serialise())
    file.flush()


def _write(file: ByteFile, offset: int, data: bytes, complaint: str) -> None:
    try:
        file.pwrite(offset, data)
    except OSError as error:
        raise QmpError(f"{complaint}: {error.strerror}") from error


def _set_backing(header: Header, backing_file: str, backing_format: str) -> None:
    header.backing_file = backing_file.encode("utf-8", "surrogateescape")
    header.backing_format = backing_format.encode()
    try:
        check_backing_name(header.backing_file)
        header.serialise()
    except OSError as error:
        raise QmpError(
            wording.create_backing(backing_file, backing_format, str(error.strerror)),
        ) from None


def _check(
    cluster_size: int,
    version: int,
    refcount_bits: int,
    *,
    lazy: bool,
    extended: bool,
) -> None:
    if cluster_size.bit_count() != 1 or not 512 <= cluster_size <= 2 << 20:
        raise QmpError(wording.CREATE_CLUSTER_SIZE)
    if extended and version < 3:
        raise QmpError(wording.CREATE_EXTENDED_NEEDS_V3)
    if extended and cluster_size < 16384:
        raise QmpError(wording.CREATE_EXTENDED_CLUSTER_SIZE)
    if version < 3 and lazy:
        raise QmpError(wording.CREATE_LAZY_NEEDS_V3)
    if refcount_bits.bit_count() != 1 or not 1 <= refcount_bits <= 64:
        raise QmpError(wording.CREATE_REFCOUNT_BITS)
    if version < 3 and refcount_bits != 16:
        raise QmpError(wording.CREATE_REFCOUNT_NEEDS_V3)
