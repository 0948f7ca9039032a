"""External snapshots, and what keeps several of them together."""

from typing import ClassVar

from qmpd.schema.models.bitmaps import (
    BlockDirtyBitmap,
    BlockDirtyBitmapAdd,
    BlockDirtyBitmapMerge,
)
from qmpd.schema.models.kinds import Choice, Command, FlatUnion, Opt, Struct


class NewImageMode(Choice):
    """Where an image comes from."""

    EXISTING = "existing"
    ABSOLUTE_PATHS = "absolute-paths"


class BlockdevSnapshotSync(Struct):
    """An overlay for a node, with a new image."""

    device: Opt[str] = None
    """The drive whose place the overlay takes."""
    node_name: Opt[str] = None
    """The node, if it is in no drive."""
    snapshot_file: str
    """Name of the image."""
    snapshot_node_name: Opt[str] = None
    """Name of the overlay; needed with a node's name."""
    format: Opt[str] = None
    """Format of the image, qcow2 when absent."""
    mode: Opt[NewImageMode] = None
    """Whether the image is made (when absent, too) or there already."""


class BlockdevSnapshot(Struct):
    """An overlay for a node."""

    node: str
    """The node, or drive, whose place the overlay takes and whose data it shows."""
    overlay: str
    """A node without a backing file that nobody reads."""


class ChangeBackingFile(Struct):
    """Another name of a backing file, for an image's header."""

    device: str
    """The root node or drive of the chain."""
    image_node_name: str
    """The node whose image's header is rewritten."""
    backing_file: str
    """The name, which is not looked at."""


class Abort(Struct):
    """Nothing is told of a failure that is wanted."""


class AbortWrapper(Struct):
    """An action that fails."""

    data: Abort
    """Its arguments."""


class BlockdevSnapshotWrapper(Struct):
    """An overlay for a node."""

    data: BlockdevSnapshot
    """The arguments of the command."""


class BlockdevSnapshotSyncWrapper(Struct):
    """An overlay for a node, with a new image."""

    data: BlockdevSnapshotSync
    """The arguments of the command."""


class BlockDirtyBitmapAddWrapper(Struct):
    """A bitmap that is to be made."""

    data: BlockDirtyBitmapAdd
    """The arguments of the command."""


class BlockDirtyBitmapWrapper(Struct):
    """Something that is done to a bitmap."""

    data: BlockDirtyBitmap
    """The arguments of the command."""


class BlockDirtyBitmapMergeWrapper(Struct):
    """Bitmaps that are to be put together."""

    data: BlockDirtyBitmapMerge
    """The arguments of the command."""


class TransactionActionKind(Choice):
    """What an action does."""

    ABORT = "abort"
    BLOCK_DIRTY_BITMAP_ADD = "block-dirty-bitmap-add"
    BLOCK_DIRTY_BITMAP_REMOVE = "block-dirty-bitmap-remove"
    BLOCK_DIRTY_BITMAP_CLEAR = "block-dirty-bitmap-clear"
    BLOCK_DIRTY_BITMAP_ENABLE = "block-dirty-bitmap-enable"
    BLOCK_DIRTY_BITMAP_DISABLE = "block-dirty-bitmap-disable"
    BLOCK_DIRTY_BITMAP_MERGE = "block-dirty-bitmap-merge"
    BLOCKDEV_SNAPSHOT = "blockdev-snapshot"
    BLOCKDEV_SNAPSHOT_SYNC = "blockdev-snapshot-sync"


class TransactionAction(FlatUnion):
    """One of the actions of a transaction."""

    tag: ClassVar[str] = "type"
    variants: ClassVar[dict[str, type[Struct]]] = {
        "abort": AbortWrapper,
        "block-dirty-bitmap-add": BlockDirtyBitmapAddWrapper,
        "block-dirty-bitmap-remove": BlockDirtyBitmapWrapper,
        "block-dirty-bitmap-clear": BlockDirtyBitmapWrapper,
        "block-dirty-bitmap-enable": BlockDirtyBitmapWrapper,
        "block-dirty-bitmap-disable": BlockDirtyBitmapWrapper,
        "block-dirty-bitmap-merge": BlockDirtyBitmapMergeWrapper,
        "blockdev-snapshot": BlockdevSnapshotWrapper,
        "blockdev-snapshot-sync": BlockdevSnapshotSyncWrapper,
    }

    type: TransactionActionKind
    """Which command it stands for."""


class ActionCompletionMode(Choice):
    """How jobs of one transaction end."""

    INDIVIDUAL = "individual"
    GROUPED = "grouped"


class TransactionProperties(Struct):
    """What concerns all actions of a transaction."""

    completion_mode: Opt[ActionCompletionMode] = None
    """Whether jobs complete together; each by itself when absent."""


class Transaction(Struct):
    """Actions that all happen, or none of them."""

    actions: list[TransactionAction]
    """The actions in their order."""
    properties: Opt[TransactionProperties] = None
    """What concerns all of them."""


BLOCKDEV_SNAPSHOT_SYNC = Command("blockdev-snapshot-sync", BlockdevSnapshotSync)
BLOCKDEV_SNAPSHOT = Command(
    "blockdev-snapshot", BlockdevSnapshot, features=("allow-write-only-overlay",)
)
CHANGE_BACKING_FILE = Command("change-backing-file", ChangeBackingFile)
TRANSACTION = Command("transaction", Transaction)
