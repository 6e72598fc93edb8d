"""DVC stage `report`: the page, tables, figures and cards, from the score files."""

import json
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from pasam.config.schema import (
    AblationsParams,
    BaseParams,
    DataParams,
    EvaluateParams,
    ModelsParams,
    PretrainParams,
    RepeatsParams,
    ReportParams,
    TrainParams,
)
from pasam.data.manifest import read_manifest
from pasam.evaluation.diagnostics import read_diagnostics
from pasam.evaluation.instances import read_instances, read_precisions
from pasam.evaluation.protocol import read_prediction
from pasam.evaluation.published import published_for, published_instances, repeats_protocol
from pasam.evaluation.scores import clean_box_rows, read_scores
from pasam.masks.images import FOREGROUND, read_image, read_mask
from pasam.reporting.figures import read_history
from pasam.reporting.publish import publish
from pasam.reporting.results import Results
from pasam.reporting.wording import setting
from pipelines.stage_runner import run


def report(
    base: BaseParams, data: DataParams, pretrain: PretrainParams, train: TrainParams,
    models: ModelsParams, ablations: AblationsParams, repeats: RepeatsParams,
    evaluate: EvaluateParams, report: ReportParams, manifest: Path, scores: Path,
    predictions: Path, diagnostics: Path, instances: Path, variants: Path, cost: Path,
    histories: Path, repeated: Path, out: Path,
) -> None:  # fmt: skip
    """Write everything that people look at into one folder."""
    frame = read_manifest(manifest)
    used = frame[(frame["split"] == "train") | frame["dataset"].isin(evaluate.benchmarks)]
    files = frame.set_index("id")
    measured = (*evaluate.baselines, *evaluate.models)
    scored = [*_of_each(scores, measured, evaluate.benchmarks), scores / "robustness.parquet"]
    again = [repeated / f"{model}.parquet" for model in repeats.models]
    results = Results(
        setting=setting(used, base, data, seeds=[train.seed, *repeats.seeds]),
        base=base, data=data, pretrain=pretrain, train=train, evaluate=evaluate, report=report,
        variants={model: models[model] for model in evaluate.models},
        manifest=used,
        scores=clean_box_rows(read_scores(*scored, *again)),
        conditions=read_scores(*scored),
        histories={m: read_history(histories / f"{m}.jsonl") for m in evaluate.models},
        published=published_for(evaluate.benchmarks),
        comparable=repeats_protocol(base.size, evaluate.benchmarks),
        published_instances=published_instances(),
        read_image=lambda name: read_image(Path(str(files.at[name, "image"]))),
        read_truth=lambda name: read_mask(Path(str(files.at[name, "mask"]))) > FOREGROUND,
        read_predicted=lambda model, benchmark, name: read_prediction(
            predictions / f"{model}-{benchmark}.npz", name
        ),
        costs={
            model: json.loads((cost / f"{model}-{evaluate.benchmarks[0]}.json").read_text("utf-8"))
            for model in measured
        },
        precisions=read_precisions(instances / "average_precision.parquet"),
        instances=read_instances(instances / "instances.parquet"),
        **_inside(_of_each(diagnostics, evaluate.models, evaluate.benchmarks), variants, ablations),
    )  # fmt: skip
    publish(results, out)


def _of_each(folder: Path, models: Iterable[str], benchmarks: Iterable[str]) -> list[Path]:
    """Name the files of this run; a folder may hold those of another size of it, too."""
    return [folder / f"{model}-{name}.parquet" for model, name in product(models, benchmarks)]


def _inside(
    diagnostics: Sequence[Path], variants: Path, ablations: AblationsParams
) -> dict[str, Any]:
    """Read what happened inside the models, and the ablations of this run if it has any."""
    named = [variants / name for name in ablations]
    theirs = [path.with_name(f"{path.name}-diagnostics.parquet") for path in named]
    return {
        "diagnostics": read_diagnostics(*diagnostics, *theirs),
        "ablations": read_scores(*(p.with_name(f"{p.name}.parquet") for p in named))
        if named
        else None,
        "ablation_params": ablations,
        "ablation_facts": {
            path.name: json.loads(path.with_name(f"{path.name}.json").read_text("utf-8"))
            for path in named
        },
    }


if __name__ == "__main__":
    run(report)
