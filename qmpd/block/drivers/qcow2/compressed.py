"""Compressed clusters: raw deflate or zstd (qcow2 spec, "Compressed Clusters Descriptor")."""

from __future__ import annotations

import sys
from errno import EIO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ZLIB = 0
ZSTD = 1
_WINDOW_BITS = -12  # no header or checksum; QEMU compresses with a window of 4 KiB


def decompressor(compression_type: int) -> Callable[[bytes, int], bytes]:
    """A function ``(packed, cluster_size) -> cluster``; it raises ``OSError`` (EIO)."""
    return _inflate if compression_type == ZLIB else _unpack


def deflate(cluster: bytes) -> bytes | None:
    """The cluster compressed as QEMU does it; None if that makes it no shorter."""
    import zlib

    packer = zlib.compressobj(-1, zlib.DEFLATED, _WINDOW_BITS, 9)
    packed = packer.compress(cluster) + packer.flush()
    return packed if len(packed) < len(cluster) else None


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


def _unpack(packed: bytes, size: int) -> bytes:
    # Imported here: most images have no such clusters.
    if sys.version_info >= (3, 14):
        from compression.zstd import ZstdDecompressor, ZstdError

        start = ZstdDecompressor
    else:
        from zstandard import ZstdDecompressor, ZstdError

        start = ZstdDecompressor().decompressobj
    try:
        return _whole(start().decompress(packed), size)
    except (ZstdError, EOFError):
        raise OSError(EIO, "Input/output error") from None
