"""The levers of a daemon in the test's own event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qmpd.testing.pulls import JobState, OpenFile, given, given_fault, read_entries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmpd.lab.journal import Entry
    from qmpd.testing.pulls import Access, Line, Mode, Operation, Path, Size, Status, Tampering


class AsyncLevers:
    """Levers that are awaited. Every pull is an entry of the journal.

    Wherever a job is named it need not exist yet, and ``*`` is any job.
    """

    async def pull(self, command: str, arguments: dict[str, Any]) -> Any:
        """Execute a lab command where the client under test does not see it.

        Raises:
            CommandError: it failed.
        """
        raise NotImplementedError

    # --- jobs --------------------------------------------------------------------------

    async def hold(self, job: str, before: Status) -> None:
        """Stop ``job`` before it goes to a state; see :meth:`release`."""
        await self.pull("x-qmpd-hold", given(job=job, before=before))

    async def release(self, job: str) -> None:
        """Take all holds on ``job`` back and let it go on."""
        await self.pull("x-qmpd-release", given(job=job))

    async def progress(self, job: str, mode: Mode, *, delay_ms: int | None = None) -> None:
        """Say how ``job`` moves from one 512 KiB chunk to the next.

        Args:
            job: which one.
            mode: ``immediate`` (QEMU's own way), ``timed`` (a pause of ``delay_ms`` milliseconds
                after each chunk), ``stepped`` (see :meth:`step`) or ``held`` (not at all).
            delay_ms: for ``timed``.
        """
        await self.pull("x-qmpd-progress", given(job=job, mode=mode, delay_ms=delay_ms))

    async def step(self, job: str, count: int = 1) -> None:
        """Let a stepped job do ``count`` more chunks."""
        await self.pull("x-qmpd-step", given(job=job, count=count))

    async def die(self, job: str | None = None, *, at: Status | None = None) -> None:
        """End without a word, as if killed: now, or right after ``job`` went to ``at``."""
        await self.pull("x-qmpd-die", given(job=job, at=at))

    # --- images ------------------------------------------------------------------------

    async def deny(self, path: Path, access: Access = "write", *, from_open: int = 1) -> None:
        """Refuse to open an image with EACCES, as sVirt does.

        Args:
            path: a file name or a :class:`Layer`.
            access: ``write`` refuses opens for writing, ``read`` all.
            from_open: let as many opens less one succeed first, counted from now.
        """
        arguments = given(path=path, access=access, from_open=from_open)
        await self.pull("x-qmpd-deny", arguments)

    async def allow(self, path: Path) -> None:
        """Take back what :meth:`deny` refused."""
        await self.pull("x-qmpd-allow", given(path=path))

    async def fault(
        self,
        operation: Operation,
        *,
        node: str | None = None,
        path: Path | None = None,
        errno: str = "EIO",
        offset: Size | None = None,
        length: Size | None = None,
        count: int | None = None,
        delay_ms: int | None = None,
    ) -> int:
        """Let I/O fail, or take its time; returns a number for :meth:`clear_fault`.

        Args:
            operation: what is struck.
            node: on which node; any when absent.
            path: on which file; any when absent; the one to use with ``open``.
            errno: the error's name; ``"0"`` only delays.
            offset: where the range begins, in the node's bytes or as text (``"1M"``).
            length: how long it is; up to the end when absent.
            count: how many times; for ever when absent.
            delay_ms: milliseconds that the operation takes first.
        """
        arguments = given_fault(
            operation=operation,
            node=node,
            path=path,
            errno=errno,
            offset=offset,
            length=length,
            count=count,
            delay_ms=delay_ms,
        )
        reply: dict[str, int] = await self.pull("x-qmpd-fault", arguments)
        return reply["id"]

    async def clear_fault(self, number: int | None = None) -> None:
        """Remove one fault, or all."""
        await self.pull("x-qmpd-fault-clear", given(id=number))

    # --- the wire ----------------------------------------------------------------------

    async def wire(
        self,
        what: Line,
        action: Tampering,
        *,
        name: str | None = None,
        count: int | None = None,
        delay_ms: int | None = None,
    ) -> None:
        """Tamper with lines to the client under test.

        Args:
            what: ``greeting``, ``reply`` or ``event``.
            action: what happens to the line; ``delay`` lets others overtake it, ``reorder``
                sends it after the next one, ``hang-up`` disconnects in its middle.
            name: only those of this command or event.
            count: how many times; once when absent, 0 is for ever.
            delay_ms: milliseconds, for ``delay`` and ``split``.
        """
        arguments = given(what=what, action=action, name=name, count=count, delay_ms=delay_ms)
        await self.pull("x-qmpd-wire", arguments)

    async def clear_wire(self) -> None:
        """Leave lines alone again."""
        await self.pull("x-qmpd-wire-clear", {})

    # --- time --------------------------------------------------------------------------

    async def advance(self, ms: int) -> None:
        """Move a stepped clock by milliseconds; timers fire in order.

        Raises:
            CommandError: the clock is the real one.
        """
        await self.pull("x-qmpd-advance", given(ms=ms))

    # --- looking -----------------------------------------------------------------------

    async def journal(
        self, *, since: int | None = None, kinds: Sequence[str] | None = None
    ) -> list[Entry]:
        """What happened, oldest first.

        Args:
            since: only entries behind this serial number.
            kinds: only these: ``connect``, ``disconnect``, ``greeting``, ``request``, ``reply``,
                ``event``, ``transition``, ``open``, ``lever``.
        """
        names = None if kinds is None else list(kinds)
        return read_entries(await self.pull("x-qmpd-journal", given(since=since, kinds=names)))

    async def jobs(self) -> list[JobState]:
        """Where every job stands, oldest first."""
        return [JobState(job) for job in await self.pull("x-qmpd-jobs", {})]

    async def files(self) -> list[OpenFile]:
        """How the files of all file nodes are open, oldest node first."""
        return [OpenFile(file) for file in await self.pull("x-qmpd-files", {})]

    # --- waiting -----------------------------------------------------------------------

    async def wait_for(self, job: str, status: Status, *, within: float = 10.0) -> None:
        """Wait until ``job`` is in ``status``, or has been: states that pass quickly count.

        Raises:
            JobEndedError: the job is gone and never was in this state.
            TimeoutError: it took more than ``within`` seconds; shows the journal's end.
        """
        raise NotImplementedError

    async def wait_until_held(
        self, job: str, before: Status | None = None, *, within: float = 10.0
    ) -> None:
        """Wait until a :meth:`hold` has stopped ``job`` (before this state).

        Raises:
            TimeoutError: it took more than ``within`` seconds; shows the journal's end.
        """
        raise NotImplementedError
