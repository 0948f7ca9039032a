"""Images for a conversation that nobody has the images of: empty ones, as the nodes want them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from qmpd.errors import QmpError
from qmpd.options.argv import CommandLine
from qmpd.options.errors import OptionError
from qmpd.replay.commandline import texts_of
from qmpd.scenario import DEFAULT_SIZE, ImageSpec, load, make_image
from qmpd.storage.memory import MemoryStorage
from qmpd.storage.policy import AccessPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qmpd.replay.messages import Conversation

SIZE = DEFAULT_SIZE
"""Bytes of every image."""
_ADD = frozenset(("blockdev-add", "blockdev-reopen", "x-blockdev-reopen"))
_OVERLAY = "blockdev-snapshot-sync"
_MISSING = re.compile(r"Could not open '([^']+)': No such file or directory")


def storage_for(conversation: Conversation, scenario: str | None = None) -> MemoryStorage:
    """Images in RAM that spring up as nodes open them, in the format of what lies above.

    Args:
        conversation: tells of the nodes.
        scenario: a file that describes images that shall not be empty, and who may write them.

    Raises:
        QmpError: the scenario makes no sense.
    """
    specs = _Plan(definitions(conversation)).specs
    storage = MemoryStorage(AccessPolicy())
    if scenario is not None:
        storage = _scenario_storage(scenario) or storage

    missing = _missing(conversation)

    def spring_up(path: str) -> None:
        if path not in missing:
            spec = specs.get(path) or ImageSpec(path, {"format": "raw", "size": SIZE})
            make_image(storage, spec)

    storage.on_demand = spring_up
    return storage


def _scenario_storage(path: str) -> MemoryStorage | None:
    try:
        made = load(path).storage("memory")
    except QmpError as error:
        raise QmpError(f"{path}: {error.desc}") from error
    return made if isinstance(made, MemoryStorage) else None


def definitions(conversation: Conversation) -> list[dict[str, Any]]:
    """Every node that the command line or a request defines, as an object."""
    found = [dict(value) for value in _on_command_line(conversation.words or [])]
    for request in conversation.requests:
        if request.command in _ADD:
            options = request.arguments.get("options", [request.arguments])
            found += [node for node in options if isinstance(node, dict)]
        elif request.command == _OVERLAY:
            found += _overlay(request.arguments)
        elif request.command == "transaction":
            for action in request.arguments.get("actions", ()):
                if isinstance(action, dict) and action.get("type") == _OVERLAY:
                    found += _overlay(action.get("data"))
    return found


def _overlay(arguments: Any) -> list[dict[str, Any]]:
    """The node over an image that somebody else has made for a snapshot."""
    if not isinstance(arguments, dict):
        return []
    name = arguments.get("snapshot-file")
    if arguments.get("mode") != "existing" or not isinstance(name, str):
        return []
    file = {"driver": "file", "filename": name.removeprefix("file:")}
    node = {"driver": arguments.get("format", "qcow2"), "file": file}
    if "snapshot-node-name" in arguments:
        node["node-name"] = arguments["snapshot-node-name"]
    return [node]


def _missing(conversation: Conversation) -> set[str]:
    """The images that QEMU did not find there."""
    errors = [message.body.get("error") for message in conversation.messages]
    texts = [str(error.get("desc")) for error in errors if isinstance(error, dict)]
    return {found[1] for text in texts if (found := _MISSING.search(text))}


def _on_command_line(words: list[str]) -> Iterable[dict[str, Any]]:
    for text in texts_of(words, "-blockdev"):
        try:
            yield from (option.value for option in CommandLine(["-blockdev", text]))
        except (OptionError, QmpError, json.JSONDecodeError):
            continue  # whoever builds the graph complains of it


class _Plan:
    """Which format every file has, and what its header says of the layer below."""

    def __init__(self, nodes: list[dict[str, Any]]) -> None:
        self._nodes = {node["node-name"]: node for node in nodes if "node-name" in node}
        self.specs: dict[str, ImageSpec] = {}
        work = list(nodes)
        while work:
            node = work.pop()
            work += [child for child in node.values() if isinstance(child, dict)]
            self._note(node)

    def _note(self, node: dict[str, Any]) -> None:
        path = self._path(node.get("file"))
        if node.get("driver") != "qcow2" or path is None:
            return
        settings: dict[str, Any] = {"format": "qcow2", "size": SIZE}
        backing = node.get("backing")
        below = self._path(self._resolve(backing).get("file"))
        if below is not None:
            settings["backing"] = below
            settings["backing-format"] = self._resolve(backing).get("driver")
        self.specs[path] = ImageSpec(path, settings)

    def _resolve(self, reference: Any) -> dict[str, Any]:
        if isinstance(reference, str):
            return self._nodes.get(reference, {})
        return reference if isinstance(reference, dict) else {}

    def _path(self, reference: Any) -> str | None:
        found = self._resolve(reference).get("filename")
        return found if isinstance(found, str) else None
