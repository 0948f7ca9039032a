"""Counters of devices and nodes."""

from typing import ClassVar

from qmpd.schema.models.blockdev import BlockdevDriver
from qmpd.schema.models.kinds import (
    Command,
    FlatUnion,
    Int,
    Opt,
    SnakeStruct,
    Struct,
    Uint64,
)


class BlockDeviceTimedStats(SnakeStruct):
    """Counters over a sliding interval."""

    interval_length: Int
    """Seconds of the interval."""
    min_rd_latency_ns: Int
    """Shortest read."""
    max_rd_latency_ns: Int
    """Longest read."""
    avg_rd_latency_ns: Int
    """Average read."""
    min_wr_latency_ns: Int
    """Shortest write."""
    max_wr_latency_ns: Int
    """Longest write."""
    avg_wr_latency_ns: Int
    """Average write."""
    min_flush_latency_ns: Int
    """Shortest flush."""
    max_flush_latency_ns: Int
    """Longest flush."""
    avg_flush_latency_ns: Int
    """Average flush."""
    avg_rd_queue_depth: float
    """Average number of pending reads."""
    avg_wr_queue_depth: float
    """Average number of pending writes."""


class BlockLatencyHistogramInfo(Struct):
    """How requests spread over latencies."""

    boundaries: list[Uint64]
    """Limits between the intervals, in nanoseconds."""
    bins: list[Uint64]
    """Requests in each interval."""


class BlockDeviceStats(SnakeStruct):
    """Counters of a device or node."""

    rd_bytes: Int
    """Bytes read."""
    wr_bytes: Int
    """Bytes written."""
    unmap_bytes: Int
    """Bytes discarded."""
    rd_operations: Int
    """Reads."""
    wr_operations: Int
    """Writes."""
    flush_operations: Int
    """Flushes."""
    unmap_operations: Int
    """Discards."""
    rd_total_time_ns: Int
    """Time spent reading."""
    wr_total_time_ns: Int
    """Time spent writing."""
    flush_total_time_ns: Int
    """Time spent flushing."""
    unmap_total_time_ns: Int
    """Time spent discarding."""
    wr_highest_offset: Int
    """End of the highest write."""
    rd_merged: Int
    """Reads merged into others."""
    wr_merged: Int
    """Writes merged into others."""
    unmap_merged: Int
    """Discards merged into others."""
    idle_time_ns: Opt[Int] = None
    """Time since the last request."""
    failed_rd_operations: Int
    """Reads that failed."""
    failed_wr_operations: Int
    """Writes that failed."""
    failed_flush_operations: Int
    """Flushes that failed."""
    failed_unmap_operations: Int
    """Discards that failed."""
    invalid_rd_operations: Int
    """Reads that were not allowed."""
    invalid_wr_operations: Int
    """Writes that were not allowed."""
    invalid_flush_operations: Int
    """Flushes that were not allowed."""
    invalid_unmap_operations: Int
    """Discards that were not allowed."""
    account_invalid: bool
    """Whether invalid requests count in the latencies."""
    account_failed: bool
    """Whether failed requests count in the latencies."""
    timed_stats: list[BlockDeviceTimedStats]
    """Counters over sliding intervals."""
    rd_latency_histogram: Opt[BlockLatencyHistogramInfo] = None
    """Latencies of reads."""
    wr_latency_histogram: Opt[BlockLatencyHistogramInfo] = None
    """Latencies of writes."""
    flush_latency_histogram: Opt[BlockLatencyHistogramInfo] = None
    """Latencies of flushes."""


class BlockStatsSpecificFile(Struct):
    """Counters that only files have."""

    discard_nb_ok: Uint64
    """Discards that succeeded."""
    discard_nb_failed: Uint64
    """Discards that failed."""
    discard_bytes_ok: Uint64
    """Bytes discarded."""


class BlockStatsSpecific(FlatUnion):
    """Counters that only one driver has."""

    tag: ClassVar[str] = "driver"
    variants: ClassVar[dict[str, type[Struct]]] = {
        "file": BlockStatsSpecificFile,
        "host_device": BlockStatsSpecificFile,
    }

    driver: BlockdevDriver
    """The driver."""


class BlockStats(Struct):
    """Counters of a device or node and of what lies below it."""

    device: Opt[str] = None
    """Drive name."""
    qdev: Opt[str] = None
    """QOM path of the device."""
    node_name: Opt[str] = None
    """Node name."""
    stats: BlockDeviceStats
    """The counters."""
    driver_specific: Opt[BlockStatsSpecific] = None
    """Counters that only this driver has."""
    parent: Opt["BlockStats"] = None
    """Counters of the file child, which has long been called parent here."""
    backing: Opt["BlockStats"] = None
    """Counters of the backing child."""


class QueryBlockstats(Struct):
    """Whose counters to tell."""

    query_nodes: Opt[bool] = None
    """Whether every named node is listed instead of every device."""


QUERY_BLOCKSTATS = Command("query-blockstats", QueryBlockstats, list[BlockStats])
