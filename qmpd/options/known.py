"""The options there are: QEMU's and the storage daemon's, by name.

What is ignored concerns parts of a
machine that a block layer does not have; what is lacking would change the block layer,
so that leaving it out silently would be a lie.
"""

from __future__ import annotations

# Options that qmpd acts on, and whether an argument follows.
BLOCKDEV, CHARDEV, OBJECT, PIDFILE = "blockdev", "chardev", "object", "pidfile"
TRACE, DAEMONIZE, HELP, VERSION = "trace", "daemonize", "help", "version"
MON, MONITOR, QMP, QMP_PRETTY = "mon", "monitor", "qmp", "qmp-pretty"
DEVICE, STOPPED, NAME, NODEFAULTS = "device", "S", "name", "nodefaults"
QTEST, DRIVE, ADD_FD = "qtest", "drive", "add-fd"
EXPORT, NBD_SERVER = "export", "nbd-server"
STORAGE, SCENARIO, LAB, PROFILE = "storage", "scenario", "lab", "profile"

COMMON = {
    BLOCKDEV: True,
    CHARDEV: True,
    OBJECT: True,
    PIDFILE: True,
    MONITOR: True,
    TRACE: True,
    DAEMONIZE: False,
    HELP: False,
    VERSION: False,
}
SYSTEM = {
    MON: True,
    QMP: True,
    QMP_PRETTY: True,
    DEVICE: True,
    STOPPED: False,
    NAME: True,
    NODEFAULTS: False,
    QTEST: True,
    DRIVE: True,
    ADD_FD: True,
}
OWN = {STORAGE: True, SCENARIO: True, LAB: False, PROFILE: True}
ALIASES = {"h": HELP, "V": VERSION, "T": TRACE}

# Options that qmpd lacks, and what to do instead.
USE_BLOCKDEV = "use -blockdev and -device"
_DRIVES = ("hda", "hdb", "hdc", "hdd", "cdrom", "fda", "fdb", "sd", "mtdblock", "pflash")
LACKING = {
    **dict.fromkeys(_DRIVES, USE_BLOCKDEV),
    "incoming": "start without it",
    "loadvm": "start without it",
    "preconfig": "start without it",
    "readconfig": "give the options on the command line",
    "set": "give the parameter with its option",
    "snapshot": "put a qcow2 overlay on top of the image",
}
_LACKING_FLAGS = {"preconfig", "snapshot"}

# Options without a meaning to a block layer.
IGNORED_WITH_ARGUMENT = {
    "M",
    "L",
    "D",
    "accel",
    "acpitable",
    "action",
    "append",
    "audio",
    "audiodev",
    "bios",
    "boot",
    "chroot",
    "compat",
    "cpu",
    "d",
    "debugcon",
    "dfilter",
    "display",
    "dtb",
    "dump-vmstate",
    "echr",
    "fsdev",
    "fw_cfg",
    "g",
    "gdb",
    "global",
    "icount",
    "initrd",
    "iscsi",
    "k",
    "kernel",
    "m",
    "machine",
    "mem-path",
    "msg",
    "net",
    "netdev",
    "nic",
    "numa",
    "option-rom",
    "overcommit",
    "parallel",
    "plugin",
    "qtest-log",
    "rotate",
    "rtc",
    "runas",
    "sandbox",
    "seed",
    "semihosting-config",
    "serial",
    "smbios",
    "smp",
    "spice",
    "tpmdev",
    "usbdevice",
    "uuid",
    "vga",
    "virtfs",
    "vnc",
    "watchdog-action",
    "xen-domid",
}
IGNORED_FLAGS = {
    "async-teardown",
    "audio-help",
    "enable-kvm",
    "enable-sync-profile",
    "full-screen",
    "mem-prealloc",
    "no-acpi",
    "no-fd-bootchk",
    "no-hpet",
    "no-reboot",
    "no-shutdown",
    "no-user-config",
    "nographic",
    "only-migratable",
    "portrait",
    "s",
    "semihosting",
    "singlestep",
    "usb",
    "win2k-hack",
    "xen-attach",
    "xen-domid-restrict",
}

# Options of older releases, which management software of their time still gives.
OLD_WITH_ARGUMENT = {
    "balloon",
    "bt",
    "hdachs",
    "realtime",
    "redir",
    "smb",
    "soundhw",
    "startdate",
    "tb-size",
    "tftp",
    "virtioconsole",
    "watchdog",
    "writeconfig",
}
OLD_FLAGS = {
    "alt-grab",
    "ctrl-grab",
    "curses",
    "enable-fips",
    "enable-hax",
    "localtime",
    "no-frame",
    "no-kvm",
    "no-kvm-irqchip",
    "no-kvm-pit",
    "no-kvm-pit-reinjection",
    "no-quit",
    "nodefconfig",
    "sdl",
    "show-cursor",
    "tdf",
    "virtfs_synth",
}

ONLY_STORAGE_DAEMON = {EXPORT: True, NBD_SERVER: True}

# Every option, and whether an argument follows it.
_ALL: dict[str, bool] = {
    **dict.fromkeys(LACKING, True),
    **dict.fromkeys(_LACKING_FLAGS, False),
    **dict.fromkeys(IGNORED_WITH_ARGUMENT | OLD_WITH_ARGUMENT, True),
    **dict.fromkeys(IGNORED_FLAGS | OLD_FLAGS, False),
    **COMMON,
    **SYSTEM,
    **OWN,
    **ONLY_STORAGE_DAEMON,
}


def takes_argument(name: str) -> bool | None:
    """Tell whether an argument follows the option; ``None`` if there is no such option."""
    return _ALL.get(name)


def in_storage_daemon(name: str) -> bool:
    """Tell whether the storage daemon has the option, or it is one of qmpd's own."""
    return name in COMMON or name in OWN or name in ONLY_STORAGE_DAEMON


def completed(name: str, *, joined: bool) -> str:
    """Return the storage daemon's option of which ``name`` is an unambiguous beginning.

    ``joined`` tells that an argument is joined to it, which only that program knows.
    """
    if name in _ALL and (not joined or in_storage_daemon(name)):
        return name
    found = [full for full in long_options() if name and full.startswith(name)]
    return found[0] if len(found) == 1 else name


def long_options() -> list[str]:
    """The options that the storage daemon has, in the order of its complaints."""
    return sorted((*COMMON, *ONLY_STORAGE_DAEMON))


def is_system_only(name: str) -> bool:
    """Tell whether only the system emulator has the option."""
    return not in_storage_daemon(name)
