"""Which properties the devices have that can have a drive, and what of them is a number or a switch.

Observed on QEMU 7.2 (``device-list-properties``). Loaded when somebody gives a property that
is not one of the usual ones.
"""

from __future__ import annotations

from qmpd.errors import QmpError
from qmpd.protocol.encoder import hash_order
from qmpd.schema.scalars import BOOL, INT, KEYVAL, WRONG
from qmpd.schema.wording import wrong_type, wrong_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
_OF_ALL = frozenset(
    ("driver", "id", "bus", "path", "realized", "hotplugged", "hotpluggable", "parent_bus", "type")
)


def check(properties: dict[str, Any], *, found: bool) -> None:
    """Check a device's properties in the order of the wire.

    Args:
        properties: texts, or values from JSON.
        found: whether the drive exists; if not, what comes behind it is not looked at.

    Raises:
        QmpError: there is no such property, or its value does not fit.
    """
    kind = _ALIASES.get(properties["driver"], properties["driver"])
    if kind not in _DEVICES:
        return
    switches, numbers, others = (set(names.split()) for names in _DEVICES[kind])
    for name in hash_order(properties):
        value = properties[name]
        if name == "drive" and not found:
            return
        if name in _OF_ALL or name in others:
            continue
        if name not in switches and name not in numbers:
            raise QmpError(f"Property '{kind}.{name}' not found")
        if not isinstance(value, str):
            _check_type(name, value, switch=name in switches)
        else:
            wanted, expected = (BOOL, "'on' or 'off'") if name in switches else (INT, "integer")
            if KEYVAL[wanted](value, None) is WRONG:
                raise QmpError(wrong_value(name, expected))


def _check_type(name: str, value: Any, *, switch: bool) -> None:
    if switch and not isinstance(value, bool):
        raise QmpError(wrong_type(name, "boolean"))
    if not switch and type(value) is not int:
        raise QmpError(wrong_value(name, "uint64"))
