"""Key-value text, ``key=value,nested.key=value,list.0=value``, to nested texts.

The grammar is the one of QEMU's ``-blockdev`` (observed on QEMU 7.2): ``,,`` stands for
a comma in a value, dots nest, all-digit fragments make lists, the last of equal keys
wins, and the first item may be the bare value of an implied key. All scalars stay texts;
the visitor converts them when it knows their types.
"""

from __future__ import annotations

from qmpd.errors import QmpError
from qmpd.options import wording
from qmpd.protocol.encoder import hash_order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAX_FRAGMENT = 127
_HELP = {"help", "?"}


def parse(text: str, implied_key: str = "") -> dict[str, Any]:
    """Parse key-value text.

    ``implied_key`` gets the first item's text when that item is no ``key=value``.
    Raises :class:`QmpError` for text that breaks the grammar, and for a plea for help.
    """
    tree: dict[str, Any] = {}
    position, help_wanted = 0, False
    while position < len(text):
        key, after, is_bare = _take_key(text, position)
        if is_bare and key in _HELP:
            help_wanted = True
            position = after + 1
        elif is_bare and key and implied_key:
            # Unlike other values it ends at the first comma, doubled or not.
            tree[implied_key] = key
            position = after + 1
        else:
            _check_key(key)
            if is_bare:
                raise QmpError(wording.equals_expected(key))
            value, position = take_value(text, after + 1)
            _put(tree, key, value)
        implied_key = ""
    _listify(tree, "")
    if help_wanted:
        raise QmpError(wording.NO_HELP)
    return tree


def take_value(text: str, position: int) -> tuple[str, int]:
    """Read a value up to its comma; return it with ``,,`` undone, and what position follows."""
    parts = []
    while True:
        comma = text.find(",", position)
        if comma < 0:
            parts.append(text[position:])
            return "".join(parts), len(text)
        if text[comma + 1 : comma + 2] != ",":
            parts.append(text[position:comma])
            return "".join(parts), comma + 1
        parts.append(text[position : comma + 1])
        position = comma + 2


def _take_key(text: str, position: int) -> tuple[str, int, bool]:
    """Return the key, where it ends, and whether no ``=`` follows it."""
    end = position
    while end < len(text) and text[end] not in "=,":
        end += 1
    return text[position:end], end, text[end : end + 1] != "="


def _check_key(key: str) -> None:
    fragments = key.split(".")
    for i, fragment in enumerate(fragments):
        if not (is_name(fragment) or (i and _is_index(fragment))):
            raise QmpError(wording.invalid_parameter(key))
        if len(fragment) > _MAX_FRAGMENT:
            raise QmpError(wording.too_long(fragment, whole=len(fragments) == 1))


def is_name(text: str) -> bool:
    """Tell whether a text is a member name: a letter, then letters, digits, dashes, underscores.

    A downstream prefix ``__rfqdn_`` may stand before it; its dots would nest, so it cannot
    have any here.
    """
    if text.startswith("__"):
        prefix, _, text = text[2:].partition("_")
        if not prefix.replace("-", "").isalnum():
            return False
    rest = text.replace("-", "").replace("_", "")
    return text.isascii() and text[:1].isalpha() and rest.isalnum()


def _is_index(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _put(tree: dict[str, Any], key: str, value: str) -> None:
    fragments = key.split(".")
    for i, fragment in enumerate(fragments[:-1]):
        inner = tree.setdefault(fragment, {})
        if inner.__class__ is str:
            raise QmpError(wording.inconsistent(".".join(fragments[: i + 1]) + "."))
        tree = inner
    if tree.get(fragments[-1], "").__class__ is not str:
        raise QmpError(wording.inconsistent(f"{key}."))
    tree[fragments[-1]] = value


def _listify(tree: dict[str, Any], path: str) -> Any:
    """Turn objects whose members are numbers into lists."""
    for key in hash_order(tree):
        if tree[key].__class__ is dict:
            tree[key] = _listify(tree[key], f"{path}{key}.")
    numbers = {int(key): key for key in tree if _is_index(key)}
    if not numbers:
        return tree
    if len(numbers) < len(tree):
        raise QmpError(wording.inconsistent(path))
    for i in range(len(numbers)):
        if i not in numbers:
            raise QmpError(wording.element_missing(path, i))
    return [tree[numbers[i]] for i in range(len(numbers))]
