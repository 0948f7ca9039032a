"""What serves clients until there is a use for the event loop.

Importing asyncio takes longer than everything else between ``exec`` and the greeting, and
half of the memory. So clients are greeted and answered from here, on bare ``epoll``. Once
there is a node that a job could run on, a thread imports the loop while nothing happens.
As soon as it is there, or something needs it before (a timer, a job's slice of work), it
takes over; connections notice nothing.
"""

from __future__ import annotations

import os
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmpd.monitor.reactor import Reactor

IDLE_SECONDS = 0.01
"""How long nothing must happen before the import begins: it slows everything else."""
SWITCH_INTERVAL = 0.0001
"""How long (s) a thread may keep the interpreter; also so that slices of jobs don't."""


_READABLE = 0x001
"""EPOLLIN alone."""


class Porch:
    """A loop for descriptors and nothing else.

    Args:
        reactor: whose descriptors are watched until it has a loop.
        load: imports the loop; called on a thread.
        expected: whether it is worth while to have the loop in time.
    """

    def __init__(
        self, reactor: Reactor, load: Callable[[], object], expected: Callable[[], bool]
    ) -> None:
        self._reactor = reactor
        self._load = load
        self._expected = expected
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.epoll()
        self._masks: dict[int, int] = {}
        self._changes = -1
        self._loading = False
        self._loaded = False
        self._signal: Callable[[], None] | None = None
        self.ended = False
        reactor.before_close = self._forget

    def end(self) -> None:
        """Serve no longer."""
        self.ended = True

    def interrupt(self, action: Callable[[], None]) -> None:
        """Do ``action`` soon; may be called from a signal handler."""
        self._signal = action
        os.eventfd_write(self._wake, 1)

    def run_signal(self) -> None:
        """Do what an interrupt asked for, if there was one."""
        action, self._signal = self._signal, None
        if action is not None:
            action()

    def run(self) -> None:
        """Serve until the reactor has its loop, or until the end."""
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._poll.register(self._wake, select.EPOLLIN)
        reactor = self._reactor
        poll, readers = self._poll.poll, reactor.readers
        while True:
            more = bool(reactor.soon) and reactor.run_collected()
            if self.ended or reactor.attached:
                break
            if reactor.changes != self._changes:
                self._update()
            loads = not self._loading and self._expected()
            ready = poll(0 if more else IDLE_SECONDS if loads else -1)
            if not ready and not more and loads:
                self._begin_loading()
            for fd, mask in ready:
                if mask == _READABLE and fd in readers:
                    readers[fd]()  # what happens all day
                else:
                    self._handle(fd, mask)
        self._leave()

    def close(self) -> None:
        """Give the descriptors back."""
        while self._loading and not self._loaded:
            time.sleep(IDLE_SECONDS)
        self._leave()
        os.close(self._wake)

    def _leave(self) -> None:
        self._poll.close()
        self._masks.clear()

    def _begin_loading(self) -> None:
        # Imported here, since it takes the importing thread for the main one.
        import threading

        self._loading = True

        def load() -> None:
            try:
                self._load()
            finally:
                self._loaded = True
                os.eventfd_write(self._wake, 1)

        threading.Thread(target=load, name="qmpd-import", daemon=True).start()

    def _forget(self, fd: int) -> None:
        if self._masks.pop(fd, 0):
            self._poll.unregister(fd)

    def _update(self) -> None:
        self._changes = self._reactor.changes
        wanted: dict[int, int] = {}
        for fd in self._reactor.readers:
            wanted[fd] = select.EPOLLIN
        for fd in self._reactor.writers:
            wanted[fd] = wanted.get(fd, 0) | select.EPOLLOUT
        if wanted == self._masks:
            return
        for fd in self._masks.keys() - wanted.keys():
            try:
                self._poll.unregister(fd)
            except OSError:
                pass  # a listening socket that was closed for good
        for fd, mask in wanted.items():
            if fd not in self._masks:
                self._poll.register(fd, mask)
            elif mask != self._masks[fd]:
                self._poll.modify(fd, mask)
        self._masks = wanted

    def _handle(self, fd: int, mask: int) -> None:
        reactor = self._reactor
        if fd == self._wake:
            os.eventfd_read(self._wake)
            self.run_signal()
            if self._loaded and not self.ended:
                reactor.require_loop()
            return
        if reactor.attached:
            return  # the loop asks again
        reader, writer = reactor.readers.get(fd), reactor.writers.get(fd)
        if reader is not None and mask & ~select.EPOLLOUT:
            reader()
        if writer is not None and mask & ~select.EPOLLIN and fd in reactor.writers:
            writer()
