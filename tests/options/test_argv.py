"""The command line is read as the program that it is meant for reads it."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from qmpd.options import known, usage
from qmpd.options.argv import CommandLine
from qmpd.options.errors import OptionError
from qmpd.options.split import split

FOUNDING = Path(__file__).with_name("founding.sh")


def run(*words):
    line = CommandLine(words)
    return line, list(line)


def fault(*words):
    with pytest.raises(OptionError) as caught:
        run(*words)
    return caught.value.text


def founding_words():
    """The words after the program's name of the command line that qmpd was founded on."""
    words = shlex.split(FOUNDING.read_text().replace("\\\n", " "))
    start = next(i for i, word in enumerate(words) if word.endswith("qemu-system-x86_64"))
    return words[start + 1 :]


def test_the_founding_command_line_is_accepted_whole():
    line, options = run(*founding_words())
    assert line.program == "system"
    assert line.name == "upstream-bj"
    assert line.stopped
    nodes = [o.value["node-name"] for o in options if o.kind == "blockdev"]
    assert len(nodes) == 32
    assert nodes[:3] == ["libvirt-4-storage", "libvirt-4-format", "libvirt-16-storage"]
    (monitor,) = [o.value for o in options if o.kind == "mon"]
    assert (monitor.chardev.id, monitor.chardev.fd) == ("charmonitor", "29")
    assert monitor.chardev.server
    assert not monitor.chardev.wait
    drives = [o.value["drive"] for o in options if o.kind == "device" and "drive" in o.value]
    assert drives == [f"libvirt-{n}-format" for n in (4, 3, 2, 1)]


def test_the_system_emulator_acts_kind_by_kind():
    _, options = run(
        *("-device", "virtio-blk-pci,drive=n", "-mon", "c,mode=control"),
        *("-blockdev", "null-co,node-name=n", "-chardev", "stdio,id=c", "-object", "iothread,id=i"),
    )
    assert [o.kind for o in options] == ["object", "chardev", "blockdev", "mon", "device"]


def test_the_storage_daemon_acts_from_left_to_right():
    _, options = run(
        *("--blockdev", "null-co,node-name=n", "--chardev", "stdio,id=c"),
        *("--object", "iothread,id=i", "--monitor", "c", "--blockdev", "null-co,node-name=m"),
    )
    assert [o.kind for o in options] == ["blockdev", "chardev", "object", "mon", "blockdev"]


def test_the_storage_daemon_does_not_read_ahead():
    """What comes before a faulty option has been acted on when the fault is found."""
    line = CommandLine(["--chardev", "null,id=c", "--monitor", "c", "--blockdev", "bogus"])
    options = iter(line)
    assert [next(options).kind, next(options).kind] == ["chardev", "mon"]
    with pytest.raises(OptionError, match="does not accept value 'bogus'"):
        next(options)


def test_the_system_emulator_reads_everything_first():
    with pytest.raises(OptionError, match="does not accept value 'bogus'"):
        CommandLine(["-chardev", "bogus,id=c", "-blockdev", "bogus"])


@pytest.mark.parametrize(
    ("words", "program"),
    [
        ("", "system"),
        ("--blockdev null-co,node-name=a", "storage-daemon"),
        ("--chardev stdio,id=c --monitor c", "storage-daemon"),
        ("--monitor c --chardev stdio,id=c", "storage-daemon"),
        ("-chardev stdio,id=c -monitor chardev=c", "storage-daemon"),
        ("--blockdev=null-co,node-name=a", "storage-daemon"),
        ("--chardev stdio,id=c --monitor c -S", "system"),
        ("-monitor none -chardev stdio,id=c -mon c,mode=control", "system"),
        ("--monitor none", "system"),
        ("--monitor null -machine none", "system"),
        ("-qmp stdio", "system"),
        ("--storage memory --chardev stdio,id=c --monitor c", "storage-daemon"),
    ],
)
def test_the_options_tell_which_program_is_meant(words, program):
    assert split(words.split())[1] == program


def test_one_dash_or_two_make_no_difference():
    one, _ = run("-name", "guest=a,process=b", "-S", "-pidfile", "p", "-daemonize")
    two, _ = run("--name", "guest=a,process=b", "--S", "--pidfile", "p", "--daemonize")
    for line in (one, two):
        assert (line.name, line.stopped, line.pidfile, line.daemonize) == ("a", True, "p", True)


def test_settings_have_defaults():
    line, options = run()
    assert (line.stopped, line.daemonize, line.help, line.version, options) == (
        *[False] * 4,
        [],
    )
    assert (line.name, line.pidfile, line.scenario, line.storage) == (None, None, None, "host")


def test_qmpds_own_switches():
    line, _ = run("--storage", "memory", "--scenario", "levers.json")
    assert (line.storage, line.scenario) == ("memory", "levers.json")
    text = "--storage tape: Parameter 'storage' does not accept value 'tape'"
    assert fault("--storage", "tape") == text


@pytest.mark.parametrize("words", [["-h"], ["-help"], ["--help"], ["-S", "-h", "-blockdev", "x"]])
def test_help_is_enough(words):
    line, options = run(*words)
    assert line.help
    assert not options


@pytest.mark.parametrize("words", [["-version"], ["--version"], ["-V"]])
def test_version_is_enough(words):
    line, _ = run(*words)
    assert line.version


def test_version_in_the_storage_daemon_comes_before_everything():
    line = CommandLine(["--blockdev=bogus", "--version", "--help"])
    assert line.version
    assert not line.help
    assert list(line) == []


@pytest.mark.parametrize("spelling", ["server,nowait", "server=on,wait=off", "wait=no,server=yes"])
def test_a_listening_socket_has_several_spellings(spelling):
    _, (option,) = run("-chardev", f"socket,id=c,path=/tmp/a,,b,{spelling}")
    chardev = option.value
    assert (chardev.backend, chardev.path, chardev.server) == ("socket", "/tmp/a,b", True)
    assert not chardev.wait


def test_a_listening_socket_waits_unless_told_otherwise():
    _, (option,) = run("-chardev", "socket,id=c,path=p,server=on")
    assert option.value.wait


def test_short_switches_are_warned_of_as_qemu_does():
    said: list[str] = []
    CommandLine(["-chardev", "socket,id=c,path=p,server,nowait"], lambda *lines: said.extend(lines))
    spelling = "-chardev socket,id=c,path=p,server,nowait"
    assert said == [
        f"{spelling}: warning: short-form boolean option 'server' deprecated",
        "Please use server=on instead",
        f"{spelling}: warning: short-form boolean option 'nowait' deprecated",
        "Please use wait=off instead",
    ]


@pytest.mark.parametrize("backend", ["pty", "spicevmc,name=x", "vc", "null", "file,path=p"])
def test_other_character_devices_are_known(backend):
    _, (option,) = run("-chardev", f"{backend},id=c")
    assert option.value.backend == backend.partition(",")[0]


def test_qmp_brings_its_own_character_device():
    _, options = run("-qmp", "unix:/tmp/s,server,nowait", "-qmp-pretty", "stdio")
    chardevs = [o.value for o in options if o.kind == "chardev"]
    monitors = [o.value for o in options if o.kind == "mon"]
    assert [(c.id, c.backend, c.path, c.server) for c in chardevs] == [
        ("compat_monitor0", "socket", "/tmp/s", True),
        ("compat_monitor1", "stdio", None, False),
    ]
    assert [(m.chardev.id, m.pretty) for m in monitors] == [
        ("compat_monitor0", False),
        ("compat_monitor1", True),
    ]


def test_qmp_can_listen_on_tcp_and_refer_to_a_character_device():
    _, options = run("-qmp", "tcp:localhost:0,server=on,wait=off", "-qmp", "chardev:c",
                     "-chardev", "stdio,id=c")  # fmt: skip
    tcp = options[0].value
    assert (tcp.host, tcp.port, tcp.server, tcp.wait) == ("localhost", "0", True, False)
    assert [o.value.chardev.id for o in options if o.kind == "mon"] == ["compat_monitor0", "c"]


def test_storage_daemons_monitor_is_qmp():
    _, options = run("--chardev", "stdio,id=c", "--monitor", "c,pretty=on,mode=control")
    assert options[1].value.pretty
    _, options = run("--chardev", "stdio,id=c", "--monitor", "{'chardev':'c','pretty':false}")
    assert not options[1].value.pretty


def test_a_human_monitor_may_be_asked_for():
    for words in (["-monitor", "stdio"], ["-chardev", "stdio,id=c", "-mon", "c"]):
        _, options = run(*words)
        assert options[1].value.human
    run("-monitor", "none")
    run("-monitor", "null")


def test_monitors_need_a_character_device_that_qmpd_can_run():
    text = fault("-chardev", "pty,id=c", "-mon", "c,mode=control")
    assert text.endswith("'pty' character device; use socket or stdio")


def test_devices_come_as_text_or_json():
    _, options = run(
        *("-device", "virtio-blk-pci,drive=n,id=d,share-rw=on,bus=pci.0"),
        *("-device", "{'driver':'scsi-hd','drive':'n','share-rw':true}"),
    )
    assert options[0].value == {
        "driver": "virtio-blk-pci",
        "drive": "n",
        "id": "d",
        "share-rw": "on",
        "bus": "pci.0",
    }
    assert options[1].value == {"driver": "scsi-hd", "drive": "n", "share-rw": True}


def test_objects_of_the_system_emulator_take_ranges_and_repetition():
    text = "memory-backend-ram,id=m,size=1.5k,host-nodes=0-2,host-nodes=7,policy=bind"
    _, (option,) = run("-object", text)
    assert option.value == {
        "qom-type": "memory-backend-ram",
        "id": "m",
        "host-nodes": [0, 1, 2, 7],
        "policy": "bind",
        "size": 1536,
    }


def test_objects_of_the_storage_daemon_nest():
    _, options = run("--object", "throttle-group,id=t,limits.iops-total=5", "--trace=x")
    assert options[0].value["limits"] == {"iops-total": 5}


@pytest.mark.parametrize(
    "words",
    [
        ["-hda", "x"],
        ["-cdrom", "x"],
        ["-snapshot"],
        ["-incoming", "defer"],
        ["-S", "disk.img"],
        ["-readconfig", "f"],
        ["-loadvm", "x"],
    ],
    ids=" ".join,
)
def test_what_would_change_the_block_layer_is_never_ignored(words):
    text = fault(*words)
    assert "qmpd does not have" in text
    assert "\n" not in text


def test_every_option_stands_in_one_table():
    tables = [known.COMMON, known.SYSTEM, known.OWN, known.LACKING, known.IGNORED_WITH_ARGUMENT,
              known.IGNORED_FLAGS, known.OLD_WITH_ARGUMENT, known.OLD_FLAGS]  # fmt: skip
    names = [name for table in tables for name in table]
    assert len(names) == len(set(names))


def test_help_names_every_option_that_means_something():
    shown = set(re.findall(r"(?<![\w-])--?([\w-]+)", usage.HELP))
    meant = {*known.COMMON, *known.SYSTEM, *known.OWN, *known.ALIASES} - {known.TRACE, "T"}
    assert meant - {known.NODEFAULTS, known.ADD_FD} <= shown


REAL_TABLES = (known.COMMON, known.SYSTEM, dict.fromkeys(known.IGNORED_WITH_ARGUMENT, True),
               dict.fromkeys(known.IGNORED_FLAGS, False))  # fmt: skip


def last_line(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    return done.stderr.splitlines()[-1].removeprefix(f"{words[0]}: ")


def real_options(*, takes_argument):
    """The options that the system emulator has, too, and that do or do not take an argument."""
    tables = [*REAL_TABLES, {name: known.takes_argument(name) for name in known.LACKING}]
    names = {name for table in tables for name, takes in table.items() if takes == takes_argument}
    return sorted(names)


@pytest.mark.oracle
def test_options_with_an_argument_have_one_in_the_system_emulator():
    """Were one of them a switch, the word after it would be an invalid option."""
    words = [
        word
        for i, name in enumerate(real_options(takes_argument=True))
        for word in (f"-{name}", f"-nosuch{i}")
    ]
    assert last_line("qemu-system-x86_64", *words, "-end") == "-end: invalid option"


@pytest.mark.oracle
@pytest.mark.parametrize("name", real_options(takes_argument=False))
def test_switches_have_no_argument_in_the_system_emulator(name):
    assert last_line("qemu-system-x86_64", f"-{name}", "-end") == "-end: invalid option"


@pytest.mark.oracle
def test_every_option_that_the_real_programs_document_is_known():
    for program, option in (("qemu-system-x86_64", "-help"), ("qemu-storage-daemon", "--help")):
        done = subprocess.run([program, option], capture_output=True, text=True, check=True)
        lines = re.findall(r"^ *(-[^ ]*(?:, --\w+)?)", done.stdout, re.MULTILINE)
        names = {n for line in lines for n in re.findall(r"(?:^|[ /])--?([\w-]+)", line)}
        names = {known.ALIASES.get(name, name) for name in names}
        assert len(names) > 8
        assert {name for name in names if known.takes_argument(name) is None} == set()
