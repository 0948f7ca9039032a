"""Sudden death within a process: what the machine is doing stops there and then.

A process that dies does not return from it. In a loop that others live in, too, the same
is had by raising through whatever the machine does at that moment, and by catching that
at every place where the loop calls the machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Death(BaseException):
    """The machine has died."""


def survive(action: Callable[..., Any], *args: Any) -> bool:
    """Let the machine act; if it dies of it, life goes on here, and the result is False."""
    try:
        action(*args)
    except Death:
        return False
    return True


class MortalLoop:
    """As much of an event loop as a machine uses; all its calls survive the machine's death."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._serial = 0
        self._soon: dict[int, asyncio.Handle] = {}
        self.remove_reader = loop.remove_reader
        self.remove_writer = loop.remove_writer

    @property
    def busy(self) -> bool:
        """Whether the machine has something to do in the loop's next round."""
        self._soon = {n: handle for n, handle in self._soon.items() if not handle.cancelled()}
        return bool(self._soon)

    def add_reader(self, fd: int, action: Callable[..., Any], *args: Any) -> None:
        """See asyncio."""
        self._loop.add_reader(fd, survive, action, *args)

    def add_writer(self, fd: int, action: Callable[..., Any], *args: Any) -> None:
        """See asyncio."""
        self._loop.add_writer(fd, survive, action, *args)

    def call_soon(self, action: Callable[..., Any], *args: Any) -> asyncio.Handle:
        """See asyncio."""
        self._serial += 1
        handle = self._loop.call_soon(self._now, self._serial, action, *args)
        self._soon[self._serial] = handle
        return handle

    def _now(self, serial: int, action: Callable[..., Any], *args: Any) -> None:
        self._soon.pop(serial, None)
        survive(action, *args)

    def call_soon_threadsafe(self, action: Callable[..., Any], *args: Any) -> asyncio.Handle:
        """See asyncio."""
        return self._loop.call_soon_threadsafe(survive, action, *args)

    def call_later(
        self, delay: float, action: Callable[..., Any], *args: Any
    ) -> asyncio.TimerHandle:
        """See asyncio."""
        return self._loop.call_later(delay, survive, action, *args)
