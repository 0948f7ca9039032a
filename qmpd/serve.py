"""Running a machine: in an event loop that exists, or as the whole process."""

from __future__ import annotations

import gc
import os
from _signal import SIGHUP, SIGINT, SIGTERM  # type: ignore[import-not-found]  # `signal` would import enum
from _signal import signal as handle_signal

from qmpd.monitor.porch import Porch

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from qmpd.machine import Machine


def attach(machine: Machine, loop: asyncio.AbstractEventLoop) -> None:
    """Let ``machine`` live in ``loop``: greet clients, run jobs."""
    machine.scheduler.attach(loop)
    machine.start()


def run(machine: Machine) -> None:
    """Run a machine as the whole process, until it is told to quit.

    The loop is uvloop's or, where there is none or ``QMPD_LOOP=asyncio`` says so, asyncio's.
    """
    reactor = machine.scheduler
    chosen = "QMPD_LOOP" in os.environ
    porch = Porch(reactor, _load_loop, lambda: chosen or machine.graph.has_overlays)
    reactor.make_loop = _new_loop
    stop = _quit_by_signal(machine)

    def finish() -> None:
        porch.end()
        if reactor.attached:
            reactor.loop.stop()

    machine.on_quit = finish
    machine.on_death = _abort

    # The loop's own handlers would leave the default action behind when it is closed, and a
    # second signal would then be deadly.
    def interrupt(*_: object) -> None:
        if reactor.attached:
            reactor.call_from_anywhere(stop)
        else:
            porch.interrupt(stop)

    for number in SIGNALS:
        handle_signal(number, interrupt)
    # Nodes and edges refer to each other and live long: looking for garbage among them at
    # every thousandth allocation only makes requests late.
    gc.set_threshold(100_000, 20, 20)
    gc.freeze()
    try:
        machine.start()
        porch.run()
        if not porch.ended:
            porch.run_signal()  # one that came in between
            reactor.loop.run_forever()
        _say_goodbye(machine)
    finally:
        for number in SIGNALS:
            handle_signal(number, 1)  # SIG_IGN: the end has come already
        porch.close()
        machine.close()
        if reactor.attached:
            reactor.loop.close()


def _abort() -> None:
    """End as an assertion in a C program does, but without leaving a core behind."""
    import resource
    from signal import SIGABRT

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    handle_signal(SIGABRT, 0)  # SIG_DFL
    os.kill(os.getpid(), SIGABRT)


SIGNALS = (SIGINT, SIGTERM, SIGHUP)


def _quit_by_signal(machine: Machine) -> Callable[[], None]:
    return lambda: machine.quit("host-signal")


def _load_loop() -> object:
    if os.environ.get("QMPD_LOOP") != "asyncio":
        try:
            import uvloop
        except ImportError:
            pass  # not there on this platform: the standard loop does as well
        else:
            return uvloop
    import asyncio

    return asyncio


def _new_loop() -> asyncio.AbstractEventLoop:
    loop: asyncio.AbstractEventLoop = _load_loop().new_event_loop()  # type: ignore[attr-defined]
    return loop


def _say_goodbye(machine: Machine) -> None:
    """Give clients the last events, as far as their sockets take them at once."""
    for monitor in machine.monitors:
        if monitor.connection is not None:
            monitor.connection.flush()


def daemonize() -> Callable[[], None]:
    """Go to the background, where what is left of the start-up is done.

    Returns:
        what to call when everything is set up: only then does the parent exit, with status
        0; it exits with status 1 if the child ends before that, having said why.
    """
    told, tell = os.pipe()
    if os.fork():
        os.close(tell)
        os._exit(0 if os.read(told, 1) else 1)
    os.close(told)
    os.setsid()

    def ready() -> None:
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.close(null)
        os.write(tell, b"x")
        os.close(tell)

    return ready
