"""Dirty bitmaps that clients name."""

from typing import Annotated

from qmpd.schema.models.kinds import Alternate, Command, Opt, Struct, Uint32


class BlockDirtyBitmap(Struct):
    """A bitmap."""

    node: str
    """The node or drive that it belongs to."""
    name: str
    """Its name, of at most 1023 bytes."""


class BlockDirtyBitmapAdd(Struct):
    """A bitmap that is to be made."""

    node: str
    """The node or drive whose writes it records."""
    name: str
    """Its name, of at most 1023 bytes."""
    granularity: Opt[Uint32] = None
    """Bytes that one bit stands for, a power of two; the size of a cluster when absent."""
    persistent: Opt[bool] = None
    """Whether it is kept in the image."""
    disabled: Opt[bool] = None
    """Whether it records nothing before it is enabled."""


BlockDirtyBitmapOrStr = Annotated[str | BlockDirtyBitmap, Alternate("BlockDirtyBitmapOrStr")]


class BlockDirtyBitmapMerge(Struct):
    """Bitmaps that are to be put together."""

    node: str
    """The node or drive of the bitmap that takes the others in."""
    target: str
    """Its name."""
    bitmaps: list[BlockDirtyBitmapOrStr]
    """The others, by name if they are the same node's."""


class BlockDirtyBitmapSha256(Struct):
    """A checksum."""

    sha256: str
    """Of the bits, in hexadecimal."""


BITMAPS = (
    Command("block-dirty-bitmap-add", BlockDirtyBitmapAdd),
    Command("block-dirty-bitmap-remove", BlockDirtyBitmap),
    Command("block-dirty-bitmap-clear", BlockDirtyBitmap),
    Command("block-dirty-bitmap-enable", BlockDirtyBitmap),
    Command("block-dirty-bitmap-disable", BlockDirtyBitmap),
    Command("block-dirty-bitmap-merge", BlockDirtyBitmapMerge),
    Command(
        "x-debug-block-dirty-bitmap-sha256",
        BlockDirtyBitmap,
        BlockDirtyBitmapSha256,
        features=("unstable",),
    ),
)
