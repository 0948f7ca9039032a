"""The levers that a test pulls: what real QEMU refuses.

Nothing here knows the block layer; the rooms that can be held, denied or broken ask here.
A machine without a lab has no levers and pays nothing for them.
"""
