"""The exceptions that become error replies.

Every sentence that a client can read travels in one of these; the class of the
exception is the error class on the wire (fact: QEMU 7.2 knows exactly these five,
of which ``KVMMissingCap`` never occurs in a block layer).

::

    QmpError                 GenericError, the default
     +-- CommandNotFound
     +-- DeviceNotFound
     +-- DeviceNotActive
"""

from __future__ import annotations


class QmpError(Exception):
    """A request failed; ``str()`` of it is the ``desc`` member of the reply.

    ``hint`` is advice for somebody at a command line; it never goes over the wire.
    """

    error_class = "GenericError"

    def __init__(self, desc: str, hint: str = "") -> None:
        super().__init__(desc)
        self.desc = desc
        self.hint = hint


class CommandNotFound(QmpError):  # noqa: N818 - the name is QEMU's error class
    """The command does not exist, or not in the session's present state."""

    error_class = "CommandNotFound"


class DeviceNotFound(QmpError):  # noqa: N818 - the name is QEMU's error class
    """The device or QOM path does not exist."""

    error_class = "DeviceNotFound"


class DeviceNotActive(QmpError):  # noqa: N818 - the name is QEMU's error class
    """No active block job goes by that id."""

    error_class = "DeviceNotActive"
