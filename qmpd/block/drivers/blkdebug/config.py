"""The configuration file of a ``blkdebug`` node: rules in sections.

What is taken for a section, a name and a value was observed on QEMU 7.2, as was the order
in which mistakes are found: section by section, in each in the order of the wire.
"""

from __future__ import annotations

import re

from qmpd.block.driver import strerror
from qmpd.block.drivers.blkdebug import wording
from qmpd.block.wording import invalid_choice
from qmpd.errors import QmpError
from qmpd.options.errors import BadOption
from qmpd.options.opts import NUMBER, STRING, SWITCH, Opts, check, is_identifier, is_on, number
from qmpd.options.wording import duplicate_id, wrong_value
from qmpd.protocol.encoder import hash_order
from qmpd.schema.compiled import OBJECTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_KNOWN = {
    "inject-error": {
        "event": STRING,
        "state": NUMBER,
        "iotype": STRING,
        "errno": NUMBER,
        "sector": NUMBER,
        "once": SWITCH,
        "immediately": SWITCH,
    },
    "set-state": {"event": STRING, "state": NUMBER, "new_state": NUMBER},
}
_CHOICES = {
    member: choices
    for member, _, _, choices in OBJECTS["BlkdebugInjectErrorOptions"][0]
    if member in ("event", "iotype")
}
_BITS = {"state": 32, "new_state": 32, "errno": 32, "sector": 64}
_LINE = 1023
"""A longer line is read as several."""

_NAMED_SECTION = re.compile(r'\[\s*(\S{1,63}+)\s*"([^"]{1,63})')
_SECTION = re.compile(r"\[([^\]]{1,63})")
_WORD = re.compile(r"\[\s*(\S{1,63})")
_PAIR = re.compile(r'\s*(\S{1,63}+)(?:\s*=\s*"([^"]{1,1023}))?')


def read_config(path: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rules in a file: those for errors, and those for states.

    Raises:
        QmpError: the file cannot be read, or one of them makes no sense.
    """
    sections: dict[str, list[dict[str, Any]]] = {name: [] for name in _KNOWN}
    ids: set[tuple[str, str]] = set()
    for name, written in _sections(_lines(path)):
        if name not in _KNOWN:
            raise QmpError(wording.no_option_group(name))
        id_ = written.pop("id", None)
        if id_ is not None:
            if not is_identifier(id_):
                raise QmpError(wrong_value("id", "an identifier"))
            if (name, id_) in ids:
                raise QmpError(duplicate_id(id_, name))
            ids.add((name, id_))
        sections[name].append(_checked(written, _KNOWN[name]))
    inject, states = ([_rule(rule) for rule in rules] for rules in sections.values())
    return inject, [{"new_state": 0, **rule} for rule in states]


def _lines(path: str) -> Iterator[str]:
    unreadable = wording.no_config
    try:
        with open(path, "rb") as file:
            unreadable = wording.config_unreadable
            lines = list(iter(lambda: file.readline(_LINE), b""))
    except IsADirectoryError as error:  # which C opens, but does not read
        raise QmpError(wording.config_unreadable(strerror(error))) from error
    except OSError as error:
        raise QmpError(unreadable(strerror(error))) from error
    return (line.split(b"\0", 1)[0].decode("utf-8", "surrogateescape") for line in lines)


def _sections(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Each section's name and what is written in it."""
    name: str | None = None
    written: dict[str, str] = {}
    for line in lines:
        if line[:1] in ("\n", "#", ""):
            continue
        section = _NAMED_SECTION.match(line) or _SECTION.match(line)
        if section is not None:
            if name is not None:
                yield name, written
            name, *named = section.groups()
            written = {"id": named[0]} if named else {}
            continue
        pair = _PAIR.match(line)
        if pair is None:
            raise QmpError(wording.CONFIG_PARSE_ERROR)
        if name is None:
            raise QmpError(wording.CONFIG_NO_GROUP)
        word = _WORD.match(line)
        if word is not None:  # brackets with nothing in them spoil the name of the section
            name = word[1]
        written[pair[1]] = pair[2] or ""
    if name is not None:
        yield name, written


def _checked(written: dict[str, str], known: dict[str, int]) -> dict[str, Any]:
    rule: dict[str, Any] = {}
    for key in hash_order(written):
        text = written[key]
        try:
            check(key, text, known, Opts())
        except BadOption as error:
            raise QmpError(error.text) from None
        if known[key] == NUMBER:
            rule[key] = _signed(number(text), _BITS[key])
        else:
            rule[key] = is_on(text) if known[key] == SWITCH else text
    return rule


def _signed(value: int, bits: int) -> int:
    """What is left of a number in a C integer of that many bits."""
    value &= (1 << bits) - 1
    return value - (value >> bits - 1 << bits)


def _rule(given: dict[str, Any]) -> dict[str, Any]:
    if "event" not in given:
        raise QmpError(wording.RULE_WITHOUT_EVENT)
    for member, choices in _CHOICES.items():
        if member in given and given[member] not in choices:
            raise QmpError(invalid_choice(given[member]))
    return given
