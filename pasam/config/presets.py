"""The sizes of a whole run (smoke, default, paper) and how one becomes `params.yaml`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from pasam.config.params_file import DEFAULT_PATH, load_section, load_variant, mapping, read_params
from pasam.config.schema import (
    BaseParams,
    DataParams,
    EmbedParams,
    EvaluateParams,
    GateParams,
    InstancesParams,
    PretrainParams,
    RepeatsParams,
    ReportParams,
    RobustnessParams,
    TrainParams,
    ValidateParams,
)
from pasam.errors import ParamsError
from pasam.files import write_text

FOLDER = Path("params")

SECTIONS: dict[str, type] = {
    "data": DataParams,
    "validate": ValidateParams,
    "base": BaseParams,
    "pretrain": PretrainParams,
    "embed": EmbedParams,
    "train": TrainParams,
    "repeats": RepeatsParams,
    "evaluate": EvaluateParams,
    "instances": InstancesParams,
    "robustness": RobustnessParams,
    "report": ReportParams,
    "gate": GateParams,
}
"""Dataclass of every section but `VARIANTS`, whose entries are told apart by their decoder."""

VARIANTS = ("models", "ablations")


def known_sizes(folder: Path = FOLDER) -> list[str]:
    """Name the sizes that a folder offers, sorted."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def validate(path: Path = DEFAULT_PATH) -> None:
    """Read every section of a params file, and check what two sections must agree on.

    Raises:
        ParamsError: A section or key is missing, unknown or impossible, or `evaluate.models`
            names a model that `models` lacks, or `gate.model` or `repeats.models` one that is
            not evaluated, or `repeats.seeds` has the seed that all are trained with anyway.
    """
    content = read_params(path)
    unknown = sorted(str(key) for key in content if key not in {*SECTIONS, *VARIANTS})
    if unknown:
        raise ParamsError(
            f"{path} has unknown sections {unknown}. It must have exactly {[*SECTIONS, *VARIANTS]}."
        )
    for name, section in SECTIONS.items():
        load_section(section, name, path)
    models = content.get("models")
    if not isinstance(models, dict) or not models:
        raise ParamsError(
            f"{path}: models is {models!r}, expected a mapping with one model or more."
        )
    for model in (*models, *mapping(content, "ablations", path)):
        load_variant(model, path)
    evaluated = load_section(EvaluateParams, "evaluate", path).models
    strangers = sorted(set(evaluated) - set(models))
    if strangers:
        raise ParamsError(
            f"{path}: evaluate.models names {strangers}, but models has only {sorted(models)}."
        )
    _validate_repeats(path, evaluated)
    gated = load_section(GateParams, "gate", path).model
    if gated not in evaluated:
        raise ParamsError(
            f"{path}: gate.model is '{gated}', expected one that is evaluated: {list(evaluated)}."
        )


def _validate_repeats(path: Path, evaluated: Sequence[str]) -> None:
    repeats = load_section(RepeatsParams, "repeats", path)
    strangers = sorted(set(repeats.models) - set(evaluated))
    if strangers:
        raise ParamsError(
            f"{path}: repeats.models names {strangers}, but only {list(evaluated)} are evaluated."
        )
    seed = load_section(TrainParams, "train", path).seed
    if seed in repeats.seeds:
        raise ParamsError(
            f"{path}: repeats.seeds is {list(repeats.seeds)}, expected others than train.seed, "
            f"{seed}."
        )


def use_size(name: str, *, folder: Path = FOLDER, target: Path = DEFAULT_PATH) -> list[str]:
    """Put a size in place as the params file; nothing is written unless it is valid.

    Args:
        name: One of `known_sizes(folder)`.
        folder: Where the sizes lie.
        target: The params file to replace. It need not exist.

    Returns:
        Lines of the unified diff from the old content to the new one; empty if nothing changed.

    Raises:
        ParamsError: There is no such size, or its file is not valid.
    """
    if name not in known_sizes(folder):
        raise ParamsError(
            f"there is no size '{name}' in {folder}/. Known sizes: {known_sizes(folder)}."
        )
    source = folder / f"{name}.yaml"
    validate(source)
    new = source.read_text(encoding="utf-8")
    old = target.read_text(encoding="utf-8") if target.exists() else ""
    if new != old:
        write_text(target, new)
    return list(
        difflib.unified_diff(
            old.splitlines(), new.splitlines(), str(target), str(source), lineterm=""
        )
    )
