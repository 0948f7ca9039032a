"""The real programs, asked a list of questions over standard input and output."""

import json
import subprocess
from typing import Any

PROGRAMS = {
    "storage-daemon": ["qemu-storage-daemon", "--chardev", "stdio,id=c", "--monitor", "c"],
    "system": [
        *("qemu-system-x86_64", "-machine", "none", "-S"),
        *("-nodefaults", "-display", "none", "-qmp", "stdio"),
    ],
}


def ask(program: str, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the replies to the requests, events left out."""
    script = [{"execute": "qmp_capabilities"}, *requests, {"execute": "quit"}]
    text = "".join(json.dumps(request) + "\n" for request in script)
    done = subprocess.run(
        PROGRAMS[program], input=text, capture_output=True, text=True, timeout=60, check=True
    )
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    return [reply for reply in replies if "return" in reply or "error" in reply][1:-1]
