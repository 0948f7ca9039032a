"""``python -m qmpd.schema``: write everything that is generated from the models.

That is ``qmpd/schema/compiled.py``, ``qmpd/schema/qmp-schema.json`` and the JSON Schema
documents in the directory given as argument, ``schemas`` unless told otherwise.
"""

import json
import sys
from pathlib import Path
from typing import Any

from qmpd.schema.compile import compile_contract
from qmpd.schema.introspect import Introspection
from qmpd.schema.jsonschema import Document
from qmpd.schema.models import COMMANDS, EVENTS
from qmpd.schema.models.kinds import LAB, STORAGE_DAEMON, SYSTEM, Empty
from qmpd.schema.shapes import Resolver

PACKAGE = Path(__file__).parent


def documents() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema documents by file name."""
    resolver = Resolver()
    made = {}
    for name, command in COMMANDS.items():
        shape = resolver.object(command.arguments or Empty)
        made[f"{name}.arguments.json"] = Document(f"{name}: arguments", shape).content
        shape_of_return = resolver.shape(command.returns or Empty)
        made[f"{name}.return.json"] = Document(f"{name}: return", shape_of_return).content
    for name, event in EVENTS.items():
        data = resolver.object(event.data or Empty)
        made[f"event.{name}.json"] = Document(f"{name}: data", data).content
    return made


def generate() -> dict[str, str]:
    """Return the text of every generated file: package files by name, the others below ``schemas/``."""
    introspection = {
        program + (f"+{LAB}" if lab else ""): Introspection(program, lab=lab).entries
        for program in (SYSTEM, STORAGE_DAEMON)
        for lab in (False, True)
    }
    files = {
        "compiled.py": compile_contract(),
        "qmp-schema.json": json.dumps(introspection, separators=(",", ":")) + "\n",
    }
    for name, document in documents().items():
        files[f"schemas/{name}"] = json.dumps(document, indent=2) + "\n"
    return files


def main(directory: str = "schemas") -> None:
    """Write the generated files, and remove documents of what no longer exists."""
    schemas = Path(directory)
    schemas.mkdir(exist_ok=True)
    files = generate()
    for stale in schemas.glob("*.json"):
        if f"schemas/{stale.name}" not in files:
            stale.unlink()
    for name, text in files.items():
        folder, _, base = name.rpartition("/")
        (schemas / base if folder else PACKAGE / base).write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
