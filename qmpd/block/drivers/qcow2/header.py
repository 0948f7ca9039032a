"""The qcow2 header and its extensions: parse, validate, serialise (qcow2 spec, "Header").

Validation happens in QEMU's order, since the first failure's text is what a client reads.
"""

from __future__ import annotations

import struct
from errno import EINVAL, ENOSPC

from qmpd.block.drivers.qcow2 import wording
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmpd.block.drivers.qcow2.types import ByteFile

MAGIC = b"QFI\xfb"
V2_LENGTH = 72
V3_MIN_LENGTH = 104
V3_LENGTH = 112

INCOMPAT_DIRTY = 1 << 0
INCOMPAT_CORRUPT = 1 << 1
INCOMPAT_DATA_FILE = 1 << 2
INCOMPAT_COMPRESSION = 1 << 3
INCOMPAT_EXTENDED_L2 = 1 << 4
INCOMPAT_KNOWN = 0x1F
COMPAT_LAZY_REFCOUNTS = 1 << 0
AUTOCLEAR_BITMAPS = 1 << 0
AUTOCLEAR_DATA_FILE_RAW = 1 << 1
AUTOCLEAR_KNOWN = 0x3

EXT_END = 0
EXT_BACKING_FORMAT = 0xE2792ACA
EXT_FEATURE_TABLE = 0x6803F857
EXT_CRYPTO = 0x0537BE77
EXT_BITMAPS = 0x23852875
EXT_DATA_FILE = 0x44415441

CRYPT_AES = 1
CRYPT_LUKS = 2

MAX_REFCOUNT_TABLE_BYTES = 8 << 20
MAX_L1_BYTES = 32 << 20
MAX_SNAPSHOT_TABLE_BYTES = 65536 * 40
MAX_BITMAP_DIRECTORY_BYTES = 1024 * 65535
MAX_BACKING_NAME = 1023

_INT64_MAX = (1 << 63) - 1
_UINT64_MASK = (1 << 64) - 1

_FIXED = struct.Struct(">4sIQIIQIIQQIIQ")
_V3 = struct.Struct(">QQQII")
_EXT = struct.Struct(">II")

# The feature names that QEMU 7.2 writes: (kind, bit, name); kinds 0, 1, 2 are the header's
# incompatible, compatible and autoclear words.
_FEATURES = (
    (0, 0, b"dirty bit"),
    (0, 1, b"corrupt bit"),
    (0, 2, b"external data file"),
    (0, 3, b"compression type"),
    (0, 4, b"extended L2 entries"),
    (1, 0, b"lazy refcounts"),
    (2, 0, b"bitmaps"),
    (2, 1, b"raw external data"),
)


def validate_table(offset: int, size: int, maximum: int, alignment: int, what: str) -> None:
    """Raise QEMU's error unless a table of ``size`` bytes may stand at ``offset``."""
    if size > maximum:
        raise QmpError(wording.table_too_large(what))
    if offset > _INT64_MAX - size or offset % alignment:
        raise QmpError(wording.table_offset_invalid(what))


class Header:
    """The fields of one image's header, its extensions, and the backing file's name.

    Offsets and sizes are bytes unless the name says otherwise. ``unknown_fields`` (beyond
    byte 112) and ``unknown_extensions`` are preserved when the header is rewritten.
    """

    __slots__ = (
        "autoclear",
        "backing_file",
        "backing_format",
        "backing_length",
        "backing_offset",
        "bitmaps",
        "cluster_bits",
        "compatible",
        "compression_type",
        "crypt_method",
        "crypto",
        "data_file",
        "header_length",
        "incompatible",
        "l1_entries",
        "l1_offset",
        "nb_snapshots",
        "refcount_order",
        "refcount_table_clusters",
        "refcount_table_offset",
        "size",
        "snapshots_offset",
        "unknown_extensions",
        "unknown_fields",
        "version",
    )

    def __init__(self, version: int, cluster_bits: int) -> None:
        self.version = version
        self.cluster_bits = cluster_bits
        self.backing_offset = 0
        self.backing_length = 0
        self.backing_file: bytes | None = None
        self.backing_format = b""
        self.size = 0
        self.crypt_method = 0
        self.l1_entries = 0
        self.l1_offset = 0
        self.refcount_table_offset = 0
        self.refcount_table_clusters = 0
        self.nb_snapshots = 0
        self.snapshots_offset = 0
        self.incompatible = 0
        self.compatible = 0
        self.autoclear = 0
        self.refcount_order = 4
        self.header_length = V2_LENGTH
        self.compression_type = 0
        self.unknown_fields = b""
        self.unknown_extensions: list[tuple[int, bytes]] = []
        self.bitmaps: tuple[int, int, int] | None = None
        self.crypto: tuple[int, int] | None = None
        self.data_file: bytes | None = None

    @property
    def cluster_size(self) -> int:
        """Cluster size in bytes."""
        return 1 << self.cluster_bits

    @property
    def extended_l2(self) -> bool:
        """Whether L2 entries are 16 bytes and describe 32 subclusters."""
        return bool(self.incompatible & INCOMPAT_EXTENDED_L2)

    @property
    def l2_bits(self) -> int:
        """Logarithm of the number of entries in an L2 table."""
        return self.cluster_bits - (4 if self.extended_l2 else 3)

    @property
    def l1_needed(self) -> int:
        """L1 entries that the virtual size needs, with QEMU's 64-bit wrap-around."""
        shift = self.cluster_bits + self.l2_bits
        return ((self.size + (1 << shift) - 1) & _UINT64_MASK) >> shift

    def backing_file_text(self) -> str:
        """The backing file's name up to its first NUL, undecodable bytes escaped."""
        return (self.backing_file or b"").split(b"\0", 1)[0].decode("utf-8", "surrogateescape")

    def serialise(self) -> bytes:
        """The whole first cluster; raises ``OSError`` (ENOSPC) if it does not fit.

        Order as QEMU writes it: backing format, data file, crypto, feature names, bitmaps,
        unknown extensions, end marker, backing file name.
        """
        extensions = b"".join(_extension(magic, data) for magic, data in self._extensions())
        extensions += _EXT.pack(EXT_END, 0)
        length = V2_LENGTH if self.version == 2 else V3_LENGTH + len(self.unknown_fields)
        used = length + len(extensions)
        name = self.backing_file
        self.header_length = length
        self.backing_offset = used if name is not None else 0
        self.backing_length = len(name) if name is not None else 0
        image = self._fixed_fields() + extensions + (name or b"")
        if len(image) > self.cluster_size:
            raise OSError(ENOSPC, "No space left on device")
        return image.ljust(self.cluster_size, b"\0")

    def _fixed_fields(self) -> bytes:
        fixed = _FIXED.pack(
            MAGIC,
            self.version,
            self.backing_offset,
            self.backing_length,
            self.cluster_bits,
            self.size,
            self.crypt_method,
            self.l1_entries,
            self.l1_offset,
            self.refcount_table_offset,
            self.refcount_table_clusters,
            self.nb_snapshots,
            self.snapshots_offset,
        )
        if self.version == 2:
            return fixed
        v3 = _V3.pack(
            self.incompatible,
            self.compatible,
            self.autoclear,
            self.refcount_order,
            self.header_length,
        )
        return fixed + v3 + bytes([self.compression_type]) + bytes(7) + self.unknown_fields

    def _extensions(self) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        if self.backing_format:
            found.append((EXT_BACKING_FORMAT, self.backing_format))
        if self.data_file is not None:
            found.append((EXT_DATA_FILE, self.data_file))
        if self.crypto is not None:
            found.append((EXT_CRYPTO, struct.pack(">QQ", *self.crypto)))
        # Small clusters need the room for a backing file's name.
        if self.version >= 3 and self.cluster_size > 4096:
            found.append((EXT_FEATURE_TABLE, feature_table()))
        if self.bitmaps is not None:
            count, size, offset = self.bitmaps
            found.append((EXT_BITMAPS, struct.pack(">IIQQ", count, 0, size, offset)))
        return found + self.unknown_extensions


def feature_table() -> bytes:
    """The names of all features that QEMU 7.2 knows, as it writes them."""
    return b"".join(struct.pack(">BB46s", *feature) for feature in _FEATURES)


def _extension(magic: int, data: bytes) -> bytes:
    return _EXT.pack(magic, len(data)) + data.ljust(-(-len(data) // 8) * 8, b"\0")


def parse(file: ByteFile, *, writable: bool) -> Header:
    """Read and validate the header as far as it stands alone; raises ``QmpError``."""
    raw = file.pread(0, V3_LENGTH)
    magic, version, *rest = _FIXED.unpack_from(raw)
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
    _check_features(header, file, writable=writable)
    _check_tables(header)
    return header


def _parse_v3(header: Header, file: ByteFile, raw: bytes) -> None:
    words = _V3.unpack_from(raw, V2_LENGTH)
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


def _check_features(header: Header, file: ByteFile, *, writable: bool) -> None:
    if header.compression_type not in {0, 1}:
        raise QmpError(wording.unknown_compression_type(header.compression_type))
    has_bit = bool(header.incompatible & INCOMPAT_COMPRESSION)
    if has_bit and header.compression_type == 0:
        raise QmpError(wording.COMPRESSION_BIT_SPURIOUS)
    if not has_bit and header.compression_type != 0:
        raise QmpError(wording.COMPRESSION_BIT_MISSING)
    unknown = header.incompatible & ~INCOMPAT_KNOWN
    if unknown:
        raise QmpError(wording.unsupported_features(_feature_names(header, file, unknown)))
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


def check_encryption(header: Header) -> None:
    """Refuse encryption methods that QEMU does not know; raises ``QmpError``."""
    if header.crypt_method > CRYPT_LUKS:
        raise QmpError(wording.unsupported_encryption(header.crypt_method))


def read_extensions(header: Header, file: ByteFile) -> None:
    """Parse the header extensions into ``header``; raises ``QmpError``."""
    for magic, data in _walk(header, file):
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


def read_backing_name(header: Header, file: ByteFile) -> None:
    """Read the backing file's name; raises ``QmpError`` if it is too long."""
    if header.backing_offset == 0:
        return
    length = header.backing_length
    if length > min(MAX_BACKING_NAME, header.cluster_size - header.backing_offset):
        raise QmpError(wording.BACKING_NAME_TOO_LONG)
    header.backing_file = file.pread(header.backing_offset, length)


def check_backing_name(name: bytes) -> None:
    """Raise ``OSError`` (EINVAL) for a name that the format has no room for."""
    if len(name) > MAX_BACKING_NAME:
        raise OSError(EINVAL, "Invalid argument")


def _walk(header: Header, file: ByteFile) -> Iterator[tuple[int, bytes]]:
    end = header.backing_offset or header.cluster_size
    position = header.header_length
    raw = file.pread(0, header.cluster_size + _EXT.size)
    while position < end:
        magic, length = _EXT.unpack_from(raw, position)
        position += _EXT.size
        if position > end or length > end - position:
            raise QmpError(wording.EXTENSION_TOO_LARGE)
        if magic == EXT_END:
            return
        if magic == EXT_BACKING_FORMAT and length >= 16:
            raise QmpError(wording.backing_format_too_long(length))
        yield magic, raw[position : position + length]
        position += -(-length // 8) * 8


def _feature_names(header: Header, file: ByteFile, mask: int) -> list[str]:
    names: list[str] = []
    table = b""
    try:
        for magic, data in _walk(header, file):
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
        return  # some other program wrote to the image: its bitmaps are out of date
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


def check_unsupported(header: Header) -> None:
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
        raise QmpError(wording.ENCRYPTION_NEEDS_KEY)
