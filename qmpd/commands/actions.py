"""Changes that can be grouped: all are prepared, then all are final, or none of them."""

from __future__ import annotations

from qmpd.commands import wording
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from qmpd.machine import Machine


class Action:
    """One change: what is prepared can be taken back, and is not final before its commit."""

    alone = ""
    """What it is called if it has nothing that could complete together with others."""

    def prepare(self) -> None:
        """Do everything that can fail.

        Raises:
            QmpError: it failed; :meth:`abort` takes back what was done up to then.
        """

    def commit(self) -> None:
        """Make it final; cannot fail."""

    def abort(self) -> None:
        """Take it back; cannot fail."""

    def clean(self) -> None:
        """Let go of what was held, whichever way it ended."""


def run(machine: Machine, actions: Iterable[Action], *, grouped: bool = False) -> None:
    """Carry out all actions, or none of them; what was prepared last is taken back first.

    With ``grouped`` the jobs among them are to complete together.

    Raises:
        QmpError: the first failure.
    """
    machine.graph.begin_drain(machine.graph.nodes.values())()
    begun: list[Action] = []
    try:
        for action in actions:
            begun.append(action)
            if grouped and action.alone:
                raise QmpError(wording.not_grouped(action.alone))
            action.prepare()
    except QmpError:
        for action in reversed(begun):
            action.abort()
        raise
    else:
        for action in begun:
            action.commit()
    finally:
        for action in begun:
            action.clean()
