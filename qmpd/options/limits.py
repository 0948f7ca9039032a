"""Limits for a drive's I/O on the command line: nothing is slowed down, queries show them."""

from __future__ import annotations

from qmpd.errors import QmpError
from qmpd.options import wording
from qmpd.protocol.encoder import hash_order
from qmpd.schema.optiontexts import read_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "throttling."
GROUP = f"{PREFIX}group"
"""The option that lets several drives have their limits together."""
_IOPS_SIZE = f"{PREFIX}iops-size"
_INTERVALS = "stats-intervals."
_LARGEST = 10**15
_MASK = (1 << 64) - 1

_RATES = {
    f"{unit}{short}": f"{PREFIX}{unit}-{direction}"
    for unit in ("bps", "iops")
    for short, direction in (("", "total"), ("_rd", "read"), ("_wr", "write"))
}
"""What queries call each rate, and its option; ``-max`` and ``-max-length`` follow it."""

_ALIASES = {
    **_RATES,
    **{f"{member}_max": f"{option}-max" for member, option in _RATES.items()},
    "iops_size": _IOPS_SIZE,
    "group": GROUP,
    "readonly": "read-only",
}
_NUMBERS = frozenset(
    (_IOPS_SIZE, *(f"{option}{end}" for option in _RATES.values() for end in ("", "-max")))
) | {f"{option}-max-length" for option in _RATES.values()}


def renamed(items: list[tuple[str, str]]) -> dict[str, str]:
    """A drive's options, with new names for those that have old ones.

    Of equal names the last one counts, of equal old names the first (observed on QEMU 7.2).

    Raises:
        QmpError: an option is there under both names.
    """
    options = dict(items)
    for old, new in _ALIASES.items():
        if old in options:
            if new in options:
                raise QmpError(wording.both_names(new, old))
            del options[old]
            options[new] = next(value for name, value in items if name == old)
    return options


def take_intervals(options: dict[str, str]) -> None:
    """Take the lengths (s) of intervals for statistics, which mean nothing here.

    Raises:
        QmpError: one of them makes no sense.
    """
    names = {name for name in options if name.startswith(_INTERVALS)}
    for name in hash_order(names):
        text = options.pop(name).lstrip()
        if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 32):
            raise QmpError(wording.invalid_interval(text))
    for name in hash_order(names - {f"{_INTERVALS}{number}" for number in range(len(names))}):
        raise QmpError(wording.not_numbered(name))


def take(options: dict[str, str]) -> dict[str, int]:
    """Take the limits out of ``options``; by option, those that are not given are absent.

    Raises:
        QmpError: a value is no number.
    """
    return {
        name: read_number(name, options.pop(name)) for name in hash_order(_NUMBERS & set(options))
    }


def of_members(given: Mapping[str, int]) -> dict[str, int]:
    """The limits by option, of those that stand there as queries call them.

    Negative numbers count as large ones, but as a request's size (observed on QEMU 7.2).
    """
    found = {}
    for member, option in _RATES.items():
        for name, end in (("", ""), ("_max", "-max"), ("_max_length", "-max-length")):
            if f"{member}{name}" in given:
                found[f"{option}{end}"] = given[f"{member}{name}"] & _MASK
    if "iops_size" in given:
        found[_IOPS_SIZE] = given["iops_size"]
    return found


def check(limits: Mapping[str, int]) -> None:
    """Refuse limits that make no sense, in the original's order.

    Raises:
        QmpError: what is wrong with them.
    """
    get = limits.get
    for unit in ("bps", "iops"):
        for end in ("", "-max"):
            total, read, write = (
                get(f"{PREFIX}{unit}-{which}{end}") for which in ("total", "read", "write")
            )
            if total and (read or write):
                raise QmpError(wording.TOTAL_AND_PARTS)
    if get(_IOPS_SIZE) and not any(get(_RATES[rate]) for rate in ("iops", "iops_rd", "iops_wr")):
        raise QmpError(wording.IOPS_SIZE_ALONE)
    for option in _RATES.values():
        rate, most, length = get(option, 0), get(f"{option}-max", 0), get(f"{option}-max-length", 1)
        _check_rate(rate, most, length)


def _check_rate(rate: int, most: int, length: int) -> None:
    if max(rate, most) > _LARGEST:
        raise QmpError(wording.LIMIT_TOO_LARGE)
    if not length:
        raise QmpError(wording.NO_BURST_LENGTH)
    if length > 1 and not most:
        raise QmpError(wording.BURST_LENGTH_ALONE)
    if most and length > _LARGEST // most:
        raise QmpError(wording.BURST_TOO_LONG)
    if most and not rate:
        raise QmpError(wording.BURST_ALONE)
    if most and most < rate:
        raise QmpError(wording.BURST_TOO_LOW)


def members(limits: Mapping[str, int], group: str) -> dict[str, int | str]:
    """What queries show of limits; nothing if there are none."""
    if not any(limits.get(option) for option in _RATES.values()):
        return {}
    found: dict[str, int | str] = {"group": group}
    for member, option in _RATES.items():
        found[member] = limits.get(option, 0)
        if limits.get(f"{option}-max"):
            found[f"{member}_max"] = limits[f"{option}-max"]
            found[f"{member}_max_length"] = limits.get(f"{option}-max-length", 1)
    if limits.get(_IOPS_SIZE):
        found["iops_size"] = limits[_IOPS_SIZE]
    return found
