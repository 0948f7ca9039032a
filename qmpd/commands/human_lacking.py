"""What the original's human monitor has and qmpd's has not, so that it can be told apart."""

from __future__ import annotations

_COMMANDS = """
announce_self balloon block_set_io_throttle block_stream boot_set calc_dirty_rate
cancel_vcpu_dirty_limit chardev-add chardev-change chardev-remove chardev-send-break
client_migrate_info closefd cpu delvm drive_backup drive_mirror dump-guest-memory dumpdtb
exit_preconfig expire_password gdbserver getfd gpa2hpa gpa2hva gva2gpa help ? hostfwd_add
hostfwd_remove i info loadvm log logfile mce memsave migrate migrate_cancel migrate_continue
migrate_incoming migrate_pause migrate_recover migrate_set_capability migrate_set_parameter
migrate_start_postcopy mouse_button mouse_move mouse_set nbd_server_add nbd_server_remove
nbd_server_start nbd_server_stop netdev_add netdev_del nmi o object_add object_del
pcie_aer_inject_error pmemsave print p qom-get qom-list qom-set replay_break
replay_delete_break replay_seek ringbuf_read ringbuf_write savevm screendump sendkey set_link
set_password set_vcpu_dirty_limit singlestep snapshot_blkdev snapshot_blkdev_internal
snapshot_delete_blkdev_internal stopcapture sum sync-profile system_powerdown system_wakeup
trace-event watchdog_action wavcapture x x_colo_lost_heartbeat xp
"""
_INFO = """
balloon capture chardev cpus dirty_rate dump history hotpluggable-cpus iothreads irq jit kvm
lapic mem memdev memory-devices memory_size_summary mice migrate migrate_capabilities
migrate_parameters mtree network numa opcount pci pic profile qdm qom-tree qtree ramblock rdma
registers replay rocker roms sev sgx snapshots spice stats sync-profile tlb tpm trace-events usb
usbhost usernet uuid vcpu_dirty_limit vm-generation-id vnc
"""
LACKING = set(_COMMANDS.split()) | {f"info {name}" for name in _INFO.split()}
