"""Seeded draws whose held-out values never coincide with training values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pasam.errors import DataError

T = TypeVar("T")

SLOTS = 8
"""Equal slots that a range of shapes is cut into."""
HELD_OUT_SLOTS = (2, 5)
"""Slots that only held-out scenes use."""
_TRAINING_SLOTS = tuple(slot for slot in range(SLOTS) if slot not in HELD_OUT_SLOTS)
_HELD_OUT_REMAINDER = 2


class Draws:
    """A stream of random values, the same on every machine for the same entropy.

    Values that give an object its form or its colours come from `shape` and `whole`, which keep
    training and held-out values apart; nuisances such as positions come from `free`.

    Args:
        entropy: Whole numbers >= 0 that name the stream.
        held_out: Whether `shape` and `whole` take the values reserved for benchmarks.
    """

    def __init__(self, *entropy: int, held_out: bool) -> None:
        """Seed the stream."""
        if any(number < 0 for number in entropy):
            raise DataError(f"Seeds must be 0 or more, got {entropy}. Choose another seed.")
        self.held_out = held_out
        self._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))

    def free(self, low: float, high: float) -> float:
        """Draw a real number in [low, high)."""
        return low + (high - low) * float(self._generator.random())

    def shape(self, low: float, high: float) -> float:
        """Draw a real number in [low, high) from the slots of this side of the split."""
        slot = self.pick(HELD_OUT_SLOTS if self.held_out else _TRAINING_SLOTS)
        return low + (high - low) * (slot + self.free(0.02, 0.98)) / SLOTS

    def whole(self, low: int, high: int) -> int:
        """Draw a whole number from low to high or, if none is ours there, just above.

        Numbers that leave the remainder 2 when divided by 3 are reserved for held-out scenes.
        """
        candidates = range(low, max(high, low + 2) + 1)
        ours = [n for n in candidates if (n % 3 == _HELD_OUT_REMAINDER) == self.held_out]
        inside = [n for n in ours if n <= high]
        return self.pick(inside) if inside else ours[0]

    def chance(self, probability: float) -> bool:
        """Say yes with the given probability."""
        return self.free(0.0, 1.0) < probability

    def pick(self, options: Sequence[T]) -> T:
        """Take one of the options, all equally likely."""
        return options[self.index(len(options))]

    def index(self, count: int) -> int:
        """Draw a whole number from 0 to count - 1."""
        return min(int(self.free(0.0, 1.0) * count), count - 1)

    def many(self, low: float, high: float, count: int) -> NDArray[np.float64]:
        """Draw `count` real numbers in [low, high), (count,)."""
        return low + (high - low) * self._generator.random(count)

    def levels(self, low: int, high: int, size: tuple[int, ...]) -> NDArray[np.uint8]:
        """Draw an array of grey levels from low to high, both included."""
        return self._generator.integers(low, high + 1, size=size, dtype=np.uint8)
