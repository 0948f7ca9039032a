"""The monitor itself: negotiation, the lists of what there is, and the end."""

from typing import Annotated, Any, ClassVar

from qmpd.schema.models.kinds import (
    DEPRECATED,
    SYSTEM_ONLY,
    Choice,
    Command,
    Event,
    FlatUnion,
    Int,
    Opt,
    SnakeStruct,
    Struct,
)


class QMPCapability(Choice):
    """Abilities that a client may ask for in negotiation."""

    OOB = "oob"


class QmpCapabilities(Struct):
    """The end of negotiation."""

    enable: Opt[list[QMPCapability]] = None
    """Capabilities to switch on for this connection."""


class MonitorMode(Choice):
    """Languages that a monitor can speak."""

    READLINE = "readline"
    CONTROL = "control"


class MonitorOptions(Struct):
    """A monitor to be set up, as the command line gives it."""

    id: Opt[str] = None
    """The monitor's name."""
    mode: Opt[MonitorMode] = None
    """The language, HMP or QMP."""
    pretty: Opt[bool] = None
    """Whether output is indented."""
    chardev: str
    """The character device that it talks through."""


class VersionTriple(Struct):
    """A three-part version number."""

    major: Int
    """First part."""
    minor: Int
    """Second part."""
    micro: Int
    """Third part."""


class VersionInfo(Struct):
    """Which version answers."""

    qemu: VersionTriple
    """Version number of the QEMU that is played."""
    package: str
    """The distribution's name for it, empty for an upstream build."""


class CommandInfo(Struct):
    """One command that is available."""

    name: str
    """The command's name."""


class SchemaMetaType(Choice):
    """Kinds of entities of the schema."""

    BUILTIN = "builtin"
    ENUM = "enum"
    ARRAY = "array"
    OBJECT = "object"
    ALTERNATE = "alternate"
    COMMAND = "command"
    EVENT = "event"


class JSONType(Choice):
    """JSON types of builtin entities."""

    STRING = "string"
    NUMBER = "number"
    INT = "int"
    BOOLEAN = "boolean"
    NULL = "null"
    OBJECT = "object"
    ARRAY = "array"
    VALUE = "value"


class SchemaInfoBuiltin(Struct):
    """A type that QMP is born with."""

    json_type: JSONType
    """What it looks like in JSON."""


class SchemaInfoEnumMember(Struct):
    """One value of an enum."""

    name: str
    """The value."""
    features: Opt[list[str]] = None
    """Feature flags of the value."""


class SchemaInfoEnum(Struct):
    """An enum."""

    members: list[SchemaInfoEnumMember]
    """The values with their features."""
    values: Annotated[list[str], DEPRECATED]
    """The values alone, for clients of older days."""


class SchemaInfoArray(Struct):
    """A list of one type."""

    element_type: str
    """Name of the elements' type."""


class SchemaInfoObjectMember(Struct):
    """One member of an object."""

    name: str
    """The member's name."""
    type: str
    """Name of its type."""
    default: Opt[Any] = None
    """Present on optional members; null when the default is not told."""
    features: Opt[list[str]] = None
    """Feature flags of the member."""


class SchemaInfoObjectVariant(Struct):
    """Further members that one value of the tag brings."""

    case: str
    """The tag's value."""
    type: str
    """Name of the object type whose members are added."""


class SchemaInfoObject(Struct):
    """An object."""

    members: list[SchemaInfoObjectMember]
    """Members that every such object has."""
    tag: Opt[str] = None
    """Name of the member that selects further ones."""
    variants: Opt[list[SchemaInfoObjectVariant]] = None
    """What it selects."""


class SchemaInfoAlternateMember(Struct):
    """One of the types of an alternate."""

    type: str
    """Name of the type."""


class SchemaInfoAlternate(Struct):
    """A value of one of several types."""

    members: list[SchemaInfoAlternateMember]
    """The types."""


class SchemaInfoCommand(Struct):
    """A command."""

    arg_type: str
    """Name of the object type of its arguments."""
    ret_type: str
    """Name of the type of its return."""
    allow_oob: Opt[bool] = None
    """Whether it may be run out of band."""


class SchemaInfoEvent(Struct):
    """An event."""

    arg_type: str
    """Name of the object type of its data."""


class SchemaInfo(FlatUnion):
    """One entity of the schema."""

    tag: ClassVar[str] = "meta-type"
    variants: ClassVar[dict[str, type[Struct]]] = {
        "builtin": SchemaInfoBuiltin,
        "enum": SchemaInfoEnum,
        "array": SchemaInfoArray,
        "object": SchemaInfoObject,
        "alternate": SchemaInfoAlternate,
        "command": SchemaInfoCommand,
        "event": SchemaInfoEvent,
    }

    name: str
    """The entity's name; types that are not builtin have arbitrary ones."""
    meta_type: SchemaMetaType
    """The kind of entity."""
    features: Opt[list[str]] = None
    """Feature flags of the entity."""


class RunState(Choice):
    """States of the emulated machine."""

    DEBUG = "debug"
    INMIGRATE = "inmigrate"
    INTERNAL_ERROR = "internal-error"
    IO_ERROR = "io-error"
    PAUSED = "paused"
    POSTMIGRATE = "postmigrate"
    PRELAUNCH = "prelaunch"
    FINISH_MIGRATE = "finish-migrate"
    RESTORE_VM = "restore-vm"
    RUNNING = "running"
    SAVE_VM = "save-vm"
    SHUTDOWN = "shutdown"
    SUSPENDED = "suspended"
    WATCHDOG = "watchdog"
    GUEST_PANICKED = "guest-panicked"
    COLO = "colo"


class StatusInfo(Struct):
    """Whether the machine runs."""

    running: bool
    """Whether virtual processors execute."""
    singlestep: bool
    """Whether the emulator steps instruction by instruction."""
    status: RunState
    """The machine's state."""


class ShutdownCause(Choice):
    """Why a machine shuts down."""

    NONE = "none"
    HOST_ERROR = "host-error"
    HOST_QMP_QUIT = "host-qmp-quit"
    HOST_QMP_SYSTEM_RESET = "host-qmp-system-reset"
    HOST_SIGNAL = "host-signal"
    HOST_UI = "host-ui"
    GUEST_SHUTDOWN = "guest-shutdown"
    GUEST_RESET = "guest-reset"
    GUEST_PANIC = "guest-panic"
    SUBSYSTEM_RESET = "subsystem-reset"
    SNAPSHOT_LOAD = "snapshot-load"


class Shutdown(Struct):
    """The machine shuts down."""

    guest: bool
    """Whether the guest asked for it."""
    reason: ShutdownCause
    """Who or what asked for it."""


class Reset(Struct):
    """The guest was reset."""

    guest: bool
    """Whether the guest asked for it."""
    reason: ShutdownCause
    """Who or what asked for it."""


class NameInfo(SnakeStruct):
    """The machine's name."""

    name: Opt[str] = None
    """As given by -name."""


RUN_STATE = (
    Command("query-status", None, StatusInfo, SYSTEM_ONLY),
    Event("SHUTDOWN", Shutdown, SYSTEM_ONLY),
    Event("RESET", Reset, SYSTEM_ONLY),
    Event("STOP", None, SYSTEM_ONLY),
    Event("RESUME", None, SYSTEM_ONLY),
)

CONTROL = (
    Command("qmp_capabilities", QmpCapabilities),
    Command("query-version", None, VersionInfo),
    Command("query-commands", None, list[CommandInfo]),
    Command("quit", None),
    Command("query-qmp-schema", None, list[SchemaInfo]),
)


class DeviceAdd(Struct):
    """A device to plug in; properties of its type come on top."""

    is_open: ClassVar[bool] = True
    driver: str
    """Its type."""
    bus: Opt[str] = None
    """The bus that it is plugged into."""
    id: Opt[str] = None
    """Its name, unique among devices."""


class DeviceDel(Struct):
    """A device to unplug."""

    id: str
    """Its name or its path."""


class DeviceDeleted(Struct):
    """A device has gone for good; its name may be used again."""

    device: Opt[str] = None
    """Its name, if it had one."""
    path: str
    """Its path."""


class HumanMonitorCommand(Struct):
    """A line for the human monitor."""

    command_line: str
    """The line; qmpd knows qemu-io, info, stop and cont."""
    cpu_index: Opt[Int] = None
    """The processor that is meant where it matters."""


DEVICE_ADD = Command(
    "device_add", DeviceAdd, None, SYSTEM_ONLY, features=("json-cli", "json-cli-hotplug")
)
DEVICES = (
    DEVICE_ADD,
    Command("device_del", DeviceDel, None, SYSTEM_ONLY),
    Event("DEVICE_DELETED", DeviceDeleted, SYSTEM_ONLY),
    Command("system_reset", None, None, SYSTEM_ONLY),
)

MISC = (
    Command("query-name", None, NameInfo, SYSTEM_ONLY),
    Command("stop", None, None, SYSTEM_ONLY),
    Command("cont", None, None, SYSTEM_ONLY),
    Command(
        "human-monitor-command",
        HumanMonitorCommand,
        str,
        SYSTEM_ONLY,
        features=("savevm-monitor-nodes",),
    ),
)
