"""The section `validate` of `params.yaml`: what data must look like before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass

from pasam.errors import ParamsError


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidateParams:
    """Limits of the expectations, and which of them only warn."""

    unreviewed_share: float
    """Share of a data set's items that may be unfit without being in quarantine, in [0, 1].
    They are left out in any case; above the share the run stops."""
    quarantined_share: float
    """Share of a data set's items that may be in quarantine, in [0, 1]; above it the run stops."""
    area: tuple[float, float]
    """Smallest and largest share of the image that a mask should cover."""
    side: tuple[int, int]
    """Shortest and longest side that an image should have, in pixels."""
    contrast: float
    """Least standard deviation of an image's grey values (0..255); below it nothing shows."""
    near_bits: int
    """Bits, of 64, by which both perceptual hashes of two near duplicates differ at most."""
    drift_p: float
    """Chance of a false alarm over all comparisons together when nothing drifted, in (0, 1)."""
    drift_effect: float
    """Largest distance between two distribution functions that still counts as the same, (0, 1)."""
    warnings: tuple[str, ...]
    """Expectations whose failure is only reported; every other failure stops the run."""

    def __post_init__(self) -> None:
        for key in ("unreviewed_share", "quarantined_share"):
            value: float = getattr(self, key)
            _require(0 <= value <= 1, key, value, "a share, 0 to 1")
        for key in ("drift_p", "drift_effect"):
            value = getattr(self, key)
            _require(0 < value < 1, key, value, "more than 0 and less than 1")
        low, high = self.area
        _require(0 <= low < high <= 1, "area", list(self.area), "two shares, 0 <= low < high <= 1")
        short, long = self.side
        _require(1 <= short <= long, "side", list(self.side), "two sides, 1 <= low <= high")
        _require(self.contrast >= 0, "contrast", self.contrast, "0 or more")
        _require(0 <= self.near_bits <= 16, "near_bits", self.near_bits, "0 to 16 bits")


def _require(holds: bool, key: str, value: object, expected: str) -> None:
    if not holds:
        raise ParamsError(f"{key} is {value!r}, expected {expected}.")
