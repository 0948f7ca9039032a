"""The sentences of argument errors, as QEMU 7.2 words them.

``path`` is a member's full path from the root of the arguments, such as ``file.filename``
or ``options[0].driver``; ``name`` is the member's bare name, ``null`` for a list element.
Which of the two a sentence shows is part of the contract.
"""

from __future__ import annotations


def missing(path: str) -> str:
    """Report a required member that is absent."""
    return f"Parameter '{path}' is missing"


def unexpected(path: str) -> str:
    """Report a member that is not part of the type."""
    return f"Parameter '{path}' is unexpected"


def wrong_type(path: str, expected: str) -> str:
    """Report a member of another JSON type."""
    return f"Invalid parameter type for '{path}', expected: {expected}"


def wrong_value(name: str, expected: str) -> str:
    """Report a number out of range, or a keyval text that does not spell what it should."""
    return f"Parameter '{name}' expects {expected}"


def wrong_choice(name: str, value: str) -> str:
    """Report a value that an enum does not have."""
    return f"Parameter '{name}' does not accept value '{value}'"


def not_a_scalar(path: str) -> str:
    """Report keyval text that gives members to something that has none."""
    return f"Parameters '{path}.*' are unexpected"


SIZE_EXPECTED = "a non-negative number below 2^64"
SIZE_HINT = (
    "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n"
    "and exabytes, respectively."
)
"""What is said below a complaint about a size on a command line."""


def too_large(name: str, value: str) -> str:
    """Report an option's number that needs more than 64 bits."""
    return f"Value '{value}' is too large for parameter '{name}'"


def out_of_range(name: str, value: str) -> str:
    """Report an option's size that needs more than 64 bits."""
    return f"Value '{value}' is out of range for parameter '{name}'"
