"""What happened inside a model while it predicted: read by hooks, one row per mask.

The model knows nothing of it: all is read from outside, so that probing changes nothing.
`docs/ablations.md` explains the columns.
"""

# Shapes: N prompts of a call, one of each image; n tokens each; C channels; g grid cells a side;
# h of a mask map; S pixels a side; k mined points.

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pasam.errors import DataError, ShapeError
from pasam.evaluation.predictions import Maps
from pasam.files import read_table, write_table
from pasam.inference.image_transform import ImageTransform
from pasam.masks.images import foreground
from pasam.masks.overlap import mask_iou
from pasam.models.image_adapter import ImageAdaptedMaskDecoder
from pasam.models.pa_mask_decoder import PaMaskDecoder, PaPrediction
from pasam.models.prompt_adapter import MASK_ROW, UNSURE, AdapterOutput
from pasam.models.segmenter import Prediction, Segmenter
from pasam.training.embeddings import Store

KEYS = ("model", "seed", "benchmark", "image_id", "prompt")
"""They name a row as in the scores."""

MEASURES = (
    "dense_change",
    "sparse_change",
    "image_change",
    "predicted_iou",
    "coarse_iou",
    "refined_iou",
    "final_iou",
    "uncertainty_auroc",
    "uncertain_share",
    "point_spread",
    "points_right",
    "points_in_band",
    "points_right_in_band",
    "points_right_outside",
)
"""Empty where a model has no such part, or the number is not defined."""

SCHEMA = pa.schema(
    [
        *(pa.field(n, pa.int32() if n == "seed" else pa.string(), nullable=False) for n in KEYS),
        *(pa.field(name, pa.float64()) for name in MEASURES),
    ]
)

Seen = dict[str, Any]
"""What one prompt's prediction left: numbers by the names of `MEASURES`, and, under `maps`, the
decoder's own maps and points that `judge_maps` reads."""


class AdapterProbe:
    """Collects, prompt by prompt in the order of prediction, what a model does inside.

    Use it as a context round the predictions.

    Args:
        segmenter: The model; it stays as it is.
        inner_maps: Collect the prompt adapter's maps for figures too, in `maps`: `guiding` is the
            size of the guiding embedding, `dense_change` the size of the dense change relative to
            what it changes, `attention` where the mask token looks (it sums to one), all (g, g);
            `coarse` and `refined` are the tokens' mask logits, (h, h). Parts that a variant lacks
            are left out; a model without a prompt adapter leaves none at all.
    """

    def __init__(self, segmenter: Segmenter, *, inner_maps: bool = False) -> None:
        self.seen: list[Seen] = []
        self.maps: list[Maps] = []
        self._segmenter = segmenter
        self._inner_maps = inner_maps
        self._changes: dict[str, Tensor] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> Self:
        decoder = self._segmenter.decoder
        if isinstance(decoder, PaMaskDecoder):
            hook = decoder.prompt_adapter.register_forward_hook(self._prompt_side, with_kwargs=True)
            self._handles.append(hook)
        if isinstance(decoder, ImageAdaptedMaskDecoder):
            self._handles.append(decoder.image_adapter.register_forward_hook(self._image_side))
        self._handles.append(self._segmenter.register_forward_hook(self._predicted))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _prompt_side(
        self, adapter: nn.Module, inputs: Any, named: dict[str, Any], output: AdapterOutput
    ) -> None:
        tokens, keys, query_pe, key_pe = inputs
        added = output.tokens[:, : tokens.shape[1]]
        self._changes = {
            "dense_change": _relative(output.dense, keys),
            "sparse_change": _relative(added, tokens),
        }
        if not self._inner_maps:
            return
        guiding: Tensor = named["guiding"]
        maps = {
            "guiding": torch.linalg.vector_norm(guiding, dim=-1),
            "dense_change": torch.linalg.vector_norm(output.dense, dim=-1)
            / torch.linalg.vector_norm(keys, dim=-1),
        }
        attention = getattr(adapter, "cross_attn_token_to_image", None)
        if attention is not None:
            query = (tokens + query_pe)[:, MASK_ROW : MASK_ROW + 1]
            maps["attention"] = _weights(attention, query, guiding * keys + key_pe)
        if output.maps is not None:
            maps |= {"coarse": output.maps.coarse, "refined": output.maps.refined}
        for number in range(len(tokens)):
            self.maps.append({name: _square(values[number]) for name, values in maps.items()})

    def _image_side(self, _module: nn.Module, inputs: Any, output: Tensor) -> None:
        features = inputs[0]
        self._changes = {"image_change": _relative(output - features, features)}

    def _predicted(self, _module: nn.Module, _inputs: Any, output: Prediction) -> None:
        for number in range(len(output.masks)):
            row: Seen = {name: float(of[number]) for name, of in self._changes.items()}
            row["predicted_iou"] = float(output.iou[number, 0])
            row["maps"] = None if output.details is None else _one(output.details, number)
            self.seen.append(row)


def diagnose(
    scores: Sequence[Mapping[str, Any]], seen: Sequence[Seen], store: Store, *, grid: int
) -> list[dict[str, Any]]:
    """Put what a probe saw beside the masks that it belongs to.

    Args:
        scores: Score rows, in the order of prediction.
        seen: What the probe saw during it.
        store: Embeddings of the benchmark, for the labels.
        grid: Grid g of the image tokens.

    Raises:
        DataError: The probe saw other predictions than these.
    """
    if len(scores) != len(seen):
        raise DataError(
            f"{len(seen)} predictions were probed, but {len(scores)} scored; probe exactly one "
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


def judge_maps(maps: dict[str, Tensor], label: NDArray[np.uint8], grid: int) -> dict[str, Any]:
    """Compare an adapter's maps and points with the truth, at the input's size.

    Args:
        maps: One prompt's part of a `PaPrediction`, by name: maps (h, h) and points (k,).
        label: Its label, (S, S), foreground above 128.
        grid: Grid g that the points' cells belong to.

    Returns:
        The diagnostics of `pasam.evaluation.diagnostics` that maps and points decide.
    """
    truth = foreground(label)
    same = ImageTransform(len(label), len(label), len(label), "squash")

    def at_side(values: Tensor) -> NDArray[np.float32]:
        return np.asarray(same.at_original_size(values[None, None].float())[0, 0].numpy())

    logits = {n: at_side(maps[n]) > 0 for n in ("coarse", "refined", "final")}
    unsure = at_side(maps["uncertainty"])
    found: dict[str, Any] = {f"{n}_iou": mask_iou(truth, mask) for n, mask in logits.items()}
    found["uncertainty_auroc"] = area_under_roc(unsure, logits["coarse"] != truth)
    found["uncertain_share"] = float((unsure >= UNSURE).mean())
    if "positive" in maps:
        signs = [_places(maps[sign], grid) for sign in ("positive", "negative")]
        found["point_spread"] = _spread(signs)
        wanted, unwanted = ((places * len(label)).astype(int) for places in signs)
        right = np.concatenate([truth[tuple(wanted.T)], ~truth[tuple(unwanted.T)]])
        found["points_right"] = float(right.mean())
        # Where the refined mask takes the coarse one's place, and is trained.
        band = unsure[tuple(np.concatenate([wanted, unwanted]).T)] >= UNSURE
        found["points_in_band"] = float(band.mean())
        for name, chosen in (("in_band", band), ("outside", ~band)):
            found[f"points_right_{name}"] = float(right[chosen].mean()) if chosen.any() else None
    return found


def _relative(change: Tensor, of: Tensor) -> Tensor:
    """Size of a change relative to what it changes, by Euclidean norms, (N,)."""
    change, of = change.flatten(1), of.flatten(1)
    size: Tensor = torch.linalg.vector_norm(change, dim=1) / torch.linalg.vector_norm(of, dim=1)
    return size


def _one(details: PaPrediction, number: int) -> dict[str, Tensor]:
    names = ("uncertainty", "coarse", "refined", "final")
    maps = {name: getattr(details, name)[number, 0].detach().cpu() for name in names}
    for sign in ("positive", "negative"):
        cells = getattr(details, sign)
        if cells is not None:
            maps[sign] = cells[number].cpu()
    return maps


def area_under_roc(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float | None:
    """Return the probability that a positive scores higher than a negative, ties counting half.

    Args:
        scores: Score of each item, any shape.
        positive: Whether it is a positive, the same shape.

    Returns:
        The area in [0, 1], or None where one of the classes is empty.

    Raises:
        ShapeError: The two shapes differ.
    """
    if scores.shape != positive.shape:
        raise ShapeError(
            f"scores and classes must have one shape; got {scores.shape} and {positive.shape}."
        )
    total = int(positive.sum())
    others = positive.size - total
    if not total or not others:
        return None
    ranks = pd.Series(scores.ravel()).rank()[positive.ravel()]  # scipy.stats loads for long
    return float((ranks.sum() - total * (total + 1) / 2) / (total * others))


def write_diagnostics(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows atomically, sorted; equal rows give equal bytes."""
    full = [{name: row.get(name) for name in SCHEMA.names} for row in rows]
    write_table(path, full, SCHEMA, order=KEYS)


def read_diagnostics(*paths: Path) -> pd.DataFrame:
    """Read one or several files of `write_diagnostics`.

    Raises:
        DataError: A file is missing, or of other columns.
    """
    tables = [read_table(path, SCHEMA, what="a file of diagnostics") for path in paths]
    return pd.concat(tables, ignore_index=True)


def _places(cells: Tensor, grid: int) -> NDArray[np.float64]:
    """Centres of cells as row and column in [0, 1], (k, 2)."""
    return (torch.stack([cells // grid, cells % grid], dim=1).numpy() + 0.5) / grid


def _spread(signs: list[NDArray[np.float64]]) -> float | None:
    """Mean distance between points of one sign, in sides of the image."""
    distances = [
        float(np.linalg.norm(one - other))
        for places in signs
        for one, other in itertools.combinations(places, 2)
    ]
    return float(np.mean(distances)) if distances else None


def _weights(attention: nn.Module, query: Tensor, keys: Tensor) -> Tensor:
    """Attention of one token over the cells, averaged over heads, (N, g*g)."""
    parts: Any = attention
    q, k = (
        rows.unflatten(-1, (parts.num_heads, -1)).transpose(1, 2)  # (N, heads, rows, width)
        for rows in (parts.q_proj(query), parts.k_proj(keys))
    )
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    weights: Tensor = scores.softmax(dim=-1).mean(dim=1)[:, 0]
    return weights


def _square(values: Tensor) -> NDArray[np.float16]:
    side = math.isqrt(values.numel())
    half: NDArray[np.float16] = values.detach().cpu().numpy().astype(np.float16)
    return half.reshape(side, side)
