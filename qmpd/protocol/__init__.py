"""QMP on the wire, without any I/O: bytes to requests, answers and events to bytes."""
