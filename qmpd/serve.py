"""Running a machine: in an event loop that exists, or as the whole process."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio

    from qmpd.machine import Machine


def attach(machine: Machine, loop: asyncio.AbstractEventLoop) -> None:
    """Let ``machine`` live in ``loop``: greet clients, run jobs."""
    machine.scheduler.attach(loop)
    for monitor in machine.monitors:
        monitor.start()


def run(machine: Machine) -> None:
    """Run a machine until it is told to quit, in uvloop or, where there is none, asyncio."""
    loop = _new_loop()
    try:
        done = loop.create_future()

        def finish() -> None:
            if not done.done():
                done.set_result(None)

        machine.on_quit = finish
        _watch_signals(loop, machine)
        attach(machine, loop)
        loop.run_until_complete(done)
        _say_goodbye(machine)
    finally:
        machine.close()
        loop.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    if os.environ.get("QMPD_LOOP") != "asyncio":
        try:
            import uvloop
        except ImportError:
            pass  # not there on this platform: the standard loop does as well
        else:
            return uvloop.new_event_loop()
    import asyncio

    return asyncio.new_event_loop()


def _watch_signals(loop: asyncio.AbstractEventLoop, machine: Machine) -> None:
    import signal

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, machine.quit, "host-signal")


def _say_goodbye(machine: Machine) -> None:
    """Give clients the last events, as far as their sockets take them at once."""
    for monitor in machine.monitors:
        if monitor.connection is not None:
            monitor.connection.flush()


def daemonize() -> None:
    """Go to the background: the parent's exit tells that everything is set up."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
