"""Steps of a random sequence; unlike those of a written script, a request may be refused."""

from __future__ import annotations

import json
import re
import time

from qmpd.testing.oracle import Program, Step, call
from qmpd.testing.oracle.server import is_event
from qmpd.testing.oracle.start import PATIENCE

_QUIET_POLLS = 4
# A mirror that was told to end shows "ready" until it wakes up; one that sleeps for its speed
# may still have chunks in flight.
_PATIENT_POLLS = 20
_POLL = 0.002
_READY, _WAITING = b'"status": "ready"', b'"status": "waiting"'
_VERBS = ("job-", "block-job-", "block-")
_AT_REST = frozenset({"paused", "ready", "standby", "pending", "concluded"})
_QUERIES = (
    call("x-debug-query-block-graph"),
    call("query-named-block-nodes"),
    call("query-jobs"),
    call("query-block-jobs"),
)
_GENERATED = re.compile(rb"\{block(\d+)\}")
_NO_JOBS = b'{"return": []}\r\n'
_REFUSED = b'"error": {'
HIDDEN = ".hidden"


def ask(request):
    """Send a request; compare the reply, whatever it is, what the jobs do, and everything there is.

    ``{block0}`` stands for the newest node with a generated name, ``{block1}`` for the next.

    An active commit that has little to copy is ready before the reply or after it, as the
    threads that copy happen to finish, and a job whose sleep is interrupted by somebody's
    drain may end before the reply or after it; there the reply is put where `_early_reply` says.
    """

    leaving = request["execute"].endswith(("-complete", "-cancel", "-resume"))
    leaving = leaving or request.get("arguments", {}).get("speed") == 1
    overtaking = [_READY] if request["execute"].startswith(_VERBS) else [_READY, _WAITING]

    def run(server):
        server.send(_with_generated_names(server, json.dumps(request).encode() + b"\n"))
        lines = server.lines_until_reply()
        lines += _settle(server, _PATIENT_POLLS if leaving else _QUIET_POLLS)
        return [*_early_reply(_without_drains(lines), overtaking), *_look(server)]

    return Step(json.dumps(request), run)


def unask(request):
    """Tell a disk to leave that does so at once; compare as `ask` does.

    A thread of its own tells of the end, now or a little later.
    """

    def run(server):
        server.send(request)
        lines = server.lines_until_reply()
        if _REFUSED not in lines[-1]:
            lines += _until(server, b'"DEVICE_DELETED"', lines)
        lines += _settle(server, _PATIENT_POLLS)
        told = [line for line in lines if b'"DEVICE_DELETED"' in line]
        return [*(line for line in lines if line not in told), *told, *_look(server)]

    return Step(json.dumps(request), run)


def _until(server, what, lines):
    more = []
    while not any(what in line for line in [*lines, *more]):
        more.append(server.read_line())
    return more


def _without_drains(lines):
    """Leave out ``standby`` directly followed by ``ready``: a drain, as ``paused`` and ``running``."""
    kept = []
    for line in lines:
        if kept and b'"ready"' in line and kept[-1] and _is_standby_of(kept[-1], line):
            kept.pop()
        else:
            kept.append(line)
    return kept


def _is_standby_of(before, line):
    one, other = (json.loads(text).get("data") for text in (before, line))
    return one == {"status": "standby", "id": one and one.get("id")} and other == {
        "status": "ready",
        "id": one["id"],
    }


def _early_reply(lines, overtaking):
    """Move the reply before the first event of a job that it may follow or precede."""
    late = (n for n, line in enumerate(lines) if any(event in line for event in overtaking))
    first = next(late, len(lines))
    reply = next(n for n, line in enumerate(lines) if not is_event(line))
    if reply > first:
        lines.insert(first, lines.pop(reply))
    return lines


def _with_generated_names(server, data):
    if not _GENERATED.search(data):
        return data
    nodes = server.execute("query-named-block-nodes")
    names = [node["node-name"] for node in nodes if node["node-name"].startswith("#")]

    def name(match):
        number = int(match[1])
        return names[number].encode() if number < len(names) else b"nothing"

    return _GENERATED.sub(name, data)


def _settle(server, polls):
    """Wait until every job has come to rest; return the events until then.

    A job rests in a state that it only leaves on request, or in the sleep that a speed of
    one byte a second causes after every chunk.
    """
    events = []
    last, quiet = b"", 0
    deadline = time.monotonic() + PATIENCE
    while quiet < polls:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the jobs do not come to rest: {last!r}")
        server.send(call("query-block-jobs"))
        *news, reply = server.lines_until_reply()
        events += news
        if reply == _NO_JOBS and not news:
            break
        quiet = quiet + 1 if reply == last and not news and _rests(reply) else 0
        last = reply
        time.sleep(_POLL)
    return events


def _rests(reply):
    return all(
        job["status"] in _AT_REST or (job["speed"] == 1 and not job["busy"] and job["offset"])
        for job in json.loads(reply)["return"]
    )


def _look(server):
    """Return graph, nodes, jobs, disks, descriptors and locks."""
    queries = [*_QUERIES, *([call("query-block")] if server.program is Program.SYSTEM else [])]
    server.send(b"".join(server.encode(query) for query in queries))
    lines = [line for _ in queries for line in server.lines_until_reply()]
    return lines + [f"{found}\n".encode() for found in server.descriptors()]


def look():
    """Compare graph, nodes, jobs, disks, descriptors and locks."""
    return Step("a look at everything", _look)


def hide(name, *, by_directory=False):
    """Take an image away behind the server's back, or put a directory in its place."""

    def run(server):
        path = server.dir / name
        path.rename(path.with_name(name + HIDDEN))
        if by_directory:
            path.mkdir()
        return []

    return Step(f"{name} is hidden", run)


def restore(name):
    """Bring a hidden image back."""

    def run(server):
        path = server.dir / name
        if path.is_dir():
            path.rmdir()
        path.with_name(name + HIDDEN).rename(path)
        return []

    return Step(f"{name} is back", run)
