"""The command `pasam predict`: masks for one's own pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pasam.commands.asking_options import (
    All,
    Annotations,
    Detections,
    Lowest,
    LowestIou,
    LowestStability,
    Side,
    Smallest,
    chosen_asking,
)
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
from pasam.commands.prompt_options import Boxes, Points
from pasam.params_file import DEFAULT_PATH
from pasam.progress import track

if TYPE_CHECKING:
    from pasam.inference.asking import Asking
    from pasam.inference.prompted_model import PromptedModel

Pictures = Annotated[
    list[str], typer.Argument(metavar="IMAGE...", help="Pictures, folders, or quoted patterns.")
]
Out = Annotated[Path, typer.Option(help="Folder of the results.", file_okay=False)]
Formats = Annotated[
    list[str],
    typer.Option(
        "--format",
        autocompletion=lambda incomplete: [name for name in FORMATS if name.startswith(incomplete)],
        help=f"Again for each: {', '.join(FORMATS)}.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="A JSON line per mask, for programs.")]


def predict(
    images: Pictures, box: Boxes = None, point: Points = None, everything: All = False,
    detections: Detections = None, annotations: Annotations = None, min_score: Lowest = 0.3,
    model: Model = "pa_sam", out: Out = Path("predictions"),
    formats: Formats = ["png", "overlay"], as_json: AsJson = False,  # noqa: B006  (typer copies it)
    points_per_side: Side = None, pred_iou_thresh: LowestIou = None,
    stability_score_thresh: LowestStability = None, min_mask_region_area: Smallest = 0,
    resize: ResizeOption = "longest", device: Device = "cpu", base: Base = None,
    adapters: Adapters = ADAPTERS, params_file: ParamsFile = DEFAULT_PATH,
) -> None:  # fmt: skip
    """Cut objects out of pictures: in boxes, at points, a detector's, or all there are.

    The same boxes and points are used on every picture; coordinates count from the upper left
    corner of the picture as viewers show it. Scores are SAM's predicted IoU, stale for PA-SAM.

    Example: pasam predict photo.jpg --box 80,40,420,380 --point 250,200 --out masks
    """
    outputs = PredictionOutputs(out, formats, model=model, as_json=as_json)
    pictures = _named_pictures(images)
    asking = chosen_asking(
        [picture for picture, _ in pictures],
        box=box, point=point, everything=everything, detections=detections,
        annotations=annotations, min_score=min_score,
        grid={
            "points_per_side": points_per_side, "pred_iou_thresh": pred_iou_thresh,
            "stability_score_thresh": stability_score_thresh,
            "min_mask_region_area": min_mask_region_area,
        },
    )  # fmt: skip
    predictor = named_model(
        model, params_file=params_file, adapters=adapters, base=base, device=device, resize=resize
    )
    _predict_all(predictor, pictures, asking, outputs)


def _named_pictures(images: list[str]) -> list[tuple[Path, str]]:
    """Find the pictures, each with the name of what is written about it."""
    from pasam.inference.picture_files import find_pictures, output_names

    pictures = find_pictures(images)
    return list(zip(pictures, output_names(pictures), strict=True))


def _predict_all(
    predictor: PromptedModel,
    pictures: list[tuple[Path, str]],
    asking: Asking,
    outputs: PredictionOutputs,
) -> None:
    from pasam.data.images import read_image
    from pasam.inference.asking import ReadPicture

    wants_map = "uncertainty" in outputs.formats
    for path, name in track(pictures, total=len(pictures), label="pictures"):
        pixels = read_image(path, upright=asking.upright)
        picture = ReadPicture(path, pixels, predictor.embed(pixels))
        masks = asking.masks(predictor, picture, uncertainty=wants_map)
        outputs.add(path, name, pixels, masks)
    outputs.finish(asking.categories)
