"""Conversations between a client and a QEMU: recorded, read from bug reports, played again."""
