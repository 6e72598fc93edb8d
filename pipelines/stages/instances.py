"""DVC stage `instances`: all models on instance segmentation from detectors' boxes."""

from pathlib import Path

from pasam.benchmark_params import InstancesParams
from pasam.benchmarks.instance_precision import average_precisions
from pasam.benchmarks.instance_rows import read_instances, write_instances, write_precisions
from pasam.benchmarks.instances import instance_sets, segment_instances
from pasam.benchmarks.lineup import load_lineup
from pasam.benchmarks.predict import device_of
from pasam.params import BaseParams, EvaluateParams, ModelsParams
from pipelines.stage_runner import run


def instances(
    base: BaseParams, evaluate: EvaluateParams, instances: InstancesParams, models: ModelsParams,
    seed: int, adapters: Path, rows: Path, precision: Path,
) -> None:  # fmt: skip
    """Write one row per detection and model, and the average precisions."""
    sets = instance_sets(instances)  # wrong detections are refused before a model is loaded
    lineup = load_lineup(
        base, models, evaluate.models, adapters=adapters, seed=seed,
        device=device_of(evaluate.accelerator),
    )  # fmt: skip
    share = evaluate.boundary_share
    found = [
        row
        for data in sets
        for row in segment_instances(
            lineup,
            data,
            resize=instances.resize,
            batch_size=evaluate.batch_size,
            boundary_share=share,
        )
    ]
    write_instances(found, rows)
    precisions = average_precisions(read_instances(rows), sets, boundary_share=share)
    write_precisions(precisions, precision)


if __name__ == "__main__":
    run(instances)
