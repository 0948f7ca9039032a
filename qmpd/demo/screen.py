"""The demonstration as text for a terminal of 100 columns."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from qmpd.demo import report
from qmpd.demo.story import MOMENTS, OVERLAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, TextIO

    from qmpd.demo.client import Line
    from qmpd.demo.observe import Snapshot, Storage
    from qmpd.demo.story import Outcome

WIDTH = 98
_COLUMN = 18
_REMARKS = (
    "While pending: of a second daemon, whose commit waits to be told (auto-finalize false).",
    "O_RDONLY, O_RDWR: the storage node's descriptor in /proc/PID/fdinfo of the daemon.",
)

# Select Graphic Rendition of ECMA-48.
BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"


class Screen:
    """Where text goes; colours only where somebody sees them and has not declined."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._colours = (
            self._stream.isatty()
            and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM") != "dumb"
        )

    def paint(self, text: str, *style: str) -> str:
        """Return ``text`` in a style, or as it is."""
        return f"\x1b[{';'.join(style)}m{text}\x1b[0m" if self._colours and style else text

    def say(self, text: str = "") -> None:
        """Write a line."""
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def title(self, text: str, remark: str = "") -> None:
        """Write the title of a section, after a blank line."""
        self.say()
        gap = " " * max(2, WIDTH - len(text) - len(remark))
        self.say(self.paint(text, BOLD) + (gap + self.paint(remark, DIM) if remark else ""))


def introduce(screen: Screen) -> None:
    """Say what is about to be seen."""
    words = report.arguments()
    options = sum(word.startswith("-") for word in words)
    screen.say(screen.paint(f"The report of {report.WHEN}, played by qmpd", BOLD))
    screen.say(
        f"  libvirt's command line of that day ({options} options, {words.count('-blockdev')} of"
        f" them -blockdev), its images in RAM,"
    )
    screen.say(
        f"  the monitor's socket passed as descriptor {report.DESCRIPTOR}; then the block-commit"
        " on which QEMU aborted."
    )


def show(screen: Screen, outcome: Outcome) -> None:
    """Show the conversation and what it did to the chain."""
    before, _, after = outcome.snapshots
    screen.title(
        "The chain before", "active layer on the left, each backed by the one to its right"
    )
    _show_chain(screen, before.chain)
    screen.title(
        "The conversation", "-> request   <- reply    * event    milliseconds since start-up"
    )
    for text in _timeline(screen, outcome.log):
        screen.say(text)
    screen.title(
        "Storage nodes",
        "used/shared permissions: c consistent read, w write, u unchanged, r resize",
    )
    _show_storage(screen, outcome.snapshots)
    for remark in _REMARKS:
        screen.say(screen.paint(f"  {remark}", DIM))
    screen.title("The chain after")
    _show_chain(screen, after.chain)
    old, new = before.backing[OVERLAY], after.backing[OVERLAY]
    screen.say(f"  the header of {os.path.basename(report.LAYERS[OVERLAY])} named {old}, now {new}")


def _show_chain(screen: Screen, chain: tuple[str, ...]) -> None:
    nodes, images = "", ""
    for prefix, path in report.LAYERS.items():
        if prefix not in chain:
            nodes += " " * _COLUMN
            images = images.removesuffix("> ") + "-" * _COLUMN + "> "
            continue
        image = os.path.basename(path).removesuffix(".qcow2")
        nodes += f"{prefix:{_COLUMN}}"
        images += f"{image} "
        if prefix != chain[-1]:
            images += "-" * (_COLUMN - len(image) - 3) + "> "
    screen.say(f"  {screen.paint(nodes.rstrip(), CYAN)}")
    screen.say(f"  {images.rstrip()}")


def _timeline(screen: Screen, log: Iterable[Line]) -> Iterator[str]:
    for line in log:
        sign, name, details = _describe(line)
        colour = {"->": (CYAN,), "<-": (), " *": (YELLOW,)}[sign]
        text = f"{line.seconds * 1000:8.1f}  {screen.paint(f'{sign} {name:20}', *colour)}"
        yield f"{text} {details}".rstrip()
        arguments = line.message.get("arguments", {})
        if len(arguments) > 1:
            yield from (
                f"{'':14}{screen.paint(text, DIM)}" for text in _wrapped(arguments, WIDTH - 14)
            )
        if line.message.get("data", {}).get("status") == "pending":
            yield screen.paint(f"{'':10}!! here the QEMU of the report aborted:", RED)
            yield screen.paint(f"{'':13}{report.ABORT}", RED)


def _describe(line: Line) -> tuple[str, str, str]:
    """Return the sign, the name and the details of a message."""
    message = line.message
    identity = f"id {message['id']}" if "id" in message else ""
    if line.sent:
        return "->", message["execute"], identity
    if "QMP" in message:
        version = message["QMP"]["version"]["qemu"]
        number = ".".join(str(version[part]) for part in ("major", "minor", "micro"))
        return (
            "<-",
            "greeting",
            f"QEMU {number}, offers {', '.join(message['QMP']['capabilities'])}",
        )
    if "event" in message:
        data = message.get("data", {})
        return " *", message["event"], data.get("status") or _members(data)
    return "<-", "return {}", identity


def _members(data: dict[str, Any]) -> str:
    return " ".join(f"{name}={_plain(value)}" for name, value in data.items() if name != "device")


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _wrapped(arguments: dict[str, Any], width: int) -> Iterator[str]:
    text = ""
    for name, value in arguments.items():
        word = f"{name}={_plain(value)}"
        if text and len(text) + 1 + len(word) > width:
            yield text
            text = ""
        text = f"{text} {word}".strip()
    yield text


def _show_storage(screen: Screen, snapshots: tuple[Snapshot, ...]) -> None:
    heads = "".join(f"{moment:22}" for moment in MOMENTS)
    screen.say(screen.paint(f"  {'node':20}{'image':15}{heads.rstrip()}", DIM))
    for prefix, path in report.LAYERS.items():
        row = [snapshot.storage[prefix] for snapshot in snapshots]
        cells = "    ".join(_cell(screen, storage, changed=storage != row[0]) for storage in row)
        screen.say(f"  {prefix + '-storage':20}{os.path.basename(path):15}{cells}".rstrip())


def _cell(screen: Screen, storage: Storage, *, changed: bool) -> str:
    writable = storage.mode == "O_RDWR"
    text = f"{storage.perm}/{storage.shared} {storage.mode:8}"
    style = ((YELLOW,) if writable else ()) + ((BOLD,) if changed else ())
    return screen.paint(text, *style)
