"""Checks of the node options about caches; the caches themselves are qmpd's own business."""

from __future__ import annotations

from qmpd.block.drivers.qcow2 import wording
from qmpd.block.options import check_sizes
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_L2_CACHE = 32 << 20
MIN_ENTRY = 512
MIN_REFCOUNT_TABLES, MIN_L2_TABLES = 4, 2
_SIZES = frozenset(("cache-size", "l2-cache-size", "l2-cache-entry-size", "refcount-cache-size"))
_SUSPICIOUS = 1 << 28
_OVERLAP_CHECKS = ("none", "constant", "cached", "all")
INT_MAX, UINT_MAX = (1 << 31) - 1, (1 << 32) - 1


def check(options: dict[str, Any], cluster_size: int, virtual_size: int) -> None:
    """Refuse what the original refuses, in its order (sentences observed on QEMU 7.2).

    Sizes are in bytes.

    Raises:
        QmpError: the options contradict each other or are out of range.
    """
    check_sizes(options, _SIZES)
    entry_size = options.get("l2-cache-entry-size", cluster_size)
    needed = -(-virtual_size // cluster_size) * 8
    l2_max = -(-needed // cluster_size) * cluster_size
    l2_size, refcount_size = _split(options, l2_max, MIN_REFCOUNT_TABLES * cluster_size)
    if entry_size < MIN_ENTRY or entry_size > cluster_size or entry_size & (entry_size - 1):
        raise QmpError(wording.bad_entry_size(MIN_ENTRY, cluster_size))
    if max(l2_size // entry_size, MIN_L2_TABLES) > INT_MAX:
        raise QmpError(wording.L2_CACHE_TOO_BIG)
    if max(refcount_size // cluster_size, MIN_REFCOUNT_TABLES) > INT_MAX:
        raise QmpError(wording.REFCOUNT_CACHE_TOO_BIG)
    if refcount_size >= _SUSPICIOUS and not _has_memory(refcount_size):
        raise QmpError(wording.NO_CACHE_MEMORY)
    if not 0 <= options.get("cache-clean-interval", 0) <= UINT_MAX:
        raise QmpError(wording.CLEAN_INTERVAL_TOO_BIG)
    _check_overlap(options.get("overlap-check"), options.get("overlap-check.template"))


def _has_memory(size: int) -> bool:
    """Whether the host would give the original that much, as yet unused."""
    from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap

    try:
        mmap(-1, size, MAP_PRIVATE | MAP_ANONYMOUS).close()
    except (OSError, OverflowError):
        return False
    return True


def _check_overlap(ready_made: str | None, template: str | None) -> None:
    """Names in headers can say anything."""
    if ready_made and template and ready_made != template:
        raise QmpError(wording.two_overlap_checks(ready_made, template))
    wanted = template or ready_made
    if wanted and wanted not in _OVERLAP_CHECKS:
        raise QmpError(wording.unknown_overlap_check(wanted))


def join(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """Join options as the original does (found out by comparing reopens on QEMU 7.2).

    A new template replaces all old overlap checks, a new total both old cache sizes; an old
    total does not survive any single size.
    """
    replaced: set[str] = set()
    if "overlap-check" in new or "overlap-check.template" in new:
        replaced |= {key for key in old if key.startswith("overlap-check")}
    if "cache-size" in new:
        replaced |= {"l2-cache-size", "refcount-cache-size"}
    joined = {**{key: value for key, value in old.items() if key not in replaced}, **new}
    if "cache-size" not in new:
        joined.pop("cache-size", None)
    return joined


def _split(options: dict[str, Any], l2_max: int, refcount_min: int) -> tuple[int, int]:
    """The sizes of the L2 and of the refcount cache."""
    l2_given: int | None = options.get("l2-cache-size")
    refcount: int = options.get("refcount-cache-size", 0)
    l2_size = min(l2_max, DEFAULT_L2_CACHE if l2_given is None else l2_given)
    combined: int | None = options.get("cache-size")
    if combined is None:
        return l2_size, refcount
    if l2_given is not None and "refcount-cache-size" in options:
        raise QmpError(wording.CACHES_ALL_THREE)
    if l2_given is not None and l2_given > combined:
        raise QmpError(wording.L2_CACHE_EXCEEDS)
    if refcount > combined:
        raise QmpError(wording.REFCOUNT_CACHE_EXCEEDS)
    if l2_given is not None:
        return l2_size, combined - l2_size
    if "refcount-cache-size" in options:
        return combined - refcount, refcount
    if combined >= l2_max + refcount_min:
        return l2_max, combined - l2_max
    refcount = min(combined, refcount_min)
    return combined - refcount, refcount
