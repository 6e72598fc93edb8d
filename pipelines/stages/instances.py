"""DVC stage `instances`: all models on instance segmentation from detectors' boxes."""

import sys
from pathlib import Path

from pasam.config.schema import BaseParams, EvaluateParams, InstancesParams, ModelsParams
from pasam.evaluation.instances import (
    average_precisions,
    instance_sets,
    read_instances,
    segment_instances,
    write_instances,
    write_precisions,
)
from pasam.evaluation.model_set import load_model_set
from pasam.models.base_sam import choose_device
from pasam.workers import ProcessGroup
from pipelines.stage_runner import run


def instances(
    base: BaseParams, evaluate: EvaluateParams, instances: InstancesParams, models: ModelsParams,
    seed: int, adapters: Path, rows: Path, precision: Path, group: ProcessGroup,
) -> None:  # fmt: skip
    """Write one row per detection and model, and the average precisions of what was measured."""
    sets, absent = instance_sets(instances)  # wrong ones are refused before a model is loaded
    for line in [] if group.rank else absent:
        sys.stderr.write(f"{line}\n")
    model_set = load_model_set(
        base, models, evaluate.models, adapters=adapters, seed=seed,
        device=choose_device(
            evaluate.accelerator, key="evaluate.accelerator", local_rank=group.local_rank
        ),
    )  # fmt: skip
    share = evaluate.boundary_fraction
    found = group.gather(
        [
            row
            for data in sets
            for row in segment_instances(
                model_set, data, resize=instances.resize, batch_size=evaluate.batch_size,
                boundary_fraction=share, group=group,
            )
        ]
    )  # fmt: skip
    if group.rank:
        return
    write_instances(found, rows)
    precisions = average_precisions(read_instances(rows), sets, boundary_fraction=share)
    write_precisions(precisions, precision)


if __name__ == "__main__":
    run(instances, devices="evaluate")
