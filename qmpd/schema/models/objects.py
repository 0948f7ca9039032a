"""User-creatable objects: object-add, object-del and -object."""

from typing import Annotated, ClassVar

from qmpd.schema.models import guest_objects as guest
from qmpd.schema.models.kinds import (
    DEPRECATED,
    UNSTABLE,
    Choice,
    Command,
    FlatUnion,
    Int,
    Int32,
    Opt,
    Size,
    Struct,
    Uint16,
    Uint32,
)


class ObjectType(Choice):
    """Types that object-add can make."""

    AUTHZ_LIST = "authz-list"
    AUTHZ_LISTFILE = "authz-listfile"
    AUTHZ_PAM = "authz-pam"
    AUTHZ_SIMPLE = "authz-simple"
    CRYPTODEV_BACKEND = "cryptodev-backend"
    CRYPTODEV_BACKEND_BUILTIN = "cryptodev-backend-builtin"
    CRYPTODEV_BACKEND_LKCF = "cryptodev-backend-lkcf"
    CRYPTODEV_VHOST_USER = "cryptodev-vhost-user"
    DBUS_VMSTATE = "dbus-vmstate"
    INPUT_LINUX = "input-linux"
    IOTHREAD = "iothread"
    MAIN_LOOP = "main-loop"
    MEMORY_BACKEND_EPC = "memory-backend-epc"
    MEMORY_BACKEND_FILE = "memory-backend-file"
    MEMORY_BACKEND_MEMFD = "memory-backend-memfd"
    MEMORY_BACKEND_RAM = "memory-backend-ram"
    PEF_GUEST = "pef-guest"
    PR_MANAGER_HELPER = "pr-manager-helper"
    RNG_BUILTIN = "rng-builtin"
    RNG_EGD = "rng-egd"
    RNG_RANDOM = "rng-random"
    SECRET = "secret"  # noqa: S105 - the name of a type
    SECRET_KEYRING = "secret_keyring"  # noqa: S105 - the name of a type
    SEV_GUEST = "sev-guest"
    THREAD_CONTEXT = "thread-context"
    S390_PV_GUEST = "s390-pv-guest"
    THROTTLE_GROUP = "throttle-group"
    TLS_CREDS_ANON = "tls-creds-anon"
    TLS_CREDS_PSK = "tls-creds-psk"
    TLS_CREDS_X509 = "tls-creds-x509"
    TLS_CIPHER_SUITES = "tls-cipher-suites"


class EventLoopBaseProperties(Struct):
    """What every event loop has."""

    aio_max_batch: Opt[Int] = None
    """Most requests in one submission."""
    thread_pool_min: Opt[Int] = None
    """Threads that are kept."""
    thread_pool_max: Opt[Int] = None
    """Most threads."""


class MainLoopProperties(EventLoopBaseProperties):
    """The program's main loop."""


class IothreadProperties(EventLoopBaseProperties):
    """An event loop in a thread of its own."""

    poll_max_ns: Opt[Int] = None
    """Longest busy wait, in nanoseconds."""
    poll_grow: Opt[Int] = None
    """How fast busy waiting grows."""
    poll_shrink: Opt[Int] = None
    """How fast busy waiting shrinks."""


class HostMemPolicy(Choice):
    """NUMA policies."""

    DEFAULT = "default"
    PREFERRED = "preferred"
    BIND = "bind"
    INTERLEAVE = "interleave"


class MemoryBackendProperties(Struct):
    """Memory of the guest."""

    dump: Opt[bool] = None
    """Whether core dumps have it."""
    host_nodes: Opt[list[Uint16]] = None
    """NUMA nodes it is bound to."""
    merge: Opt[bool] = None
    """Whether the kernel may merge equal pages."""
    policy: Opt[HostMemPolicy] = None
    """NUMA policy."""
    prealloc: Opt[bool] = None
    """Whether it is allocated at once."""
    prealloc_threads: Opt[Uint32] = None
    """Threads that do so."""
    prealloc_context: Opt[str] = None
    """Context in which these are made."""
    share: Opt[bool] = None
    """Whether it is mapped shared."""
    reserve: Opt[bool] = None
    """Whether swap is reserved."""
    size: Size
    """Bytes."""
    x_use_canonical_path_for_ramblock_id: Opt[bool] = None
    """Whether the block is named by its QOM path."""


class MemoryBackendRamProperties(MemoryBackendProperties):
    """Anonymous memory."""


class MemoryBackendEpcProperties(MemoryBackendProperties):
    """Memory of an SGX enclave."""


class MemoryBackendFileProperties(MemoryBackendProperties):
    """Memory in a file."""

    align: Opt[Size] = None
    """Alignment of the mapping, in bytes."""
    discard_data: Opt[bool] = None
    """Whether the file's contents may be lost at the end."""
    mem_path: str
    """The file, or a directory to make one in."""
    pmem: Opt[bool] = None
    """Whether the file is persistent memory."""
    readonly: Opt[bool] = None
    """Whether the file is opened read-only."""


class MemoryBackendMemfdProperties(MemoryBackendProperties):
    """Memory in an anonymous file."""

    hugetlb: Opt[bool] = None
    """Whether it has huge pages."""
    hugetlbsize: Opt[Size] = None
    """Bytes of a huge page."""
    seal: Opt[bool] = None
    """Whether its size is sealed."""


class PrManagerHelperProperties(Struct):
    """Persistent reservations through a helper process."""

    path: str
    """The helper's socket."""


class RngProperties(Struct):
    """A source of randomness."""

    opened: Opt[Annotated[bool, DEPRECATED]] = None
    """Has no effect when false and is the default when true."""


class RngBuiltinProperties(RngProperties):
    """The program's own generator."""


class RngEgdProperties(RngProperties):
    """A daemon behind a character device."""

    chardev: str
    """The character device."""


class RngRandomProperties(RngProperties):
    """A random device of the host."""

    filename: Opt[str] = None
    """The device."""


class QCryptoSecretFormat(Choice):
    """How a secret is written."""

    RAW = "raw"
    BASE64 = "base64"


class SecretCommonProperties(Struct):
    """What every secret has."""

    loaded: Opt[Annotated[bool, DEPRECATED]] = None
    """Has no effect when false and is the default when true."""
    format: Opt[QCryptoSecretFormat] = None
    """How the data is written."""
    keyid: Opt[str] = None
    """Secret that decrypts this one."""
    iv: Opt[str] = None
    """Initialization vector for that."""


class SecretProperties(SecretCommonProperties):
    """A secret, in place or in a file."""

    data: Opt[str] = None
    """The secret itself."""
    file: Opt[str] = None
    """A file that has it."""


class SecretKeyringProperties(SecretCommonProperties):
    """A secret of the kernel's keyring."""

    serial: Int32
    """The key's number."""


class ThrottleLimits(Struct):
    """Limits of a throttle group; 0 is no limit."""

    iops_total: Opt[Int] = None
    """Requests per second."""
    iops_total_max: Opt[Int] = None
    """Burst of requests per second."""
    iops_total_max_length: Opt[Int] = None
    """Seconds of that burst."""
    iops_read: Opt[Int] = None
    """Reads per second."""
    iops_read_max: Opt[Int] = None
    """Burst of reads per second."""
    iops_read_max_length: Opt[Int] = None
    """Seconds of that burst."""
    iops_write: Opt[Int] = None
    """Writes per second."""
    iops_write_max: Opt[Int] = None
    """Burst of writes per second."""
    iops_write_max_length: Opt[Int] = None
    """Seconds of that burst."""
    bps_total: Opt[Int] = None
    """Bytes per second."""
    bps_total_max: Opt[Int] = None
    """Burst of bytes per second."""
    bps_total_max_length: Opt[Int] = None
    """Seconds of that burst."""
    bps_read: Opt[Int] = None
    """Bytes read per second."""
    bps_read_max: Opt[Int] = None
    """Burst of bytes read per second."""
    bps_read_max_length: Opt[Int] = None
    """Seconds of that burst."""
    bps_write: Opt[Int] = None
    """Bytes written per second."""
    bps_write_max: Opt[Int] = None
    """Burst of bytes written per second."""
    bps_write_max_length: Opt[Int] = None
    """Seconds of that burst."""
    iops_size: Opt[Int] = None
    """Bytes that count as one request."""


UnstableInt = Annotated[Int, UNSTABLE]


class ThrottleGroupProperties(Struct):
    """Limits that several nodes share."""

    limits: Opt[ThrottleLimits] = None
    """The limits."""
    x_iops_total: Opt[UnstableInt] = None
    """As in limits."""
    x_iops_total_max: Opt[UnstableInt] = None
    """As in limits."""
    x_iops_total_max_length: Opt[UnstableInt] = None
    """As in limits."""
    x_iops_read: Opt[UnstableInt] = None
    """As in limits."""
    x_iops_read_max: Opt[UnstableInt] = None
    """As in limits."""
    x_iops_read_max_length: Opt[UnstableInt] = None
    """As in limits."""
    x_iops_write: Opt[UnstableInt] = None
    """As in limits."""
    x_iops_write_max: Opt[UnstableInt] = None
    """As in limits."""
    x_iops_write_max_length: Opt[UnstableInt] = None
    """As in limits."""
    x_bps_total: Opt[UnstableInt] = None
    """As in limits."""
    x_bps_total_max: Opt[UnstableInt] = None
    """As in limits."""
    x_bps_total_max_length: Opt[UnstableInt] = None
    """As in limits."""
    x_bps_read: Opt[UnstableInt] = None
    """As in limits."""
    x_bps_read_max: Opt[UnstableInt] = None
    """As in limits."""
    x_bps_read_max_length: Opt[UnstableInt] = None
    """As in limits."""
    x_bps_write: Opt[UnstableInt] = None
    """As in limits."""
    x_bps_write_max: Opt[UnstableInt] = None
    """As in limits."""
    x_bps_write_max_length: Opt[UnstableInt] = None
    """As in limits."""
    x_iops_size: Opt[UnstableInt] = None
    """As in limits."""


class ObjectOptions(FlatUnion):
    """An object to make."""

    tag: ClassVar[str] = "qom-type"
    variants: ClassVar[dict[str, type[Struct]]] = {
        "authz-list": guest.AuthZListProperties,
        "authz-listfile": guest.AuthZListFileProperties,
        "authz-pam": guest.AuthZPAMProperties,
        "authz-simple": guest.AuthZSimpleProperties,
        "cryptodev-backend": guest.CryptodevBackendProperties,
        "cryptodev-backend-builtin": guest.CryptodevBackendProperties,
        "cryptodev-backend-lkcf": guest.CryptodevBackendProperties,
        "cryptodev-vhost-user": guest.CryptodevVhostUserProperties,
        "dbus-vmstate": guest.DBusVMStateProperties,
        "input-linux": guest.InputLinuxProperties,
        "iothread": IothreadProperties,
        "main-loop": MainLoopProperties,
        "memory-backend-epc": MemoryBackendEpcProperties,
        "memory-backend-file": MemoryBackendFileProperties,
        "memory-backend-memfd": MemoryBackendMemfdProperties,
        "memory-backend-ram": MemoryBackendRamProperties,
        "pr-manager-helper": PrManagerHelperProperties,
        "rng-builtin": RngBuiltinProperties,
        "rng-egd": RngEgdProperties,
        "rng-random": RngRandomProperties,
        "secret": SecretProperties,
        "secret_keyring": SecretKeyringProperties,
        "sev-guest": guest.SevGuestProperties,
        "thread-context": guest.ThreadContextProperties,
        "throttle-group": ThrottleGroupProperties,
        "tls-creds-anon": guest.TlsCredsAnonProperties,
        "tls-creds-psk": guest.TlsCredsPskProperties,
        "tls-creds-x509": guest.TlsCredsX509Properties,
        "tls-cipher-suites": guest.TlsProperties,
    }

    qom_type: ObjectType
    """Its type."""
    id: str
    """Its name."""


class ObjectDel(Struct):
    """An object to remove."""

    id: str
    """Its name."""


OBJECTS = (Command("object-add", ObjectOptions), Command("object-del", ObjectDel))
