"""The command line: QEMU's options and the storage daemon's, checked, typed and in order.

Both real programs first split the whole line into options. Then the system emulator reads
the text of every option before it acts on any, and acts on them kind by kind; the storage
daemon reads and acts on one after the other. Iterating a :class:`CommandLine` yields
options in the order in which the program that is played acts on them, and reads no
further ahead than that program does.
"""

from __future__ import annotations

from qmpd.errors import QmpError
from qmpd.options import known, readers, wording
from qmpd.options.errors import BadOption, OptionError
from qmpd.options.readers import Option
from qmpd.options.split import SYSTEM, split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any


class CommandLine:
    """A command line without the program's name.

    ``program`` is the program that it asks qmpd to play, "system" or "storage-daemon".
    The constructor and the iteration raise :class:`OptionError`. ``help``, ``version``
    and ``listing`` (the kind of an option) tell that nothing else is wanted.
    """

    __slots__ = (
        "_context", "_options", "daemonize", "help", "lab", "listing", "name", "pidfile", "profile",
        "program", "scenario", "stopped", "storage", "version", "warn",
    )  # fmt: skip

    def __init__(
        self, words: Sequence[str], warn: Callable[[str, str], None] = lambda _text, _hint: None
    ) -> None:
        """Split the line, tell which program is meant, and read what is read at once.

        ``warn`` is told of what is deprecated, as it is read, with a line of advice.
        """
        self.warn = warn
        self.daemonize = self.stopped = self.help = self.version = False
        self.name: str | None = None
        self.listing: str | None = None
        self.pidfile: str | None = None
        self.scenario: str | None = None
        self.storage = "host"
        self.lab = False
        self.profile: str | None = None
        found, self.program = split(words)
        self._context = readers.Context(self.program == SYSTEM)
        options = [Option(word.name, word.spelling, word.text) for word in found]
        if self.program == SYSTEM:
            self._options = self._read_all(options)
        else:
            # The storage daemon takes its settings before anything else.
            for option in options:
                self._set(option)
            wanted = not (self.help or self.version)
            self._options = [o for o in options if wanted and o.kind not in _SETTINGS]

    def __iter__(self) -> Iterator[Option]:
        """Yield the options that set something up, ready to be acted on."""
        if self.program != SYSTEM:
            for option in self._options:
                for part in self._read(option):
                    yield self._build(part)
            return
        for kind in readers.SYSTEM_ORDER:
            chosen = [option for option in self._options if option.kind == kind]
            if kind == known.DEVICE:  # those in JSON come after all the others
                chosen.sort(key=lambda option: readers.is_json(option.text))
            for option in chosen:
                yield self._build(option)

    def monitored(self) -> set[str]:
        """The character devices that a monitor is going to use, also one further on the line."""
        names = [readers.chardev_of(o) for o in self._options if o.kind in readers.MONITORS]
        return {name for name in names if name is not None}

    def _read_all(self, options: list[Option]) -> list[Option]:
        found = []
        for option in options:
            self._set(option)
            if _asks_for_a_list(option):
                self.listing = option.kind
            if self.help or self.version or self.listing is not None:
                return []
            found += self._read(option)
        return found

    def _set(self, option: Option) -> None:
        if option.kind in _SETTINGS and not (self.help or self.version):
            attribute, convert = _SETTINGS[option.kind]
            setattr(self, attribute, self._guarded(option, lambda: convert(option.text)))

    def _read(self, option: Option) -> list[Option]:
        if option.kind in readers.READ:
            read = readers.READ[option.kind]
            try:
                made: list[Option] = self._guarded(option, lambda: read(self._context, option))
            finally:
                self._warn(option)
            return made
        if option.kind in known.LACKING:
            instead = known.LACKING[option.kind]
            raise OptionError(f"{option.spelling}: {wording.lacking(f'-{option.kind}', instead)}")
        if not option.kind:
            if self.program == SYSTEM:
                text = wording.lacking("disk images as arguments", known.USE_BLOCKDEV)
            else:
                text = wording.UNEXPECTED_ARGUMENT
            raise OptionError(f"{option.spelling}: {text}")
        return []

    def _build(self, option: Option) -> Option:
        if option.kind in readers.BUILD:
            build = readers.BUILD[option.kind]
            self._guarded(option, lambda: build(self._context, option))
        return option

    def _guarded(self, option: Option, step: Callable[[], Any]) -> Any:
        """Take a step; what it complains of becomes an error about the option."""
        try:
            return step()
        except BadOption as bad:
            self._context.warnings += bad.warnings
            raise OptionError(f"{option.spelling}: {bad.text}", bad.hint) from None
        except QmpError as bad:
            raise OptionError(f"{option.spelling}: {bad.desc}") from None

    def _warn(self, option: Option) -> None:
        for text, hint in self._context.warnings:
            self.warn(f"{option.spelling}: {text}", hint)
        self._context.warnings.clear()


def _asks_for_a_list(option: Option) -> bool:
    if option.kind == known.DRIVE:
        return not _HELP_ON_FORMATS.isdisjoint(option.text.split(","))
    listed = option.kind == known.DEVICE or option.kind in known.IGNORED_WITH_ARGUMENT
    return listed and option.text in {"help", "?"}


_HELP_ON_FORMATS = {"format=help", "format=?"}


def _yes(_text: str) -> bool:
    return True


# Options that set up nothing themselves: the attribute that they set, and to what.
_SETTINGS: dict[str, tuple[str, Callable[[str], Any]]] = {
    known.DAEMONIZE: ("daemonize", _yes),
    known.HELP: ("help", _yes),
    known.NAME: ("name", readers.guest_name),
    known.PIDFILE: ("pidfile", str),
    known.SCENARIO: ("scenario", str),
    known.LAB: ("lab", _yes),
    known.PROFILE: ("profile", str),
    known.STOPPED: ("stopped", _yes),
    known.STORAGE: ("storage", readers.storage),
    known.VERSION: ("version", _yes),
}
