"""One small handler per QMP command, grouped as QEMU's manual groups them."""
