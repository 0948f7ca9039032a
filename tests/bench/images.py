"""Images for the benchmark, made by qemu-img and qemu-io, and definitions of their nodes."""

from __future__ import annotations

import struct
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1 << 30
STRIPE = 4 << 20
"""Bytes that one layer holds before it is the next one's turn."""


def create(path: Path, *, backing: Path | None = None, size: int = GIB) -> None:
    """Create an empty qcow2 image."""
    words = ["qemu-img", "create", "-q", "-f", "qcow2"]
    if backing is not None:
        words += ["-b", str(backing), "-F", "qcow2", "-u"]
    subprocess.run([*words, str(path), str(size)], check=True)


def fill(path: Path, number: int, count: int) -> None:
    """Write every ``count``-th stripe, beginning with ``number``, with bytes of its number."""
    script = "".join(
        f"write -q -P {number + 1} {offset} {STRIPE}\n"
        for offset in range(number * STRIPE, GIB, count * STRIPE)
    )
    subprocess.run(
        ["qemu-io", "-f", "qcow2", str(path)],
        input=script.encode(),
        check=True,
        stdout=subprocess.DEVNULL,
    )


def verify(path: Path, count: int) -> None:
    """Check that an image alone holds the stripes that :func:`fill` wrote to ``count`` layers.

    Raises:
        RuntimeError: it does not: what was measured was not the work.
    """
    script = "".join(
        f"read -q -P {offset // STRIPE % count + 1} {offset} {STRIPE}\n"
        for offset in range(0, GIB, 16 * STRIPE)
    )
    image = f"driver=qcow2,backing=,file.filename={path}"
    done = subprocess.run(
        ["qemu-io", "-r", "--image-opts", image],
        input=script.encode(),
        check=False,
        capture_output=True,
    )
    if done.returncode or b"failed" in done.stdout + done.stderr:
        raise RuntimeError(f"{path} has not the expected content: {done.stdout + done.stderr!r}")


def backing_of(path: Path) -> str:
    """The backing file that an image's header names.

    Read without another process: a commit right behind it is to be measured as one of many.
    """
    with path.open("rb") as file:
        header = file.read(20)
        offset, length = struct.unpack_from(">QI", header, 8)
        file.seek(offset)
        return file.read(length).decode() if offset else ""


def file_node(name: str, path: Path) -> dict[str, Any]:
    """A file as libvirt defines it."""
    return {
        "driver": "file",
        "node-name": name,
        "filename": str(path),
        "auto-read-only": True,
        "discard": "unmap",
    }


def chain_nodes(prefix: str, paths: list[Path], *, writable: bool) -> list[dict[str, Any]]:
    """A chain as libvirt defines it: file and format separately, each naming the one below.

    Args:
        prefix: of the node names; layer ``i`` is ``<prefix>f<i>`` on ``<prefix>s<i>``.
        paths: the base first.
        writable: whether the active layer, the last one, is opened for writing.
    """
    nodes: list[dict[str, Any]] = []
    for number, path in enumerate(paths):
        nodes.append(file_node(f"{prefix}s{number}", path))
        active = number == len(paths) - 1
        nodes.append(
            {
                "driver": "qcow2",
                "node-name": f"{prefix}f{number}",
                "read-only": not (writable and active),
                "file": f"{prefix}s{number}",
                "backing": f"{prefix}f{number - 1}" if number else None,
            }
        )
    return nodes


def null_nodes(count: int) -> list[dict[str, Any]]:
    """That many nodes without any file."""
    return [{"driver": "null-co", "node-name": f"n{number}"} for number in range(count)]
