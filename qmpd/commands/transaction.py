"""``transaction``: several actions that all happen, or none of them."""

from __future__ import annotations

from qmpd.commands import wording
from qmpd.commands.actions import Action, run
from qmpd.commands.bitmaps import ACTIONS as BITMAP_ACTIONS
from qmpd.commands.bitmaps import BitmapAction
from qmpd.commands.snapshots import Snapshot, SnapshotSync
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from qmpd.machine import Machine


class Abort(Action):
    """The action that fails, for tests of clients."""

    def prepare(self) -> None:
        """Fail.

        Raises:
            QmpError: always.
        """
        raise QmpError(wording.ABORTED)


def _on_graph(kind: type[BitmapAction]) -> Callable[[Machine, dict[str, Any]], Action]:
    return lambda machine, data: kind(machine.graph, data)


_ACTIONS: dict[str, Callable[[Machine, dict[str, Any]], Action]] = {
    "abort": lambda _machine, _data: Abort(),
    **{name: _on_graph(kind) for name, kind in BITMAP_ACTIONS.items()},
    "blockdev-snapshot": lambda machine, data: Snapshot(
        machine.graph, data["node"], data["overlay"]
    ),
    "blockdev-snapshot-sync": lambda machine, data: SnapshotSync(machine.graph, data),
}


def transaction(
    machine: Machine, *, actions: list[dict[str, Any]], properties: dict[str, Any] | None = None
) -> None:
    """Carry out all actions, or none of them.

    Raises:
        QmpError: the first failure; the graph has not changed then.
    """
    run(
        machine,
        [_ACTIONS[action["type"]](machine, action["data"]) for action in actions],
        grouped=(properties or {}).get("completion-mode") == "grouped",
    )
