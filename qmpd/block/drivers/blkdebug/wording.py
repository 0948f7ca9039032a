"""What ``blkdebug`` says to its clients."""

from __future__ import annotations

PARTS = "blkdebug requires both config file and image path"
CONFIG_PARSE_ERROR = "parse error"
CONFIG_NO_GROUP = "no group defined"
RULE_WITHOUT_EVENT = "Missing event name for rule"


def no_config(reason: str) -> str:
    """The configuration of a blkdebug node cannot be read."""
    return f"Could not read blkdebug config file: {reason}"


def config_unreadable(reason: str) -> str:
    """A configuration has been opened, but gives no lines."""
    return f"Cannot read config file: {reason}"


def no_option_group(name: str) -> str:
    """A configuration has a section that means nothing."""
    return f"There is no option group '{name}'"


def no_int32(option: str) -> str:
    """A limit of a blkdebug node is too large."""
    return f"Parameter '{option}' expects int32_t"


def unmet_constraint(option: str, value: int) -> str:
    """A limit of a blkdebug node contradicts itself or another one."""
    return f"Cannot meet constraints with {option} {value}"
