"""Two servers that many sequences share, and the record of what was done to them."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from pathlib import Path

from qmpd.testing.oracle import Difference, Program, Server, ServerGoneError
from qmpd.testing.oracle.compare import _check, _lines, default_sides
from qmpd.testing.oracle.images import guest_difference, inspect
from qmpd.testing.oracle.normalise import normalise
from qmpd.testing.oracle.report import Said, check_equal
from tests.oracle.machine.script import Script

_MODE = re.compile(rb"^(\S+) \w\w(?=.* locks )")
_END = re.compile(rb'"image-end-offset": \d+, ')
_LENGTH = re.compile(
    rb'\d+(, "filename": "[^"]*", "format": "(?:file|blkdebug|throttle|copy-on-read)")'
)
_LEFT_BEHIND = re.compile(rb"'(?:intermediate|active) node' child")
_DIRECTORIES = ("side1", "side2")


class ReferenceDiedError(Exception):
    """The original crashed or was lost, which ends a sequence without a verdict."""


class Pair:
    """The reference and the other side, in lock-step.

    Args:
        program: which program is started on both sides.
        arguments: command-line words that every sequence has.
    """

    def __init__(self, program=Program.STORAGE_DAEMON, arguments=()):
        self.program = program
        self._common = list(arguments)
        self.deaths = []
        """Standard error of every reference that crashed, with the script that led there."""
        self.failed = None
        """The script of the last sequence that showed a difference, and the difference."""
        self._root = None
        self._servers = []
        self._clean = False

    # --- one sequence -------------------------------------------------------------------

    def begin(self, images_name, images, arguments=()):
        """Put fresh images in place and have both servers without nodes.

        Args:
            images_name: the family's name, for the script.
            images: the family.
            arguments: more command-line words; then the servers start anew.
        """
        if not self._clean or arguments:
            self.stop()
            self._prepare()
        self._clean = False
        self._restore(images)
        self._images_name = images_name
        self._arguments = [*self._common, *arguments]
        self._acts = []
        self.layout = True
        self.masked = set()
        if not self._servers:
            self._start(self._arguments)

    def run(self, act):
        """Do a step on both sides; return the reference's lines as they came.

        Raises:
            Difference: the sides part.
            ReferenceDiedError: the original has crashed.
        """
        self._acts.append(act)
        step = act.step
        reference, other = self._servers
        try:
            lines = step.run(reference)
        except (ServerGoneError, TimeoutError) as error:
            self.deaths.append(f"{error}\n{self.script().source()}")
            raise ReferenceDiedError from error
        if "block-stream" in step.title and any(_LEFT_BEHIND.search(line) for line in lines):
            raise ReferenceDiedError("it is alive, but a backend of its stream stays for ever")
        with self._noted():
            sides = [self._unmasked(side) for side in (lines, _lines(step, other))]
            _check(step.title, self._servers, sides)
        return lines

    def _unmasked(self, lines):
        """Leave out what the original is free to do or gets wrong.

        That is the access mode of files whose mode it has lost track of, and how long a file
        gets that is written by an active commit.
        """
        if not self.layout:
            lines = [_LENGTH.sub(rb"?\1", line) for line in lines]
        if not self.masked:
            return lines
        # Descriptors are sorted by their modes too, so what is left is sorted anew.
        descriptors = [line for line in lines if _MODE.match(line)]
        hidden = [
            _MODE.sub(rb"\1 ??", line) if _MODE.match(line)[1].decode() in self.masked else line
            for line in descriptors
        ]
        return lines[: len(lines) - len(descriptors)] + sorted(hidden)

    @property
    def directory(self):
        """Where the reference's images are."""
        return self._paths[0]

    def finish(self, *, empty):
        """Compare the images; without nodes the servers serve the next sequence too."""
        if not empty:
            for server in self._servers:
                server.close()
            self._servers = []
        with self._noted():
            self._compare()
        self._clean = empty

    @contextlib.contextmanager
    def _noted(self):
        try:
            yield
        except Difference as found:
            self.failed = (self.script(), found)
            raise

    def script(self):
        """Return the sequence so far."""
        return Script(
            self.program, self._arguments, self._images_name, list(self._acts), self.layout
        )

    # --- servers ------------------------------------------------------------------------

    def _prepare(self):
        self._root = Path(tempfile.mkdtemp(prefix="qmpd-oracle-"))
        for name in _DIRECTORIES:
            (self._root / name).mkdir()

    def _start(self, arguments):
        sides = zip(default_sides(), _DIRECTORIES, strict=True)
        for side, name in sides:
            control = self._root / f"{name}.ctl"
            control.mkdir()
            directory = self._root / name
            self._servers.append(Server(side, directory, control, arguments, program=self.program))

    def stop(self):
        """End both servers and remove their directories."""
        for server in self._servers:
            server.close()
        self._servers = []
        if self._root is not None:
            shutil.rmtree(self._root)
            self._root = None
        self._clean = False

    # --- images -------------------------------------------------------------------------

    @property
    def _paths(self):
        return [self._root / name for name in _DIRECTORIES]

    def _restore(self, images):
        for directory in self._paths:
            for path in directory.iterdir():
                path.rmdir() if path.is_dir() else path.unlink()
            images(directory)

    def _compare(self):
        one, other = self._paths
        for path in one.iterdir():
            twin = other / path.name
            if path.is_file() and path.read_bytes().replace(bytes(one), bytes(other)) != (
                twin.read_bytes()
            ):
                break
        else:
            return
        self._compare_with_tools()

    def _compare_with_tools(self):
        sides = default_sides()
        for name in sorted(path.name for path in self._paths[0].iterdir() if path.is_file()):
            twins = [path / name for path in self._paths]
            said = [
                Said(side.value, normalise(self._inspect(twin), twin.parent))
                for side, twin in zip(sides, twins, strict=True)
            ]
            title = f"image {name} afterwards"
            check_equal(title, *said)
            verdict = guest_difference(*twins)
            if verdict is not None:
                raise Difference(f"{title}: {verdict}", title, "")

    def _inspect(self, path):
        lines = inspect(path, layout=self.layout)
        return lines if self.layout else [_END.sub(b"", line) for line in lines]
