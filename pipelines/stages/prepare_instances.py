"""DVC stage `prepare_instances`: draw the generated sets of many objects and their detections."""

from pathlib import Path

from pasam.config.schema import DataParams, InstancesParams
from pasam.data.instance_sets import draw_instance_sets
from pipelines.stage_runner import run


def prepare_instances(data: DataParams, instances: InstancesParams, out: Path) -> None:
    """Write images, annotations and simulated detections."""
    out.mkdir(parents=True, exist_ok=True)
    draw_instance_sets(
        instances.generated, out, seed=data.generated.seed, side=data.generated.side,
        workers=data.workers,
    )  # fmt: skip


if __name__ == "__main__":
    run(prepare_instances)
