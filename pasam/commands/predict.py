"""The command `pasam predict`: masks for one's own pictures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pasam.commands.model_option import (
    ADAPTERS,
    Adapters,
    Base,
    Device,
    Model,
    ParamsFile,
    ResizeOption,
    named_model,
)
from pasam.commands.prediction_outputs import FORMATS, PredictionOutputs
from pasam.commands.prompt_options import Boxes, Points, typed_prompts
from pasam.errors import PromptError
from pasam.params_file import DEFAULT_PATH
from pasam.progress import track

if TYPE_CHECKING:
    from pasam.inference.image_prompt import ImagePrompt
    from pasam.inference.prompted_model import PromptedModel

Pictures = Annotated[
    list[str], typer.Argument(metavar="IMAGE...", help="Pictures, folders, or quoted patterns.")
]
All = Annotated[bool, typer.Option("--everything", help="Find all objects, from a grid of points.")]
Out = Annotated[Path, typer.Option(help="Folder of the results.", file_okay=False)]
Formats = Annotated[
    list[str], typer.Option("--format", help=f"Again for each: {', '.join(FORMATS)}.")
]
AsJson = Annotated[bool, typer.Option("--json", help="A JSON line per mask, for programs.")]
Side = Annotated[
    int | None, typer.Option(min=1, max=256, help="With --everything: points per side of the grid.")
]
Threshold = Annotated[
    float | None, typer.Option(help="With --everything: drop proposals below this score or this.")
]
Smallest = Annotated[
    int, typer.Option(min=0, help="With --everything: remove holes and islands of fewer pixels.")
]


def predict(
    images: Pictures,
    box: Boxes = None,
    point: Points = None,
    everything: All = False,
    model: Model = "pa_sam",
    out: Out = Path("predictions"),
    formats: Formats = ["png", "overlay"],  # noqa: B006  (typer copies it)
    as_json: AsJson = False,
    points_per_side: Side = None,
    pred_iou_thresh: Threshold = None,
    stability_score_thresh: Threshold = None,
    min_mask_region_area: Smallest = 0,
    resize: ResizeOption = "longest",
    device: Device = "cpu",
    base: Base = None,
    adapters: Adapters = ADAPTERS,
    params_file: ParamsFile = DEFAULT_PATH,
) -> None:
    """Cut objects out of pictures: those in boxes, those at points, or all there are.

    The same boxes and points are used on every picture; coordinates count from the upper left
    corner of the picture as viewers show it. Scores are SAM's predicted IoU, stale for PA-SAM.

    Example: pasam predict photo.jpg --box 80,40,420,380 --point 250,200 --out masks
    """
    prompts = typed_prompts(box, point)
    if everything is bool(prompts):
        raise PromptError("say what to cut out: a --box or a --point, or else --everything.")
    outputs = PredictionOutputs(out, formats, model=model, as_json=as_json)
    pictures = _named_pictures(images)
    predictor = named_model(
        model, params_file=params_file, adapters=adapters, base=base, device=device, resize=resize
    )
    options = {
        "points_per_side": points_per_side,
        "pred_iou_thresh": pred_iou_thresh,
        "stability_score_thresh": stability_score_thresh,
        "min_mask_region_area": min_mask_region_area,
    }
    _predict_all(predictor, pictures, prompts, options, outputs)


def _named_pictures(images: list[str]) -> list[tuple[Path, str]]:
    """Find the pictures, each with the name of what is written about it."""
    from pasam.inference.picture_files import find_pictures, output_names

    pictures = find_pictures(images)
    return list(zip(pictures, output_names(pictures), strict=True))


def _predict_all(
    predictor: PromptedModel,
    pictures: list[tuple[Path, str]],
    prompts: list[ImagePrompt],
    typed: dict[str, float | None],
    outputs: PredictionOutputs,
) -> None:
    """Answer the prompts on every picture; without any, find everything."""
    from pasam.data.images import read_image
    from pasam.inference.everything import Everything
    from pasam.inference.found_masks import masks_of_everything, masks_of_prompts

    given: dict[str, Any] = {name: value for name, value in typed.items() if value is not None}
    options = dataclasses.replace(Everything.suited_to(predictor), **given)
    wants_map = "uncertainty" in outputs.formats
    for path, name in track(pictures, total=len(pictures), label="pictures"):
        image = read_image(path, upright=True)
        embedded = predictor.embed(image)
        if prompts:
            masks = masks_of_prompts(predictor, embedded, prompts, uncertainty=wants_map)
        else:
            masks = masks_of_everything(predictor, image, embedded, options)
        outputs.add(path, name, image, masks)
    outputs.finish()
