"""The client's side of a conversation, sent to a qmpd in the same process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from typing import TYPE_CHECKING, Any, Self

from qmpd.block.opening import add_node
from qmpd.commands.devices import Names, plug
from qmpd.commands.registry import commands_of
from qmpd.errors import QmpError
from qmpd.machine import SYSTEM, Machine
from qmpd.monitor.chardev import SocketServer
from qmpd.options.argv import CommandLine
from qmpd.options.errors import OptionError
from qmpd.replay.commandline import texts_of
from qmpd.replay.compare import event_text
from qmpd.replay.images import storage_for
from qmpd.replay.messages import (
    EVENT,
    GONE,
    GREETING,
    HANG_UP,
    REPLY,
    REQUEST,
    Conversation,
    Message,
    classify,
)
from qmpd.replay.tempo import Tempo
from qmpd.schema.compiled import EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterable

PATIENCE = 3.0
"""Seconds to wait for what the other one said."""
BRIEF = 0.3
"""The same once both have gone different ways, and for what may still come at the end."""
_LIMIT = 1 << 26
_NEGOTIATION = "qmp_capabilities"


def is_known(message: Message, program: str) -> bool:
    """Whether qmpd has the command or event at all."""
    if message.kind == EVENT:
        return message.body.get("event") in EVENTS
    if message.kind == REQUEST and message.command:
        names = (*commands_of(program), "x-blockdev-reopen")
        return message.command in names
    return True


def without_unknown(messages: Iterable[Message], program: str) -> list[Message]:
    """Leave out what qmpd does not have: commands with their replies, and events."""
    kept: list[Message] = []
    left_out: list[Any] = []
    for message in messages:
        if message.kind == REPLY and message.body.get("id") in left_out:
            left_out.remove(message.body.get("id"))
        elif is_known(message, program):
            kept.append(message)
        elif message.kind == REQUEST:
            left_out.append(message.body.get("id"))
    return kept


def in_order(messages: list[Message]) -> list[Message]:
    """Put the greeting where it was, whenever it was logged, and stop at the end."""
    found: list[Message] = []
    start = 0
    for message in messages:
        if message.kind == GREETING:
            found.insert(start, message)
        else:
            found.append(message)
        if message.kind == GONE:
            break
        if message.kind == HANG_UP:
            start = len(found)
    return found


class Player:
    """A qmpd, and a client that does what was recorded.

    Args:
        conversation: what was recorded.
        profile: which QEMU answers.
        program: which program it is.
        scenario: a file that describes images.

    Raises:
        QmpError: there is no such profile, or the scenario makes no sense.
    """

    def __init__(
        self,
        conversation: Conversation,
        *,
        profile: str | None = None,
        program: str = SYSTEM,
        scenario: str | None = None,
    ) -> None:
        self._conversation = conversation
        self.complaints: list[str] = []
        """Nodes and devices of the command line that could not be had, and why."""
        self.ours: list[Message] = []
        """The conversation as it went here."""
        self._waiting: list[Message] = []
        self._patience = PATIENCE
        self._closed = False
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._path = ""
        self._machine = Machine(
            program=program,
            storage=storage_for(conversation, scenario),
            paused=self._starts_paused(),
            profile=profile,
        )
        self._tempo = Tempo(self._machine.scheduler.wall)
        self._machine.jobs.levers = self._tempo
        self._machine.on_quit = self._quit

    async def __aenter__(self) -> Self:
        """Build the graph and let the client in."""
        self._build()
        self._folder = tempfile.TemporaryDirectory(prefix="qmpd-replay-")
        self._path = os.path.join(self._folder.name, "monitor")
        self._machine.add_monitor(SocketServer(path=self._path))
        self._machine.scheduler.attach(asyncio.get_running_loop())
        self._machine.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it all."""
        await self._hang_up()
        self._machine.close()
        self._machine.scheduler.close()  # a machine that has died leaves it running
        if self._folder is not None:
            self._folder.cleanup()

    def _quit(self) -> None:
        for monitor in self._machine.monitors:
            if monitor.connection is not None:
                monitor.connection.flush()
        self._machine.close()

    def _starts_paused(self) -> bool:
        words = self._conversation.words
        if words is not None:
            return any(word in {"-S", "--S"} for word in words)
        verbs = [r.command for r in self._conversation.requests if r.command in {"cont", "stop"}]
        return verbs[:1] == ["cont"]

    # --- the graph ---------------------------------------------------------------------

    def _build(self) -> None:
        words = self._conversation.words or []
        names = Names()
        for wanted in ("-blockdev", "-device"):
            for text in texts_of(words, wanted):
                try:
                    for option in CommandLine([wanted, text]):
                        self._define(wanted, option.value, names)
                except OptionError as error:
                    self.complaints.append(error.text)
                except QmpError as error:
                    self.complaints.append(f"{wanted} {text}: {error.desc}")

    def _define(self, what: str, value: dict[str, Any], names: Names) -> None:
        if what == "-device":
            plug(self._machine, names, value)
            return
        if self._machine.profile is not None:
            self._machine.profile.check_definition(value)
        add_node(self._machine.graph, value)

    # --- the conversation --------------------------------------------------------------

    async def play(self, theirs: list[Message]) -> list[Message]:
        """Say what the client said, and return what was said here."""
        await self._connect(told=theirs[0].kind == GREETING)
        first = next((message for message in theirs if message.kind == REQUEST), None)
        if first is not None and first.command != _NEGOTIATION:
            await self._negotiate()
        position = 0
        while position < len(theirs) and not self._closed:
            message = theirs[position]
            if message.kind == REQUEST:
                position += 1
                group = _events(theirs, position)
                self._announce(group)  # before QEMU can be tempted to answer without them
                await self._send(message)
            else:
                group = _events(theirs, position) or [message]
                self._announce(group)
            await self._follow(group)
            position += len(group)
        if theirs[-1].kind != GONE and self._patience == PATIENCE:
            self._forget_what_came_later()
        return self.ours

    async def _follow(self, group: list[Message]) -> None:
        kind = group[0].kind if group else REQUEST
        if kind in {EVENT, REPLY}:
            await self._expect(group)
        elif kind == HANG_UP:
            await self._hang_up()
            self.ours.append(group[0])
        elif kind == GONE:
            await self._wait_for_the_end()
        elif kind == GREETING and self._writer is None:
            await self._connect(told=True)

    def _forget_what_came_later(self) -> None:
        """Here it goes on; the recording ends while there would be more to tell."""
        late = {id(message) for message in self._waiting}
        while self.ours and id(self.ours[-1]) in late:
            self.ours.pop()

    async def _connect(self, *, told: bool) -> None:
        reader, self._writer = await asyncio.open_unix_connection(self._path, limit=_LIMIT)
        greeting = json.loads(await reader.readline())
        if told:
            self.ours.append(Message(GREETING, greeting))
        self._reading = asyncio.create_task(self._read(reader))

    async def _negotiate(self) -> None:
        """Do what the log does not show."""
        request = Message(REQUEST, {"execute": _NEGOTIATION, "id": "qmpd-replay"})
        kept = len(self.ours)
        await self._send(request)
        await self._expect([Message(REPLY, {"return": {}, "id": "qmpd-replay"})])
        del self.ours[kept:]

    async def _send(self, request: Message) -> None:
        self.ours.append(request)
        text = request.raw or json.dumps(request.body)
        if self._writer is not None:
            self._writer.write(text.encode() + b"\n")
            await asyncio.sleep(0)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                self._take(json.loads(line))
        except ConnectionError:
            pass  # it ends here in any case
        self._closed = True
        self.ours.append(Message(GONE))
        self._news.set()

    def _take(self, body: dict[str, Any]) -> None:
        message = Message(classify(body), body)
        if body.get("event") == "JOB_STATUS_CHANGE":
            self._tempo.happened(body["data"]["id"], body["data"]["status"])
        self.ours.append(message)
        self._waiting.append(message)
        self._news.set()

    async def _hang_up(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            await asyncio.sleep(0)

    # --- waiting -----------------------------------------------------------------------

    def _announce(self, group: list[Message]) -> None:
        """Let jobs go as far as the group tells."""
        for message in group:
            if message.body.get("event") == "JOB_STATUS_CHANGE":
                data = message.data
                self._tempo.announce(str(data.get("id")), str(data.get("status")))

    async def _expect(self, group: list[Message]) -> None:
        """Wait for all of the group, in any order."""
        missing = [message for message in group if is_known(message, SYSTEM)]
        while missing and not self._closed:
            missing = [message for message in missing if not self._has(message)]
            if not missing or await self._hear(BRIEF) or self._tempo.nudge():
                continue
            if self._patience == BRIEF or not await self._hear(self._patience):
                self._patience = BRIEF  # the two have gone different ways
                return

    def _has(self, wanted: Message) -> bool:
        for message in self._waiting:
            if message.kind != wanted.kind:
                continue
            if message.kind == REPLY:
                found = message.body.get("id") == wanted.body.get("id")
                if found and ("error" in message.body) != ("error" in wanted.body):
                    self._patience = BRIEF
            else:
                found = event_text(message) == event_text(wanted)
            if found:
                self._waiting.remove(message)
                return True
        return False

    async def _hear(self, within: float) -> bool:
        """Wait for anything new."""
        self._news.clear()
        try:
            async with asyncio.timeout(within):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def _wait_for_the_end(self) -> None:
        """The other one hung up: see what happens here."""
        self._tempo.let_go()
        patience = self._patience
        while not self._closed and await self._hear(patience):
            patience = BRIEF


def _events(messages: list[Message], start: int) -> list[Message]:
    """The events from a place on, up to whatever else comes."""
    end = start
    while end < len(messages) and messages[end].kind == EVENT:
        end += 1
    return messages[start:end]


def complain(player: Player) -> None:
    """Tell on standard error what of the command line could not be had."""
    for text in player.complaints:
        sys.stderr.write(f"qmpd replay: warning: {text}\n")
