"""Look at everything that a run of one size needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pasam.catalogue.catalogue_file import read_catalogue
from pasam.doctor import estimate, inputs, machine, project
from pasam.doctor.check import Check, gigabytes
from pasam.doctor.inputs import Content, Places
from pasam.params import BaseParams, DataParams, EmbedParams, EvaluateParams, TrainParams
from pasam.params_file import load_section
from pasam.sizes import validate


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """All that was found for one params file."""

    params_file: str
    checks: tuple[Check, ...]

    @property
    def is_ready(self) -> bool:
        """Whether nothing is missing."""
        return all(check.state != "missing" for check in self.checks)

    @property
    def remedies(self) -> tuple[str, ...]:
        """What to do about what is missing, each once."""
        wanted = [check.remedy for check in self.checks if check.state == "missing"]
        return tuple(dict.fromkeys(remedy for remedy in wanted if remedy))


def examine(
    params_file: Path, *, root: Path, places: Places, embeddings: Path, lock: Path
) -> Diagnosis:
    """Look at the machine, the project and the data; changes nothing and downloads nothing.

    Args:
        params_file: The size in question.
        root: The project's folder.
        places: Where data sets lie.
        embeddings: Folder of the packed embeddings, which need room unless they are there.
        lock: The packages' lock.

    Raises:
        ParamsError: The params file is not valid.
    """
    validate(params_file)
    data = load_section(DataParams, "data", params_file)
    base = load_section(BaseParams, "base", params_file)
    embed = load_section(EmbedParams, "embed", params_file)
    train = load_section(TrainParams, "train", params_file)
    evaluate = load_section(EvaluateParams, "evaluate", params_file)
    content = inputs.check_data(data, places)
    weights = inputs.check_base(base, places)
    needed, parts = _disk(data, base, embed, content, weights, is_packed=embeddings.is_dir())
    memory = estimate.training_memory(base.size, train, embed)
    return Diagnosis(
        params_file=str(params_file),
        checks=(
            machine.check_python(),
            machine.check_packages(lock),
            machine.check_gpu(base.size, train, embed, memory),
            machine.check_disk(root, needed, parts),
            project.check_git(root),
            *project.check_dvc(root),
            weights,
            *content.checks,
            *inputs.check_purpose(evaluate, content),
        ),
    )


def _disk(
    data: DataParams,
    base: BaseParams,
    embed: EmbedParams,
    content: Content,
    weights: Check,
    *,
    is_packed: bool,
) -> tuple[int, str]:
    """Sum up what is still to be written, and say of what."""
    parts = {
        "downloads": content.download + (weights.size or 0),
        "extracted": content.download,  # pictures are packed already: about the same again
    }
    if not is_packed:
        benchmarks = len(read_catalogue().of_role("generated")) - 1
        train_images, train_masks = content.count("train")
        images, masks = content.count("val")
        stores = estimate.store_bytes(
            base.size, images=train_images, masks=train_masks, views=embed.views
        ) + estimate.store_bytes(base.size, images=images, masks=masks, views=1)
        pictures = estimate.generated_bytes(data.generated, benchmarks)
        # DVC keeps a copy of every output in its cache.
        parts |= {"embeddings": stores, "generated": pictures, "DVC's cache": stores + pictures}
    shown = [f"{name} {gigabytes(size)}" for name, size in parts.items() if size]
    return sum(parts.values()), ", ".join(shown) or "all is there"
