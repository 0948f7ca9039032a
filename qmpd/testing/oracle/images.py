"""Make images on the host with qemu-img and qemu-io, and look at them afterwards."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

MIB = 1 << 20
"""Bytes in a mebibyte, the usual size of a test image."""

_QCOW2_MAGIC = b"QFI\xfb"
_TOOL_SECONDS = 60
_PLACE = {"start", "length", "offset"}


def _run(*words: str | Path, directory: Path, ok: Iterable[int] = (0,)) -> str:
    done = subprocess.run(  # noqa: S603 - qemu-img and qemu-io by name, as a user does
        [str(word) for word in words],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TOOL_SECONDS,
        check=False,
    )
    if done.returncode not in ok:
        raise RuntimeError(f"{words} ended with {done.returncode}: {done.stderr}{done.stdout}")
    return done.stdout


def qemu_img(directory: Path, *words: str) -> str:
    """Run qemu-img in a directory and return what it prints.

    Raises:
        RuntimeError: it failed; the text has its output.
    """
    return _run("qemu-img", *words, directory=directory)


def image(
    directory: Path,
    name: str,
    *,
    size: int | None = MIB,
    fmt: str = "qcow2",
    backing: str | None = None,
    backing_fmt: str = "qcow2",
    options: Mapping[str, str | int] | None = None,
    writes: Sequence[str] = (),
) -> Path:
    """Create one image and return its path.

    Args:
        directory: where; also the working directory of the tools.
        name: the file's name.
        size: virtual size in bytes; None takes the backing file's.
        fmt: ``qcow2`` or ``raw``.
        backing: the text that the header gets as backing file; ``{dir}`` stands for
            the directory. It need not exist if `size` is given.
        backing_fmt: format of the backing file.
        options: of the format, such as ``{"cluster_size": 4096, "compat": "0.10"}``.
        writes: qemu-io commands, such as ``"write -P 1 0 64k"`` or ``"write -z 0 64k"``.
    """
    words: list[str] = ["qemu-img", "create", "-q", "-f", fmt]
    if backing is not None:
        words += ["-b", backing.replace("{dir}", str(directory)), "-F", backing_fmt]
        words += ["-u"] if size is not None else []
    if options:
        words += ["-o", ",".join(f"{key}={value}" for key, value in options.items())]
    words.append(name)
    if size is not None:
        words.append(str(size))
    _run(*words, directory=directory)
    if writes:
        commands = [word for write in writes for word in ("-c", write)]
        _run("qemu-io", "-f", fmt, *commands, name, directory=directory)
    return directory / name


def chain(
    directory: Path,
    *names: str,
    size: int | Mapping[str, int] = MIB,
    absolute: bool = False,
    raw_base: bool = False,
    options: Mapping[str, Mapping[str, str | int]] | Mapping[str, str | int] | None = None,
    writes: Mapping[str, Sequence[str]] | None = None,
) -> list[Path]:
    """Create a backing chain, the base first, and return the paths in the same order.

    ``chain(directory, "base", "mid", "top")`` makes three qcow2 files of these names,
    *mid* with *base* in its header and *top* with *mid*.

    Args:
        directory: where.
        names: the file names from base to top.
        size: bytes, for all or by name (missing names get 1 MiB).
        absolute: whether headers name their backing file by absolute path.
        raw_base: whether the base is a raw file.
        options: creation options of the qcow2 files, for all or by file name.
        writes: qemu-io commands by file name; see `image`.
    """
    paths: list[Path] = []
    for position, name in enumerate(names):
        below = names[position - 1] if position else None
        is_raw = raw_base and not position
        paths.append(
            image(
                directory,
                name,
                size=size if isinstance(size, int) else size.get(name, MIB),
                fmt="raw" if is_raw else "qcow2",
                backing=f"{{dir}}/{below}" if below and absolute else below,
                backing_fmt="raw" if raw_base and position == 1 else "qcow2",
                options=None if is_raw else _options_of(name, options),
                writes=(writes or {}).get(name, ()),
            )
        )
    return paths


def _options_of(
    name: str,
    options: Mapping[str, Mapping[str, str | int]] | Mapping[str, str | int] | None,
) -> dict[str, str | int]:
    chosen: dict[str, str | int] = {}
    for key, value in (options or {}).items():
        if isinstance(value, str | int):
            chosen[key] = value
        elif key == name:
            chosen.update(value)
    return chosen


def image_format(path: Path) -> str:
    """Return ``qcow2`` if a file has that format's magic bytes, else ``raw``."""
    with path.open("rb") as file:
        return "qcow2" if file.read(4) == _QCOW2_MAGIC else "raw"


def info(path: Path) -> dict[str, Any]:
    """Return ``qemu-img info`` of one image, forced to share (a server may have it open)."""
    fmt = image_format(path)
    text = _run(
        "qemu-img", "info", "-U", "-f", fmt, "--output=json", path.name, directory=path.parent
    )
    result: dict[str, Any] = json.loads(text)
    return result


def inspect(path: Path, *, layout: bool = True) -> list[bytes]:
    """Return what qemu-img says about one image that no server has open, a line a tool.

    That is ``info``, ``map`` and, for qcow2, ``check`` (counts, fragmentation and the
    end of the image), each as one line of JSON. The image is looked at alone, without
    its backing file.

    Args:
        path: the image.
        layout: whether to say at which offset of the file the data is.
    """
    found = [("info", info(path)), ("map", _tool("map", path))]
    if image_format(path) == "qcow2":
        found.append(("check", _tool("check", path)))
    if not layout:
        found = [(tool, _without_layout(value)) for tool, value in found]
    return [f"{path.name} {tool} {json.dumps(value)}\n".encode() for tool, value in found]


def _alone(path: Path) -> str:
    """Return a file name that opens one layer of a chain and none below."""
    node: dict[str, Any] = {
        "driver": image_format(path),
        "file": {"driver": "file", "filename": str(path)},
    }
    if node["driver"] == "qcow2":
        node["backing"] = None
    return f"json:{json.dumps(node)}"


def _tool(tool: str, path: Path) -> Any:
    # check ends with 2 or 3 for errors and leaks: that is a finding, not a failure
    ok = (0, 2, 3) if tool == "check" else (0,)
    text = _run("qemu-img", tool, "--output=json", _alone(path), directory=path.parent, ok=ok)
    value = json.loads(text)
    if isinstance(value, dict):
        value.pop("filename", None)
    return value


def _without_layout(value: Any) -> Any:
    """Drop file offsets from a map and join its extents again; drop a check's fragments."""
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if key != "fragmented-clusters"}
    joined: list[dict[str, Any]] = []
    for extent in value or []:
        kind = {key: item for key, item in extent.items() if key not in _PLACE}
        if joined and kind == {k: i for k, i in joined[-1].items() if k not in _PLACE}:
            joined[-1]["length"] += extent["length"]
        else:
            joined.append({"start": extent["start"], "length": extent["length"]} | kind)
    return joined


def guest_difference(one: Path, other: Path) -> str | None:
    """Return ``qemu-img compare``'s verdict on the data of two layers; None if they are equal."""
    if one.stat().st_size == 0 == other.stat().st_size:
        return None
    words = ["qemu-img", "compare", _alone(one), _alone(other)]
    text = _run(*words, directory=one.parent, ok=(0, 1))
    return None if text.startswith("Images are identical") else text.strip()
