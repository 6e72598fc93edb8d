"""DVC stage `embed`: run the frozen encoder once over every view and cache its embeddings."""

from pathlib import Path

from pasam.config.schema import BaseParams, DataParams, EmbedParams
from pasam.data.manifest import read_manifest
from pasam.models.base_sam import choose_device
from pasam.models.build import load_base
from pasam.training.embeddings import (
    benchmark_tasks,
    made_by,
    training_tasks,
    write_empty_store,
    write_store,
)
from pasam.validation.verdict import require_passed
from pasam.workers import ProcessGroup
from pipelines.stage_runner import run


def embed(
    data: DataParams, base: BaseParams, embed: EmbedParams,
    split: str, manifest: Path, verdict: Path, store: Path, group: ProcessGroup,
) -> None:  # fmt: skip
    """Write the store of one split: augmented views of `train`, squashed images of `val`."""
    frame = read_manifest(manifest)
    require_passed(verdict, manifest)
    tasks = (
        training_tasks(frame, views=embed.views, seed=embed.seed)
        if split == "train"
        else benchmark_tasks(frame)
    )
    origin = {**made_by(base), "split": split, **embed.model_dump(exclude={"devices"})}
    if split == "train" and embed.views == 0:
        if not group.rank:
            write_empty_store(store, origin)
        return
    ids = dict(zip(frame["mask"], frame["id"], strict=True))
    device = choose_device(embed.accelerator, key="embed.accelerator", local_rank=group.local_rank)
    frozen = load_base(base.size, Path(base.checkpoint), base.encoder_precision).to(device)
    write_store(
        store, tasks, ids, frozen, jitter=embed.jitter, batch_size=embed.batch_size,
        workers=group.workers(data.workers), origin=origin, group=group,
    )  # fmt: skip


if __name__ == "__main__":
    run(embed, devices="embed")
