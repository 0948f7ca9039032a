"""``-chardev``: character devices that monitors talk through."""

from __future__ import annotations

from qmpd.options import opts, wording
from qmpd.options.errors import BadOption
from qmpd.options.opts import NUMBER, SIZE, STRING, SWITCH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmpd.options.opts import Opts

SOCKET, STDIO, NULL = "socket", "stdio", "null"

# Kinds that QEMU has; those besides the three above are accepted and left alone.
BACKENDS = {
    SOCKET, STDIO, NULL, "braille", "console", "file", "memory", "msmouse", "mux", "parallel",
    "parport", "pipe", "pty", "qemu-vdagent", "ringbuf", "serial", "spiceport", "spicevmc",
    "testdev", "tty", "udp", "vc", "wctablet", "dbus",
}  # fmt: skip

_WRAPPINGS = ("telnet", "tn3270", "websocket")
_NEEDS_PATH = {
    "file": "filename",
    "pipe": "device path",
    "serial": "serial device path",
    "tty": "serial device path",
}

PARAMETERS = {
    "backend": STRING,
    "path": STRING,
    "host": STRING,
    "port": STRING,
    "fd": STRING,
    "localaddr": STRING,
    "localport": STRING,
    "to": NUMBER,
    "ipv4": SWITCH,
    "ipv6": SWITCH,
    "wait": SWITCH,
    "server": SWITCH,
    "delay": SWITCH,
    "nodelay": SWITCH,
    "reconnect": NUMBER,
    "telnet": SWITCH,
    "tn3270": SWITCH,
    "tls-creds": STRING,
    "tls-authz": STRING,
    "websocket": SWITCH,
    "width": NUMBER,
    "height": NUMBER,
    "cols": NUMBER,
    "rows": NUMBER,
    "mux": SWITCH,
    "signal": SWITCH,
    "name": STRING,
    "debug": NUMBER,
    "size": SIZE,
    "chardev": STRING,
    "append": SWITCH,
    "logfile": STRING,
    "logappend": SWITCH,
    "mouse": SWITCH,
    "clipboard": SWITCH,
    "tight": SWITCH,
    "abstract": SWITCH,
}


class Chardev:
    """A character device.

    ``backend`` is ``socket``, ``stdio``, or a kind that is accepted but does nothing. A
    socket has a ``path``, an ``fd`` (a number, or the name of a descriptor passed in), or
    ``host`` and ``port``; a ``server`` listens, and with ``wait`` start-up waits for a client.
    """

    __slots__ = (
        "abstract", "backend", "fd", "host", "id", "path", "port", "reconnect", "server", "wait",
        "wrapped",
    )  # fmt: skip

    def __init__(self, name: str, given: Opts) -> None:
        """Read a device's parameters; the name need not be the one that they give."""
        self.id = name
        self.backend = given.get("backend") or ""
        self.path = given.get("path")
        self.fd = given.get("fd")
        self.host = given.get("host")
        self.port = given.get("port")
        self.server = given.switch("server")
        self.wait = given.switch("wait", default=self.server)
        self.abstract = given.switch("abstract")
        self.wrapped = [f for f in _WRAPPINGS if given.switch(f)]
        self.reconnect = opts.number(given.get("reconnect") or "0")


def parse(text: str) -> Opts:
    """Split ``-chardev`` text into its parameters. Raises :class:`BadOption`."""
    return opts.parse(text, "backend", PARAMETERS)


def build(given: Opts) -> Chardev:
    """Make the character device that the parameters describe. Raises :class:`BadOption`."""
    if given.id is None:
        raise BadOption(wording.NO_CHARDEV_ID)
    chardev = Chardev(given.id, given)
    if given.get("backend") is None:
        raise BadOption(wording.no_backend(given.id))
    if chardev.backend not in BACKENDS:
        raise BadOption(wording.unknown_backend(chardev.backend))
    if chardev.backend == SOCKET:
        _check_socket(chardev, given)
    elif chardev.backend in _NEEDS_PATH and chardev.path is None:
        raise BadOption(wording.no_path(chardev.backend, _NEEDS_PATH[chardev.backend]))
    elif chardev.backend == "mux" and given.get("chardev") is None:
        raise BadOption(wording.no_path(chardev.backend, "chardev"))
    elif chardev.backend == "udp" and not chardev.port:
        raise BadOption(wording.UDP_WITHOUT_PORT)
    return chardev


def _check_socket(chardev: Chardev, given: Opts) -> None:
    addresses = [a for a in (chardev.path, chardev.fd, chardev.host) if a is not None]
    if len(addresses) > 1:
        raise BadOption(wording.SOCKET_ADDRESSES)
    if chardev.host is not None and chardev.port is None:
        raise BadOption(wording.SOCKET_WITHOUT_PORT)
    if given.get("delay") is not None and given.get("nodelay") is not None:
        raise BadOption(wording.TWO_DELAYS)
    if chardev.path is None and chardev.host is None:
        chardev.fd = chardev.fd or ""
    _check_role(chardev, given)
    if chardev.fd == "" and not chardev.server:
        raise BadOption(wording.SOCKET_WITHOUT_ADDRESS)


def _check_role(chardev: Chardev, given: Opts) -> None:
    """Check what cannot be had together, or by a listening or a connecting socket only."""
    credentials = given.get("tls-creds")
    for bad, text in (
        (chardev.fd is not None and given.get("reconnect") is not None, wording.FD_RECONNECT),
        (given.get("tls-authz") is not None and credentials is None, wording.TLS_AUTHZ_ALONE),
        (credentials is not None, wording.no_tls(credentials or "")),
        (given.switch("websocket") and not chardev.server, wording.NO_WEBSOCKET_CLIENT),
        (given.get("wait") is not None and not chardev.server, wording.client_only("wait")),
        (chardev.server and given.get("reconnect") is not None, wording.server_only("reconnect")),
    ):
        if bad:
            raise BadOption(text)


def parse_short(text: str) -> Opts | None:
    """Read a device as ``-qmp`` and ``-monitor`` spell it, ``unix:PATH,server=on`` or ``stdio``.

    Returns ``None`` for what cannot be read. Raises :class:`BadOption` for bad parameters
    and for kinds that there are not.
    """
    if text in {STDIO, NULL, "pty", "msmouse", "wctablet", "braille", "testdev"}:
        return opts.parse(text, "backend")
    kind, colon, rest = text.partition(":")
    if kind == "udp" and colon:
        return None
    if kind == "unix" and colon:
        given = opts.parse(rest, "path", PARAMETERS)
    elif kind == "tcp" and colon:
        address, _, parameters = rest.partition(",")
        host, colon, port = address.rpartition(":")
        if not colon:
            return None
        given = opts.parse(parameters, "", PARAMETERS)
        given.items += [("host", host), ("port", port)]
    else:
        raise BadOption(wording.unknown_short(text))
    given.items.append(("backend", SOCKET))
    return given
