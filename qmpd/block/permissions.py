"""Permissions as pure functions: bits, names, and what a parent asks of a child.

A permission set is an int of the four bits below. An edge has ``perm`` (what the parent
needs of the child) and ``shared`` (what it lets other parents of the same child do).
Rules and figures were measured on QEMU 7.2 with ``x-debug-query-block-graph``.
"""

from __future__ import annotations

CONSISTENT_READ = 1
WRITE = 2
WRITE_UNCHANGED = 4
RESIZE = 8
ALL = 15

WRITING = WRITE | WRITE_UNCHANGED | RESIZE

ROLE_DATA = 1
ROLE_METADATA = 2
ROLE_FILTERED = 4
ROLE_COW = 8
ROLE_PRIMARY = 16
ROLE_IMAGE = ROLE_DATA | ROLE_METADATA | ROLE_PRIMARY

_TEXT = (
    (CONSISTENT_READ, "consistent read"),
    (WRITE, "write"),
    (WRITE_UNCHANGED, "write unchanged"),
    (RESIZE, "resize"),
)
_SCHEMA = (
    (RESIZE, "resize"),
    (WRITE_UNCHANGED, "write-unchanged"),
    (WRITE, "write"),
    (CONSISTENT_READ, "consistent-read"),
)
_TEXT_TABLE = tuple(", ".join(name for bit, name in _TEXT if mask & bit) for mask in range(16))
_SCHEMA_TABLE = tuple([name for bit, name in _SCHEMA if mask & bit] for mask in range(16))


def names(mask: int) -> str:
    """The set as it stands in error messages: ascending, comma separated."""
    return _TEXT_TABLE[mask & ALL]


def schema_names(mask: int) -> list[str]:
    """The set as query replies list it: in descending order of the bits."""
    return list(_SCHEMA_TABLE[mask & ALL])


def of_filter(perm: int, shared: int) -> tuple[int, int]:
    """What a filter asks of the child it filters: exactly what is asked of itself."""
    return perm, shared


def of_backing(perm: int, shared: int) -> tuple[int, int]:
    """What a copy-on-write parent asks of its backing child.

    Only consistent reads matter to it; somebody else may write below it only when those
    above it can stand changing data themselves.
    """
    allowed = CONSISTENT_READ | WRITE_UNCHANGED
    if shared & WRITE:
        allowed |= WRITE | RESIZE
    return perm & CONSISTENT_READ, allowed


def of_storage(perm: int, shared: int, role: int, *, writable: bool) -> tuple[int, int]:
    """What a format asks of the child that stores its metadata, its data or both."""
    if role & ROLE_METADATA:
        if writable:
            perm |= WRITE | RESIZE
        perm |= CONSISTENT_READ
        shared &= ~(WRITE | RESIZE)
    if role & ROLE_DATA:
        if perm & WRITE_UNCHANGED:
            perm |= WRITE
        if perm & WRITE:
            perm |= RESIZE
        shared &= ~RESIZE
    return perm, shared
