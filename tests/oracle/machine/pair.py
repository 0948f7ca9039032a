"""Two servers that many sequences share, and the record of what was done to them."""

from __future__ import annotations

import contextlib
import pprint
import re
import shutil
import tempfile
from pathlib import Path

from qmpd.testing.oracle import Difference, Program, Server, ServerGoneError
from qmpd.testing.oracle.compare import _check, _lines, default_sides
from qmpd.testing.oracle.images import guest_difference, inspect
from qmpd.testing.oracle.normalise import normalise
from qmpd.testing.oracle.report import Said, check_equal

_MODE = re.compile(rb"^(\S+) \w\w(?=.* locks )")
_END = re.compile(rb'"image-end-offset": \d+, ')
_LENGTH = re.compile(
    rb'\d+(, "filename": "[^"]*", "format": "(?:file|blkdebug|throttle|copy-on-read)")'
)
_DIRECTORIES = ("side1", "side2")


class ReferenceDiedError(Exception):
    """The original crashed, which ends a sequence without a verdict."""


class Pair:
    """The reference and the other side, in lock-step.

    Args:
        program: which program is started on both sides.
    """

    def __init__(self, program=Program.STORAGE_DAEMON):
        self.program = program
        self.deaths = []
        """Standard error of every reference that crashed, with the script that led there."""
        self._root = None
        self._servers = []
        self._clean = False

    # --- one sequence -------------------------------------------------------------------

    def begin(self, images_name, images, arguments=()):
        """Put fresh images in place and have both servers without nodes."""
        if not self._clean or arguments:
            self.stop()
            self._prepare()
        self._clean = False
        self._restore(images)
        self._images_name = images_name
        self._arguments = list(arguments)
        self._record = []
        self.layout = True
        self.masked = set()
        if not self._servers:
            self._start(arguments)

    def run(self, source, step):
        """Do one step on both sides; return the reference's lines as they came.

        Args:
            source: the step as Python source.
            step: the step itself.

        Raises:
            Difference: the sides part; the text ends with the script as a test.
            ReferenceDiedError: the original has crashed.
        """
        self._record.append(source)
        reference, other = self._servers
        try:
            lines = step.run(reference)
        except (ServerGoneError, TimeoutError) as error:
            self.deaths.append(f"{error}\n{self.script()}")
            raise ReferenceDiedError from error
        with self._explained():
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
        with self._explained():
            self._compare()
        self._clean = empty

    @contextlib.contextmanager
    def _explained(self):
        try:
            yield
        except Difference as found:
            raise Difference(f"{found}\n\n{self.script()}", found.step, found.path) from None

    def script(self):
        """Return the sequence so far as a test that shows the same."""
        steps = "".join(f"        {source},\n" for source in self._record)
        more = "" if self.layout else ", layout=False"
        if self.program is Program.SYSTEM:
            more += f", program=Program.SYSTEM, arguments={self._arguments!r}"
        return (
            "@pytest.mark.oracle\ndef test_found():\n    compare(\n        [\n"
            f'{steps}        ],\n        SETS["{self._images_name}"]{more},\n    )\n'
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


def request_source(request):
    """Return the source of a step that sends a request."""
    text = pprint.pformat(request, sort_dicts=False, width=10**6)
    return f"ask({text})"
