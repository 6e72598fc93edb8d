"""The ablations of a run.

What each variant changes, how it compares, and sentences about several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from pasam.evaluation.statistics import GAIN, LOSS, UNDECIDED
from pasam.reporting.results import Results
from pasam.reporting.style import MEAN, label
from pasam.reporting.wording import LONG_METRICS, listed, signed, span

# --- ablations: The ablations of a run: what each variant changes, in words, and how it compares.

Group = Literal["component", "mining", "trained", "image", "correction", "repeat"]

GROUP_NAMES: Mapping[Group, str] = {
    "component": "Components",
    "mining": "Hard points",
    "image": "Image features in place of prompt features",
    "trained": "What is trained",
    "correction": "The reference's choices, changed",
    "repeat": "The same again",
}
"""Groups in report order."""

_COMPONENTS = {"adapter.dense", "adapter.sparse", "adapter.tokens"}
_SCHEDULE = {"epochs", "lr_step_size"}
_WORDS: Mapping[tuple[str, Any], str] = {
    ("adapter.dense", False): "no dense compensation",
    ("adapter.sparse", False): "no sparse optimisation",
    ("adapter.tokens", False): "no refined and uncertain token",
    ("adapter.maps", "double"): "maps at twice the grid",
    ("adapter.start", "sam"): "adapter starts at SAM",
    ("mining.method", "none"): "no hard points",
    ("mining.method", "random"): "random points",
    ("mining.method", "top"): "top points without noise",
    ("gradient", "image"): "edges of the image itself",
    ("prompts", "intended"): "combined prompts and jittered boxes",
    ("uncertainty_loss", "balanced"): "class-weighted uncertainty loss",
    ("iou_head", "trained"): "trained quality head",
    ("trains", "adapter"): "adapter alone learns",
    ("trains", "mask_head"): "adapter and mask head learn",
    ("trains", "decoder"): "whole decoder learns",
    ("trains", "everything"): "all of SAM learns",
}
_NUMBERS: Mapping[str, str] = {
    "mining.points": "hard points of each sign: {}",
    "mining.temperature": "temperature {}",
    "mining.score_scale": "score scaled by {}",
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
            return "image"
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
        if self.of != "pa_sam":
            return "adapter of the image features"
        if not self.changes:
            return "nothing changed"
        shown = dict(self.changes)
        words = []
        if set(shown) >= _COMPONENTS:
            words.append("no adapter: the mask head alone")
            shown = {k: v for k, v in shown.items() if k not in {*_COMPONENTS, "mining.method"}}
        return ", ".join([*words, *(_in_words(key, value) for key, value in shown.items())])


def ablation_names(results: Results) -> list[Ablation]:
    """List the variants that were scored, by group and in the order of `params.yaml`."""
    if results.ablations is None:
        return []
    scored = set(results.ablations["model"])
    known = {
        name: Ablation(name=name, of=str(entry["of"]), change=entry["change"])
        for name, entry in results.ablation_params.items()
    }
    found = [known[name] for name in known if name in scored]
    order = list(GROUP_NAMES)
    return sorted(found, key=lambda ablation: order.index(ablation.group))


def of_group(results: Results, *groups: Group) -> list[Ablation]:
    """List the scored variants of some groups."""
    return [ablation for ablation in ablation_names(results) if ablation.group in groups]


def row_of(
    table: pd.DataFrame, name: str, metric: str = "mbiou", benchmark: str = MEAN
) -> Mapping[str, Any]:
    """Pick one variant's row."""
    chosen = table[
        (table["model"] == name) & (table["metric"] == metric) & (table["benchmark"] == benchmark)
    ]
    return {str(key): value for key, value in chosen.iloc[0].items()}


def flat(change: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Write nested changes under dotted names."""
    found: dict[str, Any] = {}
    for key, value in change.items():
        nested = isinstance(value, Mapping)
        found |= flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return found


def _in_words(key: str, value: Any) -> str:
    if key in _NUMBERS:
        return _NUMBERS[key].format(f"{value:g}")
    return _WORDS.get((key, value), f"{key} {value}")


def by_verdict(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Sort rows into "gain shown", "loss shown" and "no difference shown", largest first."""
    ordered = sorted(rows, key=lambda row: -abs(row["difference"]))
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in ordered:
        found.setdefault(str(row["verdict"]), []).append(row)
    return found


# --- effects: Sentences about several variants at once: what helped, what hurt, and what shows
# nothing.


def effects_sentence(
    ablations: Sequence[Ablation],
    table: pd.DataFrame,
    *,
    subject: str,
    level: str,
    metric: str = "mbiou",
) -> str:
    """Say how variants compare with the subject.

    Args:
        ablations: The variants.
        table: `Results.ablation_differences`.
        subject: Key of the model they are variants of.
        level: Level of the intervals, in words.
        metric: `miou` or `mbiou`.

    Returns:
        At most three clauses: what gains, what loses, and what shows no difference.
    """
    words = {ablation.name: ablation.words for ablation in ablations}
    found = by_verdict([row_of(table, name, metric) for name in words])
    clauses = []
    for verdict, says in ((LOSS, "loses"), (GAIN, "gains")):
        if verdict in found:
            rows = found[verdict]
            verb = says if len(rows) == 1 else says.removesuffix("s")
            clauses.append(f"{listed([_with_numbers(r, words) for r in rows])} {verb}")
    name = label(subject)
    sentence = ""
    if clauses:
        sentence = f"Against {name}, in points of {LONG_METRICS[metric]}: {'; '.join(clauses)}. "
    if UNDECIDED in found:
        rows = found[UNDECIDED]
        open_ones = listed([_with_numbers(row, words) for row in rows])
        sentence += f"No difference from {name} is shown for {open_ones}."
    return f"{sentence.strip()} ({level} intervals, Holm-adjusted.)"


def _with_numbers(row: Mapping[str, Any], words: Mapping[str, str]) -> str:
    name = words[str(row["model"])]
    return f"\N{LEFT DOUBLE QUOTATION MARK}{name}\N{RIGHT DOUBLE QUOTATION MARK} {numbers(row)}"


def numbers(row: Mapping[str, Any]) -> str:
    """Write a difference with its interval, for brackets in a sentence."""
    return f"({signed(row['difference'])}, {span(row['low'], row['high'])})"
