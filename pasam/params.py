"""`params.yaml` as frozen dataclasses, one per section; unknown or missing keys are errors.

No dataclass has a default: every value stands in `params.yaml` and nowhere else.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from pasam.errors import ParamsError

T = TypeVar("T")

DEFAULT_PATH = Path("params.yaml")


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratedParams:
    """How much generated data there is."""

    train_images: int
    """Images in the mixed training set; 0 leaves it out."""
    benchmark_images: int
    """Images in each of the four generated benchmarks; 0 leaves them out."""
    side: int
    """Height and width of a training image in pixels; benchmarks vary round it."""
    seed: int
    """Seed of every generated image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataParams:
    """Where images and masks come from."""

    generated: GeneratedParams
    own: str
    """Folder of one's own images and masks (see `data/own/README.md`); may be empty."""
    workers: int
    """Processes that draw and check images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseParams:
    """Which SAM the adapters are put into."""

    size: Literal["vit_tiny", "vit_b", "vit_l", "vit_h"]
    checkpoint: str
    """SAM's weights: our safetensors or an official `.pth` file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainParams:
    """How `vit_tiny`, the small base, is trained on coarsened masks."""

    seed: int
    generated_images: int
    """Generated images that are drawn for this stage besides the manifest's training split."""
    initial: str | None
    """Weights to start from, or null to start from scratch."""
    steps: int
    batch_size: int
    """Images per step."""
    prompts_per_image: int
    """Objects per image and step."""
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    average_decay: float
    """Decay of the moving average of the weights, in [0, 1)."""
    coarseness: float
    """Radius of the mask coarsening as a share of the image's side."""
    detail_weight: float
    """Weight of the detail head, which makes the features keep what coarse masks forget."""
    jitter: tuple[float, float]
    """Range of the large-scale jitter."""
    precision: str
    """Fabric precision, e.g. `32-true` or `bf16-mixed`."""
    checkpoint_every: int
    """Steps between two resumable checkpoints."""

    def __post_init__(self) -> None:
        _require(self.steps > 0, "pretrain.steps", self.steps, "1 or more")
        _require(
            self.warmup_steps < self.steps,
            "pretrain.warmup_steps",
            self.warmup_steps,
            f"fewer than pretrain.steps ({self.steps})",
        )
        _require_jitter("pretrain.jitter", self.jitter)


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbedParams:
    """How the frozen encoder's outputs are computed ahead of training."""

    views: int
    """Augmented views per training image; 0 encodes on the fly instead."""
    jitter: tuple[float, float]
    """Range of the large-scale jitter (the reference: 0.1 to 2.0)."""
    seed: int
    batch_size: int

    def __post_init__(self) -> None:
        _require(self.views >= 0, "embed.views", self.views, "0 or more")
        _require_jitter("embed.jitter", self.jitter)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainParams:
    """What all trained models share."""

    seed: int
    batch_size: int
    """Masks per optimiser step and process."""
    learning_rate: float
    accelerator: Literal["auto", "cpu", "gpu"]
    devices: int
    """Processes; more than one trains with DDP."""
    precision: str
    """Fabric precision, e.g. `32-true` (the reference) or `bf16-mixed`."""
    workers: int
    """Data-loading processes per training process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HqSamParams:
    """HQ-SAM, the baseline that refines by an extra token and early features."""

    decoder: Literal["hq_sam"]
    epochs: int
    lr_drop_every: int
    """Epochs after which the learning rate falls tenfold, again and again."""
    prompts: Literal["effective", "intended", "thirds"]
    """Prompt mix: what PA-SAM's code does, what it means to do, or HQ-SAM's equal thirds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PaSamParams:
    """PA-SAM: the prompt adapter, with each choice of the method by name."""

    decoder: Literal["pa_sam"]
    epochs: int
    lr_drop_every: int
    """Epochs after which the learning rate falls tenfold, again and again."""
    prompts: Literal["effective", "intended", "thirds"]
    """Prompt mix: what PA-SAM's code does, what it means to do, or HQ-SAM's equal thirds."""
    gradient: Literal["reference", "image"]
    """Canny of the normalised image cast to uint8 (as the reference), or of the image itself."""
    mining_points: int
    """Hard points of each sign."""
    mining_from_epoch: int
    """First epoch (from 0) that mines in training; prediction always mines."""


VariantParams = HqSamParams | PaSamParams


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateParams:
    """What is measured."""

    models: tuple[str, ...]
    """Trained models, by their key in `models`."""
    baselines: tuple[str, ...]
    """Rows without training: `sam`, and `oracle` (ground truth at mask resolution)."""
    benchmarks: tuple[str, ...]
    """Data sets of the manifest's `val` split."""
    batch_size: int
    """Prompts per decoder call; has no influence on the results."""
    boundary_share: float
    """Width of the boundary band as a share of the image diagonal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportParams:
    """How results are summarised."""

    draws: int
    """Bootstrap draws."""
    confidence: float
    """Level of the intervals, in (0, 1)."""
    seed: int
    figure_rows: int
    """Images per benchmark in the figure."""


def read_params(path: Path = DEFAULT_PATH) -> dict[str, Any]:
    """Read a params file as plain data.

    Raises:
        ParamsError: The file is missing, is not YAML, or holds no mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(
            f"{path} does not exist. Run from the project's root, or put a size in place with "
            "`pasam params use NAME`."
        ) from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{path} holds {type(content).__name__}, expected a mapping of sections.")
    return content


def load_section(cls: type[T], name: str, path: Path = DEFAULT_PATH) -> T:
    """Load one section of a params file into its dataclass.

    Args:
        cls: Dataclass of the section.
        name: Key of the section, dots for nesting (`models.pa_sam`).
        path: The params file.

    Raises:
        ParamsError: The section is missing, or a key is missing, unknown or of the wrong type.
    """
    node: Any = read_params(path)
    for part in name.split("."):
        if not isinstance(node, dict) or part not in node:
            known = sorted(node) if isinstance(node, dict) else []
            raise ParamsError(f"{path} lacks section '{name}'; '{part}' is not among {known}.")
        node = node[part]
    return typing.cast(T, _build(cls, node, name, path))


def load_variant(model: str, path: Path = DEFAULT_PATH) -> VariantParams:
    """Load the entry of `models` that describes one trained model.

    Raises:
        ParamsError: There is no such model, or its `decoder` is neither hq_sam nor pa_sam.
    """
    entry = read_params(path).get("models", {}).get(model)
    if not isinstance(entry, dict):
        known = sorted(read_params(path).get("models", {}))
        raise ParamsError(f"{path}: models has no '{model}'. Known models: {known}.")
    kinds: dict[str, type[VariantParams]] = {"hq_sam": HqSamParams, "pa_sam": PaSamParams}
    decoder = entry.get("decoder")
    if decoder not in kinds:
        raise ParamsError(
            f"{path}: models.{model}.decoder is {decoder!r}, expected one of {sorted(kinds)}."
        )
    return load_section(kinds[decoder], f"models.{model}", path)


def _build(cls: type[Any], node: Any, name: str, path: Path) -> Any:
    if not isinstance(node, dict):
        raise ParamsError(f"{path}: section '{name}' is {node!r}, expected a mapping.")
    wanted = [field.name for field in dataclasses.fields(cls)]
    missing = [key for key in wanted if key not in node]
    unknown = [str(key) for key in node if key not in wanted]
    if missing or unknown:
        raise ParamsError(
            f"{path}: section '{name}' lacks {missing} and has unknown {unknown}. "
            f"It must have exactly {wanted}."
        )
    hints = typing.get_type_hints(cls)
    values = {key: _convert(hints[key], node[key], f"{name}.{key}", path) for key in wanted}
    return cls(**values)


def _convert(hint: Any, value: Any, name: str, path: Path) -> Any:
    """Check `value` against the type `hint`; a whole number may stand for a float."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type[Any], hint), value, name, path)
    if origin is Literal:
        if value in args:
            return value
        raise ParamsError(f"{path}: {name} is {value!r}, expected one of {list(args)}.")
    if origin is types.UnionType:
        if value is None and types.NoneType in args:
            return None
        return _convert(next(a for a in args if a is not types.NoneType), value, name, path)
    if origin is tuple:
        if not isinstance(value, list) or (Ellipsis not in args and len(value) != len(args)):
            size = "" if Ellipsis in args else f" of {len(args)}"
            raise ParamsError(f"{path}: {name} is {value!r}, expected a list{size}.")
        kinds = [args[0]] * len(value) if Ellipsis in args else list(args)
        return tuple(
            _convert(kind, item, f"{name}[{i}]", path)
            for i, (kind, item) in enumerate(zip(kinds, value, strict=True))
        )
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ParamsError(f"{path}: {name} is {value!r}, expected {hint.__name__}.")
    return value


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise ParamsError(f"{name} is {value!r}, expected {expected}.")


def _require_jitter(name: str, jitter: tuple[float, float]) -> None:
    _require(0 < jitter[0] <= jitter[1], name, list(jitter), "two scales, 0 < low <= high")
