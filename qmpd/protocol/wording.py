"""Every sentence the wire itself says to a client, as QEMU 7.2 words it."""

from __future__ import annotations

NESTING_LIMIT = "JSON nesting depth limit exceeded"
TOKEN_SIZE_LIMIT = "JSON token size limit exceeded"  # noqa: S105 - a sentence
TOKEN_COUNT_LIMIT = "JSON token count limit exceeded"  # noqa: S105 - a sentence

EXPECTING_VALUE = "JSON parse error, expecting value"
KEY_NOT_STRING = "JSON parse error, key is not a string in object"
MISSING_COLON = "JSON parse error, missing : in object pair"
SEPARATOR_IN_DICT = "JSON parse error, expected separator in dict"
SEPARATOR_IN_LIST = "JSON parse error, expected separator in list"
DUPLICATE_KEY = "JSON parse error, duplicate key"
INVALID_ESCAPE = "JSON parse error, invalid escape sequence in string"
INVALID_UTF8 = "JSON parse error, invalid UTF-8 sequence in string"
PREMATURE_END = "JSON parse error, premature EOI"

NO_VALUE = "Expecting a JSON value"
SECOND_VALUE = "Expecting at most one JSON value"

NOT_AN_OBJECT = "QMP input must be a JSON object"
ARGUMENTS_NOT_OBJECT = "QMP input member 'arguments' must be an object"
NO_COMMAND = "QMP input lacks member 'execute'"

EXPECTING_NEGOTIATION = "Expecting capabilities negotiation with 'qmp_capabilities'"
ALREADY_NEGOTIATED = "Capabilities negotiation is already complete, command ignored"


def _raw(source: bytes) -> str:
    """Source text as it is quoted back: up to a NUL, bad bytes kept for the encoder."""
    return source.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def stray(token: bytes) -> str:
    """Say that no token goes on with the last byte of `token`."""
    return f"JSON parse error, stray '{_raw(token)}'"


def invalid_keyword(word: bytes) -> str:
    """Reject a bare word that is neither ``true``, ``false`` nor ``null``."""
    return f"JSON parse error, invalid keyword '{_raw(word)}'"


def invalid_character(escape: bytes) -> str:
    """Reject an escape by number that is malformed or denotes no character."""
    return f"JSON parse error, {_raw(escape)} is not a valid Unicode character"


def member_not_string(member: str) -> str:
    """Say that ``execute`` or ``exec-oob`` holds something else than a command's name."""
    return f"QMP input member '{member}' must be a string"


def members_clash(member: str, other: str) -> str:
    """Say that a request names two commands."""
    return f"QMP input member '{member}' clashes with '{other}'"


def member_unexpected(member: str) -> str:
    """Say that a request has a member that requests do not have."""
    return f"QMP input member '{member}' is unexpected"


def command_not_found(command: str) -> str:
    """Say that no command goes by that name."""
    return f"The command {command} has not been found"


def no_oob_support(command: str) -> str:
    """Say that the command exists but cannot be executed out of band."""
    return f"The command {command} does not support OOB"


def parameter_type(path: str, expected: str) -> str:
    """Say that an argument has the wrong JSON type."""
    return f"Invalid parameter type for '{path}', expected: {expected}"


def parameter_value(name: str, value: str) -> str:
    """Say that an enumeration does not have that value; elements of a list go by ``null``."""
    return f"Parameter '{name}' does not accept value '{value}'"


def parameter_unexpected(name: str) -> str:
    """Say that the command has no such argument."""
    return f"Parameter '{name}' is unexpected"


def capability_unavailable(capability: str) -> str:
    """Say that the client asks for what the greeting did not offer."""
    return f"Capability {capability} not available"
