"""How many numbers a file of trained weights holds, read from its header alone."""

from __future__ import annotations

import math
from pathlib import Path

from safetensors import SafetensorError, safe_open

from pasam.errors import CheckpointError


def trained_numbers(path: Path) -> int:
    """Count the numbers of all tensors in a `.safetensors` file.

    Raises:
        CheckpointError: The file is missing or is no such file.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            names = file.keys()  # noqa: SIM118 (the file itself cannot be walked)
            return sum(math.prod(file.get_slice(name).get_shape()) for name in names)
    except (FileNotFoundError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} cannot be read as trained weights ({error}); run `dvc repro train`."
        ) from None
