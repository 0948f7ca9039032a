"""Commands about the program itself: version, schema, run state."""

from __future__ import annotations

from qmpd.commands.dispatch import Encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qmpd.machine import Machine


def qmp_capabilities(_machine: Machine, **_enable: list[str]) -> None:
    """Leave negotiation, enable capabilities."""
    # The session has answered it already: it is here to be listed among the others.


def query_version(machine: Machine) -> Encoded:
    """The version of the QEMU that is played."""
    if machine.encoded_version is None:
        from qmpd.protocol.encoder import encode

        machine.encoded_version = Encoded(encode(machine.version), fixed=True)
    return machine.encoded_version


def query_commands(machine: Machine) -> list[dict[str, str]]:
    """The names of all commands."""
    return [{"name": name} for name in machine.dispatcher.commands]


def query_qmp_schema(machine: Machine) -> Encoded:
    """The contract, as generated from the models."""
    if machine.encoded_schema is None:
        import json
        from importlib.resources import files

        from qmpd.protocol.encoder import encode

        text = files("qmpd.schema").joinpath("qmp-schema.json").read_text("utf-8")
        key = machine.program if machine.levers is None else f"{machine.program}+lab"
        entries = json.loads(text)[key]
        if machine.profile is not None:
            entries = machine.profile.schema(entries)
        machine.encoded_schema = Encoded(encode(entries), fixed=True)
    return machine.encoded_schema


def query_status(machine: Machine) -> dict[str, Any]:
    """Whether the guest, which does not exist, runs."""
    running = machine.run_state == "running"
    return {"running": running, "singlestep": False, "status": machine.run_state}


def query_name(machine: Machine) -> dict[str, str]:
    """What ``-name`` said."""
    return {"name": machine.name} if machine.name else {}


def stop(machine: Machine) -> None:
    """Pause the guest, or what there is of it; either way its disks come to rest."""
    if machine.run_state == "running":
        machine.run_state = "paused"
        machine.emit("STOP", None)
    machine.graph.begin_drain(machine.graph.nodes.values())()


def cont(machine: Machine) -> None:
    """Let the guest run."""
    if machine.run_state != "running":
        machine.run_state = "running"
        machine.emit("RESUME", None)


def quit_machine(machine: Machine) -> None:
    """End the program, in order."""
    machine.quit("host-qmp-quit")
