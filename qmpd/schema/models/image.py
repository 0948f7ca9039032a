"""What queries tell about an image file."""

from typing import ClassVar

from qmpd.schema.models.drivers import BlockdevQcow2EncryptionFormat
from qmpd.schema.models.kinds import Choice, FlatUnion, Int, Opt, Struct, Uint32


class SnapshotInfo(Struct):
    """An internal snapshot."""

    id: str
    """Identifier in the image."""
    name: str
    """Name that the user gave."""
    vm_state_size: Int
    """Bytes of saved machine state."""
    date_sec: Int
    """When it was taken, seconds of UTC."""
    date_nsec: Int
    """Fraction of that second, in nanoseconds."""
    vm_clock_sec: Int
    """Guest time, seconds since start."""
    vm_clock_nsec: Int
    """Fraction of that second, in nanoseconds."""
    icount: Opt[Int] = None
    """Instructions executed so far, when counted."""


class Qcow2BitmapInfoFlags(Choice):
    """Flags of a bitmap in a qcow2 image."""

    IN_USE = "in-use"
    AUTO = "auto"


class Qcow2BitmapInfo(Struct):
    """A persistent bitmap as the image file has it."""

    name: str
    """The bitmap's name."""
    granularity: Uint32
    """Bytes that one bit stands for."""
    flags: list[Qcow2BitmapInfoFlags]
    """Flags that are set."""


class Qcow2CompressionType(Choice):
    """Compression of clusters."""

    ZLIB = "zlib"
    ZSTD = "zstd"


class QCryptoCipherAlgorithm(Choice):
    """Ciphers."""

    AES_128 = "aes-128"
    AES_192 = "aes-192"
    AES_256 = "aes-256"
    DES = "des"
    TRIPLE_DES = "3des"
    CAST5_128 = "cast5-128"
    SERPENT_128 = "serpent-128"
    SERPENT_192 = "serpent-192"
    SERPENT_256 = "serpent-256"
    TWOFISH_128 = "twofish-128"
    TWOFISH_192 = "twofish-192"
    TWOFISH_256 = "twofish-256"


class QCryptoCipherMode(Choice):
    """Modes of a cipher."""

    ECB = "ecb"
    CBC = "cbc"
    XTS = "xts"
    CTR = "ctr"


class QCryptoIVGenAlgorithm(Choice):
    """Ways to make initialization vectors."""

    PLAIN = "plain"
    PLAIN64 = "plain64"
    ESSIV = "essiv"


class QCryptoHashAlgorithm(Choice):
    """Hashes."""

    MD5 = "md5"
    SHA1 = "sha1"
    SHA224 = "sha224"
    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"
    RIPEMD160 = "ripemd160"


class QCryptoBlockInfoLUKSSlot(Struct):
    """A key slot."""

    active: bool
    """Whether the slot holds a key."""
    iters: Opt[Int] = None
    """Iterations of key derivation."""
    stripes: Opt[Int] = None
    """Stripes of the key material."""
    key_offset: Int
    """Where the key material stands, in bytes."""


class QCryptoBlockInfoLUKS(Struct):
    """A LUKS header."""

    cipher_alg: QCryptoCipherAlgorithm
    """Cipher."""
    cipher_mode: QCryptoCipherMode
    """Mode of the cipher."""
    ivgen_alg: QCryptoIVGenAlgorithm
    """Generator of initialization vectors."""
    ivgen_hash_alg: Opt[QCryptoHashAlgorithm] = None
    """Hash of that generator, where it has one."""
    hash_alg: QCryptoHashAlgorithm
    """Hash of key derivation."""
    payload_offset: Int
    """Where the encrypted data begins, in bytes."""
    master_key_iters: Int
    """Iterations over the master key."""
    uuid: str
    """Identifier of the header."""
    slots: list[QCryptoBlockInfoLUKSSlot]
    """The key slots."""


class ImageInfoSpecificQCow2Encryption(FlatUnion):
    """How a qcow2 image is encrypted."""

    tag: ClassVar[str] = "format"
    variants: ClassVar[dict[str, type[Struct]]] = {"luks": QCryptoBlockInfoLUKS}

    format: BlockdevQcow2EncryptionFormat
    """Kind of encryption."""


class ImageInfoSpecificQCow2(Struct):
    """Properties of a qcow2 image."""

    compat: str
    """Version of the format, 0.10 or 1.1."""
    data_file: Opt[str] = None
    """Name of the external data file."""
    data_file_raw: Opt[bool] = None
    """Whether the external data file is a raw image of its own."""
    extended_l2: Opt[bool] = None
    """Whether L2 entries have subclusters."""
    lazy_refcounts: Opt[bool] = None
    """Whether the image allows late refcount updates."""
    corrupt: Opt[bool] = None
    """Whether the image is marked corrupt."""
    refcount_bits: Int
    """Width of a refcount."""
    encrypt: Opt[ImageInfoSpecificQCow2Encryption] = None
    """How the image is encrypted."""
    bitmaps: Opt[list[Qcow2BitmapInfo]] = None
    """Persistent bitmaps."""
    compression_type: Qcow2CompressionType
    """Compression of clusters."""


class ImageInfoSpecificQCow2Wrapper(Struct):
    """The properties under their member."""

    data: ImageInfoSpecificQCow2
    """The properties."""


class ImageInfoSpecificKind(Choice):
    """Formats that tell properties of their own."""

    QCOW2 = "qcow2"


class ImageInfoSpecific(FlatUnion):
    """Properties that only one format has."""

    tag: ClassVar[str] = "type"
    variants: ClassVar[dict[str, type[Struct]]] = {"qcow2": ImageInfoSpecificQCow2Wrapper}

    type: ImageInfoSpecificKind
    """The format."""


class ImageInfo(Struct):
    """An image file."""

    filename: str
    """Its name."""
    format: str
    """Its driver."""
    dirty_flag: Opt[bool] = None
    """Whether it was not closed cleanly."""
    actual_size: Opt[Int] = None
    """Bytes allocated on the host."""
    virtual_size: Int
    """Size of the disk in bytes."""
    cluster_size: Opt[Int] = None
    """Bytes of a cluster."""
    encrypted: Opt[bool] = None
    """Whether it is encrypted."""
    compressed: Opt[bool] = None
    """Whether it is compressed."""
    backing_filename: Opt[str] = None
    """Backing string of the header."""
    full_backing_filename: Opt[str] = None
    """The same, resolved."""
    backing_filename_format: Opt[str] = None
    """Backing format of the header."""
    snapshots: Opt[list[SnapshotInfo]] = None
    """Internal snapshots."""
    backing_image: Opt["ImageInfo"] = None
    """The backing image, where it is asked for."""
    format_specific: Opt[ImageInfoSpecific] = None
    """Properties that only this format has."""
