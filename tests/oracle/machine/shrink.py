"""Make a script that shows a difference as short as it can be.

What random sequences do depends on what the reference had at each step, so that other dice
make other sequences. A record has no dice: steps, words, actions and members can be left out.
"""

from __future__ import annotations

import copy
import re
import time

from qmpd.testing.oracle import Difference, ServerGoneError, StartError
from tests.oracle.machine.pair import Pair, ReferenceDiedError
from tests.oracle.machine.sets import SETS

SECONDS = 150
_KEPT = frozenset(("execute", "once"))  # an error that repeats strikes as chance wills
_COMMAND = re.compile(r'"execute": "([^"]+)"')
_NUMBER = re.compile(r"\d+")


def replay(script):
    """Do a sequence on new servers; return the difference that it shows, or None."""
    pair = Pair(script.program)
    try:
        pair.begin(script.images, SETS[script.images], script.arguments)
        pair.layout = script.layout
        for act in script.acts:
            pair.run(act)
        pair.finish(empty=False)
    except Difference as found:
        return found
    except (ReferenceDiedError, ServerGoneError, StartError):
        return None
    finally:
        pair.stop()
    return None


def shortest(script, seconds=SECONDS):
    """Return the shortest script that shows what this one does, and the difference it shows.

    Args:
        script: has shown a difference, after other sequences on the same servers.
        seconds: how long to try.

    Returns:
        nothing (None and None) if it shows no difference on new servers.
    """
    found = replay(script)
    if found is None:
        return None, None
    best = _Best(script, found, time.monotonic() + seconds)
    before = None
    while before != best.script:
        before = best.script
        best.shorten("acts", 1)
        best.shorten("arguments", 2)
        best.leave_out_members()
    return best.script, best.found


class _Best:
    """The shortest so far."""

    def __init__(self, script, found, end):
        self.script, self.found = script, found
        self._kind = _kind(found)
        self._end = end

    def _try(self, candidate):
        if time.monotonic() > self._end:
            return False
        found = replay(candidate)
        if found is None or _kind(found) != self._kind:
            return False
        self.script, self.found = candidate, found
        return True

    def shorten(self, field, unit):
        """Leave out runs of steps or words: halves, quarters, and so on down to single ones."""
        size = len(getattr(self.script, field)) // 2
        while size >= unit:
            end = len(getattr(self.script, field))
            while end > 0:
                items = getattr(self.script, field)
                rest = items[: max(end - size, 0)] + items[end:]
                self._try(self.script._replace(**{field: rest}))
                end -= size
            size = size // 2 // unit * unit

    def leave_out_members(self):
        """Leave out what the steps are given, member by member."""
        for number in range(len(self.script.acts)):
            for path in _paths(self.script.acts[number].given):
                acts = copy.deepcopy(self.script.acts)
                if _remove(acts[number].given, path):
                    self._try(self.script._replace(acts=acts))


def _kind(found):
    """What tells one difference from another: the command, or the image, and the member."""
    command = _COMMAND.search(found.step)
    return (command[1] if command else found.step, _NUMBER.sub("", found.path))


def _paths(value, path=()):
    """The ways to all members below a value, the inner ones last."""
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in list(children):
        if path and key not in _KEPT:
            yield (*path, key)
        if isinstance(child, dict | list):
            yield from _paths(child, (*path, key))


def _remove(value, path):
    """Remove a member; whether it was there."""
    *way, last = path
    try:
        for key in way:
            value = value[key]
        del value[last]
    except (KeyError, IndexError, TypeError):
        return False
    return True
