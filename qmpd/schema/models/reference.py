"""References to nodes, as every driver's children have them."""

from typing import TYPE_CHECKING, Annotated

from qmpd.schema.models.kinds import Alternate

if TYPE_CHECKING:
    from qmpd.schema.models.blockdev import BlockdevOptions

# A child: a definition of its own, or the name of a node that exists.
BlockdevRef = Annotated["BlockdevOptions | str", Alternate("BlockdevRef")]

# The same, where `null` says that there shall be no child.
BlockdevRefOrNull = Annotated["BlockdevOptions | str | None", Alternate("BlockdevRefOrNull")]
