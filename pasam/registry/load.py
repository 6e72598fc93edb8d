"""From whatever a person calls a model to a predictor: champion, run, entry, or file."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from pasam.inference import load
from pasam.inference.placement import Resize
from pasam.inference.predictor import PromptAdapterPredictor
from pasam.params_file import DEFAULT_PATH
from pasam.registry.resolve import registered_files


def load_predictor(
    name: str,
    *,
    params_file: Path = DEFAULT_PATH,
    adapters: Path | None = None,
    base: Path | None = None,
    device: str = "cpu",
    resize: Resize = "longest",
) -> PromptAdapterPredictor:
    """Open a model by any of its names, in a project's root.

    The registry is only opened for names that nobody else knows.

    Args:
        name: A registry alias (`champion`, `candidate`, `previous`) or a version's number; a run
            as `runs:/ID`; `sam`, or an entry of `models` in the params file; or a file of weights,
            ours or a reference's.
        params_file: Says which base there is and how an entry of `models` is built.
        adapters: Folder of trained adapters, `<entry>.safetensors` each; entries need it.
        base: Another checkpoint of the frozen SAM than the params file's.
        device: `cpu`, `cuda`, `cuda:1`, ..., or `auto`.
        resize: `longest` keeps the aspect as SAM does; `squash` is what the tables use.

    Raises:
        ParamsError: Nobody knows the name, or there is no such device.
        CheckpointError: Weights are missing or do not fit.
        RegistryError: There is no such version or run, or its files are gone.
    """
    with tempfile.TemporaryDirectory() as folder:
        return load.load_predictor(
            name,
            params_file=params_file,
            adapters=adapters,
            base=base,
            resolve=partial(registered_files, project=Path(), folder=Path(folder)),
            device=device,
            resize=resize,
        )
