"""A conversation of our own making, spelled in every form that people attach to reports."""

import json

COMMIT = {
    "device": "top",
    "job-id": "j",
    "top-node": "mid",
    "base-node": "base",
    "auto-dismiss": False,
}
LAYERS = ("base", "mid", "over", "top")


def command_line(*, program="/usr/bin/qemu-system-x86_64", layers=LAYERS):
    """The chain as libvirt defines it, one option a line."""
    words, below = [program, "-name guest=g", "-S"], None
    for name in layers:
        file = {
            "driver": "file",
            "filename": f"/images/{name}",
            "node-name": f"{name}-file",
            "auto-read-only": True,
        }
        node = {
            "node-name": name,
            "read-only": name != layers[-1],
            "driver": "qcow2",
            "file": f"{name}-file",
            "backing": below,
        }
        words += [f"-blockdev '{json.dumps(file)}'", f"-blockdev '{json.dumps(node)}'"]
        below = name
    words += [f"-device virtio-blk-pci,drive={layers[-1]},id=disk0", "-msg timestamp=on"]
    return " \\\n".join(words) + "\n"


def request(command, number, **arguments):
    body = {"execute": command, "id": f"libvirt-{number}"}
    if arguments:
        body["arguments"] = {key.replace("_", "-"): value for key, value in arguments.items()}
    return "C", body


def reply(number, value=None):
    return "R", {"return": {} if value is None else value, "id": f"libvirt-{number}"}


def event(name, **data):
    stamp = {"seconds": 1552309040, "microseconds": 400150}
    return "E", {"timestamp": stamp, "event": name, **({"data": data} if data else {})}


def status(value, job="j"):
    return event("JOB_STATUS_CHANGE", status=value, id=job)


def completed(job="j", length=1 << 30):
    return event(
        "BLOCK_JOB_COMPLETED", device=job, len=length, offset=length, speed=0, type="commit"
    )


GREETING = (
    "G",
    {"QMP": {"version": {"qemu": {"micro": 0, "minor": 0, "major": 6}, "package": "x"},
             "capabilities": ["oob"]}},
)  # fmt: skip
START = [request("qmp_capabilities", 1), reply(1)]
WHOLE = [
    GREETING,
    *START,
    request("cont", 2),
    event("RESUME"),
    reply(2),
    request("block-commit", 3, **COMMIT),
    status("created"),
    status("running"),
    reply(3),
    request("query-jobs", 4),
    reply(4, [{"id": "j", "type": "commit", "status": "running", "current-progress": 3,
               "total-progress": 9}]),
    status("waiting"),
    status("pending"),
    completed(),
    status("concluded"),
    request("job-dismiss", 5, id="j"),
    status("null"),
    reply(5),
    request("query-named-block-nodes", 6),
    reply(6, [
        {"node-name": f"{name}{kind}", "drv": drv, "ro": ro, "image": {"virtual-size": 1}}
        for name, read_only in (("top", False), ("over", True), ("mid", True), ("base", True))
        for kind, drv, ro in (("", "qcow2", read_only), ("-file", "file", False))
    ]),
]  # fmt: skip
"""A commit of the middle, as every QEMU since 4.0 would do it."""


# --- forms ---------------------------------------------------------------------------------

_PREFIX = "2019-03-11 12:57:10.485+0000: 3228: info : "
_RECEIVED = {"R": ("224", "RECV_REPLY", "reply"), "E": ("219", "RECV_EVENT", "event")}


def libvirt_log(talk, *, monitor="0x7fcff4027880", received=True, buffers=False):
    """libvirt's log: requests twice; what came from QEMU in the buffer, by itself, or both."""
    lines = []
    for kind, body in talk:
        text = json.dumps(body)
        if kind == "C":
            say = (
                f"qemuMonitorSend:1085 : QEMU_MONITOR_SEND_MSG: mon={monitor} msg={text}\r\n fd=-1"
            )
            write = (
                f"qemuMonitorIOWrite:553 : QEMU_MONITOR_IO_WRITE: mon={monitor} buf={text}\r\n"
                f" len={len(text)} ret={len(text)} errno=0"
            )
            lines += [_PREFIX + say, _PREFIX + write]
        if kind != "C" and (buffers or kind == "G"):
            half = text[: len(text) // 2]
            lines += [
                f"{_PREFIX}x:1 : QEMU_MONITOR_IO_PROCESS: mon={monitor} buf={part} len=9"
                for part in (half, f"{text}\r\n")
            ]
        if kind in _RECEIVED and received:
            number, what, member = _RECEIVED[kind]
            lines.append(
                f"{_PREFIX}qemuMonitorJSONIOProcessLine:{number} : "
                f"QEMU_MONITOR_{what}: mon={monitor} {member}={text}"
            )
        if kind == "X":
            lines.append(f"{_PREFIX}x:1 : QEMU_MONITOR_CLOSE: mon={monitor} refs=1")
    return "\n".join(lines) + "\n"


def arrows(talk, *, indent=None):
    """The form of QEMU's own documentation."""
    lines = []
    for kind, body in talk:
        arrow = "->" if kind == "C" else "<-"
        lines.append("<- (closed)" if kind == "X" else f"{arrow} {json.dumps(body, indent=indent)}")
    return "\n".join(lines) + "\n"


def bare(talk):
    """What a socat on the socket shows."""
    return "".join(
        "[connection closed]\n" if kind == "X" else f"{json.dumps(body)}\r\n" for kind, body in talk
    )


def transcript(talk):
    """What ``qmpd record`` writes."""
    return "".join(
        json.dumps({"time": 1.5, "dir": kind} | ({"msg": body} if body else {})) + "\n"
        for kind, body in talk
    )


def mail(text):
    """The same in a reply to a mail."""
    return "Hello,\n\nI've got this:\n\n" + "".join(f"> {line}\n" for line in text.splitlines())


CLOSED = ("X", None)
FORMS = {
    "libvirt": libvirt_log,
    "libvirt's buffers": lambda talk: libvirt_log(talk, received=False, buffers=True),
    "libvirt's buffers and more": lambda talk: libvirt_log(talk, buffers=True),
    "arrows": arrows,
    "indented arrows": lambda talk: arrows(talk, indent=4),
    "bare lines": bare,
    "recorded": transcript,
}
