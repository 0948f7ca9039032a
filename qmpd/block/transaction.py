"""The only door through which the graph changes: prepare, then commit or abort.

Each prepared step leaves behind what completes it and what takes it back. Nothing that
was prepared becomes final before everything was prepared.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from qmpd.block.node import Node


class Transaction:
    """A list of prepared changes.

    As a context manager it commits when the block ends and aborts when it raises.
    Actions commit in the order in which they were added and abort in the reverse order;
    neither may fail.
    """

    __slots__ = ("_abort", "_commit", "_open", "touched")

    def __init__(self) -> None:
        self.touched: dict[Node, None] = {}
        """Nodes whose parents or children have changed: permissions are due there."""
        self._commit: list[Callable[[], None]] = []
        self._abort: list[Callable[[], None]] = []
        self._open = True

    def on_commit(self, action: Callable[[], None]) -> None:
        """Do ``action`` once everything is prepared."""
        self._commit.append(action)

    def on_abort(self, action: Callable[[], None]) -> None:
        """Do ``action`` if a later step fails."""
        self._abort.append(action)

    def commit(self) -> None:
        """Make every prepared change final."""
        self._close()
        for action in self._commit:
            action()

    def abort(self) -> None:
        """Take every prepared change back, the last one first."""
        self._close()
        for action in reversed(self._abort):
            action()

    def _close(self) -> None:
        if not self._open:
            raise RuntimeError("a transaction ends once")
        self._open = False

    def __enter__(self) -> Transaction:  # noqa: PYI034 - typing.Self would be an import, and nobody derives from it
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()
