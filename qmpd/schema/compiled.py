"""Generated from qmpd.schema.models by `python -m qmpd.schema`; do not edit."""

# fmt: off

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OBJECTS: dict[str, Any] = {
    "Empty": ((), None, None),
    "QueryBlockstats": ((("query-nodes", 1, True, None),), None, None),
    "BlockCommit": ((("job-id", 0, True, None), ("device", 0, False, None), ("base-node", 0, True, None), ("base", 0, True, None), ("top-node", 0, True, None), ("top", 0, True, None), ("backing-file", 0, True, None), ("speed", 2, True, None), ("on-error", 6, True, ("report", "ignore", "enospc", "stop", "auto")), ("filter-node-name", 0, True, None), ("auto-finalize", 1, True, None), ("auto-dismiss", 1, True, None)), None, None),
    "QueryNamedBlockNodes": ((("flat", 1, True, None),), None, None),
    "BlockJobSetSpeed": ((("device", 0, False, None), ("speed", 2, False, None)), None, None),
    "BlockJobCancel": ((("device", 0, False, None), ("force", 1, True, None)), None, None),
    "BlockJobPause": ((("device", 0, False, None),), None, None),
    "BlockJobResume": ((("device", 0, False, None),), None, None),
    "BlockJobComplete": ((("device", 0, False, None),), None, None),
    "BlockJobDismiss": ((("id", 0, False, None),), None, None),
    "BlockJobFinalize": ((("id", 0, False, None),), None, None),
    "BlockdevOptions": ((("driver", 6, False, ("file", "null-aio", "null-co", "qcow2", "raw")), ("node-name", 0, True, None), ("discard", 6, True, ("ignore", "unmap")), ("cache", 11, True, "BlockdevCacheOptions"), ("read-only", 1, True, None), ("auto-read-only", 1, True, None), ("force-share", 1, True, None), ("detect-zeroes", 6, True, ("off", "on", "unmap"))), "driver", {"file": (("filename", 0, False, None), ("pr-manager", 0, True, None), ("locking", 6, True, ("auto", "on", "off")), ("aio", 6, True, ("threads", "native", "io_uring")), ("aio-max-batch", 2, True, None), ("drop-cache", 1, True, None), ("x-check-cache-dropped", 1, True, None)), "null-aio": (("size", 2, True, None), ("latency-ns", 3, True, None), ("read-zeroes", 1, True, None)), "null-co": (("size", 2, True, None), ("latency-ns", 3, True, None), ("read-zeroes", 1, True, None)), "qcow2": (("file", 12, False, "BlockdevRef"), ("backing", 12, True, "BlockdevRefOrNull"), ("lazy-refcounts", 1, True, None), ("pass-discard-request", 1, True, None), ("pass-discard-snapshot", 1, True, None), ("pass-discard-other", 1, True, None), ("overlap-check", 12, True, "Qcow2OverlapChecks"), ("cache-size", 2, True, None), ("l2-cache-size", 2, True, None), ("l2-cache-entry-size", 2, True, None), ("refcount-cache-size", 2, True, None), ("cache-clean-interval", 2, True, None), ("encrypt", 11, True, "BlockdevQcow2Encryption"), ("data-file", 12, True, "BlockdevRef")), "raw": (("file", 12, False, "BlockdevRef"), ("offset", 2, True, None), ("size", 2, True, None))}),
    "Qcow2OverlapCheckFlags": ((("template", 6, True, ("none", "constant", "cached", "all")), ("main-header", 1, True, None), ("active-l1", 1, True, None), ("active-l2", 1, True, None), ("refcount-table", 1, True, None), ("refcount-block", 1, True, None), ("snapshot-table", 1, True, None), ("inactive-l1", 1, True, None), ("inactive-l2", 1, True, None), ("bitmap-directory", 1, True, None)), None, None),
    "BlockdevQcow2Encryption": ((("format", 6, False, ("aes", "luks")),), "format", {"aes": (("key-secret", 0, True, None),), "luks": (("key-secret", 0, True, None),)}),
    "BlockdevCacheOptions": ((("direct", 1, True, None), ("no-flush", 1, True, None)), None, None),
    "BlockdevReopen": ((("options", 10, False, (11, "BlockdevOptions")),), None, None),
    "BlockdevDel": ((("node-name", 0, False, None),), None, None),
    "JobPause": ((("id", 0, False, None),), None, None),
    "JobResume": ((("id", 0, False, None),), None, None),
    "JobCancel": ((("id", 0, False, None),), None, None),
    "JobComplete": ((("id", 0, False, None),), None, None),
    "JobDismiss": ((("id", 0, False, None),), None, None),
    "JobFinalize": ((("id", 0, False, None),), None, None),
    "QmpCapabilities": ((("enable", 10, True, (6, ("oob",))),), None, None),
    "ObjectOptions": ((("qom-type", 6, False, ("iothread", "main-loop", "memory-backend-file", "memory-backend-memfd", "memory-backend-ram", "pr-manager-helper", "rng-builtin", "rng-egd", "rng-random", "secret", "secret_keyring", "throttle-group")), ("id", 0, False, None)), "qom-type", {"iothread": (("aio-max-batch", 2, True, None), ("thread-pool-min", 2, True, None), ("thread-pool-max", 2, True, None), ("poll-max-ns", 2, True, None), ("poll-grow", 2, True, None), ("poll-shrink", 2, True, None)), "main-loop": (("aio-max-batch", 2, True, None), ("thread-pool-min", 2, True, None), ("thread-pool-max", 2, True, None)), "memory-backend-file": (("dump", 1, True, None), ("host-nodes", 10, True, (5, (0, 65535, "uint16_t"))), ("merge", 1, True, None), ("policy", 6, True, ("default", "preferred", "bind", "interleave")), ("prealloc", 1, True, None), ("prealloc-threads", 5, True, (0, 4294967295, "uint32_t")), ("prealloc-context", 0, True, None), ("share", 1, True, None), ("reserve", 1, True, None), ("size", 4, False, None), ("x-use-canonical-path-for-ramblock-id", 1, True, None), ("align", 4, True, None), ("discard-data", 1, True, None), ("mem-path", 0, False, None), ("pmem", 1, True, None), ("readonly", 1, True, None)), "memory-backend-memfd": (("dump", 1, True, None), ("host-nodes", 10, True, (5, (0, 65535, "uint16_t"))), ("merge", 1, True, None), ("policy", 6, True, ("default", "preferred", "bind", "interleave")), ("prealloc", 1, True, None), ("prealloc-threads", 5, True, (0, 4294967295, "uint32_t")), ("prealloc-context", 0, True, None), ("share", 1, True, None), ("reserve", 1, True, None), ("size", 4, False, None), ("x-use-canonical-path-for-ramblock-id", 1, True, None), ("hugetlb", 1, True, None), ("hugetlbsize", 4, True, None), ("seal", 1, True, None)), "memory-backend-ram": (("dump", 1, True, None), ("host-nodes", 10, True, (5, (0, 65535, "uint16_t"))), ("merge", 1, True, None), ("policy", 6, True, ("default", "preferred", "bind", "interleave")), ("prealloc", 1, True, None), ("prealloc-threads", 5, True, (0, 4294967295, "uint32_t")), ("prealloc-context", 0, True, None), ("share", 1, True, None), ("reserve", 1, True, None), ("size", 4, False, None), ("x-use-canonical-path-for-ramblock-id", 1, True, None)), "pr-manager-helper": (("path", 0, False, None),), "rng-builtin": (("opened", 1, True, None),), "rng-egd": (("opened", 1, True, None), ("chardev", 0, False, None)), "rng-random": (("opened", 1, True, None), ("filename", 0, True, None)), "secret": (("loaded", 1, True, None), ("format", 6, True, ("raw", "base64")), ("keyid", 0, True, None), ("iv", 0, True, None), ("data", 0, True, None), ("file", 0, True, None)), "secret_keyring": (("loaded", 1, True, None), ("format", 6, True, ("raw", "base64")), ("keyid", 0, True, None), ("iv", 0, True, None), ("serial", 5, False, (-2147483648, 2147483647, "int32_t"))), "throttle-group": (("limits", 11, True, "ThrottleLimits"), ("x-iops-total", 2, True, None), ("x-iops-total-max", 2, True, None), ("x-iops-total-max-length", 2, True, None), ("x-iops-read", 2, True, None), ("x-iops-read-max", 2, True, None), ("x-iops-read-max-length", 2, True, None), ("x-iops-write", 2, True, None), ("x-iops-write-max", 2, True, None), ("x-iops-write-max-length", 2, True, None), ("x-bps-total", 2, True, None), ("x-bps-total-max", 2, True, None), ("x-bps-total-max-length", 2, True, None), ("x-bps-read", 2, True, None), ("x-bps-read-max", 2, True, None), ("x-bps-read-max-length", 2, True, None), ("x-bps-write", 2, True, None), ("x-bps-write-max", 2, True, None), ("x-bps-write-max-length", 2, True, None), ("x-iops-size", 2, True, None))}),
    "ThrottleLimits": ((("iops-total", 2, True, None), ("iops-total-max", 2, True, None), ("iops-total-max-length", 2, True, None), ("iops-read", 2, True, None), ("iops-read-max", 2, True, None), ("iops-read-max-length", 2, True, None), ("iops-write", 2, True, None), ("iops-write-max", 2, True, None), ("iops-write-max-length", 2, True, None), ("bps-total", 2, True, None), ("bps-total-max", 2, True, None), ("bps-total-max-length", 2, True, None), ("bps-read", 2, True, None), ("bps-read-max", 2, True, None), ("bps-read-max-length", 2, True, None), ("bps-write", 2, True, None), ("bps-write-max", 2, True, None), ("bps-write-max-length", 2, True, None), ("iops-size", 2, True, None)), None, None),
    "ObjectDel": ((("id", 0, False, None),), None, None),
    "MonitorOptions": ((("id", 0, True, None), ("mode", 6, True, ("readline", "control")), ("pretty", 1, True, None), ("chardev", 0, False, None)), None, None),
}
ALTERNATES: dict[str, dict[str, tuple[int, Any]]] = {
    "BlockdevRef": {"dict": (11, "BlockdevOptions"), "str": (0, None)},
    "BlockdevRefOrNull": {"dict": (11, "BlockdevOptions"), "str": (0, None), "NoneType": (8, None)},
    "Qcow2OverlapChecks": {"dict": (11, "Qcow2OverlapCheckFlags"), "str": (6, ("none", "constant", "cached", "all"))},
}
COMMANDS: dict[str, tuple[str, dict[str, str], tuple[str, ...], bool]] = {
    "query-status": ("Empty", {}, ("system",), False),
    "query-block": ("Empty", {}, ("system", "storage-daemon"), False),
    "query-blockstats": ("QueryBlockstats", {"query-nodes": "query_nodes"}, ("system", "storage-daemon"), False),
    "query-block-jobs": ("Empty", {}, ("system", "storage-daemon"), False),
    "block-commit": ("BlockCommit", {"job-id": "job_id", "device": "device", "base-node": "base_node", "base": "base", "top-node": "top_node", "top": "top", "backing-file": "backing_file", "speed": "speed", "on-error": "on_error", "filter-node-name": "filter_node_name", "auto-finalize": "auto_finalize", "auto-dismiss": "auto_dismiss"}, ("system", "storage-daemon"), False),
    "query-named-block-nodes": ("QueryNamedBlockNodes", {"flat": "flat"}, ("system", "storage-daemon"), False),
    "x-debug-query-block-graph": ("Empty", {}, ("system", "storage-daemon"), False),
    "block-job-set-speed": ("BlockJobSetSpeed", {"device": "device", "speed": "speed"}, ("system", "storage-daemon"), False),
    "block-job-cancel": ("BlockJobCancel", {"device": "device", "force": "force"}, ("system", "storage-daemon"), False),
    "block-job-pause": ("BlockJobPause", {"device": "device"}, ("system", "storage-daemon"), False),
    "block-job-resume": ("BlockJobResume", {"device": "device"}, ("system", "storage-daemon"), False),
    "block-job-complete": ("BlockJobComplete", {"device": "device"}, ("system", "storage-daemon"), False),
    "block-job-dismiss": ("BlockJobDismiss", {"id": "id"}, ("system", "storage-daemon"), False),
    "block-job-finalize": ("BlockJobFinalize", {"id": "id"}, ("system", "storage-daemon"), False),
    "blockdev-add": ("BlockdevOptions", {"driver": "driver", "node-name": "node_name", "discard": "discard", "cache": "cache", "read-only": "read_only", "auto-read-only": "auto_read_only", "force-share": "force_share", "detect-zeroes": "detect_zeroes", "filename": "filename", "pr-manager": "pr_manager", "locking": "locking", "aio": "aio", "aio-max-batch": "aio_max_batch", "drop-cache": "drop_cache", "x-check-cache-dropped": "x_check_cache_dropped", "size": "size", "latency-ns": "latency_ns", "read-zeroes": "read_zeroes", "file": "file", "backing": "backing", "lazy-refcounts": "lazy_refcounts", "pass-discard-request": "pass_discard_request", "pass-discard-snapshot": "pass_discard_snapshot", "pass-discard-other": "pass_discard_other", "overlap-check": "overlap_check", "cache-size": "cache_size", "l2-cache-size": "l2_cache_size", "l2-cache-entry-size": "l2_cache_entry_size", "refcount-cache-size": "refcount_cache_size", "cache-clean-interval": "cache_clean_interval", "encrypt": "encrypt", "data-file": "data_file", "offset": "offset"}, ("system", "storage-daemon"), False),
    "blockdev-reopen": ("BlockdevReopen", {"options": "options"}, ("system", "storage-daemon"), False),
    "blockdev-del": ("BlockdevDel", {"node-name": "node_name"}, ("system", "storage-daemon"), False),
    "job-pause": ("JobPause", {"id": "id"}, ("system", "storage-daemon"), False),
    "job-resume": ("JobResume", {"id": "id"}, ("system", "storage-daemon"), False),
    "job-cancel": ("JobCancel", {"id": "id"}, ("system", "storage-daemon"), False),
    "job-complete": ("JobComplete", {"id": "id"}, ("system", "storage-daemon"), False),
    "job-dismiss": ("JobDismiss", {"id": "id"}, ("system", "storage-daemon"), False),
    "job-finalize": ("JobFinalize", {"id": "id"}, ("system", "storage-daemon"), False),
    "query-jobs": ("Empty", {}, ("system", "storage-daemon"), False),
    "qmp_capabilities": ("QmpCapabilities", {"enable": "enable"}, ("system", "storage-daemon"), False),
    "query-version": ("Empty", {}, ("system", "storage-daemon"), False),
    "query-commands": ("Empty", {}, ("system", "storage-daemon"), False),
    "quit": ("Empty", {}, ("system", "storage-daemon"), False),
    "query-qmp-schema": ("Empty", {}, ("system", "storage-daemon"), False),
    "object-add": ("ObjectOptions", {"qom-type": "qom_type", "id": "id", "aio-max-batch": "aio_max_batch", "thread-pool-min": "thread_pool_min", "thread-pool-max": "thread_pool_max", "poll-max-ns": "poll_max_ns", "poll-grow": "poll_grow", "poll-shrink": "poll_shrink", "dump": "dump", "host-nodes": "host_nodes", "merge": "merge", "policy": "policy", "prealloc": "prealloc", "prealloc-threads": "prealloc_threads", "prealloc-context": "prealloc_context", "share": "share", "reserve": "reserve", "size": "size", "x-use-canonical-path-for-ramblock-id": "x_use_canonical_path_for_ramblock_id", "align": "align", "discard-data": "discard_data", "mem-path": "mem_path", "pmem": "pmem", "readonly": "readonly", "hugetlb": "hugetlb", "hugetlbsize": "hugetlbsize", "seal": "seal", "path": "path", "opened": "opened", "chardev": "chardev", "filename": "filename", "loaded": "loaded", "format": "format", "keyid": "keyid", "iv": "iv", "data": "data", "file": "file", "serial": "serial", "limits": "limits", "x-iops-total": "x_iops_total", "x-iops-total-max": "x_iops_total_max", "x-iops-total-max-length": "x_iops_total_max_length", "x-iops-read": "x_iops_read", "x-iops-read-max": "x_iops_read_max", "x-iops-read-max-length": "x_iops_read_max_length", "x-iops-write": "x_iops_write", "x-iops-write-max": "x_iops_write_max", "x-iops-write-max-length": "x_iops_write_max_length", "x-bps-total": "x_bps_total", "x-bps-total-max": "x_bps_total_max", "x-bps-total-max-length": "x_bps_total_max_length", "x-bps-read": "x_bps_read", "x-bps-read-max": "x_bps_read_max", "x-bps-read-max-length": "x_bps_read_max_length", "x-bps-write": "x_bps_write", "x-bps-write-max": "x_bps_write_max", "x-bps-write-max-length": "x_bps_write_max_length", "x-iops-size": "x_iops_size"}, ("system", "storage-daemon"), False),
    "object-del": ("ObjectDel", {"id": "id"}, ("system", "storage-daemon"), False),
    "query-name": ("Empty", {}, ("system",), False),
    "stop": ("Empty", {}, ("system",), False),
    "cont": ("Empty", {}, ("system",), False),
}
EVENTS: dict[str, tuple[str, ...]] = {
    "SHUTDOWN": ("system",),
    "STOP": ("system",),
    "RESUME": ("system",),
    "BLOCK_IMAGE_CORRUPTED": ("system", "storage-daemon"),
    "BLOCK_JOB_COMPLETED": ("system", "storage-daemon"),
    "BLOCK_JOB_CANCELLED": ("system", "storage-daemon"),
    "BLOCK_JOB_ERROR": ("system", "storage-daemon"),
    "BLOCK_JOB_READY": ("system", "storage-daemon"),
    "BLOCK_JOB_PENDING": ("system", "storage-daemon"),
    "JOB_STATUS_CHANGE": ("system", "storage-daemon"),
}
