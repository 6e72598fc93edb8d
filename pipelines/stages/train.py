"""DVC stage `train`: fit one model's adapter on the frozen base."""

from pathlib import Path

from pasam.config.schema import (
    BaseParams,
    CompanionsParams,
    EmbedParams,
    TrainParams,
    VariantParams,
)
from pasam.models.adapter_weights import reload_parity, write_adapter
from pasam.registry.live_curves import live_curves
from pasam.training.fit import train_variant
from pasam.validation.verdict import require_passed
from pipelines.stage_runner import run


def train(
    base: BaseParams, embed: EmbedParams, train: TrainParams, variant: VariantParams,
    companions: CompanionsParams, model: str, manifest: Path, verdict: Path, store: Path,
    resume: Path, weights: Path, history: Path,
) -> None:  # fmt: skip
    """Write the trained tensors of one model and the history of its training."""
    require_passed(verdict, manifest)
    with live_curves(f"train@{model}") as curves:
        trained = train_variant(
            base, embed, train, variant, name=model, manifest=manifest, store=store,
            resume=resume, history=history, echo=curves.append, companions=companions,
        )  # fmt: skip
    if trained.writes:
        segmenter = trained.segmenter
        write_adapter(
            weights, segmenter.decoder, variant=variant, base=trained.base,
            trained_on=trained.trained_on,
        )  # fmt: skip
        reload_parity(segmenter, variant, weights, base=trained.base)
        trained.checkpointer.clear(note=bool(companions))


if __name__ == "__main__":
    run(train, devices="train")
