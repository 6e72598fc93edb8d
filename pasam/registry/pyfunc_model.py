"""The file that MLflow runs to get the served model: a thin shell round the predictor."""

from __future__ import annotations

import base64
import contextlib
import os
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from pasam.errors import DataError, PasamError
from pasam.inference.image_prompt import read_prompts, read_request_image
from pasam.inference.mask_record import mlflow_answer
from pasam.registry.upkeep.stored_files import BASE, METADATA, put_base_in
from pasam.registry.version_files import open_files

IMAGE_FOLDER = "PASAM_IMAGE_FOLDER"
"""Environment variable of `mlflow models serve`, which has no options for a model's own."""
MOST_BYTES = 256_000_000
"""Bytes of an image file that a request names."""
MOST_PROMPTS = 1024
"""Prompts of one image that are answered at once."""


class ServedModel(PythonModel):
    """Answer rows of image and prompts with JSON; see `docs/operations.md` for both."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights, and see that they answer."""
        folder = Path(context.artifacts[METADATA]).parent
        if not (folder / BASE).exists():  # a client of no known store would make one right here
            put_base_in(mlflow.MlflowClient(), folder.parent)
        self.predictor = open_files(folder)
        self.predictor.try_out()
        images = os.environ.get(IMAGE_FOLDER)
        self.folder = Path(images) if images else None

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Answer every row; an invalid one is the whole request's 400."""
        try:
            rows = model_input.to_dict("records")
            return pd.DataFrame({"result": [self._answer(row, params or {}) for row in rows]})
        except PasamError as error:
            raise MlflowException(str(error), INVALID_PARAMETER_VALUE) from None

    def _answer(self, row: dict[Any, Any], params: dict[str, Any]) -> str:
        content, path = _text(row.get("image")), _text(row.get("path"))
        if path and not content:
            content, path = base64.b64encode(read_below(self.folder, path)).decode(), None
        pixels = read_request_image(content, path)
        given = read_prompts(row["prompts"], most=MOST_PROMPTS)
        prompts = [prompt.clipped(*pixels.shape[:2]) for prompt in given]
        image = self.predictor.embed(pixels)
        uncertainty = bool(params.get("uncertainty", False))
        found = self.predictor.predict_many(
            [(image, prompt) for prompt in prompts],
            multimask_output=bool(params.get("multimask", False)),
            return_details=uncertainty,
        )
        return mlflow_answer(found, form=str(params.get("format", "rle")), uncertainty=uncertainty)


def read_below(folder: Path | None, path: str) -> bytes:
    """Read a regular file in a folder.

    Args:
        folder: Only what lies below it, links followed, may be named; without it, nothing.
        path: Where it is, in the folder.

    Raises:
        DataError: Paths are off, or there is no such file; what is the matter with one that must
            not be read is not told, for the server's files are not its clients'.
    """
    if folder is None:
        raise DataError(
            "'path' is off on this server: send the image itself, or have the server started with "
            f"{IMAGE_FOLDER} set to the folder of its images."
        )
    with contextlib.suppress(OSError, ValueError):
        found = (folder / path).resolve()
        inside = found.is_relative_to(folder.resolve()) and found.is_file()
        if inside and found.stat().st_size <= MOST_BYTES:
            return found.read_bytes()
    raise DataError("'path' names no file that the server can read.")


def _text(value: Any) -> str | None:
    """Take a cell of a data frame; absent ones are None or nan."""
    return value if isinstance(value, str) else None


mlflow.models.set_model(ServedModel())
