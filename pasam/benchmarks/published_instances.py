"""Numbers that others published for masks from detectors' boxes, as far as read at their source.

COCO val2017, zero-shot, boxes from FocalNet-DINO; and SegInW's 25 sets, boxes from Grounding DINO
with a Swin-B, ViT-H. Average precisions in per cent. PA-SAM's rows are in its paper only and were
not read, so they are not here.
"""

from __future__ import annotations

import pandas as pd

COCO = "coco"
SEGINW = "seginw"
"""Names of the two benchmarks, as `params/paper.yaml` calls them."""

_COCO_SOURCE = "backbone figure of the sam-hq repository"
_SEGINW_SOURCE = "README and logs of the sam-hq repository"

_COCO = {  # boundary AP, AP, AP large, AP medium, AP small
    ("sam", "vit_b"): (28.2, 44.4, 57.7, 48.7, 32.1),
    ("hq_sam", "vit_b"): (31.3, 46.7, 62.9, 50.5, 32.0),
    ("sam", "vit_l"): (33.3, 48.5, 63.9, 53.1, 34.1),
    ("hq_sam", "vit_l"): (34.4, 49.5, 66.2, 53.8, 33.9),
    ("sam", "vit_h"): (34.0, 48.9, 64.5, 53.3, 34.4),
    ("hq_sam", "vit_h"): (34.9, 49.9, 66.5, 54.0, 34.2),
}
_SEGINW = {("sam", "vit_h"): 48.7, ("hq_sam", "vit_h"): 49.6}

COLUMNS = ("ap_boundary", "ap", "ap_large", "ap_medium", "ap_small")


def published_instances() -> pd.DataFrame:
    """List the published average precisions.

    Returns:
        Columns benchmark, model, base, ap_boundary, ap, ap_large, ap_medium, ap_small (per cent;
        empty where not published) and source.
    """
    rows = [
        {"benchmark": COCO, "model": model, "base": base, "source": _COCO_SOURCE}
        | dict(zip(COLUMNS, values, strict=True))
        for (model, base), values in _COCO.items()
    ]
    rows += [
        {"benchmark": SEGINW, "model": model, "base": base, "source": _SEGINW_SOURCE, "ap": ap}
        for (model, base), ap in _SEGINW.items()
    ]
    return pd.DataFrame(rows, columns=["benchmark", "model", "base", *COLUMNS, "source"])
