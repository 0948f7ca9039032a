"""What a random sequence did, as a record without dice, and how it is done again."""

from __future__ import annotations

import copy
from typing import NamedTuple

from qmpd.testing.oracle import Program
from tests.oracle.machine import steps

_TEST = """\
import pytest

from qmpd.testing.oracle import {names}
from tests.oracle.machine.sets import SETS
from tests.oracle.machine.steps import {steps}


@pytest.mark.oracle
def test_found():
    compare(
        [
{acts}        ],
        SETS[{images!r}]{more},
    )
"""


class Act(NamedTuple):
    """One step: a function of `steps`, what it is given, and its options."""

    name: str
    given: tuple = ()
    options: tuple = ()

    @property
    def step(self):
        """The step itself."""
        return getattr(steps, self.name)(*copy.deepcopy(self.given), **dict(self.options))

    @property
    def source(self):
        """The step as Python source."""
        words = [repr(value) for value in self.given]
        words += [f"{name}={value!r}" for name, value in self.options]
        return f"{self.name}({', '.join(words)})"


class Script(NamedTuple):
    """A sequence.

    Attributes:
        program: which program is started.
        arguments: its command-line words.
        images: the name of a family.
        acts: the steps.
        layout: whether the layout of images counts.
    """

    program: Program
    arguments: list
    images: str
    acts: list
    layout: bool

    def source(self):
        """A test that does the same, with everything that it imports."""
        more, names = "" if self.layout else ", layout=False", "compare"
        if self.program is Program.SYSTEM:
            more += f", program=Program.SYSTEM, arguments={self.arguments!r}"
            names = "Program, compare"
        return _TEST.format(
            names=names,
            steps=", ".join(sorted({act.name for act in self.acts})),
            acts="".join(f"            {act.source},\n" for act in self.acts),
            images=self.images,
            more=more,
        )
