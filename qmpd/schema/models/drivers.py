"""What each block driver takes beyond the members that all nodes have."""

from typing import Annotated, ClassVar

from qmpd.schema.models.common import OnOffAuto
from qmpd.schema.models.kinds import (
    UNSTABLE,
    Alternate,
    Choice,
    FlatUnion,
    Int,
    Opt,
    Struct,
    Uint64,
)
from qmpd.schema.models.reference import BlockdevRef, BlockdevRefOrNull


class BlockdevAioOptions(Choice):
    """How the host does asynchronous I/O."""

    THREADS = "threads"
    NATIVE = "native"
    IO_URING = "io_uring"


class BlockdevOptionsFile(Struct):
    """A regular file of the host, or a block device under `host_device`."""

    type_features: ClassVar[tuple[str, ...]] = ("dynamic-auto-read-only",)

    filename: str
    """Path of the file; never parsed for a protocol prefix."""
    pr_manager: Opt[str] = None
    """Object that performs SCSI persistent reservations."""
    locking: Opt[OnOffAuto] = None
    """Whether OFD locks guard the image against other processes."""
    aio: Opt[BlockdevAioOptions] = None
    """The host's interface for asynchronous I/O."""
    aio_max_batch: Opt[Int] = None
    """Most requests in one submission; 0 leaves it to the program."""
    drop_cache: Opt[bool] = None
    """Whether the page cache is dropped when migration hands the image over."""
    x_check_cache_dropped: Opt[Annotated[bool, UNSTABLE]] = None
    """Whether it is checked that the page cache was dropped."""


class BlockdevOptionsNull(Struct):
    """A device without memory: writes vanish."""

    size: Opt[Int] = None
    """Size in bytes; 1 GiB when absent."""
    latency_ns: Opt[Uint64] = None
    """Time that each request takes, in nanoseconds."""
    read_zeroes: Opt[bool] = None
    """Whether reads fill the buffer with zeroes or leave it alone."""


class BlockdevOptionsGenericFormat(Struct):
    """A format over one protocol node."""

    file: BlockdevRef
    """The node that holds the image."""


class BlockdevOptionsRaw(BlockdevOptionsGenericFormat):
    """The image is the disk, or a window of it."""

    offset: Opt[Int] = None
    """Where the window begins, in bytes."""
    size: Opt[Int] = None
    """Size of the window, in bytes."""


class BlockdevOptionsGenericCOWFormat(BlockdevOptionsGenericFormat):
    """A format that may have a backing image."""

    backing: Opt[BlockdevRefOrNull] = None
    """The backing node; absent means what the image header says, null means none."""


class Qcow2OverlapCheckMode(Choice):
    """Ready-made sets of overlap checks."""

    NONE = "none"
    CONSTANT = "constant"
    CACHED = "cached"
    ALL = "all"


class Qcow2OverlapCheckFlags(Struct):
    """A set of overlap checks: a ready-made one, then single checks on or off."""

    template: Opt[Qcow2OverlapCheckMode] = None
    """The set to start from."""
    main_header: Opt[bool] = None
    """Whether writes are checked against the header."""
    active_l1: Opt[bool] = None
    """Whether writes are checked against the active L1 table."""
    active_l2: Opt[bool] = None
    """Whether writes are checked against active L2 tables."""
    refcount_table: Opt[bool] = None
    """Whether writes are checked against the refcount table."""
    refcount_block: Opt[bool] = None
    """Whether writes are checked against refcount blocks."""
    snapshot_table: Opt[bool] = None
    """Whether writes are checked against the snapshot table."""
    inactive_l1: Opt[bool] = None
    """Whether writes are checked against L1 tables of snapshots."""
    inactive_l2: Opt[bool] = None
    """Whether writes are checked against L2 tables of snapshots."""
    bitmap_directory: Opt[bool] = None
    """Whether writes are checked against the bitmap directory."""


# Either a single set or a detailed one.
Qcow2OverlapChecks = Annotated[
    Qcow2OverlapCheckFlags | Qcow2OverlapCheckMode, Alternate("Qcow2OverlapChecks")
]


class BlockdevQcow2EncryptionFormat(Choice):
    """Encryption that a qcow2 image can have."""

    AES = "aes"
    LUKS = "luks"


class QCryptoBlockOptionsQCow(Struct):
    """The key of the old AES encryption."""

    key_secret: Opt[str] = None
    """Secret object that holds the passphrase."""


class QCryptoBlockOptionsLUKS(Struct):
    """The key of a LUKS image."""

    key_secret: Opt[str] = None
    """Secret object that holds the passphrase."""


class BlockdevQcow2Encryption(FlatUnion):
    """How to decrypt a qcow2 image."""

    tag: ClassVar[str] = "format"
    variants: ClassVar[dict[str, type[Struct]]] = {
        "aes": QCryptoBlockOptionsQCow,
        "luks": QCryptoBlockOptionsLUKS,
    }

    format: BlockdevQcow2EncryptionFormat
    """The image's encryption format."""


class BlockdevOptionsQcow2(BlockdevOptionsGenericCOWFormat):
    """A qcow2 image."""

    lazy_refcounts: Opt[bool] = None
    """Whether refcount updates may wait until the image is closed."""
    pass_discard_request: Opt[bool] = None
    """Whether the guest's discards reach the file."""
    pass_discard_snapshot: Opt[bool] = None
    """Whether clusters that a deleted snapshot frees are discarded."""
    pass_discard_other: Opt[bool] = None
    """Whether clusters freed for other reasons are discarded."""
    overlap_check: Opt[Qcow2OverlapChecks] = None
    """Which metadata is guarded against being overwritten."""
    cache_size: Opt[Int] = None
    """Bytes for both metadata caches together."""
    l2_cache_size: Opt[Int] = None
    """Bytes for the L2 table cache."""
    l2_cache_entry_size: Opt[Int] = None
    """Bytes of one entry of the L2 table cache, a power of two."""
    refcount_cache_size: Opt[Int] = None
    """Bytes for the refcount block cache."""
    cache_clean_interval: Opt[Int] = None
    """Seconds after which unused cache entries go; 0 keeps them."""
    encrypt: Opt[BlockdevQcow2Encryption] = None
    """How to decrypt the image."""
    data_file: Opt[BlockdevRef] = None
    """The node of the external data file."""


class BlockdevOptionsThrottle(Struct):
    """A filter that belongs to a group with limits."""

    throttle_group: str
    """The group: an object of the type throttle-group."""
    file: BlockdevRef
    """The node below."""


class BlockdevOptionsCor(BlockdevOptionsGenericFormat):
    """A filter that copies what is read from backing files into the node below."""

    bottom: Opt[str] = None
    """The last layer that is copied from; what lies below it is only read."""
