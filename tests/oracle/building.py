"""Definitions that many cases share: chains with separate or with inline file nodes.

Layer number n has the format node ``f<n>``; with separate nodes the storage node is
``s<n>``. Number 0 is the base.
"""

import struct

from qmpd.testing.oracle import Step, call


def separate(*names, raw_base=False, last_writable=True, **storage):
    """Return requests for storage and format nodes of a chain, the base first.

    Storage nodes are auto-read-only as libvirt's are, unless `storage` says otherwise;
    format nodes are read-only but the last.
    """
    requests = []
    for number, name in enumerate(names):
        requests += [
            storage_node(number, name, **storage),
            format_node(
                number,
                read_only=number < len(names) - 1 or not last_writable,
                is_raw=raw_base and number == 0,
            ),
        ]
    return requests


def storage_node(number, name, **options):
    options = {"auto-read-only": True, "discard": "unmap"} | options
    return call("blockdev-add", driver="file", node_name=f"s{number}", filename=name, **options)


def format_node(number, *, read_only, is_raw=False, **options):
    node = {"node-name": f"f{number}", "read-only": read_only, "file": f"s{number}"}
    if is_raw:
        return call("blockdev-add", driver="raw", **node, **options)
    node["backing"] = f"f{number - 1}" if number else None
    return call("blockdev-add", driver="qcow2", **(node | options))


def inline(*names, raw_base=False):
    """Return requests for format nodes that own their file nodes; all but the last read-only."""
    requests = []
    for number, name in enumerate(names):
        is_raw = raw_base and number == 0
        node = {
            "driver": "raw" if is_raw else "qcow2",
            "node-name": f"f{number}",
            "read-only": number < len(names) - 1,
            "file": {"driver": "file", "filename": name},
        }
        if not is_raw:
            node["backing"] = f"f{number - 1}" if number else None
        requests.append(call("blockdev-add", **node))
    return requests


def either(request):
    """A step that may be refused or not, as long as both sides agree."""

    def run(server):
        server.send(request)
        return server.lines_until_reply()

    return Step(str(request), run)


def header_with(path, text, fmt=None):
    """Make any text the backing file in a fresh image's header; None leaves the format out."""
    data = bytearray(path.read_bytes())
    extensions = b""
    if fmt is not None:
        name = fmt.encode()
        extensions = struct.pack(">II", 0xE2792ACA, len(name))
        extensions += name.ljust(-(-len(name) // 8) * 8, b"\0")
    extensions += bytes(8)
    start = struct.unpack_from(">I", data, 100)[0]
    struct.pack_into(">QI", data, 8, start + len(extensions), len(text.encode()))
    rest = extensions + text.encode()
    data[start : start + len(rest)] = rest
    path.write_bytes(data)
