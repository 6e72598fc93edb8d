"""The command `pasam predict`: masks for one's own images."""

from __future__ import annotations

import glob
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pasam.cli import options
from pasam.config.params_file import DEFAULT_PATH
from pasam.errors import DataError, ParamsError, PromptError
from pasam.workers import progress_bar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pasam.inference.image_prompt import ImagePrompt
    from pasam.inference.mask_record import MaskRecord
    from pasam.inference.predictor import PromptedModel
    from pasam.inference.prompting import Prompting


def find_images(named: Sequence[str]) -> list[Path]:
    """Find the images that files, folders and patterns name.

    Args:
        named: A file, a folder (its images, not those of folders in it), or a pattern such as
            `photos/**/*.jpg` that the shell left as it is.

    Returns:
        Each image once, in the order of naming; those of a folder or pattern by name.

    Raises:
        DataError: Something is not there, or a folder or pattern has no image.
    """
    found: dict[Path, None] = {}
    for name in named:
        found.update(dict.fromkeys(_meant(name)))
    return list(found)


def output_names(images: Sequence[Path]) -> list[str]:
    """Name the files about each image: like the image, made longer where two would clash."""
    stems = [image.stem for image in images]
    names: list[str] = []
    for image in images:
        plain = image.stem
        if stems.count(plain) > 1:
            plain = f"{image.parent.name}_{plain}".lstrip("_")
        longer = (f"{plain}_{count}" for count in itertools.count(2))
        name = next(name for name in itertools.chain([plain], longer) if name not in names)
        names.append(name)
    return names


def _meant(name: str) -> list[Path]:
    from pasam.masks.images import IMAGE_SUFFIXES

    path = Path(name)
    if path.is_file():
        return [path]
    if path.is_dir():
        images = [p for p in sorted(path.iterdir()) if p.suffix.lower() in IMAGE_SUFFIXES]
        if not images:
            raise DataError(
                f"the folder {path} holds no image; expected {', '.join(IMAGE_SUFFIXES)}."
            )
        return images
    if not glob.has_magic(name):
        raise DataError(f"{path} does not exist. Give an image, a folder or a pattern.")
    matches = [Path(match) for match in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207
    images = [match for match in matches if match.is_file()]
    if not images:
        raise DataError(f"no file matches {name!r}.")
    return images


Boxes = Annotated[
    list[str] | None,
    typer.Option("--box", metavar="X0,Y0,X1,Y1", help="A box round an object, in pixels."),
]
Points = Annotated[
    list[str] | None,
    typer.Option(
        "--point", metavar="X,Y[,0|1]", help="A point on the object (1, the default) or not (0)."
    ),
]


def typed_prompts(boxes: Sequence[str] | None, points: Sequence[str] | None) -> list[ImagePrompt]:
    """Make prompts of what was typed: one per box; points describe one object, with the box if any.

    Raises:
        PromptError: A number is missing or no number, or points come with several boxes.
    """
    from pasam.inference.image_prompt import image_prompt

    corners = [_numbers(box, "--box", (4,), "x0,y0,x1,y1") for box in boxes or ()]
    places = [_numbers(point, "--point", (2, 3), "x,y or x,y,0 or x,y,1") for point in points or ()]
    if places and len(corners) > 1:
        raise PromptError(
            f"{len(places)} points come with {len(corners)} boxes: points describe one object, so "
            "give one box with them, or run the command once for each object."
        )
    if not places:
        return [image_prompt(box=box) for box in corners]
    return [
        image_prompt(
            box=corners[0] if corners else None,
            points=[place[:2] for place in places],
            labels=[place[2] if len(place) == 3 else 1 for place in places],
        )
    ]


def _numbers(text: str, option: str, counts: tuple[int, ...], form: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in counts:
        raise PromptError(f"{option} is {text!r}, expected {form} in pixels of the image.")
    return numbers


MOST_DETECTIONS = 100
"""Boxes per image, as COCO counts them."""

All = Annotated[bool, typer.Option("--everything", help="Segment everything from a point grid.")]
Detections = Annotated[
    Path | None,
    typer.Option(help="A detector's COCO results: its boxes are the prompts.", dir_okay=False),
]
Annotations = Annotated[
    Path | None, typer.Option(help="The COCO set that --detections is of.", dir_okay=False)
]
Lowest = Annotated[
    float, typer.Option(min=0, max=1, help="With --detections: leave out boxes of lower score.")
]
Side = Annotated[
    int | None, typer.Option(min=1, max=256, help="With --everything: points per side of the grid.")
]
LowestIou = Annotated[
    float | None, typer.Option(help="With --everything: drop proposals of lower predicted IoU.")
]
LowestStability = Annotated[
    float | None, typer.Option(help="With --everything: drop proposals that are less stable.")
]
Smallest = Annotated[
    int, typer.Option(min=0, help="With --everything: remove holes and islands of fewer pixels.")
]


def chosen_prompting(
    images: Sequence[Path],
    *,
    box: Sequence[str] | None,
    point: Sequence[str] | None,
    everything: bool,
    grid: Mapping[str, float | None],
    detections: Path | None,
    annotations: Path | None,
    min_score: float,
) -> Prompting:
    """Make of what was typed the way to prompt.

    Args:
        images: The images' files.
        box: Typed boxes.
        point: Typed points.
        everything: Whether all objects are meant.
        grid: Typed values of everything, None where nothing was.
        detections: A detector's results.
        annotations: The set they are of.
        min_score: Boxes of a lower score are left out.

    Raises:
        PromptError: No prompt was given, or prompts of more than one kind.
        DataError: The detections or their set are unfit.
    """
    prompts = typed_prompts(box, point)
    if [bool(prompts), everything, detections is not None].count(True) != 1:
        raise PromptError(
            "say what to segment: a --box or a --point, or else --everything, or --detections."
        )
    from pasam.inference.prompting import AutomaticMasks, FixedPrompts, detected_boxes

    if prompts:
        return FixedPrompts(prompts)
    if detections is None:
        return AutomaticMasks({name: v for name, v in grid.items() if v is not None})
    if annotations is None:
        raise PromptError("--detections needs --annotations, the COCO set whose images they name.")
    return detected_boxes(images, detections, annotations, lowest=min_score, most=MOST_DETECTIONS)


FORMATS = ("png", "overlay", "rle", "coco", "uncertainty")
COCO_NAME = "coco.json"


class PredictionOutputs:
    """Write masks in the formats that were asked for, and print a line about each.

    Args:
        folder: Where the files go.
        formats: Some of `FORMATS`.
        model: Name of the model, for the lines.
        as_json: Print JSON lines in place of sentences.

    Raises:
        ParamsError: There is no such format.
    """

    def __init__(self, folder: Path, formats: Sequence[str], *, model: str, as_json: bool) -> None:
        unknown = [name for name in formats if name not in FORMATS]
        if unknown:
            raise ParamsError(f"there is no format {unknown[0]!r}; expected some of {FORMATS}.")
        from pasam.inference.mask_record import CocoSet

        self.folder = folder
        self.formats = set(formats)
        self.model = model
        self.as_json = as_json
        self.coco = CocoSet()

    def add(
        self, path: Path, name: str, image: NDArray[np.uint8], masks: Sequence[MaskRecord]
    ) -> None:
        """Write what belongs to one image.

        Args:
            path: Its file.
            name: What the files about it are called.
            image: Its pixels, (H, W, 3).
            masks: What was found.
        """
        written = self._write(name, image, masks)
        self.coco.add(path.name, image.shape[:2], [found.with_prompt() for found in masks])
        if self.as_json:
            for number, found in enumerate(masks):
                line = {"image": str(path), "model": self.model, **found.with_prompt()}
                typer.echo(json.dumps({**line, "files": _of_mask(written, number)}))
            return
        shown = ", ".join(str(path) for paths in written.values() for path in paths[:1])
        more = sum(len(paths[1:]) for paths in written.values())
        best = f", score {masks[0].score:.2f}" if len(masks) == 1 else ""
        objects = "1 mask" if len(masks) == 1 else f"{len(masks)} masks"
        files = f" -> {shown}" + (f" and {more} more" if more else "") if shown else ""
        typer.echo(f"{path}: {objects}{best}{files}")

    def finish(self, categories: Mapping[int, str]) -> None:
        """Write what belongs to all images together; categories are those of the masks."""
        if "coco" in self.formats:
            path = self.folder / COCO_NAME
            self.coco.write(path, categories)
            if not self.as_json:
                typer.echo(f"COCO set: {path}")

    def _write(
        self, name: str, image: NDArray[np.uint8], masks: Sequence[MaskRecord]
    ) -> dict[str, list[Path]]:
        from pasam.inference.mask_record import write_masks, write_records, write_uncertainty
        from pasam.masks.images import write_png
        from pasam.reporting.overlay import prediction_overlay

        written: dict[str, list[Path]] = {}
        if "png" in self.formats:
            written["png"] = write_masks(self.folder, name, masks)
        if "uncertainty" in self.formats:
            written["uncertainty"] = write_uncertainty(self.folder, name, masks)
        if "rle" in self.formats:
            written["rle"] = [write_records(self.folder, name, masks)]
        if "overlay" in self.formats:
            path = self.folder / f"{name}_overlay.png"
            write_png(
                path, prediction_overlay(image, [m.mask for m in masks], _drawn_prompts(masks))
            )
            written["overlay"] = [path]
        return written


def _drawn_prompts(masks: Sequence[MaskRecord]) -> Any:
    from pasam.reporting.overlay import DrawnPrompts

    prompts = [found.prompt for found in masks]
    return DrawnPrompts(
        boxes=[prompt["box"] for prompt in prompts if "box" in prompt],
        points=[point for prompt in prompts for point in prompt.get("points", ())],
        labels=[label for prompt in prompts for label in prompt.get("labels", ())],
    )


def _of_mask(written: dict[str, list[Path]], number: int) -> dict[str, str]:
    """Pick the files of one mask: its own, or those that all masks of the image share."""
    return {
        kind: str(paths[number] if number < len(paths) else paths[0])
        for kind, paths in written.items()
        if paths
    }


Images = Annotated[
    list[str], typer.Argument(metavar="IMAGE...", help="Images, folders, or quoted patterns.")
]
Out = Annotated[Path, typer.Option(help="Folder of the results.", file_okay=False)]
Formats = Annotated[
    list[str],
    typer.Option(
        "--format",
        autocompletion=lambda incomplete: [name for name in FORMATS if name.startswith(incomplete)],
        help=f"Repeatable: {', '.join(FORMATS)}.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, a line per mask.")]


def predict(
    images: Images, box: Boxes = None, point: Points = None, everything: All = False,
    detections: Detections = None, annotations: Annotations = None, min_score: Lowest = 0.3,
    model: options.Model = "pa_sam", out: Out = Path("predictions"),
    formats: Formats = ["png", "overlay"], as_json: AsJson = False,  # noqa: B006  (typer copies it)
    points_per_side: Side = None, pred_iou_thresh: LowestIou = None,
    stability_score_thresh: LowestStability = None, min_mask_region_area: Smallest = 0,
    resize: options.Resize = "longest", device: options.Device = "cpu", base: options.Base = None,
    adapters: options.Adapters = options.ADAPTERS, params_file: options.ParamsFile = DEFAULT_PATH,
) -> None:  # fmt: skip
    """Segment objects in images: in boxes, at points, a detector's, or everything.

    The same boxes and points are used on every image; coordinates count from the upper left
    corner of the image as viewers show it. Scores are SAM's predicted IoU, stale for PA-SAM.

    Example: pasam predict photo.jpg --box 80,40,420,380 --point 250,200 --out masks
    """
    outputs = PredictionOutputs(out, formats, model=model, as_json=as_json)
    paths = find_images(images)
    prompting = chosen_prompting(
        paths,
        box=box, point=point, everything=everything, detections=detections,
        annotations=annotations, min_score=min_score,
        grid={
            "points_per_side": points_per_side, "pred_iou_thresh": pred_iou_thresh,
            "stability_score_thresh": stability_score_thresh,
            "min_mask_region_area": min_mask_region_area,
        },
    )  # fmt: skip
    predictor = options.named_model(
        model, params_file=params_file, adapters=adapters, base=base, device=device, resize=resize
    )
    _predict_all(predictor, paths, prompting, outputs)


def _predict_all(
    predictor: PromptedModel,
    paths: Sequence[Path],
    prompting: Prompting,
    outputs: PredictionOutputs,
) -> None:
    from pasam.inference.prompting import ReadImage
    from pasam.masks.images import read_image

    wants_map = "uncertainty" in outputs.formats
    named = list(zip(paths, output_names(paths), strict=True))
    for path, name in progress_bar(named, total=len(named), label="images"):
        pixels = read_image(path, upright=prompting.upright)
        image = ReadImage(path, pixels, predictor.embed(pixels))
        masks = prompting.masks(predictor, image, uncertainty=wants_map)
        outputs.add(path, name, pixels, masks)
    outputs.finish(prompting.categories)
