"""Nodes that other programs reach over NBD: the server's commands (observed on QEMU 7.2)."""

from __future__ import annotations

from qmpd.block import permissions as p
from qmpd.block.node import User
from qmpd.block.transaction import Transaction
from qmpd.commands import wording
from qmpd.commands.bitmaps import check_usable, find_bitmap, find_node
from qmpd.errors import QmpError
from qmpd.options.opts import is_identifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from qmpd.block.bitmap import NamedBitmap
    from qmpd.block.node import Node
    from qmpd.machine import Machine

    class Server(Protocol):
        """Who serves the exports."""

        def close(self) -> None:
            """Take no more clients, and let go of those that are there."""


LONGEST = 4096
"""Bytes of a name or description, as the protocol has it."""


class Export:
    """One export: a user of its node. ``disconnect`` has one function for each client."""

    __slots__ = (
        "bitmaps",
        "description",
        "disconnect",
        "id",
        "name",
        "user",
        "writable",
        "writethrough",
    )

    def __init__(self, export_id: str, name: str, description: str) -> None:
        self.id = export_id
        self.name = name
        self.description = description
        self.user = User(device=True)
        self.writable = self.writethrough = False
        self.bitmaps: list[NamedBitmap] = []
        self.disconnect: list[Callable[[], None]] = []

    @property
    def node(self) -> Node:
        """The node that is exported."""
        return self.user.children["root"].child


class Exports:
    """A machine's exports, newest first, and the server if it runs."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.server: Server | None = None
        self.listed: list[Export] = []

    def called(self, name: str) -> Export | None:
        """The export that clients know by a name."""
        return next((export for export in self.listed if export.name == name), None)

    def find(self, export_id: str) -> Export:
        """The export with an id.

        Raises:
            QmpError: there is none.
        """
        for export in self.listed:
            if export.id == export_id:
                return export
        raise QmpError(wording.export_not_found(export_id))

    def start(self, path: str, *, limit: int, credentials: str | None) -> None:
        """Let clients come.

        Raises:
            QmpError: they can already, or not there.
        """
        if self.server is not None:
            raise QmpError(wording.NBD_RUNNING)
        if credentials is not None:
            raise QmpError(wording.no_tls_credentials(credentials))
        self.server = self._machine.serve_nbd(self, path, limit)

    def stop(self) -> None:
        """End the server, and all exports, the oldest first.

        Raises:
            QmpError: it does not run.
        """
        if self.server is None:
            raise QmpError(wording.NBD_NOT_RUNNING)
        self.end()
        self.close()

    def add(self, options: dict[str, Any]) -> None:
        """Export a node.

        Raises:
            QmpError: it cannot be done; nothing has changed then.
        """
        machine, graph = self._machine, self._machine.graph
        export_id: str = options["id"]
        if not is_identifier(export_id):
            raise QmpError(wording.EXPORT_ID)
        if any(export.id == export_id for export in self.listed):
            raise QmpError(wording.export_id_taken(export_id))
        node = graph.lookup(None, options["node-name"])
        writable = bool(options.get("writable"))
        if writable and node.flags.read_only:
            raise QmpError(wording.EXPORT_READ_ONLY)
        thread = options.get("iothread")
        if thread is not None and machine.objects.get(thread) != "iothread":
            raise QmpError(wording.export_iothread(thread))
        name = options.get("name", options["node-name"])
        export = Export(export_id, name, options.get("description", ""))
        export.writable, export.writethrough = writable, bool(options.get("writethrough"))
        perm = p.CONSISTENT_READ | (p.WRITE if writable else 0)
        with Transaction() as tx:
            graph.add_user(tx, export.user, node, perm, p.ALL & ~p.RESIZE)
            self._check(export)
            export.bitmaps = self._bitmaps(export, options.get("bitmaps", []))
        for bitmap in export.bitmaps:
            bitmap.busy = True
        graph.generation += 1
        self.listed.insert(0, export)

    def _check(self, export: Export) -> None:
        if self.server is None:
            raise QmpError(wording.NBD_NOT_RUNNING)
        if len(export.name.encode(errors="surrogateescape")) > LONGEST:
            raise QmpError(wording.export_name_too_long(export.name))
        if len(export.description.encode(errors="surrogateescape")) > LONGEST:
            raise QmpError(wording.export_description_too_long(export.description))
        if self.called(export.name) is not None:
            raise QmpError(wording.export_name_taken(export.name))

    def _bitmaps(self, export: Export, wanted: list[str | dict[str, Any]]) -> list[NamedBitmap]:
        found: list[NamedBitmap] = []
        for given in wanted:
            if isinstance(given, dict):
                bitmap = find_bitmap(find_node(self._machine.graph, given["node"]), given["name"])
            else:
                bitmap = self._in_chain(export.node, given)
            check_usable(bitmap)
            if not export.writable and bitmap.enabled and not bitmap.persistent:
                raise QmpError(wording.export_bitmap_enabled(bitmap.text()))
            found.append(bitmap)
        return found

    @staticmethod
    def _in_chain(node: Node, name: str) -> NamedBitmap:
        """A bitmap of a node, or of the nearest one that it is read through."""
        from qmpd.block.chain import next_in_chain

        here: Node | None = node
        while here is not None:
            try:
                return find_bitmap(here, name)
            except QmpError:
                here = next_in_chain(here)
        raise QmpError(wording.export_bitmap_not_found(name))

    def remove(self, export: Export) -> None:
        """End an export; its clients are cut off."""
        for disconnect in export.disconnect[:]:
            disconnect()
        self.listed.remove(export)
        for bitmap in export.bitmaps:
            bitmap.busy = False
        graph = self._machine.graph
        node = export.node
        graph.drain(node)
        graph.users.pop(export.user, None)
        graph.detach_loosely(*export.user.children.values())
        graph.collect([node])
        self._machine.emit("BLOCK_EXPORT_DELETED", {"id": export.id})

    def end(self) -> None:
        """End all exports, the oldest first."""
        for export in reversed(self.listed[:]):
            self.remove(export)

    def close(self) -> None:
        """End the server, if it runs."""
        server, self.server = self.server, None
        if server is not None:
            server.close()


def exports_of(machine: Machine) -> Exports:
    """The machine's exports, from now on if there were none so far."""
    if machine.exports is None:
        machine.exports = Exports(machine)
    return machine.exports


def nbd_server_start(machine: Machine, arguments: dict[str, Any]) -> None:
    """Let clients come to the exports.

    Raises:
        QmpError: they can already, or not there.
    """
    start_server(machine, {**arguments, "addr": arguments["addr"]["data"]})


def start_server(machine: Machine, options: dict[str, Any]) -> None:
    """Start the server that options describe.

    Raises:
        QmpError: it runs already, or cannot listen there.
    """
    address = options["addr"]
    path = ("\0" if address.get("abstract") else "") + address["path"]
    exports_of(machine).start(
        path, limit=options.get("max-connections", 0), credentials=options.get("tls-creds")
    )


def nbd_server_stop(machine: Machine) -> None:
    """End the server and all exports.

    Raises:
        QmpError: it does not run.
    """
    exports_of(machine).stop()


def nbd_server_add(machine: Machine, arguments: dict[str, Any]) -> None:
    """Export a node or a drive, for reading if it cannot be written.

    Raises:
        QmpError: it cannot be done.
    """
    device: str = arguments["device"]
    node = machine.graph.lookup(device, device)
    name = arguments.get("name", device)
    options = {
        "id": name,
        "node-name": node.name,
        "name": name,
        "writable": arguments.get("writable", False) and not node.flags.read_only,
        "bitmaps": [arguments["bitmap"]] if "bitmap" in arguments else [],
    }
    if "description" in arguments:
        options["description"] = arguments["description"]
    exports_of(machine).add(options)


def nbd_server_remove(machine: Machine, arguments: dict[str, Any]) -> None:
    """End an export.

    Raises:
        QmpError: there is none, or it has clients.
    """
    block_export_del(machine, {**arguments, "id": arguments["name"]})


def block_export_add(machine: Machine, arguments: dict[str, Any]) -> None:
    """Export a node.

    Raises:
        QmpError: it cannot be done.
    """
    exports_of(machine).add(arguments)


def block_export_del(machine: Machine, arguments: dict[str, Any]) -> None:
    """End an export.

    Raises:
        QmpError: there is none, or it has clients.
    """
    exports = exports_of(machine)
    export = exports.find(arguments["id"])
    if arguments.get("mode", "safe") == "safe" and export.disconnect:
        raise QmpError(wording.export_has_clients(export.id), wording.EXPORT_HARD_HINT)
    exports.remove(export)


def query_block_exports(machine: Machine) -> list[dict[str, Any]]:
    """Tell what is exported, the newest first."""
    return [
        {"id": export.id, "type": "nbd", "node-name": export.node.name, "shutting-down": False}
        for export in exports_of(machine).listed
    ]
