"""Values of options in QEMU's older syntax: texts that nothing but their use gives a type.

Other than in key-value text what is too large is told from what is no number at all
(observed on QEMU 7.2).
"""

from __future__ import annotations

from qmpd.errors import QmpError
from qmpd.schema import scalars, wording

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def read_switch(name: str, text: str) -> bool:
    """Read a switch's position.

    Raises:
        QmpError: it is neither on nor off.
    """
    value = scalars.KEYVAL[scalars.BOOL](text, None)
    if value is scalars.WRONG:
        raise QmpError(wording.wrong_value(name, "'on' or 'off'"))
    return bool(value)


def read_number(name: str, text: str) -> int:
    """Read a number; a negative one is taken modulo 2^64.

    Raises:
        QmpError: it is none, or needs more than 64 bits.
    """
    value = scalars.c_integer(text)
    if value is scalars.WRONG:
        raise QmpError(wording.wrong_value(name, "a number"))
    if abs(value) > scalars.UINT64_MAX:
        raise QmpError(wording.too_large(name, text))
    return int(value) & scalars.UINT64_MAX


def read_size(name: str, text: str) -> int:
    """Read bytes with an optional suffix.

    Raises:
        QmpError: it is no size, or needs more than 64 bits.
    """
    size = scalars.c_size(text)
    if size is scalars.WRONG:
        raise QmpError(wording.wrong_value(name, wording.SIZE_EXPECTED), wording.SIZE_HINT)
    if size is scalars.OUT_OF_RANGE:
        raise QmpError(wording.out_of_range(name, text))
    return int(size)


READ: dict[int, Callable[[str, str], bool | int]] = {
    scalars.BOOL: read_switch,
    scalars.UINT64: read_number,
    scalars.SIZE: read_size,
}
