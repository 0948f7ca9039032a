"""A node's options: what was given, what was inherited, and the flags they make.

QEMU keeps two sets per node: *explicit* options (given in the definition) and
*effective* ones (explicit, inherited and defaulted). Reopening needs both.
"""

from __future__ import annotations

from qmpd.block import permissions as p
from qmpd.block import wording
from qmpd.errors import QmpError
from qmpd.protocol.encoder import hash_order
from qmpd.schema.wording import SIZE_HINT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DIRECT, NO_FLUSH = "cache.direct", "cache.no-flush"
READ_ONLY, AUTO_READ_ONLY = "read-only", "auto-read-only"
FORCE_SHARE, DISCARD, DETECT_ZEROES = "force-share", "discard", "detect-zeroes"

COMMON = frozenset(
    ("node-name", DISCARD, DIRECT, NO_FLUSH, READ_ONLY, AUTO_READ_ONLY, DETECT_ZEROES)
)
"""Options of every driver that a reopen may change or reset."""

ROOT_DEFAULTS: dict[str, Any] = {
    DIRECT: False,
    NO_FLUSH: False,
    READ_ONLY: False,
    AUTO_READ_ONLY: False,
}
"""A definition at the root counts these as given."""


class Options:
    """The two sets of one node, flat: ``cache.direct``, ``filename`` and so on."""

    __slots__ = ("effective", "explicit", "written")

    def __init__(
        self,
        explicit: dict[str, Any],
        effective: dict[str, Any],
        written: dict[str, Any] | None = None,
    ) -> None:
        self.explicit = explicit
        self.effective = effective
        self.written = effective if written is None else written
        """The same in the words of whoever wrote them: what file names are made of."""


class Flags:
    """What the generic options amount to."""

    __slots__ = (
        "auto_read_only",
        "detect_zeroes",
        "direct",
        "force_share",
        "no_flush",
        "read_only",
        "unmap",
    )

    def __init__(self, effective: dict[str, Any]) -> None:
        get = effective.get
        self.read_only = bool(get(READ_ONLY, False))
        self.auto_read_only = bool(get(AUTO_READ_ONLY, False))
        self.direct = bool(get(DIRECT, False))
        self.no_flush = bool(get(NO_FLUSH, False))
        self.force_share = bool(get(FORCE_SHARE, False))
        self.unmap = get(DISCARD, "ignore") == "unmap"
        self.detect_zeroes = str(get(DETECT_ZEROES, "off"))


def flatten(definition: dict[str, Any], children: frozenset[str]) -> dict[str, Any]:
    """Join nested members and items with dots, except those of children."""
    flat: dict[str, Any] = {}
    for key, value in definition.items():
        if key in children:
            continue
        if isinstance(value, (dict, list)) and value:
            items: Any = value if isinstance(value, dict) else dict(enumerate(value))
            for inner, item in flatten(items, frozenset()).items():
                flat[f"{key}.{inner}"] = item
        else:
            flat[key] = value
    return flat


def check_sizes(options: dict[str, Any], sizes: frozenset[str]) -> None:
    """Refuse negative sizes.

    Raises:
        QmpError: for the first in the order of the wire.
    """
    negative = [key for key in sizes & options.keys() if int(options[key]) < 0]
    if negative:
        raise QmpError(wording.negative_size(hash_order(negative)[0]), SIZE_HINT)


def inherit(role: int, parent: dict[str, Any], options: dict[str, Any]) -> None:
    """Add to ``options`` what an inline child takes over from its parent's options.

    Only what the parent has set is taken over; explicit values stay.
    """
    for key in (DIRECT, NO_FLUSH, FORCE_SHARE):
        if key in parent:
            options.setdefault(key, parent[key])
    if role & p.ROLE_COW:
        options.setdefault(READ_ONLY, True)
        options.setdefault(AUTO_READ_ONLY, False)
    else:
        for key in (READ_ONLY, AUTO_READ_ONLY):
            if key in parent:
                options.setdefault(key, parent[key])
    options.setdefault(DISCARD, "unmap")
