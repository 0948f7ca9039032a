"""Media in drives: trays, changes, limits, sizes."""

from typing import Annotated

from qmpd.schema.models.kinds import (
    DEPRECATED,
    SYSTEM_ONLY,
    Choice,
    Command,
    Event,
    Int,
    Opt,
    SnakeStruct,
    Struct,
)


class Eject(Struct):
    """A device that gives its medium out."""

    device: Opt[Annotated[str, DEPRECATED]] = None
    """The drive."""
    id: Opt[str] = None
    """The device."""
    force: Opt[bool] = None
    """Whether to do it although the guest has locked the medium in."""


class BlockdevOpenTray(Struct):
    """A tray to open."""

    device: Opt[Annotated[str, DEPRECATED]] = None
    """The drive."""
    id: Opt[str] = None
    """The device."""
    force: Opt[bool] = None
    """Whether to do it although the guest has locked the medium in."""


class BlockdevCloseTray(Struct):
    """A tray to close."""

    device: Opt[Annotated[str, DEPRECATED]] = None
    """The drive."""
    id: Opt[str] = None
    """The device."""


class BlockdevRemoveMedium(Struct):
    """A device whose tray is open."""

    id: str
    """The device."""


class BlockdevInsertMedium(Struct):
    """A medium for a device whose tray is open."""

    id: str
    """The device."""
    node_name: str
    """The medium."""


class BlockdevChangeReadOnlyMode(Choice):
    """Whether a new medium can be written."""

    RETAIN = "retain"
    READ_ONLY = "read-only"
    READ_WRITE = "read-write"


class BlockdevChangeMedium(Struct):
    """An image to put into a device."""

    device: Opt[Annotated[str, DEPRECATED]] = None
    """The drive."""
    id: Opt[str] = None
    """The device."""
    filename: str
    """The image."""
    format: Opt[str] = None
    """Its format, guessed when absent."""
    force: Opt[bool] = None
    """Whether to do it although the guest has locked the medium in."""
    read_only_mode: Opt[BlockdevChangeReadOnlyMode] = None
    """Whether it can be written; as the medium before it when absent."""


class DeviceTrayMoved(Struct):
    """A tray that opened or closed."""

    device: str
    """The drive, empty for a device on a node."""
    id: str
    """The device."""
    tray_open: bool
    """Whether it is open now."""


class BlockIOThrottle(SnakeStruct):
    """Limits of a device's I/O; 0 is none."""

    device: Opt[Annotated[str, DEPRECATED]] = None
    """The drive."""
    id: Opt[str] = None
    """The device."""
    bps: Int
    """Bytes per second."""
    bps_rd: Int
    """Bytes read per second."""
    bps_wr: Int
    """Bytes written per second."""
    iops: Int
    """Requests per second."""
    iops_rd: Int
    """Reads per second."""
    iops_wr: Int
    """Writes per second."""
    bps_max: Opt[Int] = None
    """Burst of `bps`."""
    bps_rd_max: Opt[Int] = None
    """Burst of `bps_rd`."""
    bps_wr_max: Opt[Int] = None
    """Burst of `bps_wr`."""
    iops_max: Opt[Int] = None
    """Burst of `iops`."""
    iops_rd_max: Opt[Int] = None
    """Burst of `iops_rd`."""
    iops_wr_max: Opt[Int] = None
    """Burst of `iops_wr`."""
    bps_max_length: Opt[Int] = None
    """Seconds that a burst of `bps` may last."""
    bps_rd_max_length: Opt[Int] = None
    """Seconds that a burst of `bps_rd` may last."""
    bps_wr_max_length: Opt[Int] = None
    """Seconds that a burst of `bps_wr` may last."""
    iops_max_length: Opt[Int] = None
    """Seconds that a burst of `iops` may last."""
    iops_rd_max_length: Opt[Int] = None
    """Seconds that a burst of `iops_rd` may last."""
    iops_wr_max_length: Opt[Int] = None
    """Seconds that a burst of `iops_wr` may last."""
    iops_size: Opt[Int] = None
    """Bytes that count as one request."""
    group: Opt[str] = None
    """Throttle group; the device's own when absent."""


class BlockResize(Struct):
    """A new size of a node."""

    device: Opt[str] = None
    """The drive."""
    node_name: Opt[str] = None
    """The node."""
    size: Int
    """Bytes."""


MEDIA = (
    Command("eject", Eject, None, SYSTEM_ONLY),
    Command("blockdev-open-tray", BlockdevOpenTray, None, SYSTEM_ONLY),
    Command("blockdev-close-tray", BlockdevCloseTray, None, SYSTEM_ONLY),
    Command("blockdev-remove-medium", BlockdevRemoveMedium, None, SYSTEM_ONLY),
    Command("blockdev-insert-medium", BlockdevInsertMedium, None, SYSTEM_ONLY),
    Command("blockdev-change-medium", BlockdevChangeMedium, None, SYSTEM_ONLY),
    Event("DEVICE_TRAY_MOVED", DeviceTrayMoved, SYSTEM_ONLY),
    Command("block_set_io_throttle", BlockIOThrottle, None, SYSTEM_ONLY),
)
BLOCK_RESIZE = Command("block_resize", BlockResize)
