"""What happened inside a model, one row per mask; `docs/ablations.md` explains the columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pasam.benchmarks.diagnostics_file import KEYS
from pasam.benchmarks.witness import Seen, judge_maps
from pasam.errors import DataError
from pasam.training.embeddings import Store


def diagnose(
    scores: Sequence[Mapping[str, Any]], seen: Sequence[Seen], store: Store, *, grid: int
) -> list[dict[str, Any]]:
    """Put what a witness saw beside the masks that it belongs to.

    Args:
        scores: Score rows, in the order of prediction.
        seen: What the witness saw during it.
        store: Embeddings of the benchmark, for the labels.
        grid: Grid g of the image tokens.

    Raises:
        DataError: The witness saw other predictions than these.
    """
    if len(scores) != len(seen):
        raise DataError(
            f"{len(seen)} predictions were watched, but {len(scores)} scored; watch exactly one "
            "evaluation."
        )
    places = dict(zip(store.index["id"], store.index.index, strict=True))
    rows = []
    for score, one in zip(scores, seen, strict=True):
        measures = {name: value for name, value in one.items() if name != "maps"}
        if one["maps"] is not None:
            measures |= judge_maps(one["maps"], store.labels[places[score["image_id"]]], grid)
        rows.append({**{key: score[key] for key in KEYS}, **measures})
    return rows
