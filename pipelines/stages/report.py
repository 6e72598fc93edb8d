"""DVC stage `report`: the page, tables, figures and cards, from the score files."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pasam.config.schema import (
    AblationsParams,
    BaseParams,
    DataParams,
    EvaluateParams,
    ModelsParams,
    RepeatsParams,
    ReportParams,
    TrainParams,
)
from pasam.data.manifest import read_manifest
from pasam.evaluation.diagnostics import read_diagnostics
from pasam.evaluation.instances import read_instances, read_precisions
from pasam.evaluation.published import published_for, published_instances, repeats_protocol
from pasam.evaluation.scores import clean_box_rows, read_scores
from pasam.files import file_md5
from pasam.reporting.publish import publish
from pasam.reporting.results import (
    AblationResults,
    PublishedNumbers,
    Results,
    RunFiles,
    RunParams,
    describe_run,
    read_history,
)
from pipelines.stage_runner import run


def report(
    base: BaseParams, data: DataParams, train: TrainParams,
    models: ModelsParams, ablations: AblationsParams, repeats: RepeatsParams,
    evaluate: EvaluateParams, report: ReportParams, manifest: Path, scores: Path,
    adapters: Path, predictions: Path, diagnostics: Path, instances: Path, variants: Path,
    cost: Path, histories: Path, repeated: Path, development: Path, out: Path,
) -> None:  # fmt: skip
    """Write everything that people look at into one folder."""
    frame = read_manifest(manifest)
    used = frame[(frame["split"] == "train") | frame["dataset"].isin(evaluate.benchmarks)]
    measured = (*evaluate.baselines, *evaluate.models)
    scored = [*_of_each(scores, measured), scores / "robustness.parquet"]
    again = [repeated / f"{model}.parquet" for model in repeats.models]
    named = [variants / name for name in ablations]
    inside = [
        *_of_each(diagnostics, evaluate.models),
        *(path.with_name(f"{path.name}-diagnostics.parquet") for path in named),
    ]
    chosen_on = read_scores(development) if evaluate.development else None
    results = Results(
        setting=describe_run(used, base, data, seeds=[train.seed, *repeats.seeds]),
        params=RunParams(
            base=base, data=data, train=train, evaluate=evaluate, report=report,
            variants={model: models[model] for model in evaluate.models},
        ),
        images=RunFiles(frame.set_index("id"), predictions),
        manifest=used,
        scores=clean_box_rows(read_scores(*scored, *again)),
        conditions=read_scores(*scored),
        histories={m: read_history(histories / f"{m}.jsonl") for m in evaluate.models},
        published=PublishedNumbers(
            scores=published_for(evaluate.benchmarks),
            comparable=repeats_protocol(base.size, evaluate.benchmarks),
            precisions=published_instances(),
        ),
        costs={m: _json(cost / f"{m}.json") for m in measured},
        ablations=_ablations(named, ablations) if named else None,
        development=chosen_on,
        diagnostics=read_diagnostics(*inside),
        precisions=read_precisions(instances / "average_precision.parquet"),
        instances=read_instances(instances / "instances.parquet"),
        manifest_md5=file_md5(manifest),
        weights_md5={m: file_md5(adapters / f"{m}.safetensors") for m in evaluate.models},
    )  # fmt: skip
    publish(results, out)
    sys.stdout.write(f"{out / 'index.html'} is the page; `pasam report show` prints Table 1.\n")


def _of_each(folder: Path, models: Iterable[str]) -> list[Path]:
    """Name the files of this run; a folder may hold those of another size of it, too."""
    return [folder / f"{model}.parquet" for model in models]


def _ablations(named: Sequence[Path], ablations: AblationsParams) -> AblationResults:
    return AblationResults(
        scores=read_scores(*(path.with_name(f"{path.name}.parquet") for path in named)),
        changes=ablations,
        facts={path.name: _json(path.with_name(f"{path.name}.json")) for path in named},
    )


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text("utf-8")))


if __name__ == "__main__":
    run(report)
