"""Take out of a transcript what two equally right servers may do differently.

`normalise` is the whole list. Whatever it leaves alone has to be equal, byte by byte.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from qmpd.testing.oracle import graph

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_TIMESTAMP = re.compile(rb'"timestamp": \{"seconds": \d+, "microseconds": \d+\}')
_GENERATED_NAME = re.compile(rb"#block\d+")
_ACTUAL_SIZE = re.compile(rb'"actual-size": \d+')


def normalise(lines: Sequence[bytes], directory: Path) -> list[bytes]:
    r"""Return the lines of one step without what may differ between two right servers.

    - the time of events becomes ``"timestamp": T``;
    - generated node names (``#block`` and digits, two of them random) become ``#block``;
    - ``actual-size`` (allocation on the host's file system) becomes 0;
    - the server's own directory becomes ``DIR``;
    - a reply of ``x-debug-query-block-graph`` becomes one line per node and per edge,
      sorted, with names and types in the place of ids (`qmpd.testing.oracle.graph`);
    - ``paused`` directly followed by ``running`` of the same job, which is an internal
      drain that no manual promises, is left out (other jobs' pairs may stand between).

    Args:
        lines: replies and events as they came, terminators included, or sentences
            of a helper step.
        directory: the working directory of the server that sent them.
    """
    result: list[bytes] = []
    for line in _without_drains(lines):
        text = _TIMESTAMP.sub(b'"timestamp": T', line)
        text = _GENERATED_NAME.sub(b"#block", text)
        text = _ACTUAL_SIZE.sub(b'"actual-size": 0', text)
        text = text.replace(bytes(directory), b"DIR")
        result += _graph_lines(text) or [text]
    return result


def parse(line: bytes) -> Any:
    """Parse a line of the wire, also a normalised one; None if it is not JSON."""
    try:
        return json.loads(line.replace(b'"timestamp": T', b'"timestamp": "T"', 1))
    except ValueError:
        return None


def _graph_lines(line: bytes) -> list[bytes]:
    if not line.startswith(b'{"return": {"edges": '):
        return []
    return [f"{sentence}\n".encode() for sentence in graph.describe(parse(line)["return"])]


def _status(line: bytes) -> tuple[str, str] | None:
    """Return job id and status if the line is a JOB_STATUS_CHANGE."""
    if b'"JOB_STATUS_CHANGE"' not in line:
        return None
    data = parse(line)["data"]
    return data["id"], data["status"]


def _without_drains(lines: Sequence[bytes]) -> list[bytes]:
    changes = [_status(line) for line in lines]
    dropped: set[int] = set()
    for start, change in enumerate(changes):
        if change is None or change[1] != "paused":
            continue
        end = _end_of_drain(changes, start)
        if end is not None:
            dropped |= {start, end}
    return [line for index, line in enumerate(lines) if index not in dropped]


def _end_of_drain(changes: list[tuple[str, str] | None], start: int) -> int | None:
    paused = changes[start]
    for index in range(start + 1, len(changes)):
        change = changes[index]
        if change is None or paused is None or change[1] not in {"paused", "running"}:
            return None
        if change[0] == paused[0]:
            return index if change[1] == "running" else None
    return None
