"""``null-co`` and ``null-aio``: a disk that forgets what is written to it."""

from __future__ import annotations

from qmpd.block import wording
from qmpd.block.driver import ZERO as ZERO_KIND
from qmpd.block.driver import Driver, Extent
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from qmpd.block.options import Flags
    from qmpd.block.transaction import Transaction

DEFAULT_SIZE = 1 << 30
_MAX_LENGTH = (1 << 63) - (1 << 30)


class NullCo(Driver):
    """Reads are zero, or left as they are; writes are dropped.

    A negative size aborts the original; here it is refused.
    """

    name = "null-co"
    is_protocol = True
    is_leaf = True
    strong_options = ("size", "read-zeroes")

    @classmethod
    def parse_filename(cls, name: str) -> dict[str, Any]:
        """Its name says nothing.

        Raises:
            QmpError: it says something.
        """
        if name != f"{cls.name}://":
            raise QmpError(wording.only_filename(cls.name))
        return {}

    def open(self, options: dict[str, Any]) -> None:
        """Take size and latency.

        Raises:
            QmpError: either is negative or too large.
        """
        self._size = int(options.get("size", DEFAULT_SIZE))
        self.is_void = not options.get("read-zeroes", False)
        latency = int(options.get("latency-ns", 0))
        if latency < 0 or latency >= 1 << 63:
            raise QmpError(wording.LATENCY_INVALID)
        if self._size < 0:
            raise QmpError(wording.could_not_open("", "Invalid argument"))
        if self._size > _MAX_LENGTH:
            raise QmpError(wording.LENGTH_TOO_LARGE)

    def reopen_prepare(
        self, tx: Transaction, options: dict[str, Any], flags: Flags
    ) -> Iterable[str]:
        """Nothing of it can change."""
        del tx, options, flags
        return ()

    def length(self) -> int:
        """The size, rounded up to sectors."""
        return (self._size + 511) & ~511

    def pread(self, offset: int, length: int) -> bytes:
        """Zeros."""
        del offset
        return bytes(length)

    def pwrite(self, offset: int, data: bytes | memoryview) -> None:
        """Forget ``data``."""

    def flush(self) -> None:
        """Nothing to make durable."""

    def extent(self, offset: int, length: int) -> Extent:
        """All of it is zero."""
        del offset
        return Extent(ZERO_KIND, length)

    def exact_filename(self) -> str:
        """``null-co://`` unless something that changes the contents was given."""
        given = self.node.options.written
        if any(option in given for option in self.strong_options):
            return ""
        return f"{self.name}://"


class NullAio(NullCo):
    """The same with another name: requests complete through the event loop."""

    name = "null-aio"
