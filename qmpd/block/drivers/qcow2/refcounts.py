"""Refcounts and the cluster allocator (qcow2 spec, "Host cluster management").

Where new clusters come from is QEMU's first fit with a moving start, quirks included, so
that the same writes give the same layout (tests/qcow2/test_layout.py compares with qemu-io).
"""

from __future__ import annotations

import struct
from errno import EFBIG, EINVAL

from qmpd.block.drivers.qcow2 import wording
from qmpd.block.drivers.qcow2.cache import TableCache
from qmpd.block.drivers.qcow2.header import MAX_REFCOUNT_TABLE_BYTES
from qmpd.block.drivers.qcow2.refblock import BlockCodec
from qmpd.block.drivers.qcow2.tables import encode_table, zeros
from qmpd.block.drivers.qcow2.types import ImageCorruptError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterator

    from qmpd.block.drivers.qcow2.header import Header
    from qmpd.block.drivers.qcow2.types import ByteFile

_TABLE_POINTER_AT = 48
_CACHE_BYTES = 16 << 20
_MAX_OFFSET = (1 << 56) - 1
_ENTRY_MASK = ~0x1FF & (1 << 64) - 1


class _TryAgain(Exception):  # noqa: N818 - not an error: the allocator took space for itself
    """A refcount block was allocated; the caller's search for clusters is out of date."""


class Refcounts:
    """The refcount table and blocks of one image, and who gets which cluster next."""

    __slots__ = (
        "_blocks",
        "_codec",
        "_file",
        "_free_byte",
        "_freed",
        "_header",
        "_l2_cache",
        "_load_table",
        "_table",
        "cache",
        "cluster_bits",
        "free_index",
        "guard",
        "per_block",
    )

    def __init__(
        self,
        file: ByteFile,
        header: Header,
        l2_cache: TableCache,
        load_table: Callable[[], array[int]],
    ) -> None:
        self._file = file
        self._header = header
        self._l2_cache = l2_cache
        self.cluster_bits = header.cluster_bits
        self._codec = BlockCodec(header.refcount_order, header.cluster_size)
        self.per_block = self._codec.entries
        self.cache = TableCache(
            file,
            header.cluster_size,
            self._codec.decode,
            self._codec.encode,
            capacity=_CACHE_BYTES,
            memory_per_table=self._codec.memory,
            events=("refblock_load", "refblock_update_part"),
        )
        self._load_table = load_table
        self._table: array[int] | None = None
        self.free_index = 0
        self._free_byte = 0
        # Called with offset and length of every new table; raises if metadata is there already.
        self.guard: Callable[[int, int], None] = lambda _offset, _length: None
        self._blocks: set[int] | None = None
        self._freed: list[tuple[int, int]] = []

    # Looking

    @property
    def table(self) -> array[int]:
        """The refcount table, read when it is first needed: most images are only read."""
        if self._table is None:
            self._table = self._load_table()
        return self._table

    def get(self, index: int) -> int:
        """The refcount of host cluster ``index``."""
        block = self._block(index // self.per_block)
        return 0 if block is None else block[index % self.per_block]

    def block_offset(self, table_index: int) -> int:
        """Where a refcount block lies, 0 if there is none; raises ``ImageCorruptError``."""
        if table_index >= len(self.table):
            return 0
        offset = self.table[table_index] & _ENTRY_MASK
        if offset & ((1 << self.cluster_bits) - 1):
            raise ImageCorruptError(
                wording.refcount_block_unaligned(offset, table_index),
                fatal=True,
            )
        return offset

    def blocks(self) -> set[int]:
        """Where all the refcount blocks lie."""
        if self._blocks is None:
            self._blocks = {entry & _ENTRY_MASK for entry in self.table if entry}
        return self._blocks

    def forget_blocks(self, gone: dict[int, int]) -> None:
        """Have these refcount blocks no more, by index in the table; the disk has them still."""
        for index, offset in gone.items():
            self.table[index] = 0
            self.cache.discard(offset, offset + (1 << self.cluster_bits))
            self.free_index = min(self.free_index, offset >> self.cluster_bits)
        self._blocks = None

    def _block(self, table_index: int) -> array[int] | None:
        offset = self.block_offset(table_index)
        return self.cache.get(offset) if offset else None

    def _free_run(self, index: int, want: int) -> int:
        """How many clusters from ``index`` are free, at most ``want``."""
        found = 0
        while found < want:
            table_index, at = divmod(index + found, self.per_block)
            if table_index >= len(self.table):
                return want
            take = min(want - found, self.per_block - at)
            block = self._block(table_index)
            if block is not None:
                used = block[at : at + take].tobytes().lstrip(b"\0")
                free = take - -(-len(used) // block.itemsize)
                if free < take:
                    return found + free
            found += take
        return found

    def _next_free(self, index: int) -> int:
        """The first free cluster from ``index`` on."""
        while True:
            table_index, at = divmod(index, self.per_block)
            block = self._block(table_index)
            if block is None:
                return index
            try:
                return table_index * self.per_block + block.index(0, at)
            except ValueError:
                index = (table_index + 1) * self.per_block

    def _search(self, count: int) -> int:
        """Index of the next ``count`` free clusters in a row; they are not yet taken."""
        index = self._next_free(self.free_index)
        while True:
            free = self._free_run(index, count)
            if free == count:
                break
            index = self._next_free(index + free + 1)
        self.free_index = index + count
        if self.free_index - 1 > _MAX_OFFSET >> self.cluster_bits:
            raise OSError(EFBIG, "File too large")
        return index

    # Taking and giving back

    def set(self, index: int, value: int) -> None:
        """Correct one refcount during a repair."""
        if value == self.get(index):
            return
        while True:
            try:
                self._need_block(index)
            except _TryAgain:
                continue
            break
        offset = self.block_offset(index // self.per_block)
        self.cache.get(offset)[index % self.per_block] = value
        self.cache.mark_dirty(offset)

    def used_from(self, index: int) -> Iterator[int]:
        """All clusters from ``index`` on that have a refcount."""
        end = len(self.table) * self.per_block
        while index < end:
            block = self._block(index // self.per_block)
            at = index % self.per_block
            if block is None or not any(block[at:]):
                index += self.per_block - at
                continue
            if block[at]:
                yield index
            index += 1

    def allocate(self, count: int) -> int:
        """Take ``count`` clusters in a row; returns their file offset."""
        self._file.event("cluster_alloc")
        while True:
            index = self._search(count)
            try:
                self._increase(index, count)
            except _TryAgain:
                continue
            return index << self.cluster_bits

    def allocate_at(self, offset: int, count: int) -> int:
        """Take up to ``count`` clusters at ``offset`` if they are free; returns how many."""
        index = offset >> self.cluster_bits
        while True:
            free = self._free_run(index, count)
            try:
                self._increase(index, free)
            except _TryAgain:
                continue
            return free

    def allocate_bytes(self, size: int) -> int:
        """Take ``size`` bytes for a compressed cluster, behind the last one if there is room."""
        self._file.event("cluster_alloc_bytes")
        bits = self.cluster_bits
        offset = self._free_byte
        if offset and self.get(offset >> bits) == self._codec.maximum:
            offset = 0
        while True:
            if not offset or -offset % (1 << bits) < size:
                new = self._search(1) << bits
                if new == 0:
                    raise ImageCorruptError(wording.COMPRESSED_AT_ZERO, fatal=True, offset=0)
                if not offset or offset + -offset % (1 << bits) != new:
                    offset = new
            try:
                self._increase(offset >> bits, ((offset + size - 1) >> bits) + 1 - (offset >> bits))
            except _TryAgain:
                continue
            break
        end = offset + size
        self._free_byte = end if end % (1 << bits) else 0
        return offset

    def free(self, offset: int, length: int) -> None:
        """Drop one reference to every cluster that the bytes touch.

        Where there is none to drop, nothing happens: the image had a fault before.
        """
        self._file.event("cluster_free")
        first = offset >> self.cluster_bits
        count = ((offset + length - 1) >> self.cluster_bits) + 1 - first
        # The reference is removed before the refcount is lowered.
        self.cache.depend_on(self._l2_cache)
        try:
            self._change(first, count, -1)
        except OSError as error:
            if error.errno != EINVAL:
                raise
        except _TryAgain:  # nothing was ever counted there
            pass
        self._freed.append((first, first + count))

    def _increase(self, first: int, count: int) -> None:
        self._settle_reuse(first, first + count)
        self._change(first, count, 1)

    def _settle_reuse(self, start: int, end: int) -> None:
        """A freed cluster gets new contents only when nothing on disk refers to it."""
        if self.cache.waits and any(a < end and start < b for a, b in self._freed):
            self.cache.settle()
        if not self.cache.waits:
            self._freed.clear()

    def _change(self, first: int, count: int, delta: int) -> None:
        position, end = first, first + count
        try:
            while position < end:
                at = position % self.per_block
                take = min(end - position, self.per_block - at)
                self._need_block(position)
                self._add(position, take, delta)
                position += take
        except (OSError, _TryAgain) as reason:
            while position > first:
                at = (position - 1) % self.per_block + 1
                take = min(position - first, at)
                position -= take
                self._add(position, take, -delta)
            if isinstance(reason, _TryAgain):
                # The next search begins with the same clusters: they may still be free.
                self.free_index = min(self.free_index, first)
            raise

    def _add(self, first: int, count: int, delta: int) -> None:
        """Change refcounts within one block."""
        table_index, at = divmod(first, self.per_block)
        offset = self.block_offset(table_index)
        block = self.cache.get(offset)
        old = block[at : at + count]
        low, high = min(old), max(old)
        if low + delta < 0 or high + delta > self._codec.maximum:
            raise OSError(EINVAL, "Invalid argument")
        if low == high:
            block[at : at + count] = self._codec.fill(low + delta, count)
        else:
            for i, value in enumerate(old, at):
                block[i] = value + delta
        self.cache.mark_dirty(offset)
        if delta < 0 and low == 1:
            self._dropped(first, old)

    def _dropped(self, first: int, old: array[int]) -> None:
        lowest = first + old.index(1)
        self.free_index = min(self.free_index, lowest)
        start, end = first << self.cluster_bits, (first + len(old)) << self.cluster_bits
        if min(old) == max(old):
            self._discard(start, end)
            return
        for i, value in enumerate(old, first):
            if value == 1:
                self._discard(i << self.cluster_bits, (i + 1) << self.cluster_bits)

    def _discard(self, start: int, end: int) -> None:
        self._l2_cache.discard(start, end)
        self.cache.discard(start, end)

    # Growing the structure itself

    def _need_block(self, index: int) -> None:
        """Make sure that a refcount block covers cluster ``index``.

        Raises ``_TryAgain`` after it has allocated one, since that took a cluster.
        """
        table_index = index // self.per_block
        if self.block_offset(table_index):
            return
        self._l2_cache.flush()
        new = self._search(1)
        if new == 0:
            raise ImageCorruptError(wording.REFCOUNT_BLOCK_AT_ZERO, fatal=True, offset=0)
        offset = new << self.cluster_bits
        self.guard(offset, 1 << self.cluster_bits)
        block = self._codec.fill(0, self.per_block)
        if new // self.per_block == table_index:
            block[new % self.per_block] = 1
        else:
            self._change(new, 1, 1)
            self.cache.flush()
        self.cache.add(offset, block)
        self.cache.flush()
        if table_index < len(self.table):
            self._write_sync(
                self._header.refcount_table_offset + table_index * 8,
                struct.pack(">Q", offset),
            )
            self.table[table_index] = offset
            self._blocks = None
        else:
            self._grow_table(index, table_index, offset)
        raise _TryAgain

    def _grow_table(self, index: int, table_index: int, block_offset: int) -> None:
        """Move to a larger refcount table, laid out behind everything covered so far."""
        used = -(-max(index + 1, (block_offset >> self.cluster_bits) + 1) // self.per_block)
        start = used * self.per_block
        blocks = _blocks_needed(start, 1 << self.cluster_bits, self.per_block)
        entries_per_cluster = 1 << self.cluster_bits - 3
        clusters = -(-(blocks + -(-blocks // 2)) // entries_per_cluster)
        if clusters << self.cluster_bits > MAX_REFCOUNT_TABLE_BYTES:
            raise OSError(EFBIG, "File too large")
        table = self.table + zeros(clusters * entries_per_cluster - len(self.table))
        table[table_index] = block_offset
        first_area = start // self.per_block
        missing = [i for i in range(first_area, blocks) if not table[i]]
        table_at = start + len(missing)
        self.guard(start << self.cluster_bits, (len(missing) + clusters) << self.cluster_bits)
        self._cover(table, missing, start, table_at + clusters)
        self.cache.flush()
        self._switch_table(table, table_at << self.cluster_bits, clusters)

    def _cover(self, table: array[int], missing: list[int], start: int, end: int) -> None:
        """Create the missing blocks from cluster ``start`` on, counting what lies before ``end``."""
        for number, i in enumerate(missing):
            table[i] = (start + number) << self.cluster_bits
            self.cache.add(table[i], self._codec.fill(0, self.per_block))
        for i in range(start // self.per_block, -(-end // self.per_block)):
            base = i * self.per_block
            low, high = max(start - base, 0), min(end - base, self.per_block)
            block = self.cache.get(table[i])
            block[low:high] = self._codec.fill(1, high - low)
            self.cache.mark_dirty(table[i])

    def _switch_table(self, table: array[int], offset: int, clusters: int) -> None:
        header = self._header
        self._write_sync(offset, encode_table(table))
        self._write_sync(_TABLE_POINTER_AT, struct.pack(">QI", offset, clusters))
        old_offset, old_size = header.refcount_table_offset, len(self.table) * 8
        self._table = table
        self._blocks = None
        header.refcount_table_offset, header.refcount_table_clusters = offset, clusters
        self.free(old_offset, old_size)

    def _write_sync(self, offset: int, data: bytes) -> None:
        self._file.pwrite(offset, data)
        self._file.flush()


def _blocks_needed(clusters: int, cluster_size: int, per_block: int) -> int:
    """Refcount blocks for ``clusters`` and for the structure itself, with room to spare."""
    per_table_cluster = cluster_size // 8
    blocks = table = total = 0
    generous = True
    while True:
        last = total
        blocks = -(-(clusters + table + blocks) // per_block)
        table = -(-blocks // per_table_cluster)
        total = clusters + blocks + table
        if total == last:
            if not generous:
                return blocks
            clusters += -(-table // 2)
            total, generous = 0, False
