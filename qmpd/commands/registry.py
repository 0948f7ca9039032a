"""Which function answers which command.

A handler is called with the machine and the visited arguments by keyword (``job-id``
becomes ``job_id``), except where the arguments are one open-ended object. Modules are
imported at a command's first use: a greeting needs none of them.
"""

from __future__ import annotations

from qmpd.schema.compiled import COMMANDS, LAST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from qmpd.lab.profile import Profile


class Command:
    """How one command is executed.

    ``changes_graph``: it has to wait until no job has a slice of work on the worker thread.
    ``whole``: the arguments are passed as one dictionary.
    ``untyped``: and as they came; the handler itself says what is wrong with them.
    """

    __slots__ = (
        "changes_graph", "function", "handler", "module", "oob", "programs", "untyped", "whole",
    )  # fmt: skip

    def __init__(
        self,
        module: str,
        function: str,
        *,
        changes_graph: bool = False,
        whole: bool = False,
        untyped: bool = False,
    ) -> None:
        self.module = module
        self.function = function
        self.changes_graph = changes_graph
        self.whole = whole
        self.untyped = untyped
        self.programs: tuple[str, ...] = ()
        self.oob = False
        self.handler: Callable[..., Any] | None = None

    def load(self) -> Callable[..., Any]:
        """Import the handler at its first use."""
        if self.handler is None:
            import importlib

            module = importlib.import_module(f"qmpd.commands.{self.module}")
            self.handler = getattr(module, self.function)
        return self.handler


def _jobs(*verbs: str) -> dict[str, Command]:
    return {
        f"{family}-{verb}": Command(
            "jobs", f"{family}_{verb}".replace("-", "_"), changes_graph=True
        )
        for verb in verbs
        for family in ("job", "block-job")
    }


_TABLE: dict[str, Command] = {
    "qmp_capabilities": Command("control", "qmp_capabilities"),
    "query-version": Command("control", "query_version"),
    "query-commands": Command("control", "query_commands"),
    "query-qmp-schema": Command("control", "query_qmp_schema"),
    "query-status": Command("control", "query_status"),
    "query-name": Command("control", "query_name"),
    "quit": Command("control", "quit_machine", changes_graph=True),
    "stop": Command("control", "stop", changes_graph=True),
    "cont": Command("control", "cont"),
    "device_add": Command("hotplug", "device_add", changes_graph=True, whole=True, untyped=True),
    "device_del": Command("hotplug", "device_del", changes_graph=True),
    "system_reset": Command("hotplug", "system_reset", changes_graph=True),
    "human-monitor-command": Command("human", "human_monitor_command", changes_graph=True),
    "object-add": Command("objects", "object_add", whole=True),
    "object-del": Command("objects", "object_del"),
    "blockdev-add": Command("blockdev", "blockdev_add", changes_graph=True, whole=True),
    "blockdev-del": Command("blockdev", "blockdev_del", changes_graph=True),
    "blockdev-reopen": Command("blockdev", "blockdev_reopen", changes_graph=True),
    **{
        name: Command("media", name.replace("-", "_"), changes_graph=True)
        for name in (
            "eject",
            "blockdev-open-tray",
            "blockdev-close-tray",
            "blockdev-remove-medium",
            "blockdev-insert-medium",
            "blockdev-change-medium",
        )
    },
    "block_set_io_throttle": Command("throttling", "block_set_io_throttle", whole=True),
    "block_resize": Command("resize", "block_resize", changes_graph=True),
    "blockdev-snapshot": Command("snapshots", "blockdev_snapshot", changes_graph=True),
    "blockdev-snapshot-sync": Command(
        "snapshots", "blockdev_snapshot_sync", changes_graph=True, whole=True
    ),
    "transaction": Command("transaction", "transaction", changes_graph=True),
    "change-backing-file": Command("backing_file", "change_backing_file", changes_graph=True),
    "block-commit": Command("commit", "block_commit", changes_graph=True),
    "block-stream": Command("stream", "block_stream", changes_graph=True),
    **{
        f"block-dirty-bitmap-{verb}": Command(
            "bitmaps", f"block_dirty_bitmap_{verb}", changes_graph=True, whole=True
        )
        for verb in ("add", "remove", "clear", "enable", "disable", "merge")
    },
    "x-debug-block-dirty-bitmap-sha256": Command(
        "bitmaps", "block_dirty_bitmap_sha256", changes_graph=True
    ),
    "x-blockdev-set-iothread": Command("iothreads", "set_iothread", changes_graph=True),
    "blockdev-mirror": Command("mirror", "blockdev_mirror", changes_graph=True, whole=True),
    **{
        name: Command("exports", name.replace("-", "_"), changes_graph=True, whole=True)
        for name in (
            "nbd-server-start",
            "nbd-server-add",
            "nbd-server-remove",
            "block-export-add",
            "block-export-del",
        )
    },
    "nbd-server-stop": Command("exports", "nbd_server_stop", changes_graph=True),
    "query-block-exports": Command("exports", "query_block_exports"),
    "drive-mirror": Command("mirror", "drive_mirror", changes_graph=True, whole=True),
    **_jobs("pause", "resume", "cancel", "complete", "finalize", "dismiss"),
    "block-job-set-speed": Command("jobs", "block_job_set_speed", changes_graph=True),
    "query-jobs": Command("jobs", "query_jobs"),
    "query-block-jobs": Command("jobs", "query_block_jobs"),
    "query-block": Command("queries", "query_block"),
    "query-named-block-nodes": Command("queries", "query_named_block_nodes"),
    "query-blockstats": Command("stats", "query_blockstats"),
    "x-debug-query-block-graph": Command("graph", "query_block_graph"),
    **{
        f"x-qmpd-{name}": Command("lab", name.replace("-", "_"))
        for name in (
            "hold",
            "release",
            "progress",
            "step",
            "deny",
            "allow",
            "fault",
            "fault-clear",
            "die",
            "wire",
            "wire-clear",
            "clock",
            "advance",
            "seed",
            "journal",
            "jobs",
            "files",
        )
    },
}


_EARLIER = {"blockdev-reopen": ("x-blockdev-reopen", "x_blockdev_reopen")}
"""What a command was called as long as it was an experiment, and its handler then."""


def commands_of(
    program: str, *, lab: bool = False, profile: Profile | None = None
) -> dict[str, Command]:
    """The commands that a program has, in the order in which it would list them."""
    found = _all_commands({program, "lab"} if lab else {program})
    if profile is None or not profile.commands:
        return found
    played = {}
    for name, command in found.items():
        if name not in profile.commands:
            played[name] = command
        elif name in _EARLIER and _EARLIER[name][0] not in profile.commands:
            earlier, function = _EARLIER[name]
            played[earlier] = Command(command.module, function, changes_graph=True, whole=True)
            played[earlier].programs = command.programs
    return played


def _all_commands(parts: set[str]) -> dict[str, Command]:
    found: dict[str, Command] = {}
    for name, (_, _, programs, oob) in reversed(COMMANDS.items()):
        command = _TABLE.get(name)
        if command is not None and not parts.isdisjoint(programs):
            command.programs, command.oob = programs, oob
            found[name] = command
    for program in parts & LAST.keys():
        found = {LAST[program]: found.pop(LAST[program]), **found}
    return found
