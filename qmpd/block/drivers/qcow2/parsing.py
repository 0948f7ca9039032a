"""Reading and validating the qcow2 header and its extensions (qcow2 spec, "Header").

Validation happens in QEMU's order, since the first failure's text is what a client reads.
"""

from __future__ import annotations

import struct

from qmpd.block.drivers.qcow2 import wording
from qmpd.block.drivers.qcow2.header import (
    AUTOCLEAR_BITMAPS,
    AUTOCLEAR_DATA_FILE_RAW,
    CRYPT_AES,
    CRYPT_LUKS,
    EXT_BACKING_FORMAT,
    EXT_BITMAPS,
    EXT_CRYPTO,
    EXT_DATA_FILE,
    EXT_END,
    EXT_FEATURE_TABLE,
    EXT_HEAD,
    FIXED_FIELDS,
    INCOMPAT_COMPRESSION,
    INCOMPAT_CORRUPT,
    INCOMPAT_DATA_FILE,
    INCOMPAT_KNOWN,
    MAGIC,
    MAX_BACKING_NAME,
    MAX_BITMAP_DIRECTORY_BYTES,
    MAX_L1_BYTES,
    MAX_REFCOUNT_TABLE_BYTES,
    MAX_SNAPSHOT_TABLE_BYTES,
    V2_LENGTH,
    V3_FIELDS,
    V3_LENGTH,
    V3_MIN_LENGTH,
    Header,
)
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from qmpd.block.drivers.qcow2.types import ByteFile

HEAD_SIZE = 4096
"""Bytes read at once: a page, in which nearly all headers with their extensions lie."""

_INT64_MAX = (1 << 63) - 1


def validate_table(offset: int, size: int, maximum: int, alignment: int, what: str) -> None:
    """Raise QEMU's error unless a table of ``size`` bytes may stand at ``offset``."""
    if size > maximum:
        raise QmpError(wording.table_too_large(what))
    if offset > _INT64_MAX - size or offset % alignment:
        raise QmpError(wording.table_offset_invalid(what))


def parse(file: ByteFile, raw: bytes, *, writable: bool) -> Header:
    """Validate the header as far as it stands alone; raises ``QmpError``.

    ``raw`` is how the file begins, :data:`HEAD_SIZE` bytes of it.
    """
    magic, version, *rest = FIXED_FIELDS.unpack_from(raw)
    if magic != MAGIC:
        raise QmpError(wording.NOT_QCOW2)
    if version not in {2, 3}:
        raise QmpError(wording.unsupported_version(version))
    cluster_bits = rest[2]
    if not 9 <= cluster_bits <= 21:
        raise QmpError(wording.unsupported_cluster_size(cluster_bits))
    header = Header(version, cluster_bits)
    header.backing_offset, header.backing_length, _, header.size = rest[:4]
    header.crypt_method, header.l1_entries, header.l1_offset = rest[4:7]
    header.refcount_table_offset, header.refcount_table_clusters = rest[7:9]
    header.nb_snapshots, header.snapshots_offset = rest[9:]
    if version == 3:
        _parse_v3(header, file, raw)
    if header.backing_offset > header.cluster_size:
        raise QmpError(wording.INVALID_BACKING_OFFSET)
    _check_features(header, file, raw, writable=writable)
    _check_tables(header)
    return header


def _parse_v3(header: Header, file: ByteFile, raw: bytes) -> None:
    words = V3_FIELDS.unpack_from(raw, V2_LENGTH)
    header.incompatible, header.compatible, header.autoclear = words[:3]
    header.refcount_order, header.header_length = words[3:]
    if header.header_length < V3_MIN_LENGTH:
        raise QmpError(wording.HEADER_TOO_SHORT)
    if header.header_length > header.cluster_size:
        raise QmpError(wording.HEADER_EXCEEDS_CLUSTER)
    if header.header_length > V3_LENGTH:
        header.unknown_fields = file.pread(V3_LENGTH, header.header_length - V3_LENGTH)
    if header.header_length > V3_MIN_LENGTH:
        header.compression_type = raw[V3_MIN_LENGTH]


def _check_features(header: Header, file: ByteFile, raw: bytes, *, writable: bool) -> None:
    if header.compression_type not in {0, 1}:
        raise QmpError(wording.unknown_compression_type(header.compression_type))
    has_bit = bool(header.incompatible & INCOMPAT_COMPRESSION)
    if has_bit and header.compression_type == 0:
        raise QmpError(wording.COMPRESSION_BIT_SPURIOUS)
    if not has_bit and header.compression_type != 0:
        raise QmpError(wording.COMPRESSION_BIT_MISSING)
    unknown = header.incompatible & ~INCOMPAT_KNOWN
    if unknown:
        raise QmpError(wording.unsupported_features(_feature_names(header, file, raw, unknown)))
    if header.incompatible & INCOMPAT_CORRUPT and writable:
        raise QmpError(wording.CORRUPT_NOT_WRITABLE)
    if header.extended_l2 and header.cluster_bits < 14:
        raise QmpError(wording.unsupported_subcluster_size(header.cluster_size >> 5))
    if header.refcount_order > 6:
        raise QmpError(wording.REFCOUNT_ORDER_TOO_LARGE)


def _check_tables(header: Header) -> None:
    if header.refcount_table_clusters == 0:
        raise QmpError(wording.NO_REFCOUNT_TABLE)
    cluster = header.cluster_size
    tables = (
        (
            header.refcount_table_offset,
            header.refcount_table_clusters << header.cluster_bits,
            MAX_REFCOUNT_TABLE_BYTES,
            "Reference count table",
        ),
        (
            header.snapshots_offset,
            header.nb_snapshots * 40,
            MAX_SNAPSHOT_TABLE_BYTES,
            "Snapshot table",
        ),
        (header.l1_offset, header.l1_entries * 8, MAX_L1_BYTES, "Active L1 table"),
    )
    for offset, size, maximum, what in tables:
        validate_table(offset, size, maximum, cluster, what)
    if header.l1_needed > 0x7FFFFFFF:
        raise QmpError(wording.IMAGE_TOO_BIG)
    if header.l1_entries < header.l1_needed:
        raise QmpError(wording.L1_TOO_SMALL)


class Encryption:
    """What is said about encryption from outside the image.

    ``method`` and ``key`` are those of the definition; ``no_aes`` is the system emulator's,
    ``secrets`` are the names of the keys that there are.
    """

    __slots__ = ("key", "method", "no_aes", "secrets")

    def __init__(
        self,
        method: str | None = None,
        key: str | None = None,
        *,
        secrets: Container[str] = (),
        no_aes: bool = False,
    ) -> None:
        self.method = method
        self.secrets = secrets
        self.key = key
        self.no_aes = no_aes


def check_encryption(header: Header, encryption: Encryption) -> None:
    """Refuse encryption methods that QEMU does not know; raises ``QmpError``."""
    if not header.crypt_method and encryption.method is not None:
        raise QmpError(wording.not_encrypted(encryption.method))
    if header.crypt_method > CRYPT_LUKS:
        raise QmpError(wording.unsupported_encryption(header.crypt_method))
    if header.crypt_method == CRYPT_AES and encryption.no_aes:
        raise QmpError(wording.NO_AES)


def read_extensions(header: Header, file: ByteFile, raw: bytes) -> None:
    """Parse the header extensions into ``header``; raises ``QmpError``."""
    for magic, data in _walk(header, file, raw):
        if magic == EXT_BACKING_FORMAT:
            header.backing_format = data.split(b"\0", 1)[0]
        elif magic == EXT_CRYPTO:
            _parse_crypto(header, data)
        elif magic == EXT_BITMAPS:
            _parse_bitmaps(header, data)
        elif magic == EXT_DATA_FILE:
            header.data_file = data
        elif magic != EXT_FEATURE_TABLE:
            header.unknown_extensions.append((magic, data))


def read_backing_name(header: Header, file: ByteFile, raw: bytes) -> None:
    """Read the backing file's name; raises ``QmpError`` if it is too long."""
    if header.backing_offset == 0:
        return
    length = header.backing_length
    if length > min(MAX_BACKING_NAME, header.cluster_size - header.backing_offset):
        raise QmpError(wording.BACKING_NAME_TOO_LONG)
    end = header.backing_offset + length
    if end <= len(raw):
        header.backing_file = raw[header.backing_offset : end]
    else:
        header.backing_file = file.pread(header.backing_offset, length)


def _walk(header: Header, file: ByteFile, raw: bytes) -> Iterator[tuple[int, bytes]]:
    end = header.backing_offset or header.cluster_size
    position = header.header_length
    while position < end:
        if position + EXT_HEAD.size > len(raw):
            raw = file.pread(0, header.cluster_size + EXT_HEAD.size)
        magic, length = EXT_HEAD.unpack_from(raw, position)
        position += EXT_HEAD.size
        if position > end or length > end - position:
            raise QmpError(wording.EXTENSION_TOO_LARGE)
        if magic == EXT_END:
            return
        if position + length > len(raw):
            raw = file.pread(0, header.cluster_size + EXT_HEAD.size)
        if magic == EXT_BACKING_FORMAT and length >= 16:
            raise QmpError(wording.backing_format_too_long(length))
        yield magic, raw[position : position + length]
        position += -(-length // 8) * 8


def _feature_names(header: Header, file: ByteFile, raw: bytes, mask: int) -> list[str]:
    names: list[str] = []
    table = b""
    try:
        for magic, data in _walk(header, file, raw):
            table = data if magic == EXT_FEATURE_TABLE else table
    except QmpError:
        pass  # what has been found up to here has to do
    entries = struct.iter_unpack(">BB46s", table[: len(table) // 48 * 48])
    for kind, bit, name in entries:
        if kind == 0 and bit < 64 and mask & 1 << bit:
            names.append(name.split(b"\0", 1)[0].decode("utf-8", "replace"))
            mask &= ~(1 << bit)
    if mask:
        names.append(wording.unknown_incompatible(mask))
    return names


def _parse_crypto(header: Header, data: bytes) -> None:
    if header.crypt_method != CRYPT_LUKS:
        raise QmpError(wording.CRYPTO_EXTENSION_UNEXPECTED)
    if len(data) != 16:
        raise QmpError(wording.crypto_extension_size(len(data)))
    offset, length = struct.unpack(">QQ", data)
    if offset % header.cluster_size:
        raise QmpError(wording.crypto_offset(offset, header.cluster_size))
    header.crypto = (offset, length)


def _parse_bitmaps(header: Header, data: bytes) -> None:
    if len(data) != 24:
        raise QmpError(wording.BITMAPS_EXTENSION_LENGTH)
    if not header.autoclear & AUTOCLEAR_BITMAPS:
        # Some other program wrote to the image: its bitmaps are out of date.
        header.outdated = True
        return
    count, reserved, size, offset = struct.unpack(">IIQQ", data)
    if reserved:
        raise QmpError(wording.BITMAPS_RESERVED)
    if count > 65535:
        raise QmpError(wording.too_many_bitmaps(count))
    if count == 0:
        raise QmpError(wording.BITMAPS_NONE)
    if offset % header.cluster_size:
        raise QmpError(wording.BITMAPS_OFFSET)
    if size > MAX_BITMAP_DIRECTORY_BYTES:
        raise QmpError(wording.bitmap_directory_too_large(size, MAX_BITMAP_DIRECTORY_BYTES))
    if size == 0:
        raise QmpError(wording.BITMAPS_DIRECTORY_EMPTY)
    header.bitmaps = (count, size, offset)


def check_unsupported(header: Header, encryption: Encryption) -> None:
    """Refuse what comes after the extensions: external data files and encryption."""
    if header.incompatible & INCOMPAT_DATA_FILE:
        known = header.data_file is not None
        raise QmpError(
            wording.EXTERNAL_DATA_UNSUPPORTED if known else wording.DATA_FILE_REQUIRED,
        )
    if header.autoclear & AUTOCLEAR_DATA_FILE_RAW:
        raise QmpError(wording.RAW_REQUIRES_DATA_FILE)
    if header.crypt_method == CRYPT_LUKS and header.crypto is None:
        raise QmpError(wording.missing_crypto_header(header.crypt_method))
    if header.crypt_method:
        method = "luks" if header.crypt_method == CRYPT_LUKS else "aes"
        if encryption.method not in (None, method):
            raise QmpError(wording.other_encryption(method, str(encryption.method)))
        if encryption.key is None:
            raise QmpError(wording.ENCRYPTION_NEEDS_KEY)
        if encryption.key not in encryption.secrets:
            raise QmpError(wording.no_secret(encryption.key))
        raise QmpError(wording.NO_DECRYPTION)
