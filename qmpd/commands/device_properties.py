"""Which properties the devices have that can have a drive, and what their values may be.

Observed on QEMU 7.2 (``device-list-properties``). Loaded when somebody gives a property that
is not one of the usual ones.
"""

from __future__ import annotations

from qmpd.block.untyped import text_of
from qmpd.errors import QmpError
from qmpd.protocol.encoder import hash_order
from qmpd.schema.optiontexts import read_switch
from qmpd.schema.scalars import INT, JSON, KEYVAL, SIZE, UINT64, WRONG, c_integer
from qmpd.schema.wording import wrong_choice, wrong_type, wrong_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

UINT32_MAX = (1 << 32) - 1

# Switches, numbers, and all others.
_VIRTIO_BLK_PCI = (
    """
    aer any_layout ats config-wce disable-modern discard event_idx indirect_desc ioeventfd
    iommu_platform migrate-extra modern-pio-notify multifunction notify_on_empty packed
    page-per-vq queue_reset report-discard-granularity request-merging scsi seg-max-adjust
    share-rw use-disabled-flag use-started virtio-pci-bus-master-bug-migration write-zeroes
    x-ats-page-aligned x-disable-legacy-check x-disable-pcie x-enable-wce-if-config-wce
    x-ignore-backend-features x-pcie-deverr-init x-pcie-extcap-init x-pcie-flr-init
    x-pcie-lnkctl-init x-pcie-lnksta-dllla x-pcie-pm-init
    """,
    """
    acpi-index addr bootindex class cyls heads lcyls lheads lsecs max-discard-sectors
    max-write-zeroes-sectors num-queues queue-size rombar romsize secs vectors
    """,
    """
    account-failed account-invalid backend_defaults disable-legacy discard_granularity drive
    failover_pair_id iothread logical_block_size min_io_size opt_io_size physical_block_size
    rerror romfile serial virtio-backend werror write-cache
    """,
)
_VIRTIO_BLK_DEVICE = (
    """
    any_layout config-wce discard event_idx indirect_desc iommu_platform notify_on_empty
    packed queue_reset report-discard-granularity request-merging scsi seg-max-adjust share-rw
    use-disabled-flag use-started write-zeroes x-disable-legacy-check
    x-enable-wce-if-config-wce
    """,
    """
    bootindex cyls heads lcyls lheads lsecs max-discard-sectors max-write-zeroes-sectors
    num-queues queue-size secs
    """,
    """
    account-failed account-invalid backend_defaults discard_granularity drive iothread
    logical_block_size min_io_size opt_io_size physical_block_size rerror serial werror
    write-cache
    """,
)
_SCSI_HD = (
    "dpofua quirk_mode_page_vendor_specific_apple removable share-rw",
    """
    bootindex channel cyls heads lcyls lheads lsecs lun max_io_size max_unmap_size port_index
    port_wwn rotation_rate scsi-id scsi_version secs wwn
    """,
    """
    account-failed account-invalid backend_defaults device_id discard_granularity drive
    logical_block_size min_io_size opt_io_size physical_block_size product rerror serial
    vendor ver werror write-cache
    """,
)
_SCSI_CD = (
    """
    quirk_mode_page_apple_vendor quirk_mode_page_truncated
    quirk_mode_page_vendor_specific_apple quirk_mode_sense_rom_use_dbd share-rw
    """,
    "bootindex channel lun max_io_size port_index port_wwn scsi-id scsi_version wwn",
    """
    account-failed account-invalid backend_defaults device_id discard_granularity drive
    logical_block_size min_io_size opt_io_size physical_block_size product rerror serial
    vendor ver werror write-cache
    """,
)
_IDE_HD = (
    "share-rw",
    "bootindex cyls heads lcyls lheads lsecs rotation_rate secs unit wwn",
    """
    account-failed account-invalid backend_defaults bios-chs-trans discard_granularity drive
    logical_block_size min_io_size model opt_io_size physical_block_size rerror serial ver
    werror write-cache
    """,
)
_IDE_CD = (
    "share-rw",
    "bootindex unit wwn",
    """
    account-failed account-invalid backend_defaults discard_granularity drive
    logical_block_size min_io_size model opt_io_size physical_block_size rerror serial ver
    werror write-cache
    """,
)
_NVME = (
    """
    ioeventfd msix-exclusive-bar multifunction share-rw use-intel-id x-pcie-extcap-init
    x-pcie-lnksta-dllla zoned.auto_transition
    """,
    """
    acpi-index addr aer_max_queued aerl bootindex cmb_size_mb max_ioqpairs mdts msix_qsize
    num_queues rombar romsize smart_critical_warning sriov_max_vfs sriov_max_vi_per_vf
    sriov_max_vq_per_vf sriov_vi_flexible sriov_vq_flexible vsl zoned.zasl
    """,
    """
    account-failed account-invalid backend_defaults discard_granularity drive failover_pair_id
    logical_block_size min_io_size opt_io_size physical_block_size pmrdev romfile serial
    subsys write-cache
    """,
)
_NVME_NS = (
    "detached eui64-default share-rw shared zoned zoned.cross_read",
    """
    bootindex eui64 mcl ms mset msrc mssrl nsid pi pif pil zoned.descr_ext_size
    zoned.max_active zoned.max_open zoned.numzrwa
    """,
    """
    account-failed account-invalid backend_defaults discard_granularity drive
    logical_block_size min_io_size opt_io_size physical_block_size uuid write-cache
    zoned.zone_capacity zoned.zone_size zoned.zrwafg zoned.zrwas
    """,
)
_USB_STORAGE = (
    "attached commandlog msos-desc removable share-rw",
    "bootindex",
    """
    account-failed account-invalid backend_defaults discard_granularity drive
    logical_block_size min_io_size opt_io_size pcap physical_block_size port rerror serial
    werror write-cache
    """,
)
_FLOPPY = (
    "share-rw",
    "unit",
    """
    account-failed account-invalid backend_defaults discard_granularity drive drive-type
    logical_block_size min_io_size opt_io_size physical_block_size write-cache
    """,
)
_DEVICES = {
    "virtio-blk-pci-transitional": _VIRTIO_BLK_PCI,
    "virtio-blk-pci-non-transitional": _VIRTIO_BLK_PCI,
    "virtio-blk-pci": _VIRTIO_BLK_PCI,
    "virtio-blk-device": _VIRTIO_BLK_DEVICE,
    "scsi-hd": _SCSI_HD,
    "scsi-cd": _SCSI_CD,
    "ide-hd": _IDE_HD,
    "ide-cd": _IDE_CD,
    "nvme": _NVME,
    "nvme-ns": _NVME_NS,
    "usb-storage": _USB_STORAGE,
    "floppy": _FLOPPY,
}
_ALIASES = {"virtio-blk": "virtio-blk-pci"}
_OF_ALL = frozenset(("driver", "id", "bus", "path"))
_READ_ONLY = frozenset(("hotplugged", "hotpluggable", "parent_bus", "type", "virtio-backend"))

# What the numbers are; all others have 32 bits and no sign.
_SIGNED = frozenset(("addr", "bootindex", "scsi_version"))
_WIDE = frozenset(("eui64", "max_io_size", "max_unmap_size", "port_wwn", "wwn"))
_SHORT = frozenset(
    [
        "ms",
        "msix_qsize",
        "mssrl",
        "num-queues",
        "port_index",
        "queue-size",
        "rotation_rate",
        "sriov_vi_flexible",
        "sriov_vq_flexible",
    ]
)
_BYTES = frozenset(
    [
        "aerl",
        "mdts",
        "mset",
        "msrc",
        "pi",
        "pif",
        "pil",
        "smart_critical_warning",
        "sriov_max_vfs",
        "sriov_max_vi_per_vf",
        "sriov_max_vq_per_vf",
        "vsl",
        "zoned.zasl",
    ]
)

# What the others are; those that are not here are texts.
_BLOCK_SIZES = ("logical_block_size", "physical_block_size")
_SHORT_SIZES = ("discard_granularity", "min_io_size", "opt_io_size")
_SIZES = (
    *(*_BLOCK_SIZES, *_SHORT_SIZES),
    *("zoned.zone_capacity", "zoned.zone_size", "zoned.zrwafg", "zoned.zrwas"),
)
_AUTO = ("auto", "on", "off")
_ON_ERROR = ("report", "ignore", "enospc", "stop", "auto")
_CHOICES = {
    "account-failed": _AUTO,
    "account-invalid": _AUTO,
    "backend_defaults": _AUTO,
    "disable-legacy": _AUTO,
    "write-cache": _AUTO,
    "rerror": _ON_ERROR,
    "werror": _ON_ERROR,
    "bios-chs-trans": ("none", "lba", "large", "rechs", "auto"),
    "drive-type": ("144", "288", "120", "none", "auto"),
}
_SMALLEST_BLOCK, _LARGEST_BLOCK = 512, 2 << 20
_SLOTS, _FUNCTIONS = 32, 8


class _Owner:
    """How complaints call a device: by its type, and by the id of what has the property."""

    __slots__ = ("id", "inner", "kind")

    def __init__(self, kind: str, given: Any) -> None:
        self.kind = kind
        on_pci = kind.startswith("virtio-blk-pci")
        self.inner = "virtio-blk-device" if on_pci else kind
        self.id = "" if on_pci else str(given or "")


def check(properties: dict[str, Any], *, strict: bool, found: bool) -> None:
    """Check a device's properties in the order of the wire.

    Args:
        properties: texts, or values from JSON.
        strict: whether a text is nothing but a text.
        found: whether the drive exists; if not, what comes behind it is not looked at.

    Raises:
        QmpError: there is no such property, or its value does not fit.
    """
    kind = _ALIASES.get(properties["driver"], properties["driver"])
    if kind not in _DEVICES:
        return
    switches, numbers, others = (set(names.split()) for names in _DEVICES[kind])
    owner = _Owner(kind, properties.get("id"))
    for name in hash_order(properties):
        value = properties[name]
        if name in _OF_ALL:
            continue
        if name in _READ_ONLY:
            raise QmpError(f"Property '{kind}.{name}' is not writable")
        if name == "realized" or name in switches:
            _check_switch(name, value, strict=strict)
        elif name in numbers:
            _check_number(owner, name, value, strict=strict)
        elif name in others:
            _check_other(owner, name, value, strict=strict)
        else:
            raise QmpError(f"Property '{kind}.{name}' not found")
        if name == "drive" and not found:
            return


def _check_switch(name: str, value: Any, *, strict: bool) -> None:
    if strict and not isinstance(value, bool):
        raise QmpError(wrong_type(name, "boolean"))
    if not strict:
        read_switch(name, _text(value))


def _check_number(owner: _Owner, name: str, value: Any, *, strict: bool) -> None:
    if name == "addr":
        _check_address(owner.kind, value)
        return
    signed = name in _SIGNED
    kind = INT if signed else UINT64
    number = (JSON if strict else KEYVAL)[kind](value if strict else _text(value), None)
    if number is WRONG and not strict:
        raise QmpError(wrong_value(name, "integer"))
    if number is WRONG:
        integer = wrong_type(name, "integer")
        raise QmpError(integer if signed else wrong_value(name, "uint64"))
    if name in _WIDE:
        return
    bits = 8 if name in _BYTES else 16 if name in _SHORT else 32
    low, high = (-1 << bits - 1, 1 << bits - 1) if signed else (0, 1 << bits)
    if not low <= number < high:
        raise QmpError(wrong_value(name, f"{'' if signed else 'u'}int{bits}_t"))


def _check_address(kind: str, value: Any) -> None:
    """A slot on the bus, and perhaps a function: ``5``, ``0x1f.7``."""
    if type(value) is int:
        return
    if not isinstance(value, str):
        raise QmpError("Invalid parameter type for 'addr', expected int or str")
    parts = [c_integer(f"0x{part.lower().removeprefix('0x')}") for part in value.split(".")]
    limits = (_SLOTS, _FUNCTIONS)[: len(parts)]
    fits = len(parts) == len(limits)
    if not fits or any(
        part is WRONG or not part < limit for part, limit in zip(parts, limits, strict=True)
    ):
        raise QmpError(f"Property '{kind}.addr' doesn't take value '{value}'")


def _check_size(owner: _Owner, name: str, value: Any, *, strict: bool) -> None:
    size = (JSON if strict else KEYVAL)[SIZE](value if strict else _text(value), None)
    if size is WRONG:
        raise QmpError(wrong_value(name, "uint64" if strict else "size"))
    whose = f"Property {owner.id}.{name} doesn't take value"
    if name in _BLOCK_SIZES and size:
        shown = size - (1 << 64) if size >> 63 else size
        if not _SMALLEST_BLOCK <= size <= _LARGEST_BLOCK:
            limits = f"minimum: {_SMALLEST_BLOCK}, maximum: {_LARGEST_BLOCK}"
            raise QmpError(f"{whose} {shown} ({limits})")
        if size & (size - 1):
            raise QmpError(f"{whose} '{shown}', it's not a power of 2")
    if name in _SHORT_SIZES and size > UINT32_MAX:
        whose = f"Property {owner.inner}.{name} doesn't take value"
        raise QmpError(f"{whose} {size} (maximum: {UINT32_MAX})")


def _check_other(owner: _Owner, name: str, value: Any, *, strict: bool) -> None:
    if name in _SIZES:
        _check_size(owner, name, value, strict=strict)
        return
    if strict and not isinstance(value, str):
        raise QmpError(wrong_type(name, "string"))
    text = _text(value)
    if text not in _CHOICES.get(name, (text,)):
        raise QmpError(wrong_choice(name, text))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else text_of(value)
