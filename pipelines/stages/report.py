"""DVC stage `report`: the page, tables, figures and cards, from the score files."""

from pathlib import Path

from pasam.benchmarks.predictions import read_prediction
from pasam.benchmarks.published import published_for, repeats_protocol
from pasam.benchmarks.scores import clean_box_rows, read_scores
from pasam.data.images import FOREGROUND, read_image, read_mask
from pasam.data.manifest import read_manifest
from pasam.params import (
    BaseParams,
    DataParams,
    EvaluateParams,
    ModelsParams,
    ReportParams,
    TrainParams,
)
from pasam.reporting.charts import read_history
from pasam.reporting.publish import publish
from pasam.reporting.results import Results
from pasam.reporting.setting import setting
from pasam.reporting.trained_numbers import trained_numbers
from pipelines.stage_runner import run


def report(
    base: BaseParams, data: DataParams, train: TrainParams, models: ModelsParams,
    evaluate: EvaluateParams, report: ReportParams, manifest: Path, scores: Path,
    predictions: Path, adapters: Path, histories: Path, out: Path,
) -> None:  # fmt: skip
    """Write everything that people look at into one folder."""
    frame = read_manifest(manifest)
    used = frame[(frame["split"] == "train") | frame["dataset"].isin(evaluate.benchmarks)]
    files = frame.set_index("id")
    rows = read_scores(*sorted(scores.glob("*.parquet")))
    results = Results(
        setting=setting(used, base, data, seed=train.seed),
        base=base, data=data, train=train, evaluate=evaluate, report=report,
        variants={model: models[model] for model in evaluate.models},
        manifest=used,
        scores=clean_box_rows(rows),
        conditions=rows,
        histories={m: read_history(histories / f"{m}.jsonl") for m in evaluate.models},
        published=published_for(evaluate.benchmarks),
        comparable=repeats_protocol(base.size, evaluate.benchmarks),
        read_image=lambda name: read_image(Path(str(files.at[name, "image"]))),
        read_truth=lambda name: read_mask(Path(str(files.at[name, "mask"]))) > FOREGROUND,
        read_predicted=lambda model, benchmark, name: read_prediction(
            predictions / f"{model}-{benchmark}.npz", name
        ),
        parameters={m: trained_numbers(adapters / f"{m}.safetensors") for m in evaluate.models},
    )  # fmt: skip
    publish(results, out)


if __name__ == "__main__":
    run(report)
