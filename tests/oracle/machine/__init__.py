"""Random sequences of commands on the real QEMU and on qmpd, compared after every step."""
