"""The sentences of command-line errors, as QEMU 7.2 words them, and qmpd's own."""

from __future__ import annotations

NO_HELP = "Help is not available for this option"
IDENTIFIER_HINT = "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter."
NO_CHARDEV_ID = "chardev: no id specified"
SOCKET_ADDRESSES = "None or one of 'path', 'fd' or 'host' option required."
SOCKET_WITHOUT_PORT = "chardev: socket: no port given"
SOCKET_WITHOUT_ADDRESS = "Unable to parse FD number "
TWO_DELAYS = "'delay' and 'nodelay' are mutually exclusive"
FD_RECONNECT = "'reconnect' option is incompatible with 'fd' address type"
TLS_AUTHZ_ALONE = "'tls_authz' option requires 'tls_creds' option"
NO_WEBSOCKET_CLIENT = "Websocket client is not implemented"
UDP_WITHOUT_PORT = "chardev: udp: remote port not specified"
SECOND_STDIO = "cannot use stdio by multiple character devices"
ONLY_QMP = "Only QMP is supported"
PRETTY_HMP = "'pretty' is not compatible with HMP monitors"
STANDARD_STREAM = "fd cannot be a standard I/O stream"
FD_INVALID = "fd is not valid or already in use"
UNEXPECTED_ARGUMENT = "Unexpected argument"


def equals_expected(key: str) -> str:
    """Report a bare word in key-value text."""
    return f"Expected '=' after parameter '{key}'"


def invalid_parameter(key: str) -> str:
    """Report a key that is no name, or not one that is known."""
    return f"Invalid parameter '{key}'"


def too_long(fragment: str, *, whole: bool) -> str:
    """Report a key, or a part of one between dots, that is too long."""
    return f"Parameter{'' if whole else ' fragment'} '{fragment}' is too long"


def inconsistent(path: str) -> str:
    """Report a key that is a scalar and an object, or an object and a list; ``path`` ends in a dot."""
    return f"Parameters '{path}*' used inconsistently"


def element_missing(path: str, index: int) -> str:
    """Report a gap in a list; ``path`` ends in a dot."""
    return f"Parameter '{path}{index}' missing"


def missing(name: str) -> str:
    """Report a parameter that must be given."""
    return f"Parameter '{name}' is missing"


def wrong_value(name: str, expected: str) -> str:
    """Report a text that does not spell what it should."""
    return f"Parameter '{name}' expects {expected}"


def wrong_choice(name: str, value: str) -> str:
    """Report a value that is not one of those known."""
    return f"Parameter '{name}' does not accept value '{value}'"


def duplicate_id(name: str, what: str) -> str:
    """Report an id that the system emulator has seen before."""
    return f"Duplicate ID '{name}' for {what}"


def duplicate_chardev(name: str) -> str:
    """Report an id that the storage daemon has seen before."""
    return f"attempt to add duplicate property '{name}' to object (type 'container')"


def no_backend(name: str) -> str:
    """Report a character device of no kind."""
    return f'chardev: "{name}" missing backend'


def unknown_backend(backend: str) -> str:
    """Report a character device of an unknown kind."""
    return f"'{backend}' is not a valid char driver name"


def client_only(name: str) -> str:
    """Report a parameter that a connecting socket cannot have."""
    return f"'{name}' option is incompatible with socket in client connect mode"


def server_only(name: str) -> str:
    """Report a parameter that a listening socket cannot have."""
    return f"'{name}' option is incompatible with socket in server listen mode"


def no_tls(name: str) -> str:
    """Report credentials that do not exist: qmpd has none."""
    return f"No TLS credentials with id '{name}'"


def no_chardev(name: str) -> str:
    """Report a monitor on a character device that does not exist."""
    return f'chardev "{name}" not found'


def chardev_in_use(name: str) -> str:
    """Report a second user of a character device."""
    return f"Device '{name}' is in use"


def unknown_short(text: str) -> str:
    """Report a kind of character device that does not exist, in the short spelling."""
    return f"'{text}' is not a valid char driver"


def device_parse_error(text: str) -> str:
    """Report a short device specification that cannot be read."""
    return f"parse error: {text}"


def invalid_option(spelling: str) -> str:
    """Report an option that the system emulator does not have."""
    return f"{spelling}: invalid option"


def ambiguous_option(word: str, names: list[str]) -> str:
    """Report an option of which nothing is there but its argument."""
    possible = "".join(f" '--{name}'" for name in names)
    return f"option '{word}' is ambiguous; possibilities:{possible}"


def unrecognized_option(spelling: str) -> str:
    """Report an option that the storage daemon does not have."""
    return f"unrecognized option '{spelling}'"


def invalid_letter(letter: str) -> str:
    """Report a one-letter option that the storage daemon does not have."""
    return f"invalid option -- '{letter}'"


def argument_required(spelling: str, *, system: bool) -> str:
    """Report an option at the end of the line that lacks its argument."""
    if system:
        return f"{spelling}: requires an argument"
    return f"option '{spelling}' requires an argument"


def letter_requires_argument(letter: str) -> str:
    """Report a one-letter option at the end of the line that lacks its argument."""
    return f"option requires an argument -- '{letter}'"


def no_argument_allowed(spelling: str) -> str:
    """Report an argument joined to an option that takes none."""
    return f"option '{spelling}' doesn't allow an argument"


def short_form(name: str) -> str:
    """Warn of a switch without a value."""
    return f"warning: short-form boolean option '{name}' deprecated"


def short_form_hint(full: str) -> str:
    """Show the long form of a switch."""
    return f"Please use {full} instead"


def needs_number(name: str) -> str:
    """Report a descriptor or a set of them that is not numbered."""
    return f"{name} option is required and must be non-negative"


def lacking(what: str, instead: str) -> str:
    """Report a feature of QEMU that qmpd does not have."""
    return f"qmpd does not have {what}; {instead}"


def backend_without_monitor(backend: str) -> str:
    """Report a monitor on a kind of character device that qmpd only knows by name."""
    return f"qmpd cannot run a monitor on a '{backend}' character device; use socket or stdio"


def no_path(backend: str, what: str) -> str:
    """Report a character device that lacks its path."""
    return f"chardev: {backend}: no {what} given"


TOTAL_AND_PARTS = "bps/iops/max total values and read/write values cannot be used at the same time"
IOPS_SIZE_ALONE = "iops size requires an iops value to be set"
LIMIT_TOO_LARGE = "bps/iops/max values must be within [0, 1000000000000000]"
NO_BURST_LENGTH = "the burst length cannot be 0"
BURST_LENGTH_ALONE = "burst length set without burst rate"
BURST_TOO_LONG = "burst length too high for this burst rate"
BURST_ALONE = "bps_max/iops_max require corresponding bps/iops values"
BURST_TOO_LOW = "bps_max/iops_max cannot be lower than bps/iops"


def both_names(new: str, old: str) -> str:
    """Report an option that is there under its old name, too."""
    return f"'{new}' and its alias '{old}' can't be used at the same time"


def invalid_interval(text: str) -> str:
    """Report a length of an interval that is no positive number of seconds."""
    return f"Invalid interval length: {text}"


def not_numbered(name: str) -> str:
    """Report a list whose members are not numbered one after the other."""
    return f"Invalid option {name}"
