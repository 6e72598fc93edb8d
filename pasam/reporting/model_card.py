"""A model card for every trained model, under Hugging Face's headings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from pasam.reporting.analyses import complexity_measure, flat, gains
from pasam.reporting.blocks import markdown
from pasam.reporting.page_sections import limits
from pasam.reporting.results import BASE_MODEL, Results
from pasam.reporting.style import (
    MEAN,
    comparison_sentence,
    counted,
    label,
    listed,
    mean_label,
    ranged,
)

_PAPERS = {
    "hq_sam": (
        "Segment Anything in High Quality, arXiv 2306.01567",
        "@inproceedings{ke2023hqsam, title={Segment Anything in High Quality}, author={Ke, Lei and "
        "others}, booktitle={NeurIPS}, year={2023}}",
        "SAM's decoder with an extra output token that reads SAM's final features fused with early "
        "ones of the encoder; only these parts learn.",
    ),
    "pa_sam": (
        "PA-SAM: Prompt Adapter SAM for High-Quality Image Segmentation, arXiv 2401.13051",
        "@inproceedings{xie2024pasam, title={PA-SAM: Prompt Adapter SAM for High-Quality Image "
        "Segmentation}, author={Xie, Zhaozhi and others}, booktitle={ICME}, year={2024}}",
        "SAM's decoder with a prompt adapter in its last block: it refines the dense prompt by a "
        "guiding embedding of image and edges, the sparse prompt by attention, and adds hard "
        "points, mined where an uncertainty map doubts the coarse mask.",
    ),
}
_OTHER = ("see the repository", "% no publication", "A decoder on the frozen SAM.")


def model_card(results: Results, model: str) -> str:
    """Write the card of one trained model as Markdown.

    Args:
        results: The run.
        model: Key of the model; one of `results.params.variants`.
    """
    variant = results.params.variants[model]
    paper, citation, architecture = _PAPERS.get(variant.decoder, _OTHER)
    trained = results.trainable(model)
    return render_card(
        results,
        model,
        {
            "name": label(model),
            "tags": ["segment-anything", "promptable-segmentation", variant.decoder],
            "description": architecture,
            "base": results.params.base.size,
            "trained": "unknown" if trained is None else f"{trained:,}",
            "paper": paper,
            "citation": citation,
            "weights": f"{model}.safetensors",
            "command": f"dvc repro train@{model}",
            "training_data": results.setting,
            "procedure": (
                f"{counted(variant.epochs, 'epoch')}, learning rate divided by ten every "
                f"{counted(variant.lr_step_size, 'epoch')}; SAM's weights "
                "stay unchanged, bit for bit."
            ),
            "hyperparameters": _values(results.params.train, variant),
        },
    )


def base_card(results: Results) -> str | None:
    """Write the card of `vit_tiny`, the base that this repository trains; None for another base."""
    if results.params.base.size != "vit_tiny" or results.params.pretrain is None:
        return None
    if BASE_MODEL not in results.models:
        return None
    cost = results.costs.get(BASE_MODEL, {}).get("parameters")
    phases = "; ".join(
        f"{phase.steps:,} steps of {phase.batch_size} images at 1/{phase.shrink} of the side"
        for phase in results.params.pretrain.phases
    )
    return render_card(
        results,
        BASE_MODEL,
        {
            "name": "vit_tiny",
            "tags": ["segment-anything", "promptable-segmentation"],
            "description": (
                "SAM's prompt encoder, two-way transformer and mask decoder with smaller layers, "
                "behind a convolutional encoder; it segments coarsely, as SAM does beside fine "
                "masks, and is the frozen base of the other models."
            ),
            "base": "none, it is the base",
            "trained": "unknown" if cost is None else f"{cost:,}",
            "paper": "Segment Anything, arXiv 2304.02643, whose parts it is made of",
            "citation": (
                "@inproceedings{kirillov2023sam, title={Segment Anything}, author={Kirillov, "
                "Alexander and others}, booktitle={ICCV}, year={2023}}"
            ),
            "weights": "vit_tiny.safetensors",
            "command": "make pretrain",
            "training_data": (
                "Synthetic scenes whose masks were coarsened, besides this run's training split."
            ),
            "procedure": f"{phases}. Its weights are part of the repository.",
            "hyperparameters": _values(results.params.pretrain),
        },
    )


def render_card(results: Results, model: str, facts: Mapping[str, Any]) -> str:
    """Fill the template with what is known of a model and with how the run scored it."""
    environment = Environment(
        loader=PackageLoader("pasam.reporting", "templates"), autoescape=False,  # noqa: S701
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    template = environment.get_template("model_card.md.j2")
    return template.render(**_evaluation(results, model), **facts) + "\n"


def _evaluation(results: Results, model: str) -> dict[str, Any]:
    rows = results.summary[results.summary["model"] == model]
    sizes = results.by_image["benchmark"].value_counts()
    evaluate = results.params.evaluate
    benchmarks = listed([f"{b} ({sizes.get(b, 0)} images)" for b in evaluate.benchmarks])
    return {
        "setting": results.setting,
        "results": rows.round(2).to_dict("records"),
        "small": results.params.base.size == "vit_tiny",
        "limits": limits(results),
        "hardest": _hardest(results, model),
        "start": f"pasam predict photo.jpg --box 30,40,200,220 --model {model} --out masks",
        "testing": (
            f"{benchmarks}. One tight box of the ground truth as prompt, masks at original size. "
            "mIoU and mBIoU are per-image means in per cent; the boundary band is "
            f"{100 * evaluate.boundary_fraction:g} % of the diagonal wide. Factors: the "
            "benchmark, boundary complexity, thinness; see the report."
        ),
        "table": _table(rows, results.level),
        "comparisons": _comparisons(results, model),
        "summary": _summary(rows, results.level),
    }


def _table(rows: pd.DataFrame, level: str) -> str:
    lines = []
    for row in rows.to_dict("records"):
        name = mean_label(len(rows) - 1) if row["benchmark"] == MEAN else str(row["benchmark"])
        lines.append([name, str(row["n"]), ranged(row, "miou"), ranged(row, "mbiou")])
    return markdown(["Benchmark", "n", f"mIoU ({level} interval)", "mBIoU"], lines)


def _comparisons(results: Results, model: str) -> list[str]:
    table = results.differences
    chosen = table[(table["model"] == model) & (table["benchmark"] == MEAN)]
    return [
        comparison_sentence({str(k): v for k, v in row.items()}, level=results.level)
        for row in chosen.to_dict("records")
    ]


def _summary(rows: pd.DataFrame, level: str) -> str:
    mean = rows[rows["benchmark"] == MEAN].iloc[0]
    return (
        f"Over all benchmarks: mIoU {mean['miou']:.1f} %, mBIoU {mean['mbiou']:.1f} % "
        f"({level} interval {mean['mbiou_low']:.1f} to {mean['mbiou_high']:.1f})."
    )


def _hardest(results: Results, model: str) -> str:
    table = gains(results, complexity_measure(results), model=model).table
    first, last = table.iloc[0], table.iloc[-1]
    side = "more" if last["score"] < first["score"] else "less"
    return (
        f"It errs {side} on intricate outlines than on smooth ones: boundary IoU "
        f"{last['score']:.1f} % on the {counted(int(last['n']), 'image')} of highest boundary "
        f"complexity, {first['score']:.1f} % on the {counted(int(first['n']), 'image')} of lowest."
    )


def _values(*sections: Any) -> list[tuple[str, Any]]:
    """List the values of sections of the params by dotted name; a later section wins."""
    merged = {k: v for section in sections for k, v in section.model_dump().items()}
    return sorted(flat(merged).items())
