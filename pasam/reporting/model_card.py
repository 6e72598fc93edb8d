"""A model card for every trained model, under Hugging Face's headings; its words are a template."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pasam.config.schema import HqSamParams, PaSamParams, VariantParams
from pasam.reporting.analyses import flat, gains, limits, measures
from pasam.reporting.blocks import markdown
from pasam.reporting.results import Results
from pasam.reporting.style import MEAN, comparison_sentence, label, listed, mean_label, ranged
from pasam.reporting.summary import rows_where
from pasam.reporting.tables import sizes_of_benchmarks

_MINED = {
    "gumbel": "sampled by the uncertainty times what the refined mask differs from the coarse one",
    "top": "the largest by the uncertainty times what the refined mask differs from the coarse one",
    "random": "at random",
}
_CELLS = {"all": "anywhere in the image", "uncertain": "in the uncertain band alone"}


def model_card(results: Results, model: str) -> str:
    """Write the card of one trained model, of `results.params.variants`, as Markdown."""
    variant = results.params.variants[model]
    return _render(
        results, model, kind="" if bare_head(variant) else variant.decoder, name=label(model),
        trained=results.trainable(model), recipe=variant, description=described(variant),
        learns=what_learns(variant), hyperparameters=_values(results.params.train, variant),
    )  # fmt: skip


def bare_head(variant: VariantParams) -> bool:
    """Say whether a model is of PA-SAM's kind and has no part of its adapter."""
    return isinstance(variant, PaSamParams) and not variant.adapter.any()


def described(variant: VariantParams) -> str:
    """Say what a model is, by the parts that it has."""
    if isinstance(variant, HqSamParams):
        return (
            "SAM's decoder with an extra output token that reads SAM's final features fused with "
            "early ones of the encoder."
        )
    if not isinstance(variant, PaSamParams):
        return "SAM's decoder on image features that a residual adapter has changed."
    if bare_head(variant):
        return "SAM's decoder as it is, and no adapter: what learns are weights that SAM has."
    adapter, mining = variant.adapter, variant.mining
    parts = {
        "refines the dense prompt by a guiding embedding of image and edges": adapter.dense,
        "refines the sparse prompt by attention": adapter.sparse,
        "predicts a refined mask and an uncertainty map": adapter.tokens,
    }
    if mining.method != "none":
        parts[f"adds hard points ({_MINED[mining.method]}, {_CELLS[mining.cells]})"] = True
    does = listed([words for words, there in parts.items() if there])
    return f"SAM's decoder with a prompt adapter in its last block, which {does}."


def what_learns(variant: VariantParams) -> str:
    """Say what of SAM a training changed, and what stays as it was."""
    if isinstance(variant, HqSamParams):
        return "HQ-SAM's own parts learn; SAM's weights stay unchanged, bit for bit."
    if variant.trains == "everything":
        return "All of SAM learns with it."
    learning = [] if bare_head(variant) else ["the adapter"]
    learning += {"adapter": [], "mask_head": ["SAM's mask head"], "decoder": ["SAM's decoder"]}[
        variant.trains
    ]
    if getattr(variant, "iou_head", "frozen") == "trained" and variant.trains != "decoder":
        learning.append("SAM's IoU head")
    words = f"{listed(learning)} learn{'s' if len(learning) == 1 else ''}"
    rest = "SAM's weights stay" if learning == ["the adapter"] else "the rest of SAM stays"
    return f"{words[:1].upper()}{words[1:]}; {rest} unchanged, bit for bit."


def _render(results: Results, model: str, **facts: Any) -> str:
    """Fill the template with what is known of a model and with how the run scored it."""
    environment = Environment(
        loader=PackageLoader("pasam.reporting", "templates"), autoescape=False,  # noqa: S701
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    rows = rows_where(results.file_summary, model=model)
    benchmark_names = [str(row["benchmark"]) for row in rows]
    [mean] = rows_where(results.summary, model=model, benchmark=MEAN)
    table = [
        [
            mean_label(benchmark_names) if row["benchmark"] == MEAN else str(row["benchmark"]),
            *(str(row["n"]), ranged(row, "miou"), ranged(row, "mbiou")),
        ]
        for row in rows
    ]
    groups = gains(results, measures(results)[0], model=model).table.to_dict("records")
    text = environment.get_template("model_card.md.j2").render(
        weights_md5=results.weights_md5.get(model, ""), manifest_md5=results.manifest_md5,
        model=model, seed=results.params.train.seed, over_seeds=mean, rows=rows,
        setting=results.setting, base=results.params.base.size,
        limits=limits(results), smoothest=groups[0], finest=groups[-1],
        benchmarks=listed(sizes_of_benchmarks(results)),
        mean_name=mean_label(benchmark_names), level=results.level,
        band=f"{100 * results.params.evaluate.boundary_fraction:g}",
        table=markdown(["Benchmark", "n", f"mIoU ({results.level} interval)", "mBIoU"], table),
        comparisons=[
            comparison_sentence(row, level=results.level)
            for row in rows_where(results.differences, model=model, benchmark=MEAN)
        ],
        **facts,
    )  # fmt: skip
    return text + "\n"


def _values(*sections: Any) -> list[tuple[str, Any]]:
    """List the values of sections of the params by dotted name; a later section wins."""
    merged = {k: v for section in sections for k, v in section.model_dump().items()}
    return sorted(flat(merged).items())
