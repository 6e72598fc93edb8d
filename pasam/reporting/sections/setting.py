"""What was run on what, and what it therefore cannot show."""

from __future__ import annotations

from pasam.params import HqSamParams
from pasam.reporting.blocks import Section, Table
from pasam.reporting.grid import Grid
from pasam.reporting.names import label
from pasam.reporting.results import Results
from pasam.reporting.setting import GENERATED
from pasam.reporting.wording import counted, listed


def setting_section(results: Results) -> Section:
    """Describe data, size and seeds."""
    return Section(
        key="setting",
        title="What was run on what",
        lead="It cannot show " + "; ".join(cannot_show(results)) + ".",
        blocks=(Table(grid=_facts(results)),),
    )


def cannot_show(results: Results) -> list[str]:
    """List the claims that this run's data, size and seeds do not carry."""
    limits = []
    if results.base.size == "vit_tiny":
        limits.append("how the models compare on a full-size SAM, since the base is the small one")
    if results.manifest["dataset"].isin(GENERATED).any():
        limits.append("how they do on photographs where the data is generated")
    if not results.comparable:
        limits.append("any number of the paper, whose weights, data and protocol are others")
    if len(results.seeds) == 1:
        limits.append("whether another seed of training would say the same")
    smallest = int(results.summary["n"].min())
    if smallest < 30:
        limits.append(f"much about single benchmarks of {counted(smallest, 'image')}")
    return limits or ["what happens on data unlike these benchmarks"]


def _facts(results: Results) -> Grid:
    manifest, train = results.manifest, results.train
    train_rows = manifest[manifest["split"] == "train"]
    sizes = results.by_image["benchmark"].value_counts()
    benchmarks = listed([f"{b} ({sizes.get(b, 0)})" for b in results.evaluate.benchmarks])
    rows = [
        ("Training set", counted(train_rows["image"].nunique(), "image")
         + f", {counted(len(train_rows), 'mask')}"),
        ("Benchmarks (images)", benchmarks),
        ("Frozen base", results.base.size),
        *((f"Trained: {label(model)}", _recipe(results, model)) for model in results.variants),
        ("Seeds of training", listed([str(seed) for seed in results.seeds])),
        ("Optimiser", f"Adam, learning rate {train.learning_rate:g}, batch {train.batch_size}"),
        ("Boundary band", f"{100 * results.evaluate.boundary_share:g} % of the image's diagonal"),
        ("Intervals", f"{results.level}, {results.report.draws:,} paired bootstrap draws"),
    ]  # fmt: skip
    return Grid(caption="The run", head=("What", "Value"), rows=tuple(rows), texts=(1,))


def _recipe(results: Results, model: str) -> str:
    variant = results.variants[model]
    kind = "" if isinstance(variant, HqSamParams) else f", gradient '{variant.gradient}'"
    words = f"{counted(variant.epochs, 'epoch')}, prompts '{variant.prompts}'{kind}"
    trained = results.trained(model)
    return words + (f", {trained:,} numbers" if trained else "")
