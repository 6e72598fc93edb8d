"""Analyses that several parts of a report share: ablations, fine structure, what stays of SAM."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from pasam.data.catalogue import GENERATED, PHOTOS
from pasam.evaluation.scores import BOX, averaged
from pasam.evaluation.statistics import GAIN, LOSS, UNDECIDED
from pasam.reporting.results import JITTER, Results, change_of_gain, difference_at
from pasam.reporting.style import (
    MEAN,
    after_holm,
    counted,
    gain_in_brackets,
    label,
    listed,
    of_weights,
    ordered_benchmarks,
    signed,
    span,
)
from pasam.reporting.summary import (
    QuantileGains,
    compare,
    gain_by_quantile,
    held_together,
    in_points,
    rows_where,
)

Group = Literal["component", "mining", "trained", "image", "correction", "repeat", "other"]

GROUP_NAMES: Mapping[Group, str] = {
    "component": "Components",
    "mining": "Hard points",
    "image": "Image features in place of prompt features",
    "trained": "What is trained",
    "correction": "The reference's choices, changed",
    "repeat": "The same again",
    "other": "Variants of other models",
}
"""Groups in report order."""

_COMPONENTS = {"adapter.dense", "adapter.sparse", "adapter.tokens"}
_IMAGE_ADAPTER = "image_adapter"
_SCHEDULE = {"epochs", "lr_step_size"}
_WORDS: Mapping[tuple[str, Any], str] = {
    ("adapter.dense", False): "no dense compensation",
    ("adapter.sparse", False): "no sparse optimisation",
    ("adapter.tokens", False): "no refined and uncertain token",
    ("adapter.maps", "double"): "maps at twice the grid",
    ("adapter.fine", True): "compensation at the masks' resolution",
    ("adapter.start", "sam"): "adapter starts at SAM",
    ("mining.method", "none"): "no hard points",
    ("mining.method", "random"): "random points",
    ("mining.method", "top"): "top points without noise",
    ("mining.cells", "uncertain"): "hard points in the uncertain band alone",
    ("gradient", "image"): "edges of the image itself",
    ("prompts", "intended"): "combined prompts and jittered boxes",
    ("uncertainty_loss", "balanced"): "class-weighted uncertainty loss",
    ("iou_head", "trained"): "trained IoU head",
    ("trains", "adapter"): "adapter alone learns",
    ("trains", "mask_head"): "adapter and mask head learn",
    ("trains", "decoder"): "whole decoder learns",
    ("trains", "everything"): "all of SAM learns",
}
_NUMBERS: Mapping[str, str] = {
    "mining.points": "hard points of each sign: {}",
    "mining.temperature": "temperature {}",
    "mining.score_scale": "score scaled by {}",
    "adapter_rate": "adapter's rate times {}",
    "keep_sam": "held to SAM with weight {}",
    "prompts_per_mask": "{} prompts per mask",
    "epochs": "{} epochs",
    "lr_step_size": "rate dropped every {} epochs",
}


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """One variant: a model, and what it changes of it."""

    name: str
    of: str
    change: Mapping[str, Any]
    """Nested as in `params.yaml`."""

    @property
    def changes(self) -> dict[str, Any]:
        """What is changed, by dotted name."""
        return flat(self.change)

    @property
    def group(self) -> Group:
        """The part of the table it belongs to."""
        changed = {key: value for key, value in self.changes.items() if key not in _SCHEDULE}
        if self.of != "pa_sam":
            return "image" if self.of == _IMAGE_ADAPTER else "other"
        if not changed:
            return "repeat"
        left_out = changed.get("mining.method") == "none"
        others = {key for key in changed if not (key == "mining.method" and left_out)}
        if others <= _COMPONENTS:
            return "component"
        if all(key.startswith("mining.") for key in changed):
            return "mining"
        return "trained" if set(changed) == {"trains"} else "correction"

    @property
    def words(self) -> str:
        """What is changed, as a table says it."""
        if self.of == "pa_sam" and not self.changes:
            return "nothing changed"
        shown = dict(self.changes)
        words = [] if self.of == "pa_sam" else [label(self.of)]
        words = ["adapter of the image features"] if self.of == _IMAGE_ADAPTER else words
        if set(shown) >= _COMPONENTS:
            words.append("no adapter: the mask head alone")
            shown = {k: v for k, v in shown.items() if k not in {*_COMPONENTS, "mining.method"}}
        for key, value in shown.items():
            known = _NUMBERS[key].format(f"{value:g}") if key in _NUMBERS else None
            words.append(known or _WORDS.get((key, value), f"{key} {value}"))
        return ", ".join(words)


def what_learns(trains: str) -> str:
    """Say in a few words which parts a model of PA-SAM's kind trains."""
    return _WORDS["trains", trains].removesuffix("s").removesuffix(" learn")


def scored_variants(results: Results) -> list[Ablation]:
    """List the variants that were scored, by group and in the order of `params.yaml`."""
    if results.ablations is None:
        return []
    scored = set(results.ablations.scores["model"])
    found = [
        Ablation(name=name, of=str(entry["of"]), change=entry["change"])
        for name, entry in results.ablations.changes.items()
        if name in scored
    ]
    return sorted(found, key=lambda variant: list(GROUP_NAMES).index(variant.group))


def of_group(results: Results, *groups: Group) -> list[Ablation]:
    """List the scored variants of some groups."""
    return [ablation for ablation in scored_variants(results) if ablation.group in groups]


def gain_of(results: Results, name: str) -> Mapping[str, Any]:
    """Pick one variant's difference in boundary IoU, on the mean over benchmarks."""
    chosen = {"model": name, "metric": "mbiou", "benchmark": MEAN}
    return rows_where(results.ablation_differences, **chosen)[0]


def flat(change: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Write nested changes under dotted names."""
    found: dict[str, Any] = {}
    for key, value in change.items():
        nested = isinstance(value, Mapping)
        found |= flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return found


def by_verdict(results: Results, names: Iterable[str]) -> dict[str, list[Mapping[str, Any]]]:
    """Sort variants' rows into "loss shown", "gain shown" and neither, largest first."""
    ordered = sorted(
        (gain_of(results, name) for name in names), key=lambda row: -abs(row["difference"])
    )
    return {v: [row for row in ordered if row["verdict"] == v] for v in (LOSS, GAIN, UNDECIDED)}


def effects_sentence(results: Results, variants: Sequence[Ablation]) -> str:
    """Say how variants compare with the subject in boundary IoU.

    Returns:
        At most three clauses: what loses, what gains, and what shows no difference.
    """
    words = {variant.name: variant.words for variant in variants}
    found = by_verdict(results, words)
    told = {
        verdict: listed([f"“{words[row['model']]}” {gain_in_brackets(row)}" for row in rows])
        for verdict, rows in found.items()
    }
    clauses = [
        f"{told[verdict]} {verb}{'s' if len(found[verdict]) == 1 else ''}"
        for verdict, verb in ((LOSS, "lose"), (GAIN, "gain"))
        if found[verdict]
    ]
    name, sentences = label(results.subject), []
    if clauses:
        sentences.append(f"Against {name}, in points of boundary IoU: {'; '.join(clauses)}.")
    if found[UNDECIDED]:
        sentences.append(f"No difference from {name} is shown for {told[UNDECIDED]}.")
    rows = [row for of_verdict in found.values() for row in of_verdict]
    sentences.append(f"({results.level} intervals{of_weights(rows)}, Holm-adjusted.)")
    return " ".join(sentences)


ORDINALS = {1: "whole", 2: "half", 3: "third", 4: "quarter", 5: "fifth", 10: "tenth"}


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Something that orders images from coarse to fine."""

    key: str
    heading: str
    axis: str
    values: Mapping[str, float]
    """By image, larger where the object is finer."""
    coarsest: str
    finest: str
    """What the first and the last group of images are."""


def measures(results: Results) -> tuple[Measure, Measure]:
    """Order images by how intricate the outline is, and by how thin the object is."""
    complexity = Measure(
        key="complexity",
        heading="By boundary complexity",
        axis="complexity (a disk has 1)",
        values={str(k): float(v) for k, v in results.by_image["complexity"].items()},
        coarsest="the smoothest outlines",
        finest="the most intricate outlines",
    )
    thinness = Measure(
        key="thinness",
        heading="By thinness",
        axis="width, % of the diagonal",
        values={image: -width for image, width in results.widths.items()},
        coarsest="the thickest objects",
        finest="the thinnest objects",
    )
    return complexity, thinness


def gains(results: Results, measure: Measure, *, model: str | None = None) -> QuantileGains:
    """Compute the gain in boundary IoU over the reference by group; the subject's by default."""
    return gain_by_quantile(
        results.mean_scores,
        measure.values,
        model=model or results.subject,
        against=results.reference,
        metric="mbiou",
        bins=results.params.report.bins,
        bootstrap=results.bootstrap,
    )


def trend_sentences(results: Results) -> list[str]:
    """Say by each measure whether the gain is larger on fine objects, corrected for both."""
    found = [(measure, gains(results, measure)) for measure in measures(results)]
    trends = [in_points(split.trend) for _, split in found if split.trend is not None]
    if len(trends) < len(found):
        return ["There are too few images to split them by how fine their objects are."]
    return [
        _trend_sentence(results, measure, split.table, row)
        for (measure, split), row in zip(
            found, held_together(trends, results.bootstrap), strict=True
        )
    ]


def _trend_sentence(
    results: Results, measure: Measure, table: pd.DataFrame, change: Mapping[str, Any]
) -> str:
    first, last = table.iloc[0], table.iloc[-1]
    group = ORDINALS.get(len(table), "group")
    start = (
        f"{label(results.subject)}'s gain over {label(results.reference)} is "
        f"{signed(first['difference'])} points of boundary IoU on the {group} of images "
        f"with {measure.coarsest} and {signed(last['difference'])} on the {group} with "
        f"{measure.finest}"
    )
    by = f"{signed(change['difference'])} points, {ends_of(results, [change])}"
    if change["verdict"] == UNDECIDED:
        return f"{start}; no difference between the two is shown ({by})."
    side = "larger" if change["verdict"] == GAIN else "smaller"
    return f"{start}: {side} on the finer ones ({by})."


def ends_of(results: Results, rows: Sequence[Mapping[str, Any]]) -> str:
    """Write the interval of a corrected row, with its p-value, for brackets in a sentence."""
    ends = [f"{span(row['low'], row['high'])}{after_holm(row)}" for row in rows]
    return f"{results.level} interval{of_weights(rows)} {listed(ends)}"


def changes_of_gain(results: Results, models: Sequence[str]) -> list[str]:
    """Say how models' gains over the reference change from tight boxes to the loosest.

    Three comparisons a model (on tight boxes, on loose ones, and the change) are corrected
    together.
    """
    amounts = results.curves[results.curves["family"] == JITTER]["amount"]
    places = float(amounts.min()), float(amounts.max())
    rows = []
    for model in models:
        pair = model, results.reference
        rows += [difference_at(results, JITTER, amount, pair) for amount in places]
        rows.append(change_of_gain(results, JITTER, places, pair))
    told = held_together(rows, results.bootstrap)
    return [
        _change_sentence(results, model, places[1], *told[3 * number : 3 * number + 3])
        for number, model in enumerate(models)
    ]


def _change_sentence(
    results: Results, model: str, amount: float,
    tight: Mapping[str, Any], loose: Mapping[str, Any], change: Mapping[str, Any],
) -> str:  # fmt: skip
    gain = f"{label(model)}'s gain over {label(results.reference)}"
    by = f"{signed(change['difference'])} points, {ends_of(results, [change])}, n = {change['n']}"
    verb = {GAIN: "grows", LOSS: "shrinks"}.get(change["verdict"])
    start = f"{gain} {verb}" if verb else f"No change of {gain} is shown"
    first, last = (f"({span(row['low'], row['high'])}; {shown(row)})" for row in (tight, loose))
    return (
        f"{start} ({by}): from {signed(tight['difference'])} points of boundary IoU {first} with "
        f"tight boxes to {signed(loose['difference'])} {last} with boxes jittered by {amount:g} of "
        "their sides."
    )


def shown(row: Mapping[str, Any]) -> str:
    """Say in a clause what a row of a comparison shows."""
    says = {GAIN: "a gain is shown", LOSS: "a loss is shown"}
    return says.get(str(row["verdict"]), "no difference is shown")


def group_names(table: pd.DataFrame, measure: Measure) -> list[str]:
    """Name the groups of `gains` by the range of their measure."""
    sign = -1 if measure.key == "thinness" else 1
    ends = [sorted((sign * row["from"], sign * row["to"])) for row in table.to_dict("records")]
    texts = [[f"{v:.0f}" if v >= 10 else f"{v:.1f}" for v in pair] for pair in ends]
    return ["\N{EN DASH}".join(pair) for pair in texts]


def best_benchmark(results: Results, model: str) -> str:
    """Name the set, of those where variants are compared, that a model does best on."""
    rows = results.choice_scores[results.choice_scores["model"] == model]
    means = rows.groupby("benchmark", sort=True)["boundary_iou"].mean()
    return str(means[averaged(map(str, means.index))].idxmax())


def change_over_reference(results: Results, models: list[str]) -> pd.DataFrame:
    """Compare models and variants with the reference on its best benchmark and on all others.

    Returns:
        Rows of `summary.compare` in boundary IoU, benchmark "mean" being that of the others.
    """
    best = best_benchmark(results, results.reference)
    ablations = [] if results.ablations is None else [results.ablations.scores]
    scores = pd.concat([results.choice_scores, *ablations], ignore_index=True)
    scores = scores[scores["model"].isin([*models, results.reference])]
    pairs = [(model, results.reference) for model in models]
    on_best = compare(scores[scores["benchmark"] == best], pairs, results.bootstrap)
    on_best = on_best[on_best["benchmark"] == best]
    others = scores[scores["benchmark"] != best]
    parts = [on_best]
    if len(others):
        on_others = compare(others, pairs, results.bootstrap)
        parts.append(on_others[on_others["benchmark"] == MEAN])
    table = pd.concat(parts, ignore_index=True)
    return table[table["metric"] == "mbiou"].reset_index(drop=True)


def kept_sentence(results: Results, words: Mapping[str, str]) -> str:
    """Say what models and variants, named in `words`, do to the reference's best benchmark."""
    best = best_benchmark(results, results.reference)
    table = change_over_reference(results, list(words))
    rows = rows_where(table, benchmark=best)
    clauses = [
        f"{words[str(row['model'])]} {signed(row['difference'])} ({span(row['low'], row['high'])}; "
        f"{shown(row)})"
        for row in rows
    ]
    return (
        f"On {best}, which {label(results.reference)} does best by itself, the points of boundary "
        f"IoU over {label(results.reference)} are: {listed(clauses)}."
    )


def limits(results: Results) -> list[str]:
    """List the claims that this run's data, size and seeds do not carry."""
    found = []
    if results.params.base.size == "tiny":
        found.append("how the models compare on a full-size SAM, since the base is the small one")
    if results.manifest["dataset"].isin(GENERATED).any():
        found.append(_photographs_limit(results))
        found.append(
            "how they do on kinds of objects that training lacks: synthetic benchmarks draw the "
            "same kinds with parameters between those of training, which is interpolation"
        )
    if not results.published.comparable:
        found.append("any number of the paper, whose weights, data and protocol are others")
    if len(results.seeds) == 1:
        found.append("whether another seed of training would say the same")
    measured = results.manifest[results.manifest["split"] == "val"]
    measured = measured[measured["dataset"].isin(results.scores["benchmark"])]
    smallest = int(measured.groupby("dataset")["image"].nunique().min())  # of many masks each
    if smallest < 30:
        found.append(f"much about single benchmarks of {counted(smallest, 'image')}")
    return found or ["what happens on data unlike these benchmarks"]


def _photographs_limit(results: Results) -> str:
    """Say what synthetic images, and the few photographs beside them, leave open."""
    measured = results.manifest[results.manifest["split"] == "val"]
    photographs = measured[measured["dataset"] == PHOTOS]["image"].nunique()
    if not photographs or not set(measured["dataset"]) <= {PHOTOS, *GENERATED}:
        return "how they do on photographs where the data is synthetic"
    return (
        f"how they do on photographs at large: {counted(photographs, 'photograph')} of "
        f"'{PHOTOS}' tell little, and all else that is measured is synthetic"
    )


def measured_on(results: Results, benchmarks: Iterable[object]) -> str:
    """Say on which base and sets an answer was measured, and whether photographs are among them."""
    names = ordered_benchmarks({str(name) for name in benchmarks})
    if not names:
        return ""
    instances = () if results.instances is None else results.instances["benchmark"]
    drawn = {*GENERATED, *(name for name in instances if str(name).endswith("_like"))}
    none = "; no photographs among them" if set(names) <= drawn else ""
    return f"Base: {results.params.base.size}. Measured on {listed(names)}{none}."


def on_variants(results: Results) -> Iterable[object]:
    """Name the sets that variants are compared on."""
    return results.ablation_scores["benchmark"] if scored_variants(results) else ()


def on_diagnostics(results: Results) -> Iterable[object]:
    """Name the sets of which it is known what happened inside the subject."""
    if results.diagnostics is None:
        return ()
    own = results.diagnostics["model"] == results.subject
    return results.diagnostics[own]["benchmark"]


def on_table_1(results: Results) -> Iterable[object]:
    """Name the benchmarks of Table 1."""
    return results.scores["benchmark"]


def on_weaker_boxes(results: Results) -> Iterable[object]:
    """Name the sets of looser prompts and of detectors' boxes."""
    looser = results.conditions[results.conditions["prompt"] != BOX]["benchmark"]
    return [*looser, *(() if results.instances is None else results.instances["benchmark"])]
