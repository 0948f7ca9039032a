"""Objects that block devices have nothing to do with, so that whole command lines are checked.

A double of the block layer takes their definitions and leaves them alone.
"""

from typing import Annotated

from pydantic import Field

from qmpd.schema.models.kinds import DEPRECATED, Choice, Opt, Struct, Uint16, Uint32


class QAuthZListPolicy(Choice):
    """Outcomes of an access rule."""

    DENY = "deny"
    ALLOW = "allow"


class QAuthZListFormat(Choice):
    """How a rule's text is compared."""

    EXACT = "exact"
    GLOB = "glob"


class QAuthZListRule(Struct):
    """An access rule."""

    match: str
    """Text to compare with the client's identity."""
    policy: QAuthZListPolicy
    """What follows if it is equal."""
    format: Opt[QAuthZListFormat] = None
    """How it is compared."""


class AuthZListProperties(Struct):
    """Access by a list of rules."""

    policy: Opt[QAuthZListPolicy] = None
    """What follows if no rule applies."""
    rules: Opt[list[QAuthZListRule]] = None
    """The rules, the first that applies counts."""


class AuthZListFileProperties(Struct):
    """Access by a file of rules."""

    filename: str
    """The file."""
    refresh: Opt[bool] = None
    """Whether the file is read again when it changes."""


class AuthZPAMProperties(Struct):
    """Access by the host's PAM."""

    service: str
    """Name of the PAM service."""


class AuthZSimpleProperties(Struct):
    """Access for one client."""

    identity: str
    """The client's identity."""


class CryptodevBackendProperties(Struct):
    """A cryptographic accelerator."""

    queues: Opt[Uint32] = None
    """Number of its queues."""


class CryptodevVhostUserProperties(CryptodevBackendProperties):
    """A cryptographic accelerator in another process."""

    chardev: str
    """Character device that leads there."""


class DBusVMStateProperties(Struct):
    """State of helper processes."""

    addr: str
    """Address of the bus."""
    id_list: Opt[str] = None
    """Which processes must be there."""


class GrabToggleKeys(Choice):
    """Keys that switch an input device between guest and host."""

    CTRL_CTRL = "ctrl-ctrl"
    ALT_ALT = "alt-alt"
    SHIFT_SHIFT = "shift-shift"
    META_META = "meta-meta"
    SCROLLLOCK = "scrolllock"
    CTRL_SCROLLLOCK = "ctrl-scrolllock"


class InputLinuxProperties(Struct):
    """An input device of the host."""

    evdev: str
    """Path of the device."""
    grab_all: Opt[bool] = Field(None, alias="grab_all")
    """Whether all devices are switched together."""
    repeat: Opt[bool] = None
    """Whether keys repeat."""
    grab_toggle: Opt[GrabToggleKeys] = None
    """Keys that switch the device."""


class SevGuestProperties(Struct):
    """Encrypted memory on AMD processors."""

    sev_device: Opt[str] = None
    """The host's device."""
    dh_cert_file: Opt[str] = None
    """The guest owner's key."""
    session_file: Opt[str] = None
    """The guest owner's session parameters."""
    policy: Opt[Uint32] = None
    """Policy bits."""
    handle: Opt[Uint32] = None
    """The firmware's handle."""
    cbitpos: Opt[Uint32] = None
    """Position of the encryption bit."""
    reduced_phys_bits: Uint32
    """Address bits that encryption costs."""
    kernel_hashes: Opt[bool] = None
    """Whether hashes of the kernel are passed on."""


class ThreadContextProperties(Struct):
    """Where threads are allowed to run."""

    cpu_affinity: Opt[list[Uint16]] = None
    """Processors."""
    node_affinity: Opt[list[Uint16]] = None
    """NUMA nodes."""


class QCryptoTLSCredsEndpoint(Choice):
    """Ends of a TLS connection."""

    CLIENT = "client"
    SERVER = "server"


class TlsProperties(Struct):
    """What all TLS credentials have."""

    verify_peer: Opt[bool] = None
    """Whether the other end is checked."""
    dir: Opt[str] = None
    """Directory of the files."""
    endpoint: Opt[QCryptoTLSCredsEndpoint] = None
    """Which end this is."""
    priority: Opt[str] = None
    """Algorithms."""


class TlsCredsProperties(TlsProperties):
    """Credentials that are loaded at once."""

    loaded: Opt[Annotated[bool, DEPRECATED]] = None
    """Has no effect when false and is the default when true."""


class TlsCredsAnonProperties(TlsCredsProperties):
    """TLS without identities."""


class TlsCredsPskProperties(TlsCredsProperties):
    """TLS with a shared key."""

    username: Opt[str] = None
    """Name that goes with the key."""


class TlsCredsX509Properties(TlsCredsProperties):
    """TLS with certificates."""

    sanity_check: Opt[bool] = None
    """Whether the certificates are checked when loaded."""
    passwordid: Opt[str] = None
    """Secret that decrypts the key."""
