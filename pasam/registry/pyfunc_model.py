"""The file that MLflow runs to get the served model: a thin shell round the predictor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from pasam.errors import PasamError
from pasam.inference.image_prompt import read_prompts, read_request_image
from pasam.inference.mask_record import mlflow_answer
from pasam.registry.version_files import METADATA, open_files

MOST_PROMPTS = 1024
"""Prompts of one image that are answered at once."""


class ServedModel(PythonModel):
    """Answer rows of image and prompts with JSON; see `docs/operations.md` for both."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights, and see that they answer."""
        self.predictor = open_files(Path(context.artifacts[METADATA]).parent)
        self.predictor.try_out()

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
        pixels = read_request_image(_text(row.get("image")), _text(row.get("path")))
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


def _text(value: Any) -> str | None:
    """Take a cell of a data frame; absent ones are None or nan."""
    return value if isinstance(value, str) else None


mlflow.models.set_model(ServedModel())
