"""Models of `params.yaml` and of presets, trained alike with several seeds, where choices are made.

    python benchmarks/equal_training.py --out FOLDER --models hq_sam head_only pa_sam pa_sam_plus
        --seeds 42 43 44 45 46 --photographs POOL

Every model gets the same prompts, steps, batch and learning rate, whatever its entry says; what
else its entry says is its own. They are scored on the development sets of the run in this folder
and, set by set, on photographs of a folder in the pool's form (`manifest.csv` with split, dataset,
image and mask). A model is an entry of `models` or of `ablations`, or a case of the command line:
`--case half "{of: head_only, change: {interpolation: 0.5}}"`. What is finished stays finished, so
that an interruption costs one training. Prints means, and the paired differences with 95 %
intervals over images and seeds, after Holm's correction over each table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch

from pasam.config.params_file import DEFAULT_PATH, load_section, read_params, variant_in
from pasam.config.schema import (
    BaseParams,
    EmbedParams,
    EvaluateParams,
    ReportParams,
    TrainParams,
    VariantParams,
)
from pasam.data.manifest import read_manifest
from pasam.evaluation.model_set import SAM, ModelEntry
from pasam.evaluation.protocol import Asked, evaluate_all, parts_of, store_batch, truths_of
from pasam.evaluation.scores import UNTRAINED, Row, Truth, read_scores, write_scores
from pasam.files import parse_yaml
from pasam.masks.mask_files import read_mask
from pasam.models.base_sam import BaseSam
from pasam.models.build import load_base
from pasam.models.segmenter import Segmenter
from pasam.reporting.style import MEAN, METRIC_LABELS, METRICS, gain_cell, label, p_text
from pasam.reporting.summary import Bootstrap, compare, rows_where
from pasam.training.annotated import read_pool_manifest
from pasam.training.embeddings import (
    Store,
    ViewTask,
    benchmark_tasks,
    made_by,
    open_store,
    training_tasks,
    write_store,
)
from pasam.training.fit import train_variant

FEWEST = 10
"""Masks of a set of photographs below which it is left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One kind of images that every model is scored on."""

    name: str
    rows: pd.DataFrame
    """Rows of a manifest, all of split `val`."""
    store: Store
    truths: list[Truth]
    """Of the rows, in their order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """What all trainings share."""

    out: Path
    base: BaseParams
    embed: EmbedParams
    train: TrainParams
    evaluate: EvaluateParams
    manifest: Path


def frozen_of(study: Study) -> BaseSam:
    """Load the base that is studied on."""
    return load_base(study.base.size, Path(study.base.checkpoint), study.base.encoder_precision)


def embedded(study: Study, name: str, tasks: list[ViewTask], ids: dict[str, str]) -> Store:
    """Embed images by this base, or open what an earlier call has embedded."""
    folder = study.out / name
    if not (folder / "origin.json").exists():
        write_store(
            folder, tasks, ids, frozen_of(study), jitter=study.embed.jitter,
            batch_size=study.embed.batch_size, workers=1,
            origin={**made_by(study.base), **study.embed.model_dump()},
        )  # fmt: skip
    store = open_store(folder)
    store.check_base(Path(study.base.checkpoint), study.base.encoder_precision)
    return store


def photographs(folder: Path, split: str, most: int) -> pd.DataFrame:
    """List masks of the pool as a manifest does, of large sets images spread evenly over the list.

    Args:
        folder: Photographs in the pool's form.
        split: Which of its splits.
        most: Photographs of a set at most.
    """
    frame = read_pool_manifest(folder)
    frame = frame[frame["split"] == split]
    parts = []
    for _, rows in frame.groupby("dataset", sort=True):
        images = list(dict.fromkeys(rows["image"]))
        places = np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(int)
        chosen = rows[rows["image"].isin({images[place] for place in places})]
        parts += [chosen] if len(chosen) >= FEWEST else []
    listed = pd.concat(parts, ignore_index=True)
    sizes = [read_mask(folder / path).shape for path in listed["mask"]]
    return listed.assign(
        id=[f"{d}/{number}" for number, d in enumerate(listed["dataset"])],
        group=listed["image"], split="val", complexity=1.0, area=0.0,
        height=[height for height, _ in sizes], width=[width for _, width in sizes],
        image=[str(folder / path) for path in listed["image"]],
        mask=[str(folder / path) for path in listed["mask"]],
    )  # fmt: skip


def measured(study: Study, name: str, rows: pd.DataFrame) -> Measured:
    """Embed and read what every model is scored on, once for all of them."""
    ids = dict(zip(rows["mask"], rows["id"], strict=True))
    items = [item for part in parts_of(rows, len(rows)) for item in part]
    return Measured(
        name=name, rows=rows, store=embedded(study, name, benchmark_tasks(rows), ids),
        truths=truths_of(items, boundary_fraction=study.evaluate.boundary_fraction),
    )  # fmt: skip


def scored(entry: ModelEntry, images: Measured, *, batch_size: int) -> list[Row]:
    """Score a model on one kind of images by the tight box."""
    entry.segmenter.eval()
    found: list[Row] = []
    truths = iter(images.truths)
    for items in parts_of(images.rows, batch_size):
        batch = store_batch(images.store, items)
        of_batch = [next(truths) for _ in items]
        asked = Asked(entry=entry, batch=batch, items=items, truths=of_batch)
        found += [row for part in evaluate_all([asked], threads=0) for row in part.scores]
    return found


def trained(study: Study, name: str, variant: VariantParams, seed: int) -> Segmenter:
    """Train one model with one seed."""
    return train_variant(
        study.base, study.embed, study.train.replaced(seed=seed), variant, name=f"{name}-{seed}",
        manifest=study.manifest, store=study.out / "train", resume=study.out / "resume",
        history=None,
    ).segmenter  # fmt: skip


def measure(
    study: Study, variants: dict[str, VariantParams], seeds: Sequence[int], kinds: list[Measured]
) -> Iterator[Path]:
    """Train and score whatever is not yet scored; seed by seed, so that all models keep pace."""
    rows = study.out / "rows"
    for seed in (UNTRAINED, *seeds):
        for name in [SAM] if seed == UNTRAINED else variants:
            path = rows / f"{name}-{seed}.parquet"
            if not path.exists():
                if seed == UNTRAINED:
                    base = frozen_of(study)
                    segmenter = Segmenter(base=base, decoder=base.sam.mask_decoder)
                else:
                    segmenter = trained(study, name, variants[name], seed)
                entry = ModelEntry(name, seed, segmenter)
                size = study.evaluate.batch_size
                found = [row for kind in kinds for row in scored(entry, kind, batch_size=size)]
                write_scores(found, path)
            yield path


def tables(scores: pd.DataFrame, kinds: list[Measured], bootstrap: Bootstrap) -> Iterator[str]:
    """Lay out means and differences of each kind of images, as Markdown."""
    models = [SAM, *sorted(set(scores["model"]) - {SAM})]
    for kind in kinds:
        of_kind = scores[scores["benchmark"].isin(set(kind.rows["dataset"]))]
        sets, images = kind.rows["dataset"].nunique(), kind.rows["image"].nunique()
        yield f"\n{kind.name}: {sets} sets, {images} images, {len(kind.rows)} masks\n"
        yield "| model | seeds | mIoU | mBIoU |\n| --- | --- | --- | --- |"
        for model in models:
            rows = of_kind[of_kind["model"] == model]
            means = [100 * rows.groupby("benchmark")[c].mean().mean() for c in METRICS.values()]
            cells = " | ".join(f"{mean:.1f}" for mean in means)
            yield f"| {label(model)} | {rows['seed'].nunique()} | {cells} |"
        pairs = [(a, b) for place, b in enumerate(models) for a in models[place + 1 :]]
        yield "\n| difference | metric | points | p (Holm) | verdict |"
        yield "| --- | --- | --- | --- | --- |"
        for row in rows_where(compare(of_kind, pairs, bootstrap), benchmark=MEAN):
            names = f"{label(row['model'])} minus {label(row['against'])}"
            cells = f"{gain_cell(row)} | {p_text(row['p_holm'])} | {row['verdict']}"
            yield f"| {names} | {METRIC_LABELS[row['metric']]} | {cells} |"


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="Folder for all that is made.")
    parser.add_argument("--models", nargs="*", default=[])
    parser.add_argument("--case", nargs=2, action="append", default=[], metavar=("NAME", "YAML"))
    parser.add_argument("--seeds", nargs="+", type=int, required=True)
    parser.add_argument("--variants", type=Path, default=DEFAULT_PATH, help="Params of the models.")
    parser.add_argument("--weights", help="Of the base; those of params.yaml if left out.")
    parser.add_argument("--photographs", type=Path, help="Folder in the pool's form.")
    parser.add_argument("--split", default="held", help="Of the photographs.")
    parser.add_argument("--per-set", type=int, default=12, help="Photographs of a set at most.")
    parser.add_argument("--prompts", default="effective", help="Every model's mix of prompts.")
    parser.add_argument("--epochs", type=int, default=3, help="Every model's.")
    return parser.parse_args()


def main() -> None:
    """Train, score and print."""
    chosen = options()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    base = load_section(BaseParams, "base")
    study = Study(
        out=chosen.out, base=base.replaced(checkpoint=chosen.weights or base.checkpoint),
        embed=load_section(EmbedParams, "embed"), train=load_section(TrainParams, "train"),
        evaluate=load_section(EvaluateParams, "evaluate"), manifest=Path("data/manifest.parquet"),
    )  # fmt: skip
    content = read_params(chosen.variants)
    content["ablations"] |= {name: parse_yaml(text, Path(name)) for name, text in chosen.case}
    schedule = {"epochs": chosen.epochs, "lr_step_size": max(1, chosen.epochs - 1)}
    variants = {
        name: variant_in(content, name, chosen.variants).replaced(
            prompts=chosen.prompts, **schedule
        )
        for name in (*chosen.models, *(name for name, _ in chosen.case))
    }
    frame = read_manifest(study.manifest)
    ids = dict(zip(frame["mask"], frame["id"], strict=True))
    tasks = training_tasks(frame, views=study.embed.views, seed=study.embed.seed)
    embedded(study, "train", tasks, ids)
    development = frame[frame["dataset"].isin(study.evaluate.development)]
    kinds = [measured(study, "development", development)]
    if chosen.photographs:
        listed = photographs(chosen.photographs, chosen.split, chosen.per_set)
        kinds.append(measured(study, "photographs", listed))
    scores = read_scores(*measure(study, variants, chosen.seeds, kinds))
    report = load_section(ReportParams, "report")
    bootstrap = Bootstrap(
        n_resamples=report.n_resamples, confidence=report.confidence, seed=report.seed
    )
    for line in tables(scores, kinds, bootstrap):
        print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
