"""What is free to choose, chosen by a seed: the same on every machine and every Python."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Knuth's MMIX generator; only its upper bits are used, the lower ones repeat soon.
_FACTOR, _SUMMAND, _MASK = 6364136223846793005, 1442695040888963407, (1 << 64) - 1


def digits(seed: int) -> Iterator[int]:
    """Numbers from 0 to 99: the two digits behind generated node names."""
    state = seed & _MASK
    while True:
        state = (state * _FACTOR + _SUMMAND) & _MASK
        yield (state >> 33) % 100
