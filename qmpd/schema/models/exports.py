"""Nodes that other programs can reach over NBD."""

from typing import ClassVar

from qmpd.schema.models.bitmaps import BlockDirtyBitmapOrStr
from qmpd.schema.models.kinds import (
    Choice,
    Command,
    Event,
    FlatUnion,
    Opt,
    Struct,
    Uint32,
)


class SocketAddressType(Choice):
    """Kinds of addresses that a server can listen on."""

    UNIX = "unix"


class UnixSocketAddress(Struct):
    """A Unix socket."""

    path: str
    """Its path."""
    abstract: Opt[bool] = None
    """Whether it is in the abstract name space."""
    tight: Opt[bool] = None
    """Whether an abstract name is as long as its text."""


class UnixSocketAddressWrapper(Struct):
    """A Unix socket."""

    data: UnixSocketAddress
    """Where it is."""


class SocketAddressLegacy(FlatUnion):
    """An address, as commands take it."""

    tag: ClassVar[str] = "type"
    variants: ClassVar[dict[str, type[Struct]]] = {"unix": UnixSocketAddressWrapper}

    type: SocketAddressType
    """Its kind."""


class SocketAddress(FlatUnion):
    """An address, as the command line takes it."""

    tag: ClassVar[str] = "type"
    variants: ClassVar[dict[str, type[Struct]]] = {"unix": UnixSocketAddress}

    type: SocketAddressType
    """Its kind."""


class NbdServerOptions(Struct):
    """A server, as the command line gives it."""

    addr: SocketAddress
    """Where it listens."""
    tls_creds: Opt[str] = None
    """The object with its credentials."""
    tls_authz: Opt[str] = None
    """The object that says who may come."""
    max_connections: Opt[Uint32] = None
    """How many clients are served at a time; any number when absent or 0."""


class NbdServerStart(Struct):
    """A server."""

    addr: SocketAddressLegacy
    """Where it listens."""
    tls_creds: Opt[str] = None
    """The object with its credentials."""
    tls_authz: Opt[str] = None
    """The object that says who may come."""
    max_connections: Opt[Uint32] = None
    """How many clients are served at a time; any number when absent or 0."""


class NbdServerAdd(Struct):
    """A node or drive to export."""

    name: Opt[str] = None
    """What clients call it, and the export's id; as the device when absent."""
    description: Opt[str] = None
    """What clients are told of it."""
    device: str
    """The node or drive."""
    writable: Opt[bool] = None
    """Whether clients may write."""
    bitmap: Opt[str] = None
    """A dirty bitmap that clients can read."""


class BlockExportRemoveMode(Choice):
    """What becomes of clients."""

    SAFE = "safe"
    HARD = "hard"


class NbdServerRemove(Struct):
    """An export to end."""

    name: str
    """Its id."""
    mode: Opt[BlockExportRemoveMode] = None
    """Whether it is refused as long as there are clients, as it is when absent."""


class BlockExportType(Choice):
    """Ways to reach a node."""

    NBD = "nbd"


class BlockExportOptionsNbd(Struct):
    """How a node is reached over NBD."""

    name: Opt[str] = None
    """What clients call it; as the node when absent."""
    description: Opt[str] = None
    """What clients are told of it."""
    bitmaps: Opt[list[BlockDirtyBitmapOrStr]] = None
    """Dirty bitmaps that clients can read."""
    allocation_depth: Opt[bool] = None
    """Whether clients may ask which layer holds what."""


class BlockExportOptions(FlatUnion):
    """A node to export."""

    tag: ClassVar[str] = "type"
    variants: ClassVar[dict[str, type[Struct]]] = {"nbd": BlockExportOptionsNbd}

    type: BlockExportType
    """How it is reached."""
    id: str
    """What the export is called."""
    fixed_iothread: Opt[bool] = None
    """Whether it stays in its thread."""
    iothread: Opt[str] = None
    """The thread that it runs in."""
    node_name: str
    """The node."""
    writable: Opt[bool] = None
    """Whether clients may write."""
    writethrough: Opt[bool] = None
    """Whether each write is flushed."""


class BlockExportDel(Struct):
    """An export to end."""

    id: str
    """Its id."""
    mode: Opt[BlockExportRemoveMode] = None
    """Whether it is refused as long as there are clients, as it is when absent."""


class BlockExportDeleted(Struct):
    """An export that has ended."""

    id: str
    """Its id."""


class BlockExportInfo(Struct):
    """An export."""

    id: str
    """Its id."""
    type: BlockExportType
    """How the node is reached."""
    node_name: str
    """The node."""
    shutting_down: bool
    """Whether it waits for its clients to leave."""


EXPORTS = (
    Command("nbd-server-start", NbdServerStart),
    Command("nbd-server-add", NbdServerAdd, features=("deprecated",)),
    Command("nbd-server-remove", NbdServerRemove, features=("deprecated",)),
    Command("nbd-server-stop", None),
    Command("block-export-add", BlockExportOptions),
    Command("block-export-del", BlockExportDel),
    Event("BLOCK_EXPORT_DELETED", BlockExportDeleted),
    Command("query-block-exports", None, list[BlockExportInfo]),
)
