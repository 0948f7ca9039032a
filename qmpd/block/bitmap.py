"""Dirty bitmaps that clients name: which parts of a node were written since a point in time."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from qmpd.block.node import Node

_PAGE_BITS = 16 + 3


class NamedBitmap:
    """The bits, in pages of equal size: a page that is missing is all zeros.

    ``inconsistent``: the file called it in use when it was opened, so that its bits mean
    nothing. ``busy``: it is being removed, and nobody else may use it.
    """

    __slots__ = (
        "_count",
        "_page_bits",
        "busy",
        "enabled",
        "granularity_bits",
        "inconsistent",
        "name",
        "pages",
    )

    persistent = False
    """Whether it is kept in the image."""

    def __init__(
        self,
        name: bytes,
        granularity_bits: int,
        *,
        enabled: bool = True,
        page_bits: int = _PAGE_BITS,
    ) -> None:
        self.name = name
        self.granularity_bits = granularity_bits
        self.enabled = enabled
        self.inconsistent = self.busy = False
        self.pages: dict[int, bytearray] = {}
        self._page_bits = page_bits
        self._count: int | None = 0

    @property
    def recording(self) -> bool:
        """Whether writes are noted in it."""
        return self.enabled and not self.inconsistent

    @property
    def granularity(self) -> int:
        """Bytes that one bit stands for."""
        return 1 << self.granularity_bits

    def text(self) -> str:
        """The name as clients see it."""
        return self.name.decode("utf-8", "surrogateescape")

    def record(self, offset: int, length: int) -> None:
        """Note that these bytes of the disk are written."""
        first = offset >> self.granularity_bits
        last = (offset + length - 1) >> self.granularity_bits
        page_bits = self._page_bits
        for number in range(first >> page_bits, (last >> page_bits) + 1):
            start = number << page_bits
            page = self.pages.get(number)
            if page is None:
                page = self.pages[number] = bytearray(1 << page_bits - 3)
            end = min(last, start + (1 << page_bits) - 1)
            _set_bits(page, max(first, start) - start, end - start)
        self._count = None

    def copy(self) -> dict[int, bytearray]:
        """All bits, for :meth:`restore`."""
        return {number: page[:] for number, page in self.pages.items()}

    def restore(self, pages: dict[int, bytearray]) -> None:
        """Have other bits from now on; none clear the bitmap."""
        self.pages = pages
        self._count = None

    def cut(self, size: int) -> None:
        """Forget what is dirty behind the end of a disk that has ``size`` bytes from now on."""
        bits = -(-size >> self.granularity_bits)
        number, rest = divmod(bits, 1 << self._page_bits)
        self.pages = {at: page for at, page in self.pages.items() if at <= number}
        page = self.pages.get(number)
        if page is not None:
            used = -(-rest >> 3)
            page[used:] = bytes(len(page) - used)
            if rest & 7:
                page[used - 1] &= 0xFF >> (-rest & 7)
        self._count = None

    def merge(self, other: NamedBitmap, size: int) -> None:
        """Take in what is dirty in another bitmap of a disk of ``size`` bytes."""
        for offset, length in list(other.runs()):
            self.record(offset, min(length, size - offset))

    def runs(self) -> Iterator[tuple[int, int]]:
        """What is dirty, in bytes; a run ends at the latest with its page."""
        for number in sorted(self.pages):
            base = number << self._page_bits
            start: int | None = None
            for index, byte in enumerate(self.pages[number]):
                if byte == (0 if start is None else 0xFF):
                    continue
                for bit in range(8):
                    if (byte >> bit & 1) == (start is None):
                        place = base + index * 8 + bit
                        if start is None:
                            start = place
                        else:
                            yield self._bytes(start, place)
                            start = None
            if start is not None:
                yield self._bytes(start, base + (1 << self._page_bits))

    def _bytes(self, start: int, end: int) -> tuple[int, int]:
        return start << self.granularity_bits, (end - start) << self.granularity_bits

    def sha256(self, size: int) -> str:
        """The checksum of the bits for a disk of ``size`` bytes, in words of 64 bits."""
        from hashlib import sha256

        left = max(-(-size >> self.granularity_bits + 6), 1) * 8
        digest = sha256()
        zeros = bytes(1 << self._page_bits - 3)
        number = 0
        while left > 0:
            digest.update(memoryview(self.pages.get(number, zeros))[:left])
            left -= len(zeros)
            number += 1
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """What queries of the node show."""
        if self._count is None:
            ones = (int.from_bytes(page, "big").bit_count() for page in self.pages.values())
            self._count = sum(ones) << self.granularity_bits
        info: dict[str, Any] = {
            "name": self.text(),
            "count": self._count,
            "granularity": self.granularity,
            "recording": self.recording,
            "busy": self.busy,
            "persistent": self.persistent,
        }
        if self.inconsistent:
            info["inconsistent"] = True
        return info


def _set_bits(page: bytearray, first: int, last: int) -> None:
    start, end = first >> 3, last >> 3
    head, tail = 0xFF << (first & 7) & 0xFF, (2 << (last & 7)) - 1
    if start == end:
        page[start] |= head & tail
        return
    page[start] |= head
    page[start + 1 : end] = b"\xff" * (end - start - 1)
    page[end] |= tail


def named_bitmaps(node: Node) -> list[NamedBitmap]:
    """A node's bitmaps that clients know, newest first."""
    return [bitmap for bitmap in node.dirty_bitmaps if isinstance(bitmap, NamedBitmap)]


def cut_bitmaps(node: Node, size: int) -> None:
    """Let a node's bitmaps end where the node does, at ``size`` bytes."""
    for bitmap in named_bitmaps(node):
        bitmap.cut(size)


def record_write(node: Node, offset: int, length: int) -> None:
    """Note in a node's bitmaps that bytes have been written."""
    for bitmap in named_bitmaps(node):
        if bitmap.recording:
            bitmap.record(offset, length)
