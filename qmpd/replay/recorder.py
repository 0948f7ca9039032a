"""``qmpd record``: stand between a client and a QEMU, and write down what they say.

Bytes, and descriptors sent with them, are passed on as they come. The transcript has one
JSON object a line: ``time`` (seconds since the epoch), ``dir`` (who: see
:mod:`qmpd.replay.messages`) and ``msg``, or ``raw`` for what a client sent that was no
JSON object.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any

from qmpd.options.subcommand import USAGE, Parser, UsageError
from qmpd.replay.messages import GONE, HANG_UP, REPLY, REQUEST, classify
from qmpd.replay.splitting import Splitter

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

PROGRAM = "qmpd record"
_READ = 1 << 16
_DESCRIPTORS = 16
_ABOUT = """\
Listen for a client of QMP, connect it to a QEMU, and write down what both say, for
qmpd replay. Clients are served one after the other, as a monitor does. Ends with Ctrl-C,
or when QEMU hangs up."""


class RecordError(Exception):
    """It cannot be recorded; the text is for people."""


def main(arguments: Sequence[str]) -> int:
    """Run ``qmpd record``; returns the exit status.

    It is 1, after one line, if it cannot be done, and 2 if it was not asked properly.
    """
    try:
        options = _parser().read(arguments)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with ExitStack() as stack:
            transcript = stack.enter_context(_create(options.output))
            listener = stack.enter_context(_listen(options.listen))
            stack.callback(os.unlink, options.listen)
            _announce(options)
            Recorder(listener, options.connect, transcript).run()
    except (RecordError, UsageError) as error:
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        return USAGE if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        pass  # the way to end it
    return 0


def _parser() -> Parser:
    parser = Parser(PROGRAM, _ABOUT)
    parser.add_argument("--listen", metavar="PATH", required=True, help="where clients connect")
    parser.add_argument("--connect", metavar="PATH", required=True, help="QEMU's monitor")
    parser.add_argument("--output", metavar="FILE", required=True, help="the transcript")
    return parser


def _announce(options: argparse.Namespace) -> None:
    """Tell that clients may come, and whether QEMU is there, which it need not be before them."""
    lines = [f"listening on {options.listen}, writing to {options.output}; Ctrl-C ends it"]
    if not os.path.exists(options.connect):
        lines.append(f"warning: there is no {options.connect} yet")
    for line in lines:
        sys.stderr.write(f"{PROGRAM}: {line}\n")


def _create(path: str) -> IO[str]:
    try:
        return open(path, "w", encoding="ascii", buffering=1)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}") from error


def _listen(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(path)
        listener.listen(1)
    except OSError as error:
        listener.close()
        raise RecordError(f"cannot listen on {path}: {error.strerror or error}") from error
    return listener


class Recorder:
    """Serves clients until QEMU hangs up.

    Args:
        listener: where clients come from.
        monitor: the path of QEMU's monitor.
        transcript: where lines are written.
    """

    def __init__(self, listener: socket.socket, monitor: str, transcript: IO[str]) -> None:
        self._listener = listener
        self._monitor = monitor
        self._transcript = transcript

    def run(self) -> None:
        """Serve one client after the other.

        Raises:
            RecordError: there is no QEMU.
        """
        while True:
            client, _ = self._listener.accept()
            with client, socket.socket(socket.AF_UNIX) as server:
                try:
                    server.connect(self._monitor)
                except OSError as error:
                    text = f"cannot connect to {self._monitor}: {error.strerror or error}"
                    raise RecordError(text) from error
                if not self._serve(client, server):
                    return

    def _serve(self, client: socket.socket, server: socket.socket) -> bool:
        """Pass everything on until one of them hangs up; True if it was the client."""
        splitters = {client: Splitter(), server: Splitter()}
        while True:
            ready, _, _ = select.select([client, server], [], [])
            # What QEMU has said is written down before what the client says to it.
            for source in sorted(ready, key=lambda found: found is client):
                target = server if source is client else client
                if not self._pass_on(
                    source, target, splitters[source], from_client=source is client
                ):
                    self._write(HANG_UP if source is client else GONE)
                    return source is client

    def _pass_on(
        self, source: socket.socket, target: socket.socket, splitter: Splitter, *, from_client: bool
    ) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(source, _READ, _DESCRIPTORS)
        except ConnectionError:
            data, descriptors = b"", []
        if not data:
            return False
        for text in splitter.feed(data):
            self._note(text, from_client=from_client)
        try:
            sent = socket.send_fds(target, [data], descriptors)
            target.sendall(data[sent:])
        except ConnectionError:
            pass  # its end is read next
        for descriptor in descriptors:
            os.close(descriptor)
        return True

    def _note(self, text: str, *, from_client: bool) -> None:
        try:
            body = json.loads(text)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            self._write(REQUEST if from_client else REPLY, raw=text)
        elif from_client:
            self._write(REQUEST, msg=body)
        else:
            self._write(classify(body) or REPLY, msg=body)

    def _write(self, kind: str, **what: Any) -> None:
        line = {"time": round(time.time(), 6), "dir": kind, **what}
        self._transcript.write(json.dumps(line) + "\n")
