"""What happened inside a model while it predicted: read by hooks, one row per mask."""

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
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pasam.errors import DataError, ShapeError
from pasam.masks.overlap import mask_iou
from pasam.models.image_adapter import ImageAdaptedMaskDecoder
from pasam.models.pa_mask_decoder import PaMaskDecoder, PaPrediction
from pasam.models.prompt_adapter import MASK_ROW, AdapterOutput
from pasam.models.segmenter import Prediction, Segmenter
from pasam.training.embeddings import Store

# --- auroc: How well a score tells two classes apart: the area under its ROC curve.


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


# --- diagnostics_file: The file of what happened inside a model, one row per mask; its columns
# and their order.

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
)
"""Empty where a model has no such part, or the number is not defined."""

SCHEMA = pa.schema(
    [
        *(pa.field(n, pa.int32() if n == "seed" else pa.string(), nullable=False) for n in KEYS),
        *(pa.field(name, pa.float64()) for name in MEASURES),
    ]
)


def write_diagnostics(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows as parquet, sorted; equal rows give equal bytes."""
    ordered = sorted(rows, key=lambda row: [row[key] for key in KEYS])
    columns = {name: [row.get(name) for row in ordered] for name in SCHEMA.names}
    table = pa.Table.from_pydict(columns, schema=SCHEMA)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    pq.write_table(table, draft, compression="zstd")
    draft.replace(path)


def read_diagnostics(*paths: Path) -> pd.DataFrame:
    """Read one or several files of `write_diagnostics`.

    Raises:
        DataError: A file is missing, or of other columns.
    """
    tables = []
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path} does not exist; run `dvc repro` to make it.")
        table = pq.read_table(path)
        if table.column_names != SCHEMA.names:
            raise DataError(
                f"{path} has columns {table.column_names}, expected {SCHEMA.names}. Run "
                "`dvc repro` again."
            )
        tables.append(table)
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    return frame


# --- witness: Watching a model while it predicts: what its adapter changed, and whether its
# doubts are right.
#
# The model knows nothing of it: all is read by hooks from outside, so that watching changes
# nothing.

# Shapes: N prompts of a call, one of each image; g grid cells a side; S pixels a side.

Seen = dict[str, Any]
"""What one prompt's prediction left: numbers by the names of the diagnostics, and its maps."""


class Witness:
    """Collects, prompt by prompt in the order of prediction, what a model does inside.

    Use it as a context round the predictions.

    Args:
        segmenter: The model; it stays as it is.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self.seen: list[Seen] = []
        self._segmenter = segmenter
        self._changes: Seen = {}
        self._handles: list[Any] = []

    def __enter__(self) -> Self:
        decoder = self._segmenter.decoder
        if isinstance(decoder, PaMaskDecoder):
            self._handles.append(decoder.prompt_adapter.register_forward_hook(self._prompt_side))
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

    def _prompt_side(self, _module: nn.Module, inputs: Any, output: Any) -> None:
        tokens, keys, *_ = inputs
        added = output.tokens[:, : tokens.shape[1]]
        self._changes = {
            "dense_change": _relative(output.dense, keys),
            "sparse_change": _relative(added, tokens),
        }

    def _image_side(self, _module: nn.Module, inputs: Any, output: Tensor) -> None:
        features = inputs[0]
        self._changes = {"image_change": _relative(output - features, features)}

    def _predicted(self, _module: nn.Module, _inputs: Any, output: Prediction) -> None:
        for number in range(len(output.masks)):
            row: Seen = {name: float(of[number]) for name, of in self._changes.items()}
            row["predicted_iou"] = float(output.iou[number, 0])
            row["maps"] = None if output.details is None else _one(output.details, number)
            self.seen.append(row)


def judge_maps(maps: dict[str, Tensor], label: NDArray[np.uint8], grid: int) -> dict[str, Any]:
    """Compare an adapter's maps and points with the truth, at the input's size.

    Args:
        maps: One prompt's part of a `PaPrediction`, by name: maps (h, h) and points (k,).
        label: Its label, (S, S), foreground above 128.
        grid: Grid g that the points' cells belong to.

    Returns:
        The diagnostics of `pasam.evaluation.diagnostics` that maps and points decide.
    """
    truth = label > 128
    logits = {n: _at_side(maps[n], len(label)) > 0 for n in ("coarse", "refined", "final")}
    unsure = _at_side(maps["uncertainty"], len(label))
    found: dict[str, Any] = {f"{n}_iou": mask_iou(truth, mask) for n, mask in logits.items()}
    found["uncertainty_auroc"] = area_under_roc(unsure, logits["coarse"] != truth)
    found["uncertain_share"] = float((unsure >= 0.5).mean())
    if "positive" in maps:
        signs = [_places(maps[sign], grid) for sign in ("positive", "negative")]
        found["point_spread"] = _spread(signs)
        inside = [truth[tuple((places * len(label)).astype(int).T)] for places in signs]
        found["points_right"] = float(np.concatenate([inside[0], ~inside[1]]).mean())
    return found


def _relative(change: Tensor, of: Tensor) -> Tensor:
    """Size of a change as a share of what it changes, by Euclidean norms, (N,)."""
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


def _at_side(maps: Tensor, side: int) -> NDArray[np.float32]:
    resized = F.interpolate(
        maps[None, None].float(), size=(side, side), mode="bilinear", align_corners=False
    )
    return np.asarray(resized[0, 0].numpy(), np.float32)


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


# --- diagnostics: What happened inside a model, one row per mask; `docs/ablations.md` explains
# the columns.


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


# --- inner_maps: Maps from inside PA-SAM's adapter, for pictures: read by a hook, so that
# nothing changes.

# Shapes: N prompts of a call, n tokens each, C channels, g grid cells a side, h of a mask map.


Maps = dict[str, NDArray[np.float16]]


class InnerMaps:
    """Collects, prompt by prompt in the order of prediction, the adapter's maps.

    `guiding` is the size of the guiding embedding, `dense_change` the size of the dense change as
    a share of what it changes, `attention` where the mask token looks (it sums to one), all
    (g, g); `coarse` and `refined` are the tokens' mask logits, (h, h). Parts that a variant lacks
    are left out. Use it as a context round the predictions.

    Args:
        segmenter: The model; one without a prompt adapter leaves nothing.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self.seen: list[Maps] = []
        self._decoder = segmenter.decoder
        self._handle: Any = None

    def __enter__(self) -> Self:
        if isinstance(self._decoder, PaMaskDecoder):
            adapter = self._decoder.prompt_adapter
            self._handle = adapter.register_forward_hook(self._adapted, with_kwargs=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            self._handle.remove()

    def _adapted(
        self, adapter: nn.Module, inputs: Any, named: dict[str, Any], output: AdapterOutput
    ) -> None:
        tokens, keys, query_pe, key_pe = inputs
        guiding: Tensor = named["guiding"]
        maps = {
            "guiding": torch.linalg.vector_norm(guiding, dim=-1),
            "dense_change": _size(output.dense) / _size(keys),
        }
        attention = getattr(adapter, "cross_attn_token_to_image", None)
        if attention is not None:
            query = (tokens + query_pe)[:, MASK_ROW : MASK_ROW + 1]
            maps["attention"] = _weights(attention, query, guiding * keys + key_pe)
        if output.maps is not None:
            maps |= {"coarse": output.maps.coarse, "refined": output.maps.refined}
        for number in range(len(tokens)):
            self.seen.append({name: _square(values[number]) for name, values in maps.items()})


def _size(rows: Tensor) -> Tensor:
    size: Tensor = torch.linalg.vector_norm(rows, dim=-1)
    return size


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
