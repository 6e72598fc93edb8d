"""From shares in [0, 1] to what people read: per cent, and points of difference."""

from __future__ import annotations

import math

DECIMALS = 4


def percent(share: float) -> float:
    """Turn a share into per cent; the end of an interval stops at 0 and 100."""
    return _within(share, 0.0)


def points(difference: float) -> float:
    """Turn a difference of shares into points; the end of an interval stops at -100 and 100."""
    return _within(difference, -1.0)


def _within(value: float, least: float) -> float:
    if math.isnan(value):
        return value
    return round(100 * min(1.0, max(least, value)), DECIMALS) + 0.0  # turns -0.0 into 0.0
