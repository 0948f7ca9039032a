"""Compressed clusters: raw deflate or zstd (qcow2 spec, "Compressed Clusters Descriptor")."""

from __future__ import annotations

from errno import EIO

from qmpd.block.drivers.qcow2 import wording
from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ZLIB = 0
ZSTD = 1
_WINDOW_BITS = -12  # no header or checksum; QEMU compresses with a window of 4 KiB


def decompressor(compression_type: int) -> Callable[[bytes, int], bytes]:
    """A function ``(packed, cluster_size) -> cluster``; it raises ``OSError`` (EIO).

    Raises ``QmpError`` if this Python cannot decompress the type.
    """
    return _inflate if compression_type == ZLIB else _zstd()


def _whole(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise OSError(EIO, "Input/output error")
    return data


def _inflate(packed: bytes, size: int) -> bytes:
    import zlib

    try:
        return _whole(zlib.decompressobj(_WINDOW_BITS).decompress(packed, size), size)
    except zlib.error:
        raise OSError(EIO, "Input/output error") from None


def _zstd() -> Callable[[bytes, int], bytes]:
    from importlib import import_module

    for name in ("compression.zstd", "zstandard"):
        try:
            module = import_module(name)
        except ImportError:
            continue
        break
    else:
        raise QmpError(wording.ZSTD_UNAVAILABLE)

    def decompress(packed: bytes, size: int) -> bytes:
        try:
            if name == "zstandard":
                data = module.ZstdDecompressor().decompressobj().decompress(packed)
            else:
                data = module.ZstdDecompressor().decompress(packed, size)
        except (module.ZstdError, EOFError):
            raise OSError(EIO, "Input/output error") from None
        return _whole(bytes(data), size)

    return decompress
