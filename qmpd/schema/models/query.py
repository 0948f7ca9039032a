"""What there is: devices, nodes, the permission graph."""

from pydantic import Field

from qmpd.schema.models.common import (
    BlockdevDetectZeroesOptions,
    BlockDeviceIoStatus,
    BlockPermission,
)
from qmpd.schema.models.image import ImageInfo
from qmpd.schema.models.kinds import (
    UNSTABLE,
    Choice,
    Command,
    Event,
    Int,
    Opt,
    SnakeStruct,
    Struct,
    Uint32,
    Uint64,
)


class BlockdevCacheInfo(Struct):
    """Cache settings in force."""

    writeback: bool
    """Whether writes are done before they are on disk."""
    direct: bool
    """Whether the host's page cache is bypassed."""
    no_flush: bool
    """Whether flushes are ignored."""


class BlockDirtyInfo(Struct):
    """A dirty bitmap."""

    name: Opt[str] = None
    """Its name, unless it is anonymous."""
    count: Int
    """Dirty bytes."""
    granularity: Uint32
    """Bytes that one bit stands for."""
    recording: bool
    """Whether writes are recorded."""
    busy: bool
    """Whether an operation uses it."""
    persistent: bool
    """Whether it is kept in the image."""
    inconsistent: Opt[bool] = None
    """Whether it was not stored properly."""


class BlockDeviceInfo(SnakeStruct):
    """A node."""

    file: str
    """The file name, plain or as json."""
    node_name: Opt[str] = Field(None, alias="node-name")
    """Its name."""
    ro: bool
    """Whether it is read-only."""
    drv: str
    """Its driver."""
    backing_file: Opt[str] = None
    """File name of the backing node."""
    backing_file_depth: Int
    """Number of nodes below it in the chain."""
    encrypted: bool
    """Whether it is encrypted."""
    detect_zeroes: BlockdevDetectZeroesOptions
    """What becomes of writes of zeroes."""
    bps: Int
    """Throttling: bytes per second."""
    bps_rd: Int
    """Throttling: bytes read per second."""
    bps_wr: Int
    """Throttling: bytes written per second."""
    iops: Int
    """Throttling: requests per second."""
    iops_rd: Int
    """Throttling: reads per second."""
    iops_wr: Int
    """Throttling: writes per second."""
    image: ImageInfo
    """The image."""
    bps_max: Opt[Int] = None
    """Burst of `bps`."""
    bps_rd_max: Opt[Int] = None
    """Burst of `bps_rd`."""
    bps_wr_max: Opt[Int] = None
    """Burst of `bps_wr`."""
    iops_max: Opt[Int] = None
    """Burst of `iops`."""
    iops_rd_max: Opt[Int] = None
    """Burst of `iops_rd`."""
    iops_wr_max: Opt[Int] = None
    """Burst of `iops_wr`."""
    bps_max_length: Opt[Int] = None
    """Seconds that a burst of `bps` may last."""
    bps_rd_max_length: Opt[Int] = None
    """Seconds that a burst of `bps_rd` may last."""
    bps_wr_max_length: Opt[Int] = None
    """Seconds that a burst of `bps_wr` may last."""
    iops_max_length: Opt[Int] = None
    """Seconds that a burst of `iops` may last."""
    iops_rd_max_length: Opt[Int] = None
    """Seconds that a burst of `iops_rd` may last."""
    iops_wr_max_length: Opt[Int] = None
    """Seconds that a burst of `iops_wr` may last."""
    iops_size: Opt[Int] = None
    """Bytes that count as one request."""
    group: Opt[str] = None
    """Throttle group."""
    cache: BlockdevCacheInfo
    """Cache settings."""
    write_threshold: Int
    """Offset whose writing raises an event, 0 for none."""
    dirty_bitmaps: Opt[list[BlockDirtyInfo]] = Field(None, alias="dirty-bitmaps")
    """Dirty bitmaps."""


class BlockInfo(SnakeStruct):
    """A device or drive."""

    device: str
    """Drive name, empty for a device on a -blockdev node."""
    qdev: Opt[str] = None
    """QOM path of the device."""
    type: str
    """Always `unknown`; kept for clients of older days."""
    removable: bool
    """Whether the medium can be changed."""
    locked: bool
    """Whether the guest has locked the medium in."""
    inserted: Opt[BlockDeviceInfo] = None
    """The node on top of the medium."""
    tray_open: Opt[bool] = None
    """Whether the tray is open, for devices that have one."""
    io_status: Opt[BlockDeviceIoStatus] = Field(None, alias="io-status")
    """Whether the device's I/O has failed."""


class QueryNamedBlockNodes(Struct):
    """How much to tell about nodes."""

    flat: Opt[bool] = None
    """Whether backing images are left out of each node's image."""


class XDbgBlockGraphNodeType(Choice):
    """Kinds of graph nodes."""

    BLOCK_BACKEND = "block-backend"
    BLOCK_JOB = "block-job"
    BLOCK_DRIVER = "block-driver"


class XDbgBlockGraphNode(Struct):
    """A node of the graph."""

    id: Uint64
    """Number for the edges to refer to."""
    type: XDbgBlockGraphNodeType
    """Its kind."""
    name: str
    """Its name."""


class XDbgBlockGraphEdge(Struct):
    """An edge of the graph."""

    parent: Uint64
    """Number of the upper node."""
    child: Uint64
    """Number of the lower node."""
    name: str
    """What the child is to its parent."""
    perm: list[BlockPermission]
    """What the parent may do."""
    shared_perm: list[BlockPermission]
    """What others may do."""


class XDbgBlockGraph(Struct):
    """The graph with its permissions."""

    nodes: list[XDbgBlockGraphNode]
    """The nodes."""
    edges: list[XDbgBlockGraphEdge]
    """The edges."""


class BlockImageCorrupted(Struct):
    """An image was found corrupt."""

    device: str
    """Drive name, may be empty."""
    node_name: Opt[str] = None
    """Node name."""
    msg: str
    """What is wrong, for people."""
    offset: Opt[Int] = None
    """Where in the image, in bytes."""
    size: Opt[Int] = None
    """How many bytes."""
    fatal: bool
    """Whether the image can no longer be used."""


QUERY_BLOCK = Command("query-block", None, list[BlockInfo])
QUERY_NAMED_BLOCK_NODES = Command(
    "query-named-block-nodes", QueryNamedBlockNodes, list[BlockDeviceInfo]
)
X_DEBUG_QUERY_BLOCK_GRAPH = Command(
    "x-debug-query-block-graph", None, XDbgBlockGraph, features=(UNSTABLE.name,)
)
BLOCK_IMAGE_CORRUPTED = Event("BLOCK_IMAGE_CORRUPTED", BlockImageCorrupted)
