"""``info block`` and its kin, for people to read (layout observed on QEMU 7.2)."""

from __future__ import annotations

from qmpd.errors import QmpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.machine import Machine

_STATISTICS = (
    "rd_bytes",
    "wr_bytes",
    "rd_operations",
    "wr_operations",
    "flush_operations",
    "wr_total_time_ns",
    "rd_total_time_ns",
    "flush_total_time_ns",
    "rd_merged",
    "wr_merged",
    "idle_time_ns",
)
_RATES = ("bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr")
_LIMITS = (
    *("bps", "bps_rd", "bps_wr", "bps_max", "bps_rd_max", "bps_wr_max"),
    *("iops", "iops_rd", "iops_wr", "iops_max", "iops_rd_max", "iops_wr_max", "iops_size"),
)


def block(
    machine: Machine, device: str | None = None, *, nodes: bool = False, verbose: bool = False
) -> str:
    """All drives and devices, or all nodes; or the one of that name."""
    from qmpd.commands.queries import query_block, query_named_block_nodes

    blocks = [] if nodes else _plain(query_block(machine))
    texts = _chosen(blocks, "device", device, verbose=verbose)
    if nodes or (device is not None and not texts):
        try:
            found = _plain(query_named_block_nodes(machine))
        except QmpError:  # an image was found corrupt: then there are none
            found = []
        named: list[dict[str, Any]] = [{"device": "", "inserted": info} for info in found]
        for info in named:
            info["node"] = info["inserted"]["node-name"]
        texts = _chosen(named, "node", device, verbose=verbose)
    return "".join(texts)


def _plain(value: Any) -> Any:
    """What a client of QMP would read, with nothing that is encoded already."""
    import json

    from qmpd.protocol.encoder import encode

    return json.loads(encode(value))


def _chosen(
    infos: list[dict[str, Any]], key: str, wanted: str | None, *, verbose: bool
) -> list[str]:
    """The texts of those called as wanted; an empty line stands before all but the very first."""
    return [
        ("\n" if index else "") + _entry(info, verbose=verbose)
        for index, info in enumerate(infos)
        if wanted is None or info[key] == wanted
    ]


def _entry(info: dict[str, Any], *, verbose: bool) -> str:
    inserted = info.get("inserted")
    lines = [_first_line(info, inserted)]
    if info.get("qdev"):
        lines.append(f"    Attached to:      {info['qdev']}")
    if info.get("removable"):
        tray = "open" if info.get("tray_open") else "closed"
        lines.append(f"    Removable device: not locked, tray {tray}")
    if inserted is not None:
        lines += _medium(inserted)
        if verbose:
            lines += ["", "Images:", *_images(inserted["image"])]
    return "".join(f"{line}\n" for line in lines)


def _first_line(info: dict[str, Any], inserted: dict[str, Any] | None) -> str:
    name = info["device"]
    if inserted is None:
        return f"{name or info.get('qdev', '')}: [not inserted]"
    node = inserted["node-name"]
    title = f"{name} ({node})" if name else node
    marks = inserted["drv"]
    marks += ", read-only" if inserted["ro"] else ""
    marks += ", encrypted" if inserted["encrypted"] else ""
    return f"{title}: {inserted['file']} ({marks})"


def _medium(inserted: dict[str, Any]) -> list[str]:
    cache = inserted["cache"]
    mode = "writeback" if cache["writeback"] else "writethrough"
    mode += ", direct" if cache["direct"] else ""
    mode += ", ignore flushes" if cache["no-flush"] else ""
    lines = [f"    Cache mode:       {mode}"]
    if "backing_file" in inserted:
        depth = inserted["backing_file_depth"]
        lines.append(f"    Backing file:     {inserted['backing_file']} (chain depth: {depth})")
    if inserted["detect_zeroes"] != "off":
        lines.append(f"    Detect zeroes:    {inserted['detect_zeroes']}")
    if any(inserted[rate] for rate in _RATES):
        limits = [f"{name}={inserted.get(name, 0)}" for name in _LIMITS]
        limits.append(f"group={inserted['group']}")
        lines.append(f"    I/O throttling:   {' '.join(limits)}")
    return lines


def _images(image: dict[str, Any] | None) -> list[str]:
    lines: list[str] = []
    while image is not None:
        lines += _image(image)
        image = image.get("backing-image")
    return lines


def _image(image: dict[str, Any]) -> list[str]:
    size = image["virtual-size"]
    lines = [
        f"image: {image['filename']}",
        f"file format: {image['format']}",
        f"virtual size: {human_size(size)} ({size} bytes)",
        f"disk size: {human_size(image['actual-size'])}",
    ]
    if "cluster-size" in image:
        lines.append(f"cluster_size: {image['cluster-size']}")
    if image.get("dirty-flag"):
        lines.append("cleanly shut down: no")
    if "backing-filename" in image:
        name, full = image["backing-filename"], image.get("full-backing-filename")
        extra = f" (actual path: {full})" if full not in (None, name) else ""
        lines.append(f"backing file: {name}{extra}")
    if "backing-filename-format" in image:
        lines.append(f"backing file format: {image['backing-filename-format']}")
    specific = image.get("format-specific", {}).get("data")
    if specific:
        lines.append("Format specific information:")
        lines += _dump(_in_order(specific), 4)
    return lines


_ORDER = (
    "compat",
    "compression-type",
    "data-file",
    "data-file-raw",
    "lazy-refcounts",
    "refcount-bits",
    "corrupt",
    "extended-l2",
)


def _in_order(specific: dict[str, Any]) -> dict[str, Any]:
    first = {key: specific[key] for key in _ORDER if key in specific}
    return {**first, **specific}


def _dump(value: dict[str, Any] | list[Any], indent: int) -> list[str]:
    items = (
        ((f"[{index}]", item) for index, item in enumerate(value))
        if isinstance(value, list)
        else ((key.replace("-", " "), item) for key, item in value.items())
    )
    lines = []
    for key, item in items:
        if isinstance(item, (dict, list)):
            lines.append(f"{' ' * indent}{key}:")
            lines += _dump(item, indent + 4)
        else:
            text = str(item).lower() if isinstance(item, bool) else str(item)
            lines.append(f"{' ' * indent}{key}: {text}")
    return lines


_PREFIXES = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


def human_size(number: int) -> str:
    """A number of bytes to three digits, or four where they are needed for it."""
    index = max((max(number, 1).bit_length() - 1) // 10, 0)
    if number / (1 << 10 * index) >= 1000:
        index += 1
    return f"{number / (1 << 10 * index):0.3g} {_PREFIXES[index]}B"


def block_jobs(machine: Machine) -> str:
    """How far jobs are."""
    from qmpd.commands import wording
    from qmpd.commands.jobs import query_block_jobs

    lines = [
        f"{_kind(job['type'])} device {job['device']}: Completed {job['offset']} of "
        f"{job['len']} bytes, speed limit {job['speed']} bytes/s\n"
        for job in query_block_jobs(machine)
    ]
    return "".join(lines) or wording.NO_ACTIVE_JOBS


def _kind(job_type: str) -> str:
    return "Streaming" if job_type == "stream" else f"Type {job_type},"


def blockstats(machine: Machine) -> str:
    """The counters of drives and devices."""
    from qmpd.commands.stats import query_blockstats

    return "".join(
        f"{entry['device']}: "
        + " ".join(f"{key}={entry['stats'].get(key, 0)}" for key in _STATISTICS)
        + "\n"
        for entry in query_blockstats(machine)
    )
