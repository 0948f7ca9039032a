"""Lines to a client that a test wants to go wrong (see :mod:`qmpd.lab.wire`)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmpd.lab.levers import Levers
    from qmpd.lab.wire import WireFault
    from qmpd.monitor.reactor import Reactor


class Tamper:
    """Stands between what a connection wants to send and its output buffer.

    Args:
        reactor: for delays.
        levers: the rules and the journal.
        number: the client's, for the journal.
        put: appends bytes to the output and sends them.
        hang_up: sends what is there and disconnects.
    """

    def __init__(
        self,
        reactor: Reactor,
        levers: Levers,
        number: int,
        put: Callable[[bytes], None],
        hang_up: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._levers = levers
        self._number = number
        self._put = put
        self._hang_up = hang_up
        self._aside: bytes | None = None
        self._behind: list[bytes] | None = None
        """Lines that wait for the second half of a split one."""
        self._silent = False
        self._last_id = b""
        self.spared = False
        """The client is the one who pulls the levers."""

    def send(self, kind: str, name: str, line: bytes, identity: bytes = b"") -> None:
        """Send a line, or do with it what a rule says.

        Args:
            kind: ``greeting``, ``reply`` or ``event``.
            name: the command or event.
            line: with its line end.
            identity: the encoded id of a reply.
        """
        if self.spared:
            self._pass(line)
            return
        text = line.decode("ascii").rstrip("\r\n")
        self._levers.journal.add(kind, client=self._number, name=name, text=text)
        if self._silent:
            return
        rule = self._levers.wire.find(kind, name)
        last, self._last_id = self._last_id, identity or self._last_id
        if rule is None:
            self._pass(line)
        else:
            self._levers.journal.add("lever", action=rule.action, kind_of_line=kind, name=name)
            self._apply(rule, line, identity, last)

    def _pass(self, line: bytes) -> None:
        if self._behind is not None:
            self._behind.append(line)
            return
        self._put(line)
        if self._aside is not None:
            line, self._aside = self._aside, None
            self._put(line)

    def _apply(self, rule: WireFault, line: bytes, identity: bytes, last: bytes) -> None:
        wait = int(rule.delay * 1e9)
        if rule.action == "delay":
            self._reactor.call_later(wait, lambda: self._pass(line))
        elif rule.action == "split":
            middle = len(line) // 2
            self._put(line[:middle])
            self._behind = []
            self._reactor.call_later(wait, lambda: self._rest(line[middle:]))
        elif rule.action == "duplicate":
            self._pass(line)
            self._pass(line)
        elif rule.action == "reorder":
            self._aside = line
        elif rule.action == "stale-id":
            self._pass(line.replace(identity, last) if identity and last else line)
        elif rule.action == "hang-up":
            self._put(line[: len(line) // 2])
            self._hang_up()
        elif rule.action == "silence":
            self._silent = True

    def _rest(self, half: bytes) -> None:
        waiting, self._behind = self._behind or [], None
        self._put(half)
        for line in waiting:
            self._pass(line)
