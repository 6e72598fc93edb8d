"""A model card for every trained model, under Hugging Face's headings; its words are a template."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pasam.reporting.analyses import flat, gains, measures
from pasam.reporting.blocks import markdown
from pasam.reporting.page_sections import limits
from pasam.reporting.results import Results
from pasam.reporting.style import MEAN, comparison_sentence, label, listed, mean_label, ranged
from pasam.reporting.summary import rows_where


def model_card(results: Results, model: str) -> str:
    """Write the card of one trained model as Markdown.

    Args:
        results: The run.
        model: Key of the model; one of `results.params.variants`.
    """
    variant = results.params.variants[model]
    return _render(
        results, model, kind=variant.decoder, name=label(model), trained=results.trainable(model),
        recipe=variant, hyperparameters=_values(results.params.train, variant),
    )  # fmt: skip


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
    sizes = results.by_image["benchmark"].value_counts()
    benchmarks = [f"{b} ({sizes.get(b, 0)} images)" for b in results.params.evaluate.benchmarks]
    groups = gains(results, measures(results)[0], model=model).table.to_dict("records")
    text = environment.get_template("model_card.md.j2").render(
        weights_md5=results.weights_md5.get(model, ""), manifest_md5=results.manifest_md5,
        model=model, seed=results.params.train.seed, over_seeds=mean, rows=rows,
        setting=results.setting, base=results.params.base.size,
        limits=limits(results), smoothest=groups[0], finest=groups[-1],
        benchmarks=listed(benchmarks), level=results.level,
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
