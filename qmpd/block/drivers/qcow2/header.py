"""The qcow2 header and its extensions, and how they are written (qcow2 spec, "Header")."""

from __future__ import annotations

import struct
from errno import EINVAL, ENOSPC

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

_UINT64_MASK = (1 << 64) - 1

FIXED_FIELDS = struct.Struct(">4sIQIIQIIQQIIQ")
V3_FIELDS = struct.Struct(">QQQII")
EXT_HEAD = struct.Struct(">II")

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
        "outdated",
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
        self.outdated = False
        """Whether it has an extension that goes as soon as the image is writable."""
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
        extensions += EXT_HEAD.pack(EXT_END, 0)
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
        fixed = FIXED_FIELDS.pack(
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
        v3 = V3_FIELDS.pack(
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
    return EXT_HEAD.pack(magic, len(data)) + data.ljust(-(-len(data) // 8) * 8, b"\0")


def check_backing_name(name: bytes) -> None:
    """Raise ``OSError`` (EINVAL) for a name that the format has no room for."""
    if len(name) > MAX_BACKING_NAME:
        raise OSError(EINVAL, "Invalid argument")
