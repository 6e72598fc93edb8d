"""A version's files: weights as safetensors, words as JSON, and MLflow's folder round them."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pasam.errors import CheckpointError, ParamsError
from pasam.inference.load import open_model
from pasam.inference.model_files import ModelFiles
from pasam.inference.predictor import PromptAdapterPredictor
from pasam.modeling.checkpoint import file_digest, read_metadata, read_weights, write_weights
from pasam.params_file import build_variant
from pasam.registry.candidate import Candidate, description
from pasam.registry.mlflow_pyfunc import quiet_pyfunc

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

ADAPTER, BASE, WORDS = "adapter.safetensors", "base.safetensors", "model.json"
ENTRY = "pyfunc_model.py"
"""File of this folder that MLflow runs to get the model: no pickle is involved."""

PACKAGES = (
    "mlflow", "torch", "torchvision", "segment-anything", "safetensors", "numpy", "pandas",
    "opencv-python-headless", "pillow", "pyarrow", "pycocotools", "pyyaml", "rich",
    "scikit-image", "filelock",
)  # fmt: skip
"""What a server of the model has to have installed, at the versions it was registered with."""


def write_files(folder: Path, candidate: Candidate) -> dict[str, str]:
    """Write a candidate's weights and words; equal candidates give equal bytes.

    SAM's official checkpoints are pickles: such a base is written as safetensors, and the adapter
    then names the new file as its base.

    Returns:
        Path of each file by the name that `open_files` expects.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(candidate.adapter, folder / ADAPTER)
    if candidate.base.suffix == ".safetensors":
        shutil.copyfile(candidate.base, folder / BASE)
    else:
        words = {"sha256": candidate.lineage["base.sha256"]}
        write_weights(folder / BASE, read_weights(candidate.base), metadata=words)
        about = {**read_metadata(candidate.adapter), "base": file_digest(folder / BASE)}
        write_weights(folder / ADAPTER, read_weights(candidate.adapter), metadata=about)
    (folder / WORDS).write_text(description(candidate), encoding="utf-8")
    return {name: str(folder / name) for name in (ADAPTER, BASE, WORDS)}


def describe_files(adapter: Path, base: Path, words: Path) -> ModelFiles:
    """Say how a version's model is opened, as `pasam.inference.load` wants to know it.

    Raises:
        CheckpointError: The words do not describe a model.
    """
    try:
        about = json.loads(words.read_text(encoding="utf-8"))
        name, size = str(about["model"]), str(about["size"])
        variant = build_variant(about["variant"], name="variant", path=words)
    except (OSError, KeyError, TypeError, json.JSONDecodeError, ParamsError) as error:
        raise CheckpointError(
            f"{words} does not describe a model ({type(error).__name__}: {error}). Download the "
            "version again, or register the model again."
        ) from None
    return ModelFiles(
        name=name, base=base, size=size, kind="adapter", weights=adapter, variant=variant
    )


def open_files(adapter: Path, base: Path, words: Path) -> PromptAdapterPredictor:
    """Open a version's model.

    Raises:
        CheckpointError: The files do not belong together, or are damaged.
    """
    return open_model(describe_files(adapter, base, words))


def save_model(path: Path, candidate: Candidate, *, model_id: str) -> None:
    """Write the folder that MLflow loads and serves.

    The package's own code travels with it, so that a server needs nothing of the project.

    Args:
        path: The folder; it must not exist.
        candidate: The model.
        model_id: Id of MLflow's logged model.
    """
    from mlflow.models import Model

    here = Path(__file__).resolve().parent
    with tempfile.TemporaryDirectory() as folder, quiet_pyfunc() as pyfunc:
        files = write_files(Path(folder) / "files", candidate)
        code = Path(folder) / "code" / "pasam"
        shutil.copytree(here.parent, code, ignore=shutil.ignore_patterns("__pycache__"))
        pyfunc.save_model(
            path,
            python_model=str(here / ENTRY),
            artifacts=files,
            code_paths=[str(code)],
            signature=signature(),
            pip_requirements=_requirements(),
            mlflow_model=Model(model_id=model_id),
            metadata={"weights": candidate.weights},
        )


def signature() -> ModelSignature:
    """What a request holds and what an answer holds; see `docs/operations.md`."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    text = DataType.string
    return ModelSignature(
        inputs=Schema(
            [
                ColSpec(text, "image", required=False),
                ColSpec(text, "path", required=False),
                ColSpec(text, "prompts"),
            ]
        ),
        outputs=Schema([ColSpec(text, "result")]),
        params=ParamSchema(
            [
                ParamSpec("format", text, "rle"),
                ParamSpec("uncertainty", DataType.boolean, False),
                ParamSpec("multimask", DataType.boolean, False),
            ]
        ),
    )


def _requirements() -> list[str]:
    from importlib.metadata import version

    return [f"{name}=={version(name).partition('+')[0]}" for name in PACKAGES]
