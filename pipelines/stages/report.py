"""DVC stage `report`: Table 1, its figures and the metrics, from the score files."""

from pathlib import Path

from pasam.benchmarks.predictions import read_prediction
from pasam.benchmarks.published import published_for
from pasam.benchmarks.scores import clean_box_rows, read_scores
from pasam.data.images import read_image, read_mask
from pasam.data.manifest import read_manifest
from pasam.params import BaseParams, DataParams, EvaluateParams, ReportParams, TrainParams
from pasam.reporting.charts import read_history, score_chart, training_chart
from pasam.reporting.examples import build_example, choice_caption, choose_examples
from pasam.reporting.figures import comparison_figure
from pasam.reporting.setting import setting
from pasam.reporting.summary import Bootstrap, summarise
from pasam.reporting.tables import write_tables
from pipelines.stage_runner import run


def report(
    base: BaseParams, data: DataParams, train: TrainParams, evaluate: EvaluateParams,
    report: ReportParams, manifest: Path, scores: Path, predictions: Path, histories: Path,
    out: Path,
) -> None:  # fmt: skip
    """Write the tables and the pictures into one folder."""
    frame = read_manifest(manifest)
    models = (*evaluate.baselines, *evaluate.models)
    written = [scores / f"{m}-{b}.parquet" for m in models for b in evaluate.benchmarks]
    rows = clean_box_rows(read_scores(*written))
    used = frame[(frame["split"] == "train") | frame["dataset"].isin(evaluate.benchmarks)]
    words = setting(used, base, data, seed=train.seed)
    bootstrap = Bootstrap(draws=report.draws, confidence=report.confidence, seed=report.seed)
    published = published_for(evaluate.benchmarks)
    write_tables(rows, out, setting=words, bootstrap=bootstrap, published=published)
    summary = summarise(rows, bootstrap)
    score_chart(
        summary, out / "scores.png", title="Scores by benchmark", confidence=report.confidence
    )
    curves = {model: read_history(histories / f"{model}.jsonl") for model in evaluate.models}
    training_chart(curves, out / "training.png", title="Training")
    shown = [model for model in models if model != "oracle"]
    ranked_by = evaluate.models[-1]
    files = frame.set_index("id")
    examples = []
    for choice in choose_examples(rows, model=ranked_by, per_benchmark=report.figure_rows):
        example = build_example(
            choice, rows,
            image=read_image(Path(str(files.at[choice.image_id, "image"]))),
            truth=read_mask(Path(str(files.at[choice.image_id, "mask"]))) > 128,
            predicted={
                model: read_prediction(
                    predictions / f"{model}-{choice.benchmark}.npz", choice.image_id
                )
                for model in shown
            },
        )  # fmt: skip
        examples.append(example)
    caption = f"{words}\n{choice_caption(model=ranked_by, per_benchmark=report.figure_rows)}"
    title = "One box prompt each, and what the models make of it"
    comparison_figure(examples, out / "figure1.png", title=title, caption=caption)


if __name__ == "__main__":
    run(report)
