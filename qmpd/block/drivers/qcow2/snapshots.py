"""The snapshot table: what refcounts depend on, and what queries show (qcow2 spec, "Snapshots")."""

from __future__ import annotations

import struct
from errno import EIO

from qmpd.block.drivers.qcow2 import wording
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.block.drivers.qcow2.header import Header
    from qmpd.block.drivers.qcow2.types import ByteFile

_ENTRY = struct.Struct(">QIHHIIQII")
_MAX_LENGTH = (1 << 63) - (1 << 30)
_MAX_EXTRA_DATA = 1024


class Snapshot:
    """One internal snapshot: where its L1 table is, and how it is described in queries."""

    __slots__ = ("info", "l1_entries", "l1_offset")

    def __init__(self, l1_offset: int, l1_entries: int, info: dict[str, Any]) -> None:
        self.l1_offset = l1_offset
        self.l1_entries = l1_entries
        self.info = info


def read_snapshots(header: Header, file: ByteFile) -> tuple[list[Snapshot], int]:
    """All snapshots and the table's size in bytes; raises ``QmpError``."""
    position = header.snapshots_offset
    found: list[Snapshot] = []
    for number in range(header.nb_snapshots):
        position = -(-position // 8) * 8
        try:
            if position + _ENTRY.size > _MAX_LENGTH:
                raise OSError(EIO, "Input/output error")
            fields = _ENTRY.unpack(file.pread(position, _ENTRY.size))
        except OSError as error:
            reason = wording.failed(wording.SNAPSHOTS_UNREADABLE, str(error.strerror))
            raise QmpError(reason) from None
        l1_offset, l1_entries, id_size, name_size = fields[:4]
        extra = fields[8]
        if extra > _MAX_EXTRA_DATA:
            raise QmpError(wording.snapshot_extra_data(number))
        position += _ENTRY.size
        try:
            rest = file.pread(position, extra + id_size + name_size)
        except OSError as error:
            reason = wording.failed(wording.SNAPSHOTS_UNREADABLE, str(error.strerror))
            raise QmpError(reason) from None
        position += len(rest)
        info = _describe(fields, rest[:extra], rest[extra:])
        found.append(Snapshot(l1_offset, l1_entries, info))
    return found, position - header.snapshots_offset


def _describe(fields: tuple[int, ...], extra: bytes, names: bytes) -> dict[str, Any]:
    """A snapshot as queries show it."""
    _, _, id_size, _, date_sec, date_nsec, clock, state_size, _ = fields
    if len(extra) >= 8:
        state_size = int.from_bytes(extra[:8], "big", signed=True)
    info: dict[str, Any] = {
        "id": _text(names[:id_size]),
        "name": _text(names[id_size:]),
        "vm-state-size": state_size,
        "date-sec": date_sec,
        "date-nsec": date_nsec,
        "vm-clock-sec": clock // 1_000_000_000,
        "vm-clock-nsec": clock % 1_000_000_000,
    }
    if len(extra) >= 24:
        count = int.from_bytes(extra[16:24], "big")
        if count != (1 << 64) - 1:
            info["icount"] = count
    return info


def _text(name: bytes) -> str:
    """A name as it is shown: up to a zero byte, if there is one."""
    return name.partition(b"\0")[0].decode("utf-8", "surrogateescape")
