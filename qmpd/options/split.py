"""A command line's words to options, and which program the line is meant for."""

from __future__ import annotations

from qmpd.options import known, wording
from qmpd.options.errors import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

SYSTEM, STORAGE_DAEMON = "system", "storage-daemon"

# Character devices that the system emulator's -monitor takes without any colon.
_SHORT_DEVICES = {"none", "null", "stdio", "pty", "vc", "msmouse", "braille"}


_TRACE_LETTER = "T"


class Word:
    """An option as the line has it, or a word that is none (then ``name`` is empty).

    ``fault`` makes the sentence about a word that cannot stand, for the program that is meant.
    """

    __slots__ = ("joined", "lacks_argument", "name", "shortened", "spelling", "text", "word")

    def __init__(self, word: str, name: str, text: str = "") -> None:
        """Keep the option as spelled, its name without dashes, and its argument."""
        self.word = word
        self.spelling = word
        self.name = name
        self.text = text
        self.joined = self.shortened = False
        self.lacks_argument = False


def split(words: Sequence[str]) -> tuple[list[Word], str]:
    """Return a line's options and the program it is meant for.

    Raises :class:`OptionError` for the first option that does not exist, lacks its
    argument, or has one it must not have.
    """
    found = list(_words(words))
    program = _program(found)
    if program == STORAGE_DAEMON:
        # A lone dash is no option, and two of them say that none follow.
        ends = [i for i, word in enumerate(found) if word.word == "--"]
        found = found[: ends[0]] if ends else found
        for word in found:
            word.name = "" if word.word == "-" else word.name
    for word in found:
        fault = _fault(word, program)
        if fault:
            raise OptionError(fault)
    return found, program


def _words(words: Sequence[str]) -> list[Word]:
    found = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            found.append(Word(word, "", word))
            continue
        name = word.removeprefix("-").removeprefix("-")
        short = name if word == f"-{name}" else ""
        name = known.ALIASES.get(name, name)
        option = Word(word, name)
        if short[:1] in known.ALIASES and known.takes_argument(name) is None:
            name = option.name = known.ALIASES[short[0]]
            option.text, option.shortened = short[1:], True
            found.append(option)
            continue
        option.shortened = short == _TRACE_LETTER
        base, equals, text = name.partition("=")
        if word.startswith("--"):
            full = known.completed(base, joined=bool(equals))
            option.shortened = full != base
            base = full
            name = option.name = name if equals else full
        if equals and word.startswith("--") and known.in_storage_daemon(base):
            option.name, option.text, option.joined = base, text, True
        elif known.takes_argument(name):
            argument = next(rest, None)
            option.lacks_argument = argument is None
            option.text = argument or ""
            option.spelling = word if argument is None else f"{word} {argument}"
        found.append(option)
    return found


def _fault(word: Word, program: str) -> str:
    """Return what is wrong with a word, or nothing."""
    system = program == SYSTEM
    takes_argument = known.takes_argument(word.name)
    foreign = system and (word.joined or word.shortened)
    if word.lacks_argument and not foreign:
        if word.word == f"-{_TRACE_LETTER}":
            return wording.letter_requires_argument(_TRACE_LETTER)
        spelled = f"--{word.name}" if word.shortened else word.word
        return wording.argument_required(spelled, system=system)
    if takes_argument is None or foreign:
        is_option = word.word.startswith("-") and (system or word.name)
        return _no_such_option(word.word, system) if is_option else ""
    if word.joined and not takes_argument:
        return wording.no_argument_allowed(f"--{word.name}")
    return ""


def _no_such_option(word: str, system: bool) -> str:
    if system:
        return wording.invalid_option(word)
    if word.startswith("--="):
        return wording.ambiguous_option(word, known.long_options())
    if word.startswith("--"):
        return wording.unrecognized_option(word)
    return wording.invalid_letter(word[1:2])


def _program(found: list[Word]) -> str:
    """Tell which program a line is meant for: the system emulator unless all speaks against it."""
    options = [word for word in found if word.name and known.takes_argument(word.name) is not None]
    if any(known.is_system_only(word.name) for word in options):
        return SYSTEM
    ids = {
        part.removeprefix("id=")
        for word in options
        if word.name == known.CHARDEV
        for part in word.text.split(",")
        if part.startswith("id=")
    }
    for word in options:
        if word.joined or word.name in known.ONLY_STORAGE_DAEMON:
            return STORAGE_DAEMON
        if word.name == known.MONITOR and _names_chardev(word, ids):
            return STORAGE_DAEMON
    # Nothing decides: the storage daemon's long options have two dashes only, and its manual
    # spells them so, while the system emulator's manual has one.
    long = [word.word.startswith("--") and word.name != known.MONITOR for word in options]
    return STORAGE_DAEMON if long and all(long) else SYSTEM


def _names_chardev(word: Word, ids: set[str]) -> bool:
    """Tell whether a --monitor has the storage daemon's meaning: it names a character device."""
    first, comma, _ = word.text.partition(",")
    if first.startswith(("{", "chardev=", "mode=")) or first in ids:
        return True
    if first in _SHORT_DEVICES or ":" in first:
        return False
    return bool(comma) or word.word.startswith("--")
