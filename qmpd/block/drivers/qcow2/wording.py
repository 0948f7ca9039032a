"""Every sentence a client can read from the qcow2 format (observed on QEMU 7.2)."""

from __future__ import annotations

NOT_QCOW2 = "Image is not in qcow2 format"
HEADER_TOO_SHORT = "qcow2 header too short"
HEADER_EXCEEDS_CLUSTER = "qcow2 header exceeds cluster size"
INVALID_BACKING_OFFSET = "Invalid backing file offset"
COMPRESSION_BIT_MISSING = "qcow2: Compression type incompatible feature bit must be set"
COMPRESSION_BIT_SPURIOUS = "qcow2: Compression type incompatible feature bit must not be set"
CORRUPT_NOT_WRITABLE = "qcow2: Image is corrupt; cannot be opened read/write"
REFCOUNT_ORDER_TOO_LARGE = "Reference count entry width too large; may not exceed 64 bits"
NO_REFCOUNT_TABLE = "Image does not contain a reference count table"
IMAGE_TOO_BIG = "Image is too big"
HEADER_UNREADABLE = "Could not read qcow2 header"
L1_UNREADABLE = "Could not read L1 table"
REFCOUNTS_UNREADABLE = "Could not initialize refcount handling"
L1_TOO_SMALL = "L1 table is too small"
EXTENSION_TOO_LARGE = "Header extension too large"
CRYPTO_EXTENSION_UNEXPECTED = "CRYPTO header extension only expected with LUKS encryption method"
NO_AES = "Use of AES-CBC encrypted qcow2 images is no longer supported in system emulators"
NO_DECRYPTION = "qmpd does not have encryption; the image cannot be read"
ENCRYPTION_NEEDS_KEY = "Parameter 'encrypt.key-secret' is required for cipher"
BITMAPS_EXTENSION_LENGTH = "bitmaps_ext: Invalid extension length"
BITMAPS_RESERVED = "bitmaps_ext: Reserved field is not zero"
BITMAPS_BROKEN = "Broken bitmap directory"
BITMAPS_MORE = "More bitmaps found than specified in header extension"
BITMAPS_LESS = "Less bitmaps found than specified in header extension"
BITMAPS_EXTRA_DATA = "Bitmap extra data is not supported"
BITMAPS_UNREADABLE = "Failed to read bitmap directory"
SNAPSHOTS_UNREADABLE = "Failed to read snapshot table"
BITMAPS_NONE = "found bitmaps extension with zero bitmaps"
BITMAPS_NEED_V3 = "Cannot store dirty bitmaps in qcow2 v2 files"
BITMAP_NAME_TOO_LONG = "Name length exceeds maximum (1023 characters)"
BITMAP_TOO_LARGE = "Too much space will be occupied by the bitmap. Use larger granularity"
BITMAPS_OFFSET = "bitmaps_ext: invalid bitmap directory offset"
BITMAPS_DIRECTORY_EMPTY = "Requested bitmap directory size is zero"
DATA_FILE_REQUIRED = "'data-file' is required for this image"
RAW_REQUIRES_DATA_FILE = "data-file-raw requires a data file"
BACKING_NAME_TOO_LONG = "Backing file name too long"
LAZY_NEEDS_V3 = "Lazy refcounts require a qcow2 image with at least qemu 1.1 compatibility level"
TOTAL_SECTORS_TOO_LARGE = "Could not refresh total sector count: File too large"
NEW_SIZE_UNALIGNED = "The new size must be a multiple of 512"
V2_SNAPSHOTS_RESIZE = "Can't resize a v2 image which has snapshots"

EXTERNAL_DATA_UNSUPPORTED = "qmpd does not support qcow2 images with an external data file"
COMPRESSED_AT_ZERO = "Preventing invalid allocation of compressed cluster at offset 0"


def unsupported_version(version: int) -> str:
    """The header's version is not 2 or 3."""
    return f"Unsupported qcow2 version {version}"


def unsupported_cluster_size(cluster_bits: int) -> str:
    """``cluster_bits`` is outside 9..21."""
    return f"Unsupported cluster size: 2^{cluster_bits}"


def unsupported_subcluster_size(size: int) -> str:
    """Extended L2 entries with clusters below 16 KiB; ``size`` in bytes."""
    return f"Unsupported subcluster size: {size}"


def unknown_compression_type(compression_type: int) -> str:
    """The header's compression type is neither zlib nor zstd."""
    return f"qcow2: unknown compression type: {compression_type}"


def unsupported_features(names: list[str]) -> str:
    """Incompatible feature bits are set that QEMU does not know."""
    return f"Unsupported qcow2 feature(s): {', '.join(names)}"


def unknown_incompatible(mask: int) -> str:
    """The part of ``unsupported_features`` for bits that the image does not name."""
    return f"Unknown incompatible feature: {mask:x}"


def unsupported_encryption(method: int) -> str:
    """The encryption method is neither none, AES nor LUKS."""
    return f"Unsupported encryption method {method - (method >> 31 << 32)}"


def missing_crypto_header(method: int) -> str:
    """LUKS without the header extension that points at its header."""
    return f"Missing CRYPTO header for crypt method {method}"


def crypto_extension_size(size: int) -> str:
    """The encryption header pointer is not 16 bytes long."""
    return f"CRYPTO header extension size {size}, but expected size 16"


def crypto_offset(offset: int, cluster_size: int) -> str:
    """The encryption header does not start at a cluster."""
    return f"Encryption header offset '{offset}' is not a multiple of cluster size '{cluster_size}'"


def table_too_large(what: str) -> str:
    """A table's length in the header is beyond QEMU's limit."""
    return f"{what} too large"


def table_offset_invalid(what: str) -> str:
    """A table's offset in the header is unaligned or overflows."""
    return f"{what} offset invalid"


def failed(what: str, strerror: str) -> str:
    """Say ``what`` went wrong and the operating system's reason."""
    return f"{what}: {strerror}"


def backing_format_too_long(length: int) -> str:
    """The backing format name does not fit QEMU's 16 bytes."""
    return f"ERROR: ext_backing_format: len={length} too large (>=16)"


def bitmap_constraints(name: str) -> str:
    """Name a bitmap whose directory entry breaks the format's rules."""
    return f"Bitmap '{name}' doesn't satisfy the constraints"


def lost_bitmaps(node: str, reason: str) -> str:
    """The bitmaps of an image could not be saved when it was closed."""
    return f"Lost persistent bitmaps during inactivation of node '{node}': {reason}"


def bitmaps_not_writable(node: str, reason: str) -> str:
    """The bitmaps of an image that became writable could not be marked as in use."""
    return f"{node}: Failed to make dirty bitmaps writable: {reason}"


def bitmap_exists(name: str) -> str:
    """Two bitmaps of one image have the same name."""
    return f"Bitmap already exists: {name}"


def bitmap_inconsistent(name: str) -> str:
    """A bitmap was not saved when the image was last written."""
    return f"Bitmap '{name}' is inconsistent and cannot be used"


def bitmap_table_unreadable(name: str) -> str:
    """The table that says where a bitmap's bits are makes no sense."""
    return f"Could not read bitmap_table table from image for bitmap '{name}'"


def bitmap_unreadable(name: str) -> str:
    """A bitmap's bits cannot be read."""
    return f"Could not read bitmap '{name}' from image"


def too_many_bitmaps(count: int) -> str:
    """More bitmaps than QEMU handles."""
    return f"bitmaps_ext: Image has {count} bitmaps, exceeding the QEMU supported maximum of 65535"


def bitmap_directory_too_large(size: int, maximum: int) -> str:
    """The bitmap directory's ``size`` in bytes is beyond QEMU's ``maximum``."""
    return (
        f"bitmaps_ext: bitmap directory size ({size}) exceeds "
        f"the maximum supported size ({maximum})"
    )


def snapshot_extra_data(index: int) -> str:
    """Snapshot table entry ``index`` has more than 1024 bytes of extra data."""
    return f"Too much extra metadata in snapshot table entry {index}"


def cannot_repair(strerror: str) -> str:
    """A dirty image could not be repaired while it was opened read/write."""
    return f"Could not repair dirty image: {strerror}"


def _hex(number: int) -> str:
    """Print as C's ``%#x`` does: zero has no prefix."""
    return f"{number:#x}" if number else "0"


def l2_table_unaligned(offset: int, l1_index: int) -> str:
    """Complain about an L1 entry that points into the middle of a cluster."""
    return f"L2 table offset {_hex(offset)} unaligned (L1 index: {_hex(l1_index)})"


def invalid_entry(l2_offset: int, l2_index: int) -> str:
    """Complain about a subcluster that is two things at once (the two blanks are QEMU's)."""
    place = f"(L2 offset: {_hex(l2_offset)}, L2 index: {_hex(l2_index)})"
    return f"Invalid cluster entry found  {place}"


OUTDATED_BITMAPS = """\
warning: a program lacking bitmap support modified this file, so all bitmaps are now considered \
inconsistent
Some clusters may be leaked, run 'qemu-img check -r' on the image file to fix."""


def cluster_unaligned(offset: int, l2_offset: int, l2_index: int) -> str:
    """Complain, on reading, about an L2 entry that points into the middle of a cluster."""
    return (
        f"Cluster allocation offset {_hex(offset)} unaligned "
        f"(L2 offset: {_hex(l2_offset)}, L2 index: {_hex(l2_index)})"
    )


def zero_cluster_in_v2(l2_offset: int, l2_index: int) -> str:
    """Complain about the zero flag, which only version 3 has."""
    return (
        f"Zero cluster entry found in pre-v3 image "
        f"(L2 offset: {_hex(l2_offset)}, L2 index: {_hex(l2_index)})"
    )


def write_unaligned(offset: int, guest_offset: int, *, zero: bool) -> str:
    """Complain, on writing, about an L2 entry that points into the middle of a cluster."""
    what = "Preallocated zero" if zero else "Data"
    return f"{what} cluster offset {_hex(offset)} unaligned (guest offset: {_hex(guest_offset)})"


def refcount_block_unaligned(offset: int, index: int) -> str:
    """Complain about a refcount table entry that points into the middle of a cluster."""
    return f"Refblock offset {_hex(offset)} unaligned (reftable index: {_hex(index)})"


def overlap(what: str) -> str:
    """Say that a write would have hit metadata of the kind ``what``."""
    return f"Preventing invalid write on metadata (overlaps with {what})"


L2_TABLE_AT_ZERO = "Preventing invalid allocation of L2 table at offset 0"
REFCOUNT_BLOCK_AT_ZERO = "Preventing invalid allocation of refcount block at offset 0"

ZERO_UNSUPPORTED = "Failed to zero out new clusters: Operation not supported"
L1_GROWTH_TOO_LARGE = "Failed to grow the L1 table: File too large"

CREATE_HEADER = "Could not write qcow2 header"
CREATE_TABLE = "Could not write refcount table"
CREATE_CLUSTER_SIZE = "Cluster size must be a power of two between 512 and 2048k"
CREATE_EXTENDED_NEEDS_V3 = (
    "Extended L2 entries are only supported with compatibility level 1.1 and above "
    "(use version=v3 or greater)"
)
CREATE_EXTENDED_CLUSTER_SIZE = (
    "Extended L2 entries are only supported with cluster sizes of at least 16384 bytes"
)
CREATE_LAZY_NEEDS_V3 = (
    "Lazy refcounts only supported with compatibility level 1.1 and above "
    "(use version=v3 or greater)"
)
CREATE_REFCOUNT_BITS = "Refcount width must be a power of two and may not exceed 64 bits"
CREATE_REFCOUNT_NEEDS_V3 = (
    "Different refcount widths than 16 bits require compatibility level 1.1 or above "
    "(use version=v3 or greater)"
)


def create_l1(strerror: str) -> str:
    """There is no room for what a new image's size needs."""
    return f"Could not resize image: Failed to grow the L1 table: {strerror}"


def create_backing(backing_file: str, backing_format: str, strerror: str) -> str:
    """The backing file's name does not fit the new image's header."""
    return (
        f"Could not assign backing file '{backing_file}' with format '{backing_format}': {strerror}"
    )


NO_CACHE_MEMORY = "Could not allocate metadata caches"
L2_CACHE_TOO_BIG = "L2 cache size too big"
REFCOUNT_CACHE_TOO_BIG = "Refcount cache size too big"
CLEAN_INTERVAL_TOO_BIG = "Cache clean interval too big"
CACHES_ALL_THREE = (
    "cache-size, l2-cache-size and refcount-cache-size may not be set at the same time"
)
L2_CACHE_EXCEEDS = "l2-cache-size may not exceed cache-size"
REFCOUNT_CACHE_EXCEEDS = "refcount-cache-size may not exceed cache-size"


def bad_entry_size(least: int, most: int) -> str:
    """The size of a cached piece of an L2 table is out of range."""
    return (
        f"L2 cache entry size must be a power of two between {least} and the cluster size ({most})"
    )


def unknown_overlap_check(value: str) -> str:
    """The set of overlap checks is none of the ready-made ones."""
    return (
        f"Unsupported value '{value}' for qcow2 option 'overlap-check'. "
        "Allowed are any of the following: none, constant, cached, all"
    )


def two_overlap_checks(ready_made: str, template: str) -> str:
    """Two ready-made sets of overlap checks are named."""
    return (
        f"Conflicting values for qcow2 options 'overlap-check' ('{ready_made}') "
        f"and 'overlap-check.template' ('{template}')"
    )


def not_encrypted(kind: str) -> str:
    """Options speak of encryption, the header does not."""
    return f"No encryption in image header, but options specified format '{kind}'"


def other_encryption(image: str, wanted: str) -> str:
    """The definition and the header name different methods."""
    return f"Header reported '{image}' encryption format but options specify '{wanted}'"


def no_secret(name: str) -> str:
    """There is no key of that name."""
    return f"No secret with id '{name}'"


def corrupt(message: str, *, fatal: bool) -> str:
    """The line for who started the daemon that goes with BLOCK_IMAGE_CORRUPTED."""
    if fatal:
        return (
            f"qcow2: Marking image as corrupt: {message}; "
            "further corruption events will be suppressed\n"
        )
    return (
        f"qcow2: Image is corrupt: {message}; "
        "further non-fatal corruption events will be suppressed\n"
    )
