"""The command `pasam export`: a model for other runtimes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pasam.cli.model_option import ADAPTERS, Adapters, Base, Model, ParamsFile, named_model
from pasam.config.params_file import DEFAULT_PATH


def export(
    model: Model = "pa_sam",
    out: Annotated[Path, typer.Option(help="Folder of the graphs.")] = Path("onnx"),
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    base: Base = None,
    adapters: Adapters = ADAPTERS,
    params_file: ParamsFile = DEFAULT_PATH,
) -> None:
    """Write a model as ONNX: image.onnx, run once per image, and prompts.onnx, once per prompt.

    Both are run with onnxruntime before they are kept, and compared with the model. The edges
    that guide an adapter are an input of image.onnx: docs/predict.md says how to find them.

    Example: pasam export --model pa_sam --out onnx
    """
    predictor = named_model(model, params_file=params_file, adapters=adapters, base=base)
    from pasam.inference.onnx_export import IMAGE_NAME, PROMPT_NAME, export_onnx

    parity = export_onnx(predictor, out)
    if as_json:
        files = [str(out / name) for name in (IMAGE_NAME, PROMPT_NAME)]
        found = {"difference": parity.difference, "iou": parity.iou, "prompts": parity.prompts}
        typer.echo(json.dumps({"model": predictor.name, "files": files, **found}))
        return
    typer.echo(f"{out / IMAGE_NAME}, {out / PROMPT_NAME}")
    typer.echo(
        f"Against {predictor.name} on {parity.prompts} prompts: logits differ by at most "
        f"{parity.difference:.1e}, masks agree with IoU {parity.iou:.5f}."
    )
