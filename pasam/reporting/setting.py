"""What a run was made on, in the words that stand above every table and figure."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pasam.params import BaseParams, DataParams
from pasam.reporting.wording import listed

GENERATED = ("generated_train", "dis_like", "coift_like", "hrsod_like", "thin_like")


def setting(
    manifest: pd.DataFrame, base: BaseParams, data: DataParams, *, seeds: Sequence[int]
) -> str:
    """Describe data, base and seeds, and say what the numbers are not.

    Args:
        manifest: All data of the run.
        base: The frozen SAM.
        data: Where the data came from.
        seeds: Seeds of training.
    """
    made = manifest["dataset"].isin(GENERATED)
    kind = "generated data" if made.all() else "own data" if not made.any() else "mixed data"
    parts = []
    for split, name in (("train", "trained on"), ("val", "measured on")):
        rows = manifest[manifest["split"] == split]
        images, masks = rows["image"].nunique(), len(rows)
        parts.append(f"{name} {_counted(images, 'image')} ({_counted(masks, 'mask')})")
    small = base.size == "vit_tiny"
    sam = "vit_tiny, our own small SAM" if small else f"SAM {base.size}"
    words = f"{kind[0].upper()}{kind[1:]}: {', '.join(parts)}. Base: {sam}. "
    words += f"Seeds: training {listed([str(seed) for seed in seeds])}"
    words += f", generator {data.generated.seed}. " if made.any() else ". "
    if small or made.any():
        words += "No number of this run is the paper's or comparable with it."
    return words


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
