"""What the wire hands to a dispatcher."""

from __future__ import annotations

from qmpd.errors import QmpError
from qmpd.protocol import wording
from qmpd.protocol.encoder import hash_order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Request:
    """A well-formed request: a command's name, arguments and how to answer it.

    `has_id` tells an ``id`` of null from none at all. `head`
    is what it is recognised by (`qmpd.protocol.recall`). `oob` says that the client wrote
    ``exec-oob``; whether the command allows it, its dispatcher has to check, as it does the
    arguments: `visited` is what came out, kept for requests that are recognised. Nobody
    may change it.
    """

    __slots__ = ("arguments", "command", "has_id", "head", "id", "oob", "visited")

    def __init__(
        self,
        command: str,
        arguments: dict[str, Any],
        id: Any = None,  # noqa: A002 - the member's name on the wire
        has_id: bool = False,
        oob: bool = False,
        head: str = "",
    ) -> None:
        """Take the members as they came."""
        self.command = command
        self.arguments = arguments
        self.id = id
        self.has_id = has_id
        self.oob = oob
        self.head = head
        self.visited: dict[str, Any] | None = None

    def __repr__(self) -> str:
        """Show what the client wrote."""
        names = ("arguments", "command", "has_id", "id", "oob")
        known = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"Request({known})"


def read_request(value: Any, allow_oob: bool) -> Request:
    """Check that `value`, any JSON value, is a request.

    Raises `QmpError` for the first violation in the order of QEMU's hash table, in
    which it looks at the members.
    """
    if type(value) is not dict:
        raise QmpError(wording.NOT_AN_OBJECT)
    command = value.get("execute")
    arguments = value.get("arguments", {})
    known = ("execute" in value) + ("arguments" in value) + ("id" in value)
    if known == len(value) and type(command) is str and type(arguments) is dict:
        return Request(command, arguments, value.get("id"), "id" in value)
    command_member = _check_members(value, allow_oob)
    return Request(
        value[command_member],
        arguments,
        value.get("id"),
        "id" in value,
        command_member == "exec-oob",
    )


def _check_members(value: dict[str, Any], allow_oob: bool) -> str:
    """Find the member that names the command, if all members are what they must be."""
    command_members = ("execute", "exec-oob") if allow_oob else ("execute",)
    found = ""
    for name in hash_order(value):
        if name in command_members:
            if type(value[name]) is not str:
                raise QmpError(wording.member_not_string(name))
            if found:
                raise QmpError(wording.members_clash(name, found))
            found = name
        elif name == "arguments":
            if type(value[name]) is not dict:
                raise QmpError(wording.ARGUMENTS_NOT_OBJECT)
        elif name != "id":
            raise QmpError(wording.member_unexpected(name))
    if not found:
        raise QmpError(wording.NO_COMMAND)
    return found
