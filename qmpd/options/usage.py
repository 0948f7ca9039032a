"""The text of ``--help``."""

from __future__ import annotations

HELP = """\
Usage: qmpd [options]

qmpd is QEMU's block layer as a test double: it speaks QMP, builds a graph of nodes and
runs block jobs on real or imagined images. It takes the options of qemu-system-x86_64
and of qemu-storage-daemon, with one dash or two, and plays the one whose options it is
given. Options about anything but block devices are accepted and ignored.

Nodes and devices
  --blockdev [driver=]DRIVER,node-name=NAME[,...]   define a node (key=value or JSON)
  --drive [file=PATH][,id=ID][,if=none|virtio|ide][,format=DRIVER][,node-name=NAME][,...]
                                                    a named drive with a node in it
  --device TYPE[,drive=NODE][,id=ID][,...]          attach a guest device (key=value or JSON)
  --object [qom-type=]TYPE,id=ID[,...]              make an object (key=value or JSON)
  --nbd-server addr.type=unix,addr.path=PATH        serve exports over NBD (storage daemon)
  --export [type=]nbd,id=ID,node-name=NODE[,...]    export a node (storage daemon)

Monitors
  --chardev socket,id=ID,path=PATH[,server=on|off][,wait=on|off]
  --chardev socket,id=ID,fd=FD[,server=on|off][,wait=on|off]
  --chardev stdio,id=ID                             a channel for a monitor
  --mon [chardev=]ID,mode=control[,pretty=on|off]   a QMP monitor (system emulator)
  --qmp DEV, --qmp-pretty DEV                       both at once; DEV is unix:PATH,server=on,
                                                    stdio or chardev:ID
  --monitor [chardev=]ID[,pretty=on|off]            a QMP monitor (storage daemon)

Process
  -S                                                do not start the guest
  --name NAME                                       what query-name returns
  --qtest DEV                                       the channel of a test harness
  --daemonize                                       go to the background once set up
  --pidfile FILE                                    write the process ID to FILE
  --help, -h                                        show this text
  --version, -V                                     show the version

Test double
  --storage host|memory                             keep images in files (as QEMU does), or
                                                    in memory until the end of the process
  --scenario FILE                                   what images there are, who may write them
  --lab                                             add the commands x-qmpd-..., which hold
                                                    jobs, deny access and inject faults
  --profile NAME                                    play another QEMU than 7.2

Instead of options
  qmpd show SOCKET                                  draw a running daemon's graph
  qmpd replay FILE                                  play a log's conversation again
  qmpd record --listen PATH --connect PATH --output FILE
                                                    write such a log"""
