"""Write-back caches of metadata tables, with the order in which they may reach the disk.

There are two: L2 tables and refcount blocks. One may depend on the other ("mine may only be
written after yours are stable"), never both at once: taking a dependency first settles the
opposite one. That alone gives the rules of a crash-safe image: references never precede the
refcounts that cover them, and refcounts are lowered only after the references are gone.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable

    from qmpd.block.drivers.qcow2.types import ByteFile

_MIN_TABLES = 8


class TableCache:
    """Tables of one cluster each, by file offset; the least recently used leave first.

    ``capacity`` is bytes of memory, ``events`` what is told before a table is read or written. An array that ``get`` returned is valid until the next
    call of ``get`` or ``add``; whoever changes it calls ``mark_dirty`` before that.
    """

    __slots__ = (
        "_decode",
        "_depends_on",
        "_dirty",
        "_encode",
        "_file",
        "_limit",
        "_load_event",
        "_table_bytes",
        "_tables",
        "_update_event",
        "needs_data_flush",
    )

    def __init__(
        self,
        file: ByteFile,
        table_bytes: int,
        decode: Callable[[bytes], array[int]],
        encode: Callable[[array[int]], bytes],
        *,
        capacity: int,
        memory_per_table: int,
        events: tuple[str, str],
    ) -> None:
        self._file = file
        self._load_event, self._update_event = events
        self._table_bytes = table_bytes
        self._decode = decode
        self._encode = encode
        self._limit = max(_MIN_TABLES, capacity // memory_per_table)
        self._tables: dict[int, array[int]] = {}
        self._dirty: set[int] = set()
        self._depends_on: TableCache | None = None
        self.needs_data_flush = False

    def get(self, offset: int) -> array[int]:
        """The table at ``offset``, read if need be."""
        table = self._tables.pop(offset, None)
        if table is None:
            self._file.event(self._load_event)
            table = self._decode(self._file.pread(offset, self._table_bytes))
            self._make_room()
        self._tables[offset] = table
        return table

    def add(self, offset: int, table: array[int]) -> None:
        """Put a new table into the cache, dirty, whatever the disk holds there."""
        self._tables.pop(offset, None)
        self._make_room()
        self._tables[offset] = table
        self._dirty.add(offset)

    def mark_dirty(self, offset: int) -> None:
        """The array of the table at ``offset`` has been changed."""
        if offset not in self._tables:
            raise KeyError(offset)
        self._dirty.add(offset)

    def discard(self, start: int, end: int) -> None:
        """Forget tables within the bytes ``start``..``end`` of the file: they were freed."""
        if (end - start) // self._table_bytes < len(self._tables):
            found = [
                offset for offset in range(start, end, self._table_bytes) if offset in self._tables
            ]
        else:
            found = [offset for offset in self._tables if start <= offset < end]
        for offset in found:
            del self._tables[offset]
            self._dirty.discard(offset)

    @property
    def waits(self) -> bool:
        """Whether the other cache has to be stable before this one is written."""
        return self._depends_on is not None

    def depend_on(self, other: TableCache) -> None:
        """From now on tables of this cache follow those of ``other`` to the disk."""
        other.settle()
        self._depends_on = other

    def settle(self) -> None:
        """Make stable what this cache's tables have to wait for."""
        if self._depends_on is not None:
            self._depends_on.flush()
            self._depends_on = None
        elif self.needs_data_flush:
            self._file.flush()
        self.needs_data_flush = False

    def write_back(self) -> None:
        """Write all dirty tables, after what they depend on."""
        if not self._dirty:
            return
        self.settle()
        for offset in sorted(self._dirty):
            self._write(offset)

    def flush(self) -> None:
        """Write all dirty tables and make the file stable."""
        self.write_back()
        self._file.flush()

    def forget(self) -> None:
        """Drop everything, dirty or not (another program may have changed the file)."""
        self._tables.clear()
        self._dirty.clear()
        self._depends_on = None
        self.needs_data_flush = False

    def _make_room(self) -> None:
        while len(self._tables) >= self._limit:
            offset = next(iter(self._tables))
            if offset in self._dirty:
                self.settle()
                self._write(offset)
            del self._tables[offset]

    def _write(self, offset: int) -> None:
        self._file.event(self._update_event)
        self._file.pwrite(offset, self._encode(self._tables[offset]))
        self._dirty.discard(offset)
