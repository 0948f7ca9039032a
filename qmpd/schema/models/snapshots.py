"""External snapshots, and what keeps several of them together."""

from qmpd.schema.models.kinds import Command, Struct


class BlockdevSnapshot(Struct):
    """An overlay for a node."""

    node: str
    """The node, or drive, whose place the overlay takes and whose data it shows."""
    overlay: str
    """A node without a backing file that nobody reads."""


BLOCKDEV_SNAPSHOT = Command(
    "blockdev-snapshot", BlockdevSnapshot, features=("allow-write-only-overlay",)
)
