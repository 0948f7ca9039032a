"""``throttle``: a filter that belongs to a group with limits; nothing is slowed down here."""

from __future__ import annotations

from qmpd.block import wording
from qmpd.block.passing import SteadyDriver
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from qmpd.block.options import Flags
    from qmpd.block.transaction import Transaction


class ThrottleDriver(SteadyDriver):
    """A member of a throttle group, which cannot be deleted meanwhile."""

    name = "throttle"
    strong_options = ("throttle-group",)
    mutable_options = frozenset(("throttle-group",))
    compresses = True

    object_in_use = ""

    def open(self, options: dict[str, Any]) -> None:
        """Join the group.

        Raises:
            QmpError: there is none of that name.
        """
        self.object_in_use = self._group(options)
        self.look_at_length()

    def _group(self, options: dict[str, Any]) -> str:
        name = options.get("throttle-group")
        if name is None:  # so only in a name in a header
            raise QmpError(wording.NO_THROTTLE_GROUP)
        if self.graph.objects.get(name) != "throttle-group":
            raise QmpError(wording.no_throttle_group(name))
        return str(name)

    def reopen_prepare(
        self, tx: Transaction, options: dict[str, Any], flags: Flags
    ) -> Iterable[str]:
        """Change to another group.

        Raises:
            QmpError: there is none of that name.
        """
        del flags
        group = self._group(options)

        def switch() -> None:
            self.object_in_use = group

        tx.on_commit(switch)
        return ("throttle-group",)
