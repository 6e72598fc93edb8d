"""Training or validation, by a hash: a picture keeps its side whatever else is added."""

from __future__ import annotations

import hashlib


def split_of(key: str, *, val_share: float) -> str:
    """Choose the split of all pictures that share a key.

    Args:
        key: What must not be torn apart: the group, or the sha256 of the image.
        val_share: Share of the keys that go to `val`, in [0, 1].

    Returns:
        `train` or `val`. Raising the share never moves a key from `val` to `train`.
    """
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    return "val" if number < val_share * 2**64 else "train"
