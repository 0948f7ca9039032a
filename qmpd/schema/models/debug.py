"""``blkdebug``: a filter that makes I/O fail when and where it is told to."""

from qmpd.schema.models.common import BlockPermission
from qmpd.schema.models.kinds import Choice, Int, Opt, SnakeStruct, Struct
from qmpd.schema.models.reference import BlockdevRef


class BlkdebugEvent(Choice):
    """What drivers announce to the node below them before they do it."""

    L1_UPDATE = "l1_update"
    L1_GROW_ALLOC_TABLE = "l1_grow_alloc_table"
    L1_GROW_WRITE_TABLE = "l1_grow_write_table"
    L1_GROW_ACTIVATE_TABLE = "l1_grow_activate_table"
    L2_LOAD = "l2_load"
    L2_UPDATE = "l2_update"
    L2_UPDATE_COMPRESSED = "l2_update_compressed"
    L2_ALLOC_COW_READ = "l2_alloc_cow_read"
    L2_ALLOC_WRITE = "l2_alloc_write"
    READ_AIO = "read_aio"
    READ_BACKING_AIO = "read_backing_aio"
    READ_COMPRESSED = "read_compressed"
    WRITE_AIO = "write_aio"
    WRITE_COMPRESSED = "write_compressed"
    VMSTATE_LOAD = "vmstate_load"
    VMSTATE_SAVE = "vmstate_save"
    COW_READ = "cow_read"
    COW_WRITE = "cow_write"
    REFTABLE_LOAD = "reftable_load"
    REFTABLE_GROW = "reftable_grow"
    REFTABLE_UPDATE = "reftable_update"
    REFBLOCK_LOAD = "refblock_load"
    REFBLOCK_UPDATE = "refblock_update"
    REFBLOCK_UPDATE_PART = "refblock_update_part"
    REFBLOCK_ALLOC = "refblock_alloc"
    REFBLOCK_ALLOC_HOOKUP = "refblock_alloc_hookup"
    REFBLOCK_ALLOC_WRITE = "refblock_alloc_write"
    REFBLOCK_ALLOC_WRITE_BLOCKS = "refblock_alloc_write_blocks"
    REFBLOCK_ALLOC_WRITE_TABLE = "refblock_alloc_write_table"
    REFBLOCK_ALLOC_SWITCH_TABLE = "refblock_alloc_switch_table"
    CLUSTER_ALLOC = "cluster_alloc"
    CLUSTER_ALLOC_BYTES = "cluster_alloc_bytes"
    CLUSTER_FREE = "cluster_free"
    FLUSH_TO_OS = "flush_to_os"
    FLUSH_TO_DISK = "flush_to_disk"
    PWRITEV_RMW_HEAD = "pwritev_rmw_head"
    PWRITEV_RMW_AFTER_HEAD = "pwritev_rmw_after_head"
    PWRITEV_RMW_TAIL = "pwritev_rmw_tail"
    PWRITEV_RMW_AFTER_TAIL = "pwritev_rmw_after_tail"
    PWRITEV = "pwritev"
    PWRITEV_ZERO = "pwritev_zero"
    PWRITEV_DONE = "pwritev_done"
    EMPTY_IMAGE_PREPARE = "empty_image_prepare"
    L1_SHRINK_WRITE_TABLE = "l1_shrink_write_table"
    L1_SHRINK_FREE_L2_CLUSTERS = "l1_shrink_free_l2_clusters"
    COR_WRITE = "cor_write"
    CLUSTER_ALLOC_SPACE = "cluster_alloc_space"
    NONE = "none"


class BlkdebugIOType(Choice):
    """Kinds of requests."""

    READ = "read"
    WRITE = "write"
    WRITE_ZEROES = "write-zeroes"
    DISCARD = "discard"
    FLUSH = "flush"
    BLOCK_STATUS = "block-status"


class BlkdebugInjectErrorOptions(Struct):
    """A rule by which a request fails."""

    event: BlkdebugEvent
    """What arms the rule."""
    state: Opt[Int] = None
    """The state in which it does so; any when absent or 0."""
    iotype: Opt[BlkdebugIOType] = None
    """Requests that fail; all but block-status when absent."""
    errno: Opt[Int] = None
    """The error, EIO when absent."""
    sector: Opt[Int] = None
    """Sector (of 512 bytes) that the request has to touch; any when absent."""
    once: Opt[bool] = None
    """Whether one failure ends the rule."""
    immediately: Opt[bool] = None
    """Whether the request fails before it is passed on, not afterwards."""


class BlkdebugSetStateOptions(SnakeStruct):
    """A rule by which an event changes the state, which is 1 at first."""

    event: BlkdebugEvent
    """The event."""
    state: Opt[Int] = None
    """The state in which it counts; any when absent or 0."""
    new_state: Int
    """The state afterwards."""


class BlockdevOptionsBlkdebug(Struct):
    """A filter for tests of what happens when I/O fails."""

    image: BlockdevRef
    """The node below."""
    config: Opt[str] = None
    """File with more rules."""
    align: Opt[Int] = None
    """Alignment of requests in bytes, a power of two."""
    max_transfer: Opt[Int] = None
    """Longest request, in bytes."""
    opt_write_zero: Opt[Int] = None
    """Best length of requests for zeros, in bytes."""
    max_write_zero: Opt[Int] = None
    """Longest request for zeros, in bytes."""
    opt_discard: Opt[Int] = None
    """Best length of discards, in bytes."""
    max_discard: Opt[Int] = None
    """Longest discard, in bytes."""
    inject_error: Opt[list[BlkdebugInjectErrorOptions]] = None
    """Rules by which requests fail."""
    set_state: Opt[list[BlkdebugSetStateOptions]] = None
    """Rules by which events change the state."""
    take_child_perms: Opt[list[BlockPermission]] = None
    """Permissions that the filter needs itself."""
    unshare_child_perms: Opt[list[BlockPermission]] = None
    """Permissions that the filter lets nobody else have."""
