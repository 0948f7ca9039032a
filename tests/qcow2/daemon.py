"""A real qemu-storage-daemon that opens images, for comparing its answers."""

from __future__ import annotations

import json
import subprocess


class StorageDaemon:
    """Speaks QMP with a qemu-storage-daemon over its standard streams."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            ["qemu-storage-daemon", "--chardev", "stdio,id=c", "--monitor", "c"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.events: list[dict[str, object]] = []
        self._read()
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: object) -> dict[str, object]:
        line = json.dumps({"execute": command, "arguments": arguments}).encode()
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()
        while "event" in (reply := self._read()):
            self.events.append(reply)
        return reply

    def open_error(self, path: object, *, writable: bool) -> str | None:
        """The error text of adding a qcow2 node on ``path``, None if it works."""
        file = {"driver": "file", "filename": str(path)}
        node = {"driver": "qcow2", "node-name": "n", "read-only": not writable, "file": file}
        node["backing"] = None
        reply = self.execute("blockdev-add", **node)
        if "error" in reply:
            return reply["error"]["desc"]
        assert self.execute("blockdev-del", **{"node-name": "n"}) == {"return": {}}
        return None

    def _read(self) -> dict[str, object]:
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)
        self.process.stdin.close()
        self.process.stdout.close()
