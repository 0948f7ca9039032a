"""Giving way: a thread that copies must not make others wait for the end of its time slice.

A client that shares the processor with the worker would be woken late, up to a tick of the
kernel's clock (4 ms) after its reply was sent.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_call: Callable[[], object] | None = None


def give_way() -> None:
    """Let others have the processor first, if anybody waits for it."""
    global _call  # noqa: PLW0603 - found once, and only if somebody copies
    if _call is None:
        _call = _find()
    _call()


def _find() -> Callable[[], object]:
    # os.sched_yield keeps the interpreter to itself meanwhile (Python 3.11), a call through
    # ctypes does not.
    try:
        import ctypes

        found: Callable[[], object] = ctypes.CDLL(None).sched_yield
    except (ImportError, OSError, AttributeError):
        import os

        found = os.sched_yield
    return found
