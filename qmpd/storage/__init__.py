"""Where bytes live: host files or images in RAM, behind one access policy.

Both storages hand out plain file descriptors, so that everything above them (locks,
``copy_file_range``, access modes visible in ``/proc``) is the same code.
"""
