"""Defining, changing and removing nodes."""

from typing import Annotated, ClassVar

from qmpd.schema.models import drivers
from qmpd.schema.models.common import BlockdevDetectZeroesOptions
from qmpd.schema.models.debug import BlockdevOptionsBlkdebug
from qmpd.schema.models.kinds import Alternate, Choice, Command, FlatUnion, Opt, Struct


class BlockdevDriver(Choice):
    """Drivers that a node can have."""

    BLKDEBUG = "blkdebug"
    COMPRESS = "compress"
    COPY_ON_READ = "copy-on-read"
    FILE = "file"
    HOST_DEVICE = "host_device"
    NULL_AIO = "null-aio"
    NULL_CO = "null-co"
    QCOW2 = "qcow2"
    RAW = "raw"
    THROTTLE = "throttle"


class BlockdevDiscardOptions(Choice):
    """What becomes of discard requests."""

    IGNORE = "ignore"
    UNMAP = "unmap"


class BlockdevCacheOptions(Struct):
    """How the host's cache is used."""

    direct: Opt[bool] = None
    """Whether the host's page cache is bypassed."""
    no_flush: Opt[bool] = None
    """Whether flush requests are ignored."""


class BlockdevOptions(FlatUnion):
    """The definition of a node."""

    tag: ClassVar[str] = "driver"
    variants: ClassVar[dict[str, type[Struct]]] = {
        "blkdebug": BlockdevOptionsBlkdebug,
        "compress": drivers.BlockdevOptionsGenericFormat,
        "copy-on-read": drivers.BlockdevOptionsCor,
        "file": drivers.BlockdevOptionsFile,
        "host_device": drivers.BlockdevOptionsFile,
        "null-aio": drivers.BlockdevOptionsNull,
        "null-co": drivers.BlockdevOptionsNull,
        "qcow2": drivers.BlockdevOptionsQcow2,
        "raw": drivers.BlockdevOptionsRaw,
        "throttle": drivers.BlockdevOptionsThrottle,
    }

    driver: BlockdevDriver
    """The driver, which decides about the further members."""
    node_name: Opt[str] = None
    """Name of the node; needed for a node that no other one owns."""
    discard: Opt[BlockdevDiscardOptions] = None
    """Whether discards are passed on."""
    cache: Opt[BlockdevCacheOptions] = None
    """Cache settings."""
    read_only: Opt[bool] = None
    """Whether the node refuses writes."""
    auto_read_only: Opt[bool] = None
    """Whether the node may fall back to, or begin, read-only while nobody writes."""
    force_share: Opt[bool] = None
    """Whether other processes may write the image meanwhile; needs read-only."""
    detect_zeroes: Opt[BlockdevDetectZeroesOptions] = None
    """Whether writes of zeroes are turned into zero or discard requests."""


class BlockdevReopen(Struct):
    """Nodes to change, all of them or none."""

    options: list[BlockdevOptions]
    """The complete new definitions of nodes that exist."""


class BlockdevDel(Struct):
    """A node to remove."""

    node_name: str
    """Name of the node."""


StrOrNull = Annotated[str | None, Alternate("StrOrNull")]


class BlockdevSetIothread(Struct):
    """The thread that a node's requests are to run in."""

    node_name: str
    """The node."""
    iothread: StrOrNull
    """The object's name; ``null`` for the main thread."""
    force: Opt[bool] = None
    """Whether it may be in use."""


BLOCKDEV_ADD = Command("blockdev-add", BlockdevOptions)
BLOCKDEV_REOPEN = Command("blockdev-reopen", BlockdevReopen)
BLOCKDEV_DEL = Command("blockdev-del", BlockdevDel)
X_BLOCKDEV_SET_IOTHREAD = Command(
    "x-blockdev-set-iothread", BlockdevSetIothread, features=("unstable",)
)
