"""The event loop as qmpd uses it: descriptors, timers, and one worker thread.

Any asyncio loop will do; uvloop is used when qmpd runs the loop itself. One worker thread
is enough: bulk I/O is bound by the storage, and slices of several jobs take turns.
"""

from __future__ import annotations

import os
import time
from _thread import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    import threading
    from collections.abc import Callable
    from queue import SimpleQueue
    from typing import Any

    from qmpd.jobs.manager import Timer
    from qmpd.lab.clock import SteppedClock

    Task = tuple[Callable[[], Any], Callable[[Any, BaseException | None], None]]


class Reactor:
    """What everything that waits for something waits with.

    It is attached to an asyncio loop at some time; before that it collects, and its
    descriptors are for somebody else to watch (:mod:`qmpd.monitor.porch`).
    """

    def __init__(self, clock: SteppedClock | None = None) -> None:
        self.clock = clock
        """Time as the lab has it; None is the real one."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self.soon: list[Callable[[], None]] = []
        """What is to be done in the next round, while there is no loop."""
        self.readers: dict[int, Callable[[], None]] = {}
        self.writers: dict[int, Callable[[], None]] = {}
        self.before_close: Callable[[int], None] = _nothing_to_do
        """Called with a descriptor that will be closed, while there is no loop."""
        self.changes = 0
        """How often readers or writers changed, while there was no loop."""
        self.make_loop: Callable[[], asyncio.AbstractEventLoop] | None = None
        """Called when something needs the loop before it was attached."""
        self._tasks: SimpleQueue[Task | None] | None = None
        self._thread: threading.Thread | None = None

    @property
    def attached(self) -> bool:
        """Whether there is a loop."""
        return self._loop is not None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use ``loop`` from now on, and hand it what was collected."""
        self._loop = loop
        for fd, action in self.readers.items():
            loop.add_reader(fd, action)
        for fd, action in self.writers.items():
            loop.add_writer(fd, action)
        for action in self.soon:
            loop.call_soon(action)
        self.readers.clear()
        self.writers.clear()
        self.soon.clear()

    def require_loop(self) -> asyncio.AbstractEventLoop:
        """The loop; made now if it was not there yet."""
        if self._loop is None:
            if self.make_loop is None:
                raise RuntimeError("the event loop has not been attached yet")
            self.attach(self.make_loop())
        return self.loop

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The same as :meth:`require_loop`."""
        return self._loop if self._loop is not None else self.require_loop()

    def run_collected(self) -> bool:
        """Do what was to be done soon, while there is no loop; whether there is more already."""
        actions, self.soon = self.soon, []
        while actions and self._loop is None:
            actions.pop(0)()
        if actions:
            for action in actions:  # one of them has brought the loop
                self.loop.call_soon(action)
        return bool(self.soon)

    # --- time --------------------------------------------------------------------------

    def now(self) -> int:
        """Nanoseconds of a clock that never goes back."""
        return time.monotonic_ns() if self.clock is None else self.clock.now()

    def wall(self) -> int:
        """Nanoseconds since the epoch."""
        return time.time_ns() if self.clock is None else self.clock.wall()

    def call_later(self, delay: int, action: Callable[[], None]) -> Timer:
        """Call ``action`` in ``delay`` nanoseconds."""
        if delay <= 0:
            return self.loop.call_soon(action)
        if self.clock is not None:
            return self.clock.call_later(delay, action)
        return self.loop.call_later(delay / 1e9, action)

    def call_soon(self, action: Callable[[], None]) -> None:
        """Call ``action`` in the loop's next round."""
        if self._loop is None:
            self.soon.append(action)
        else:
            self._loop.call_soon(action)

    def call_from_anywhere(self, action: Callable[[], None]) -> None:
        """The same from any thread; while there is no loop there is no other thread."""
        if self._loop is None:
            action()
        else:
            self._loop.call_soon_threadsafe(action)

    def on_worker(self) -> bool:
        """Whether the caller runs on the worker thread."""
        return self._thread is not None and self._thread.ident == get_ident()

    # --- descriptors -------------------------------------------------------------------

    def add_reader(self, fd: int, action: Callable[[], None]) -> None:
        """Call ``action`` whenever ``fd`` can be read."""
        if self._loop is None:
            self.readers[fd] = action
            self.changes += 1
        else:
            self._loop.add_reader(fd, action)

    def remove_reader(self, fd: int) -> None:
        """Stop watching ``fd`` for reading."""
        if self._loop is None:
            self.readers.pop(fd, None)
            self.changes += 1
        else:
            self._loop.remove_reader(fd)

    def add_writer(self, fd: int, action: Callable[[], None]) -> None:
        """Call ``action`` whenever ``fd`` can be written."""
        if self._loop is None:
            self.writers[fd] = action
            self.changes += 1
        else:
            self._loop.add_writer(fd, action)

    def remove_writer(self, fd: int) -> None:
        """Stop watching ``fd`` for writing."""
        if self._loop is None:
            self.writers.pop(fd, None)
            self.changes += 1
        else:
            self._loop.remove_writer(fd)

    def close_fd(self, fd: int) -> None:
        """Close a descriptor that is watched no longer.

        Being watched belongs to the open file, which lives on if there is a duplicate.
        """
        if self._loop is None:
            self.before_close(fd)
        os.close(fd)

    # --- the worker thread -------------------------------------------------------------

    def submit(
        self, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None]
    ) -> None:
        """Call ``work`` on the worker thread, then ``done`` on the loop."""
        self.require_loop()  # here, since the worker must not make one of its own
        if self._tasks is None:
            import threading
            from queue import SimpleQueue

            self._tasks = SimpleQueue()
            self._thread = threading.Thread(target=self._worker, name="qmpd-io", daemon=True)
            self._thread.start()
        self._tasks.put((work, done))

    def _worker(self) -> None:
        tasks = self._tasks
        while tasks is not None:
            task = tasks.get()
            if task is None:
                return
            work, done = task
            value: Any = None
            failure: BaseException | None = None
            try:
                value = work()
            except BaseException as error:  # noqa: BLE001 - handed to the one who asked
                failure = error
            try:
                self.loop.call_soon_threadsafe(done, value, failure)
            except RuntimeError:  # the loop has been closed under us
                return

    def close(self) -> None:
        """Let the worker finish what it does and end it."""
        if self._tasks is not None:
            self._tasks.put(None)
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._tasks = None


def _nothing_to_do(fd: int) -> None:
    del fd
