"""Everything that a report is made from, and what is computed once for all its parts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pasam.config import schema
from pasam.data.catalogue import GENERATED, read_catalogue
from pasam.errors import DataError
from pasam.evaluation.scores import BOX, CLEAN, averaged, mean_width, read_condition
from pasam.evaluation.statistics import Difference, Interval
from pasam.masks.images import FOREGROUND, read_image
from pasam.masks.mask_files import read_mask
from pasam.reporting import summary
from pasam.reporting.figures import ComparedImage, compared_image
from pasam.reporting.style import METRICS, counted, label, listed, ordered_models, percent

if TYPE_CHECKING:
    from pasam.evaluation.predictions import Predicted

BASE_MODEL, BASELINE, ORACLE, PACKAGED = "sam", "hq_sam", "oracle", "packaged"

JITTER, POINTS = "box_jitter", "points"
CURVES = {
    JITTER: ("Jittered boxes", "jitter of the box, fraction of its sides"),
    POINTS: ("Points in place of a box", "points inside the object"),
    "blur": ("Blur", "strength"),
    "noise": ("Noise", "strength"),
    "jpeg": ("JPEG-compressed images", "strength"),
}
"""Family of conditions -> heading of its curve and name of its axis, in report order."""


FEWEST = 10
"""Images that a benchmark has to have before its numbers mean anything: a smoke run's has four."""

_SET_COLUMNS = ["benchmark", "set"]
_NO_LOSS = {"epoch", "step", "lr", "learning_rate", "views", "seconds"}


@dataclass(frozen=True, kw_only=True)
class RunParams:
    """What `params.yaml` said of the run."""

    base: schema.BaseParams
    data: schema.DataParams
    train: schema.TrainParams
    evaluate: schema.EvaluateParams
    report: schema.ReportParams
    variants: Mapping[str, schema.VariantParams]
    """What was trained, by model."""


@dataclass(frozen=True)
class RunFiles:
    """The images of a run as files."""

    manifest: pd.DataFrame
    """Indexed by id."""
    predictions: Path

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """Read an image, (H, W, 3)."""
        return read_image(Path(str(self.manifest.at[image_id, "image"])))

    def truth(self, image_id: str) -> NDArray[np.bool_]:
        """Read a ground truth, (H, W)."""
        return read_mask(Path(str(self.manifest.at[image_id, "mask"]))) > FOREGROUND

    def predicted(self, model: str, benchmark: str, image_id: str) -> Predicted:
        """Read a prediction of Table 1, in pixels of the original image."""
        from pasam.evaluation.predictions import read_prediction

        return read_prediction(self.predictions / model / f"{benchmark}.npz", image_id)


@dataclass(frozen=True, kw_only=True)
class PublishedNumbers:
    """What others published, lined up with this run's benchmarks."""

    scores: pd.DataFrame
    """Columns model, benchmark, published_benchmark, miou, mbiou (per cent), tolerance."""
    comparable: bool = False
    """Whether the run repeats the published protocol."""
    precisions: pd.DataFrame | None = None
    """Average precisions by benchmark, model and base, in per cent."""


@dataclass(frozen=True, kw_only=True)
class AblationResults:
    """The variants that were trained besides the models."""

    scores: pd.DataFrame
    """Score rows, their model being the variant's name."""
    changes: Mapping[str, Mapping[str, Any]]
    """Section `ablations` of the params: what each variant changes of which model."""
    facts: Mapping[str, Mapping[str, Any]]
    """By variant: parameters it has and trains, and digests of what stays frozen."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """The inputs of the report, read and checked."""

    setting: str
    """What the run was made on, in words."""
    params: RunParams
    images: RunFiles
    manifest: pd.DataFrame
    """Masks of the run's training and benchmarks."""
    scores: pd.DataFrame
    """Score rows of Table 1: tight boxes on clean images."""
    conditions: pd.DataFrame
    """Score rows of all prompts and corruptions, those of Table 1 included."""
    histories: Mapping[str, pd.DataFrame]
    """Training history by model."""
    published: PublishedNumbers
    costs: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By model: `parameters` that a prediction runs through, and `trainable`, those trained."""
    ablations: AblationResults | None = None
    development: pd.DataFrame | None = None
    """Score rows of the models on the development sets, where variants are compared; None where
    they are compared on the benchmarks."""
    diagnostics: pd.DataFrame | None = None
    """What happened inside models, one row per model, seed and mask."""
    precisions: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=_SET_COLUMNS))
    """Average precisions from detectors' boxes: one row per model, seed, set and overlap."""
    instances: pd.DataFrame | None = None
    """One row per model and detection."""
    manifest_md5: str = ""
    """Digest of the manifest, as `dvc.lock` and the registry have it; empty if it is not known."""
    weights_md5: Mapping[str, str] = field(default_factory=dict)
    """Digest of the weights of every trained model, likewise."""

    @property
    def bootstrap(self) -> summary.Bootstrap:
        """Settings of all intervals."""
        report = self.params.report
        return summary.Bootstrap(
            n_resamples=report.n_resamples, confidence=report.confidence, seed=report.seed
        )

    @property
    def level(self) -> str:
        """Level of all intervals, as words."""
        return self.bootstrap.level

    @property
    def models(self) -> list[str]:
        """All models of Table 1 in report order."""
        return ordered_models(self.scores["model"])

    @property
    def shown(self) -> list[str]:
        """The models whose masks are shown: all but the oracle and the packaged model."""
        return [model for model in self.models if model not in (ORACLE, PACKAGED)]

    @property
    def subject(self) -> str:
        """The model that the report is about: PA-SAM, or the last one trained."""
        trained = self.params.evaluate.models
        return "pa_sam" if "pa_sam" in trained else trained[-1]

    @property
    def reference(self) -> str:
        """The model it is compared with: SAM, or whatever else was scored."""
        others = [model for model in self.shown if model != self.subject]
        return BASE_MODEL if BASE_MODEL in others else (others or [self.subject])[0]

    @property
    def seeds(self) -> list[int]:
        """Seeds with which the subject was trained."""
        rows = self.scores[self.scores["model"] == self.subject]
        return sorted({int(seed) for seed in rows["seed"]})

    def trainable(self, model: str) -> int | None:
        """Count the parameters of a model or variant that were trained, if that is known."""
        facts = {} if self.ablations is None else self.ablations.facts
        known = self.costs.get(model) or facts.get(model) or {}
        return known.get("trainable")

    @property
    def about(self) -> str:
        """Say what the pages describe: digests by which git finds the commit and its date.

        A date of its own would make another page of an equal run.
        """
        named = [f"weights of {label(model)}, md5 {md5}" for model, md5 in self.weights_md5.items()]
        data = [f"manifest of the data, md5 {self.manifest_md5}"] if self.manifest_md5 else []
        if not data + named:
            return ""
        first = (list(self.weights_md5.values()) or [self.manifest_md5])[0]
        return (
            f"Of the {'; '.join(data + named)}. dvc.lock and the registry have the same digests: "
            f"git log -S {first} -- dvc.lock finds the commit and its date."
        )

    @cached_property
    def shown_scores(self) -> pd.DataFrame:
        """Score rows of the trainings whose masks are shown: those with `train.seed`."""
        untrained = ~self.scores["model"].isin(self.params.variants)
        return self.scores[untrained | (self.scores["seed"] == self.params.train.seed)]

    @cached_property
    def mean_scores(self) -> pd.DataFrame:
        """Score rows of the benchmarks that means are of."""
        return self.scores[self.scores["benchmark"].isin(averaged(self.scores["benchmark"]))]

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row per model and benchmark."""
        return summary.summarise(self.scores, self.bootstrap, published=self.published.scores)

    @cached_property
    def file_summary(self) -> pd.DataFrame:
        """As `summary`, of the weights in the models' files: those trained with `train.seed`."""
        return summary.summarise(self.shown_scores, self.bootstrap)

    @cached_property
    def differences(self) -> pd.DataFrame:
        """One row per pair of models, benchmark and metric.

        The known pairs, and each model of PA-SAM's kind with each of HQ-SAM's that was trained with
        the same prompts: what prompts bring would else be taken for what the model brings.
        """
        pairs, variants = summary.default_pairs(self.models), self.params.variants
        kinds = {kind: [m for m in self.models if m in variants and variants[m].decoder == kind]
                 for kind in ("pa_sam", "hq_sam")}  # fmt: skip
        alike = [
            (model, against)
            for model, against in product(kinds["pa_sam"], kinds["hq_sam"])
            if variants[model].prompts == variants[against].prompts
        ]
        pairs += [pair for pair in alike if pair not in pairs]
        return summary.compare(self.scores, pairs, self.bootstrap)

    @cached_property
    def by_image(self) -> pd.DataFrame:
        """Properties of the scored images by id: benchmark, area, complexity, height, width."""
        columns = ["benchmark", "area", "complexity", "height", "width"]
        first = self.scores.drop_duplicates("image_id").set_index("image_id")
        return first[columns].sort_index()

    @cached_property
    def widths(self) -> Mapping[str, float]:
        """Width of every scored object's parts in per cent of the diagonal, by id."""
        ids = [str(image_id) for image_id in self.by_image.index]
        return {image: 100 * mean_width(self.images.truth(image)) for image in ids}

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Means of boundary IoU over all prompts and corruptions, as `curve` gives them."""
        found = [
            curve(self.conditions, family, "mbiou", self.bootstrap)
            for family in families(self.conditions)
        ]
        return pd.concat(found, ignore_index=True) if found else pd.DataFrame({"family": []})

    @property
    def choice_scores(self) -> pd.DataFrame:
        """Score rows of the models, of one seed, where variants are compared with them."""
        return self.shown_scores if self.development is None else self.development

    @cached_property
    def ablation_scores(self) -> pd.DataFrame:
        """Score rows of the subject and of all variants, all of one seed."""
        subject = self.choice_scores[self.choice_scores["model"] == self.subject]
        parts = [subject] if self.ablations is None else [subject, self.ablations.scores]
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def ablation_differences(self) -> pd.DataFrame:
        """Every scored variant against the subject of the same seed, as `summary.compare`.

        Holm's correction runs over all variants and both metrics.
        """
        names = [] if self.ablations is None else sorted(set(self.ablations.scores["model"]))
        return summary.compare(
            self.ablation_scores, [(name, self.subject) for name in names], self.bootstrap
        )

    def example(self, image_id: str) -> ComparedImage:
        """Read an image with what every model makes of it."""
        benchmark = str(self.by_image.at[image_id, "benchmark"])
        return compared_image(
            image_id,
            self.shown_scores,
            image=self.images.image(image_id),
            truth=self.images.truth(image_id),
            predicted={m: self.images.predicted(m, benchmark, image_id) for m in self.shown},
            subject=self.subject,
        )

    def diagnosed(self, model: str, *columns: str) -> bool:
        """Whether diagnostics of a model hold numbers in all these columns."""
        if self.diagnostics is None:
            return False
        rows = self.diagnostics[self.diagnostics["model"] == model]
        there = bool(len(rows)) and set(columns) <= set(rows.columns)
        return there and bool(rows[list(columns)].notna().any(axis=0).all())

    def mean_inside(self, model: str, column: str) -> Interval:
        """Average a column of the diagnostics over masks, benchmarks alike, empty rows left out."""
        values = self._inside(model)[column].dropna()
        return self.bootstrap.interval(values.to_numpy(float), *summary.places(values.index))

    def difference_inside(self, model: str, first: str, second: str) -> Difference:
        """Compare two columns of the diagnostics on the same masks."""
        both = self._inside(model)[[first, second]].dropna()
        a, b = (both[name].to_numpy(float) for name in (first, second))
        return self.bootstrap.difference(a, b, *summary.places(both.index))

    def seen_on(self, benchmark: str) -> Results | None:
        """Give the same run with the diagnostics of one benchmark; None where there are none."""
        if self.diagnostics is None:
            return None
        rows = self.diagnostics[self.diagnostics["benchmark"] == benchmark]
        return replace(self, diagnostics=rows) if len(rows) else None

    def _inside(self, model: str) -> pd.DataFrame:
        """Diagnostics averaged over seeds, indexed by benchmark, image and group."""
        assert self.diagnostics is not None
        rows = self.diagnostics[self.diagnostics["model"] == model]
        rows = rows[rows["benchmark"].isin(averaged(rows["benchmark"]))]
        every = pd.concat([self.scores, self.choice_scores], ignore_index=True)
        group_of = every.drop_duplicates("image_id").set_index("image_id")["group"]
        rows = rows.assign(group=group_of.loc[rows["image_id"]].to_numpy())
        numbers = rows.select_dtypes("number").columns.drop("seed")
        return rows.groupby(["benchmark", "image_id", "group"])[list(numbers)].mean()


def describe_run(
    manifest: pd.DataFrame, base: schema.BaseParams, data: schema.DataParams, *, seeds: list[int]
) -> str:
    """Say what a run was made on and what its numbers are not; stands above every table."""
    synthetic = manifest["dataset"].isin(GENERATED)
    benchmarks = manifest[manifest["split"] == "val"].groupby("dataset")["image"].nunique()
    words = ""
    if len(benchmarks) and benchmarks.min() < FEWEST:
        words = (
            f"A benchmark of {counted(int(benchmarks.min()), 'image')} shows that everything "
            "works; the numbers of this run mean nothing. "
        )
    parts = []
    for split, verb in (("train", "trained on"), ("val", "measured on")):
        rows = manifest[manifest["split"] == split]
        images = counted(rows["image"].nunique(), "image")
        parts.append(f"{verb} {images} ({counted(len(rows), 'mask')})")
    small = base.size == "tiny"
    sam = "tiny, a small SAM that has seen photographs" if small else f"SAM {base.size}"
    words += f"{kinds_of_data(manifest['dataset'])} data: {', '.join(parts)}. Base: {sam}. "
    words += f"Seeds: training {listed([str(seed) for seed in seeds])}"
    words += f", generator {data.generated.seed}. " if synthetic.any() else ". "
    if small or synthetic.any():
        words += "No number of this run is the paper's or comparable with it."
    return words


def kinds_of_data(datasets: Iterable[str]) -> str:
    """Say whose some data sets are: drawn here, public sets of the catalogue, or one's own."""
    catalogue, names = read_catalogue(), set(datasets)
    public = names & set(catalogue.entries) - set(GENERATED)
    known = "public (HQSeg-44K)" if public <= set(catalogue.groups["hqseg44k"]) else "public"
    members = {
        "synthetic": names & set(GENERATED), known: public, "own": names - public - set(GENERATED)
    }  # fmt: skip
    words = listed([kind for kind, found in members.items() if found])
    return words[:1].upper() + words[1:]


def families(conditions: pd.DataFrame) -> list[str]:
    """List the curves that there are rows for, in report order."""
    pairs = conditions[["prompt", "corruption"]].drop_duplicates().itertuples(index=False)
    found = {c[0] for c in (read_condition(str(p), str(k)) for p, k in pairs) if c is not None}
    return [name for name in CURVES if name in found] + sorted(found - set(CURVES))


def rows_by_amount(conditions: pd.DataFrame, family: str) -> dict[float, pd.DataFrame]:
    """Split the rows of a curve by their place on it.

    Jittered boxes and corruptions begin at 0 with Table 1's rows of the same images and models;
    points begin at the fewest.
    """
    found: dict[float, pd.DataFrame] = {}
    plain = conditions[:0]
    for (prompt, corruption), rows in conditions.groupby(["prompt", "corruption"]):
        place = read_condition(str(prompt), str(corruption))
        if (prompt, corruption) == (BOX, CLEAN):
            plain = rows
        elif place is not None and place[0] == family:
            found[place[1]] = rows
    if found and family != POINTS:
        first = next(iter(found.values()))
        shared = plain["image_id"].isin(first["image_id"]) & plain["model"].isin(first["model"])
        found |= {0.0: plain[shared]} if shared.any() else {}
    return {amount: found[amount] for amount in sorted(found)}


def curve(
    conditions: pd.DataFrame, family: str, metric: str, bootstrap: summary.Bootstrap
) -> pd.DataFrame:
    """Average every model's `miou` or `mbiou` at every place of a curve, one of `families`.

    Returns:
        Columns family, amount, model, n, mean, low, high (per cent).
    """
    rows = []
    for amount, part in rows_by_amount(conditions, family).items():
        summary.check_paired(part)
        for model in sorted(set(part["model"])):
            scored = summary.score_matrix(part, str(model), METRICS[metric])
            found = bootstrap.interval(scored.to_numpy(np.float64), *summary.places(scored.columns))
            ends = {name: percent(getattr(found, name)) for name in ("mean", "low", "high")}
            place = {"family": family, "amount": amount, "model": str(model)}
            rows.append({**place, "n": scored.shape[1], **ends})
    columns = ["family", "amount", "model", "n", "mean", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def difference_at(
    results: Results, family: str, amount: float, pair: tuple[str, str]
) -> Mapping[str, Any]:
    """Compare two models' boundary IoU at one place of a curve, as a row of `summary.compare`."""
    part = rows_by_amount(results.conditions, family)[amount]
    model, against = pair
    summary.check_paired(part[part["model"].isin(pair)])
    return summary.difference(part, model, against, "mbiou", results.bootstrap)


def change_of_gain(
    results: Results, family: str, places: tuple[float, float], pair: tuple[str, str]
) -> dict[str, Any]:
    """Test how much a gain in boundary IoU changes between two places of a curve.

    Returns:
        The gain at the second place minus that at the first, on the images of both, in points:
        n and the columns of `summary.in_points`.
    """
    by_amount, gains = rows_by_amount(results.conditions, family), []
    for amount in places:
        part = by_amount[amount][by_amount[amount]["model"].isin(pair)]
        summary.check_paired(part)
        a, b = (summary.score_matrix(part, name, METRICS["mbiou"]) for name in pair)
        first, second = summary.paired_values(a, b)
        gains.append(pd.DataFrame(np.atleast_2d(first - second), columns=a.columns))
    shared = gains[0].columns.intersection(gains[1].columns)
    before, after = (gain[shared] for gain in gains)
    return summary.compared(after, before, results.bootstrap)


def read_history(path: Path) -> pd.DataFrame:
    """Read a training history, one JSON object with an `epoch` per line.

    Raises:
        DataError: The file is missing, holds no line, or a line is not such an object.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; train the model that writes it.") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}, line {number} is not JSON: {error}; train again.") from None
        if not isinstance(row, dict) or "epoch" not in row:
            raise DataError(f"{path}, line {number} is {line!r}, expected an object with 'epoch'.")
        rows.append(row)
    if not rows:
        raise DataError(f"{path} holds no epoch; train the model that writes it.")
    return pd.DataFrame(rows).sort_values("epoch", ignore_index=True)


def curve_columns(history: pd.DataFrame) -> list[str]:
    """List the columns of a history that are losses, the total loss first."""
    numeric = history.select_dtypes("number").columns
    return sorted((str(c) for c in numeric if c not in _NO_LOSS), key=lambda c: (c != "loss", c))
