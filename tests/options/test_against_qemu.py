"""Command lines that cannot stand: qmpd complains of the same thing in the same words.

Each line is given to the real program and to qmpd, and the last line on standard error is
compared after the program's name.
"""

import subprocess

import pytest

from qmpd.options.argv import CommandLine
from qmpd.options.errors import OptionError

pytestmark = pytest.mark.oracle

LONG = "a" * 128
NULL = ["-chardev", "null,id=x"]


def dashes(words: list[str]) -> list[str]:
    """The same line as the storage daemon spells it."""
    return [f"-{w}" if w.startswith("-") and not w.startswith("--") else w for w in words]


# Lines that both programs refuse with the same sentence.
BOTH = [
    ["-chardev", "null,id=x,size=16E"],
    ["-blockdev", "bogus,node-name=a"],
    ["-blockdev", ""],
    ["-blockdev", "node-name=a"],
    ["-blockdev", "help"],
    ["-blockdev", "null-co,help"],
    ["-blockdev", "null-co,node-name=a,read-only"],
    ["-blockdev", "null-co,node-name=a,read-only=1"],
    ["-blockdev", "null-co,node-name=a,size=1k"],
    ["-blockdev", "null-co,node-name=a,size=1,size.x=1"],
    ["-blockdev", "null-co,node-name=a,size.x=1"],
    ["-blockdev", "null-co,node-name=a,size.x=1,size=1"],
    ["-blockdev", "null-co,node-name=a,size.0=1"],
    ["-blockdev", "null-co,node-name=a,bogus=1"],
    ["-blockdev", "null-co,node-name=a,bogus.x=1"],
    ["-blockdev", "null-co,node-name=a,latency-ns=z"],
    ["-blockdev", "raw,node-name=a,file=f,file.driver=file"],
    ["-blockdev", "raw,node-name=a,file.driver=file"],
    ["-blockdev", "raw,node-name=a,file.driver=bogus"],
    ["-blockdev", "raw,node-name=a,file.driver=file,file.filename=x,file.aio=y"],
    ["-blockdev", "raw,node-name=a"],
    ["-blockdev", "raw,node-name=a,cache=on"],
    ["-blockdev", "raw,node-name=a,cache.direct=maybe"],
    ["-blockdev", "raw,a..b=1"],
    ["-blockdev", "raw,.a=1"],
    ["-blockdev", "raw,1a=1"],
    ["-blockdev", "raw,a.=1"],
    ["-blockdev", "raw,,node-name=a"],
    ["-blockdev", ",driver=raw"],
    ["-blockdev", "=x"],
    ["-blockdev", "driver=null-co,x.1=a"],
    ["-blockdev", "driver=null-co,x.0=a,x.y=b"],
    ["-blockdev", "driver=null-co,x.0=a,x.2=b"],
    ["-blockdev", f"driver=null-co,{LONG}=a"],
    ["-blockdev", f"driver=null-co,x.{LONG}=a"],
    ["-blockdev", " {"],
    ["-blockdev", "[]"],
    ["-blockdev", "{"],
    ["-blockdev", "{}"],
    ["-blockdev", "{'driver':'bogus'}"],
    ["-blockdev", "{'driver':'null-co'} x"],
    ["-blockdev", "{'driver':'null-co'} {}"],
    ["-blockdev", "{'driver':'null-co',}"],
    ["-blockdev", "{'driver':'raw','file':null}"],
    ["-blockdev", "{'driver':'raw','file.driver':'file'}"],
    ["-blockdev", "{'driver':'null-co','size':'1'}"],
    ["-chardev", "bogus,id=x"],
    ["-chardev", "bogus"],
    ["-chardev", ","],
    ["-chardev", "socket"],
    ["-chardev", "socket,id=c"],
    ["-chardev", "null"],
    ["-chardev", "null,id=1"],
    ["-chardev", "id=c"],
    ["-chardev", "socket,id=c,bogus=1"],
    ["-chardev", "socket,id=c,bogus"],
    ["-chardev", "socket,id=c,path=/tmp/x,server=maybe"],
    ["-chardev", "socket,id=c,path=/tmp/x,reconnect=z"],
    ["-chardev", "socket,id=c,path=/tmp/x,host=y"],
    ["-chardev", "socket,id=c,host=y"],
    ["-chardev", "socket,id=c,path=/tmp/x,wait=off"],
    ["-chardev", "socket,id=c,path=/tmp/x,server=on,reconnect=1"],
    ["-chardev", "file,id=c"],
    ["-chardev", "pipe,id=c"],
    ["-chardev", "stdio,id=a", "-chardev", "stdio,id=b"],
    ["-chardev", "socket,id=c,reconnect=1"],
    ["-chardev", "socket,id=c,fd=1,reconnect=1"],
    ["-chardev", "socket,id=c,path=x,reconnect=1,server=on,wait=off"],
    ["-chardev", "socket,id=c,path=x,reconnect=-1,server=on,wait=off"],
    ["-chardev", "socket,id=c,path=x,reconnect=99999999999999999999"],
    ["-chardev", "socket,id=c,path=x,reconnect=08"],
    ["-chardev", "socket,id=c,path=x,reconnect="],
    ["-chardev", "socket,id=c,path=x,delay=on,nodelay=on"],
    ["-chardev", "socket,id=c,path=x,tls-authz=a,websocket=on"],
    ["-chardev", "socket,id=c,path=x,websocket=on,wait=on"],
    ["-chardev", "socket,id=c,path=x,tls-creds=t,wait=on"],
    ["-chardev", "socket,id=c,path=x,tls-creds=t"],
    ["-chardev", "mux,id=c"],
    ["-chardev", "udp,id=c"],
    ["-chardev", "udp,id=c,port="],
    ["-object", "{"],
    ["-object", "{'qom-type':'iothread'}"],
    ["-object", "{'qom-type':'iothread','id':'1'}"],
    ["-object", "iothread"],
    ["-object", "iothread,id=1"],
    ["-object", "memory-backend-ram,id=m,size=1M,share=2"],
    ["-object", "memory-backend-ram,id=m"],
    ["-object", "memory-backend-ram,id=m,size=1M,policy=q"],
    ["-object", "memory-backend-ram,id=m,size=1M,prealloc-threads=99999999999"],
    ["-object", "nope,id=x"],
    [*NULL, "-blockdev", "bogus"],
]

SYSTEM = [
    ["-S", "--blo", "null-co,node-name=n"],
    ["-S", "--chard"],
    ["-bogus"],
    ["--bogus=x"],
    ["-"],
    ["-blockdev"],
    ["-chardev"],
    ["-mon"],
    ["-qmp"],
    ["-object"],
    ["-device"],
    ["-pidfile"],
    ["-name"],
    ["-blockdev", "bogus", "-nosuch"],
    ["--blockdev=null-co"],
    ["-S=x"],
    ["-T"],
    ["-Tx"],
    ["-hb"],
    ["-add-fd", ""],
    ["-add-fd", "set=1"],
    ["-add-fd", "fd=-1,set=1"],
    ["-add-fd", "fd=2147483648,set=1"],
    ["-add-fd", "fd=0,set=1"],
    ["-add-fd", "fd=2,set=-1,opaque=x"],
    ["-add-fd", "fd=4294967297"],
    ["-add-fd", "fd=777,set=1"],
    ["-add-fd", "fd=x"],
    ["-add-fd", "fd=3,set="],
    ["-add-fd", "fd=3,bogus=1"],
    ["-add-fd", "fd=777,set=1", "-chardev", "bogus,id=a"],
    ["-add-fd", "fd=777,set=1", "-blockdev", "bogus"],
    ["-name", "a,b=c"],
    ["-name", "a,debug-threads=7"],
    [*NULL, *NULL],
    [*NULL, "-mon", "x,id=m", "-mon", "x,id=m"],
    ["-mon", "x"],
    ["-mon", "chardev=x"],
    ["-mon", "mode=control"],
    [*NULL, "-mon", "x,mode=bogus"],
    [*NULL, "-mon", "x,bogus=1"],
    [*NULL, "-mon", "x,mode=control,pretty=2"],
    [*NULL, "-mon", "x,pretty=on"],
    [*NULL, "-mon", "x,mode=control", "-mon", "x,mode=control"],
    ["-mon", "x", "-chardev", "bogus,id=a"],
    ["-chardev", "bogus,id=a", "-blockdev", "bogus"],
    ["-qmp", "bogus"],
    ["-qmp", "none"],
    ["-qmp", "tcp:bogus"],
    ["-qmp", "unix:"],
    ["-qmp", "unix:/tmp/x,bogus=1"],
    ["-qmp", "chardev:x"],
    ["-qmp-pretty", "chardev:x"],
    ["-monitor", "bogus"],
    ["-monitor", "chardev:x"],
    ["-qmp", "chardev:x", "-chardev", "bogus,id=y"],
    ["-device", "a,id=x", "-device", "b,id=x"],
    ["-device", "a,id=1"],
    ["-device", "drive=x"],
    ["-device", "{"],
    ["-device", "{}"],
    ["-device", "{'driver':5}"],
    ["-object", "id=x"],
    ["-object", "iothread,id=i", "-object", "iothread,id=i"],
    ["-object", "memory-backend-ram,id=m,size=foo"],
    ["-object", "memory-backend-ram,id=m,size=1M,host-nodes=z"],
    ["-object", "memory-backend-ram,id=m,size=1M,host-nodes=2-1"],
    ["-object", "memory-backend-ram,id=m,size=1M,bogus=1"],
    ["-object", "memory-backend-ram,id=m,size=1M,bogus=1,z=2,q=3"],
    ["-object", "throttle-group,id=t,x-bps-total=z"],
    ["-object", "throttle-group,id=t,limits.iops-total=1"],
]

STORAGE_DAEMON = [
    ["--=x"],
    ["--="],
    ["--blo=bad"],
    ["--b", "null-co,node-name=n", "--b", "bad"],
    ["--ob"],
    ["--ver=1"],
    ["--no"],
    ["--bogus"],
    ["--bogus=x"],
    ["--blockdev"],
    ["--chardev"],
    ["--monitor"],
    ["--object"],
    ["--pidfile"],
    ["--daemonize=x"],
    ["--d=1"],
    ["--m=x"],
    ["-T"],
    ["-T", "x", "-T"],
    ["-Tx", "--nosuch"],
    ["-"],
    ["-", "-"],
    ["-", "--nosuch"],
    ["disk.img", "--", "--nosuch"],
    ["disk.img"],
    ["--monitor", "x"],
    ["--monitor", "chardev=x"],
    ["--monitor", "mode=control"],
    ["--monitor", "{}"],
    ["--monitor", "{'chardev':'x','pretty':1}"],
    ["--blockdev=bogus"],
    [*dashes(NULL), *dashes(NULL)],
    [*dashes(NULL), "--monitor", "x,mode=bogus"],
    [*dashes(NULL), "--monitor", "x,mode=readline"],
    [*dashes(NULL), "--monitor", "x,bogus=1"],
    [*dashes(NULL), "--monitor", "x,pretty=2"],
    [*dashes(NULL), "--monitor", "x,pretty"],
    [*dashes(NULL), "--monitor", "x", "--monitor", "x"],
    ["--object", "memory-backend-ram,id=m,size=foo"],
    ["--object", "memory-backend-ram,id=m,size=1M,host-nodes=0"],
    ["--object", "memory-backend-ram,id=m,size=1M,host-nodes.0=z"],
    ["--object", "memory-backend-ram,id=m,size=1M,host-nodes.1=0"],
    ["--object", "throttle-group,id=t,limits.iops-total=z"],
    ["--object", "id=x"],
    ["--chardev", "bogus,id=a", "--blockdev", "bogus"],
    ["--blockdev", "bogus", "--chardev", "bogus,id=a"],
]

# What makes qmpd play the storage daemon where a line alone leaves it open: only that
# program takes an argument behind an equals sign.
AS_STORAGE_DAEMON = "--trace=bdrv_nothing"


def real_fault(words: list[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1, f"{words} is accepted"
    lines = done.stderr.splitlines()
    if lines[-1].startswith("Identifiers consist"):
        lines.pop()
    return lines[-1].removeprefix(f"{words[0]}: ")


def our_fault(words: list[str]) -> str:
    with pytest.raises(OptionError) as caught:
        list(CommandLine(words))
    return caught.value.text


@pytest.mark.parametrize("words", BOTH + SYSTEM, ids=" ".join)
def test_the_system_emulators_complaint(words):
    basis = ["-machine", "none", "-display", "none", "-nodefaults"]
    assert our_fault([*basis, *words]) == real_fault(["qemu-system-x86_64", *basis, *words])


@pytest.mark.parametrize("words", [dashes(w) for w in BOTH] + STORAGE_DAEMON, ids=" ".join)
def test_the_storage_daemons_complaint(words):
    assert our_fault([AS_STORAGE_DAEMON, *words]) == real_fault(["qemu-storage-daemon", *words])
