"""The command `pasam predict`: masks for one's own images."""

from __future__ import annotations

import dataclasses
import functools
import glob
import itertools
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pasam.cli import options
from pasam.config.params_file import DEFAULT_PATH
from pasam.errors import DataError, ParamsError, PromptError
from pasam.workers import count_progress

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


LONGEST_NAME = 180
"""Bytes of a name that is kept, so that `_uncertainty_12.png` still fits into what disks take."""


def output_names(images: Sequence[Path]) -> list[str]:
    """Name the files about each image: like the image, made longer where two would clash.

    Names that differ by capitals alone clash too: on many disks they are one.
    """
    stems = Counter(image.stem.casefold() for image in images)
    names: dict[str, str] = {}
    for image in images:
        plain = image.stem
        if stems[plain.casefold()] > 1:
            plain = f"{image.parent.name}_{plain}".lstrip("_")
        plain = plain.encode(errors="surrogateescape")[:LONGEST_NAME].decode(errors="ignore")
        longer = (f"{plain}_{count}" for count in itertools.count(2))
        every = itertools.chain([plain], longer)
        name = next(name for name in every if name.casefold() not in names)
        names[name.casefold()] = name
    return list(names.values())


def names_in_set(images: Sequence[Path]) -> list[str]:
    """Name each image as a COCO set does: its path below the folder that holds all of them."""
    absolute = [image.absolute() for image in images]
    root = Path(os.path.commonpath([path.parent for path in absolute])) if absolute else Path()
    return [path.relative_to(root).as_posix() for path in absolute]


def _meant(name: str) -> list[Path]:
    from pasam.data.names.folder_images import READ_IMAGES, said_of_unread, unread_images

    path = Path(name)
    if path.is_file():
        return [path]
    if path.is_dir():
        files = [p for p in sorted(path.iterdir()) if p.is_file() and not p.name.startswith(".")]
        images = [p for p in files if p.suffix.lower() in READ_IMAGES]
        others = unread_images(path)
        lost = [p for p in sorted(path.iterdir()) if p.is_symlink() and not p.exists()]
        if lost:
            what = f"{len(lost)} links of {path} that lead nowhere, e.g. {lost[0].name}"
            typer.echo(f"left out: {what}.", err=True)
        if others:
            typer.echo(f"left out: {said_of_unread(path, others)}.", err=True)
        if not images:
            raise DataError(f"the folder {path} holds no image; expected {', '.join(READ_IMAGES)}.")
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


MaskFile = Annotated[
    Path | None,
    typer.Option(
        "--mask", help="A mask of the image's size, to be refined; white is the object.",
        dir_okay=False,
    ),
]  # fmt: skip
PromptFile = Annotated[
    Path | None,
    typer.Option(
        "--prompts", help="Prompts of each image: CSV, JSON or COCO, see docs/predict.md.",
        dir_okay=False,
    ),
]  # fmt: skip


def typed_prompts(
    boxes: Sequence[str] | None, points: Sequence[str] | None, mask: Path | None = None
) -> list[ImagePrompt]:
    """Make prompts of what was typed: one per box; points and a mask describe one object.

    Raises:
        PromptError: A number is missing or no number, or points or a mask come with several boxes.
        DataError: The mask cannot be read.
    """
    from pasam.inference.image_prompt import image_prompt
    from pasam.masks.images import foreground
    from pasam.masks.mask_files import read_mask

    corners, places = _typed_numbers(boxes, points)
    if (places or mask) and len(corners) > 1:
        others = f"{len(places)} points come" if places else "a mask comes"
        raise PromptError(
            f"{others} with {len(corners)} boxes: points and a mask describe one object, so give "
            "one box with them, or name the prompts of each object in a file (--prompts)."
        )
    if not places and mask is None:
        return [image_prompt(box=box) for box in corners]
    return [
        image_prompt(
            box=corners[0] if corners else None,
            points=[place[:2] for place in places] or None,
            labels=[place[2] if len(place) == 3 else 1 for place in places] or None,
            mask=None if mask is None else foreground(read_mask(mask)),
        )
    ]


def _typed_numbers(
    boxes: Sequence[str] | None, points: Sequence[str] | None
) -> tuple[list[list[float]], list[list[float]]]:
    """Read the numbers of the boxes and of the points."""
    from pasam.inference.image_prompt import expect_pixels

    form = "x,y or x,y,0 or x,y,1 in pixels"
    corners = [_numbers(box, "--box", (4,), "x0,y0,x1,y1 in pixels") for box in boxes or ()]
    for box in corners:
        expect_pixels(box)
    return corners, [_numbers(point, "--point", (2, 3), form) for point in points or ()]


def _numbers(text: str, option: str, counts: tuple[int, ...], form: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in counts:
        raise PromptError(f"{option} is {text!r}, expected {form}, with commas and without spaces.")
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
Tiles = Annotated[
    int,
    typer.Option(
        min=0, max=4,
        help="With --everything: search tiles too, 4, then 16, ...; for large images.",
    ),
]  # fmt: skip
Page = Annotated[int | None, typer.Option(min=1, help="Which image of a stack, from 1.")]
Bands = Annotated[
    str | None,
    typer.Option(metavar="R,G,B", help="Which bands of a file of many: one or three, from 1."),
]
Zoom = Annotated[
    bool | None,
    typer.Option(
        "--zoom/--no-zoom",
        help="Look at small things from near, or at the whole image alone. Left out: from near on "
        "the small base `tiny`.",
    ),
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
    mask: Path | None = None,
    prompt_file: Path | None = None,
    zoom: bool | None = None,
) -> Prompting:
    """Make of what was typed the way to prompt.

    The arguments are the options of the command; `grid` are those of `everything`, by name, None
    where nothing was typed.

    Raises:
        PromptError: No prompt was given, or prompts of more than one kind.
        DataError: The detections, their set, the file of prompts or the mask are unfit.
    """
    prompts = typed_prompts(box, point, mask)
    ways = [bool(prompts), everything, detections is not None, prompt_file is not None]
    if ways.count(True) != 1:
        raise PromptError(
            "say what to segment: --box, --point or --mask; or else --everything, --prompts or "
            "--detections."
        )
    from pasam.inference.prompt_files import read_prompt_file
    from pasam.inference.prompting import AutomaticMasks, FixedPrompts, detected_boxes

    if zoom and everything:
        raise PromptError("--zoom looks at prompts from near; with --everything there is --tiles.")
    if prompts:
        return FixedPrompts(prompts, zoom=zoom)
    if prompt_file is not None:
        return dataclasses.replace(read_prompt_file(prompt_file, images), zoom=zoom)
    if detections is None:
        return AutomaticMasks({name: v for name, v in grid.items() if v is not None})
    if annotations is None:
        raise PromptError("--detections needs --annotations, the COCO set whose images they name.")
    boxes = detected_boxes(images, detections, annotations, lowest=min_score, most=MOST_DETECTIONS)
    return dataclasses.replace(boxes, zoom=zoom)


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
        self.model_from = ""
        self.as_json = as_json
        self.coco = CocoSet()
        self.say: Callable[[str], None] = typer.echo

    def add(
        self, path: Path, name: str, image: NDArray[np.uint8], masks: Sequence[MaskRecord],
        *, listed: str | None = None,
    ) -> None:  # fmt: skip
        """Write what belongs to one image; what an earlier run wrote about it is replaced.

        Args:
            path: Its file.
            name: What the files about it are called.
            image: Its pixels, (H, W, 3).
            masks: What was found.
            listed: What the COCO set calls it; by default as its file is called.
        """
        written = self._write(name, image, masks)
        self.coco.add(
            listed or path.name, image.shape[:2], [found.with_prompt() for found in masks]
        )
        if self.as_json:
            for number, found in enumerate(masks):
                model = {"model": self.model, "model_from": self.model_from}
                line = {"image": str(path), **model, **found.with_prompt()}
                self.say(json.dumps({**line, "files": _of_mask(written, number)}))
            return
        shown = ", ".join(str(path) for paths in written.values() for path in paths[:1])
        more = sum(len(paths[1:]) for paths in written.values())
        best = f", score {masks[0].score:.2f}" if len(masks) == 1 else ""
        objects = "1 mask" if len(masks) == 1 else f"{len(masks)} masks"
        files = f" -> {shown}" + (f" and {more} more" if more else "") if shown else ""
        self.say(f"{path}: {objects}{best}{files}")

    def finish(self, categories: Mapping[int, str]) -> None:
        """Write what belongs to all images together; categories are those of the masks."""
        if "coco" in self.formats:
            path = self.folder / COCO_NAME
            self.coco.write(path, categories)
            if not self.as_json:
                self.say(f"COCO set: {path}")

    def _write(
        self, name: str, image: NDArray[np.uint8], masks: Sequence[MaskRecord]
    ) -> dict[str, list[Path]]:
        from pasam.inference.mask_record import write_masks, write_records, write_uncertainty
        from pasam.masks.images import write_png
        from pasam.reporting.overlay import prediction_overlay

        written: dict[str, list[Path]] = {}
        if "png" in self.formats:
            written["png"] = write_masks(self.folder, name, masks)
            self._remove_stale(name, "mask", written["png"])
        if "uncertainty" in self.formats:
            written["uncertainty"] = write_uncertainty(self.folder, name, masks)
            self._remove_stale(name, "uncertainty", written["uncertainty"])
        if "rle" in self.formats:
            written["rle"] = [write_records(self.folder, name, masks)]
        if "overlay" in self.formats:
            path = self.folder / f"{name}_overlay.png"
            write_png(
                path, prediction_overlay(image, [m.mask for m in masks], _drawn_prompts(masks))
            )
            written["overlay"] = [path]
        return written

    def _remove_stale(self, name: str, what: str, written: Sequence[Path]) -> None:
        """Remove an earlier run's files about an image that this run did not write anew."""
        own = re.compile(rf"{re.escape(name)}_{what}(_[1-9]\d*)?\.png")
        for path in self.folder.glob(f"{glob.escape(name)}_{what}*.png"):
            if own.fullmatch(path.name) and path not in written:
                path.unlink()


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
    list[str] | None,
    typer.Argument(
        metavar="IMAGE...",
        help="Images, folders, or quoted patterns; none: those that --prompts names.",
    ),
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
    images: Images = None, box: Boxes = None, point: Points = None, mask: MaskFile = None,
    prompts: PromptFile = None, everything: All = False, zoom: Zoom = None, tiles: Tiles = 0,
    detections: Detections = None, annotations: Annotations = None, min_score: Lowest = 0.3,
    model: options.Model = None, out: Out = Path("predictions"),
    formats: Formats = ["png", "overlay"], as_json: AsJson = False,  # noqa: B006  (typer copies it)
    page: Page = None, bands: Bands = None,
    points_per_side: Side = None, pred_iou_thresh: LowestIou = None,
    stability_score_thresh: LowestStability = None, min_mask_region_area: Smallest = 0,
    resize: options.Resize = None, device: options.Device = "auto", base: options.Base = None,
    adapters: options.Adapters = options.ADAPTERS, params_file: options.ParamsFile = DEFAULT_PATH,
) -> None:  # fmt: skip
    """Segment objects in images: in boxes, at points, a detector's, or everything.

    The same boxes and points are used on every image, unless a file has prompts for each.
    Coordinates count from the upper left corner of the image as viewers show it. Scores are SAM's
    predicted IoU; PA-SAM does not adapt them to its masks. An image that cannot be segmented is
    left out and named at the end: exit code 2, and all others are written.

    Example: pasam predict photo.jpg --box 80,40,420,380 --point 250,200 --out masks
    """
    outputs = PredictionOutputs(out, formats, model=model or "", as_json=as_json)
    _typed_numbers(box, point)  # first: after `--box 80 15 482 385` three numbers pass for images
    paths = _named_images(images, prompts)
    prompting = chosen_prompting(
        paths,
        box=box, point=point, mask=mask, prompt_file=prompts, zoom=zoom, everything=everything,
        detections=detections, annotations=annotations, min_score=min_score,
        grid={
            "points_per_side": points_per_side, "pred_iou_thresh": pred_iou_thresh,
            "stability_score_thresh": stability_score_thresh,
            "min_mask_region_area": min_mask_region_area, "crop_n_layers": tiles,
        },
    )  # fmt: skip
    predictor = options.named_model(
        model, params_file=params_file, adapters=adapters, base=base, device=device, resize=resize
    )
    outputs.model, outputs.model_from = model or predictor.name, predictor.origin
    if not as_json:
        typer.echo(f"model: {describe_model(predictor, model)}", err=True)
    if "uncertainty" in outputs.formats and (everything or zoom or not predictor.has_uncertainty):
        what = "--everything" if everything else "--zoom" if zoom else predictor.name
        raise ParamsError(
            f"{what} has no uncertainty map: leave --format uncertainty out, or prompt a PA-SAM."
        )
    chosen = None if bands is None else tuple(map(int, _numbers(bands, "--bands", (1, 3), "3,2,1")))
    read = functools.partial(_read, page=page, bands=chosen)
    _predict_all(predictor, paths, prompting, outputs, read, zoom=zoom)


def describe_model(predictor: PromptedModel, typed: str | None) -> str:
    """Say which model answers, whose it is and what it was trained on.

    Of the registry's versions and runs, and most of the package's, the name says whose they are.
    """
    name, origin = predictor.name, predictor.origin
    if not name.endswith(f"({origin})") and not origin.startswith(("registry ", "run ")):
        name += " (this project's)" if origin == "project" else f" ({origin})"
    if typed in options.REGISTERED:
        name = f"{typed}, which is {name}"
    return f"{name}, {predictor.trained_on}" + ("" if typed else "; --model asks another")


def _read(
    path: Path, *, upright: bool, page: int | None, bands: tuple[int, ...] | None
) -> NDArray[np.uint8]:
    """Read an image, and say what was done to its pixels beyond turning them upright."""
    from pasam.masks.images import load_image

    found = load_image(path, upright=upright, page=page, bands=bands)
    for note in found.notes:
        if not note.startswith("turned upright"):
            typer.echo(f"note: {path}: {note}", err=True)
    return found.pixels


def _say_what_zoom_left(path: Path, masks: Sequence[MaskRecord]) -> None:
    left = [found.prompt for found in masks if found.extra.get("zoomed") is False]
    if left:
        what = "box" if "box" in left[0] else "the object at"
        place = left[0].get("box") or left[0]["points"][0]
        shown = ",".join(f"{number:g}" for number in place)
        several = f" (and {len(left) - 1} more of {len(masks)})" if len(left) > 1 else ""
        typer.echo(
            f"note: {path}: {what} {shown}{several} fills so much of the image that zooming "
            "changes nothing",
            err=True,
        )


def _say_that_it_zooms(masks: Sequence[MaskRecord]) -> bool:
    """Say that small things are looked at from near where they were; say whether they were."""
    zoomed = any(found.extra.get("zoomed") for found in masks)
    if zoomed:
        typer.echo(
            "note: small things are looked at from near, a pass or two of the encoder each; "
            "--no-zoom leaves it",
            err=True,
        )
    return zoomed


def _named_images(named: Sequence[str] | None, prompts: Path | None) -> list[Path]:
    if named:
        return find_images(named)
    if prompts is None:
        raise PromptError("no image is named: give a file, a folder or a quoted pattern.")
    from pasam.inference.prompt_files import images_of

    return images_of(prompts)


def _predict_all(
    predictor: PromptedModel, paths: Sequence[Path], prompting: Prompting,
    outputs: PredictionOutputs, read: Callable[..., NDArray[np.uint8]], *, zoom: bool | None,
) -> None:  # fmt: skip
    """Do one image after the other; what is done is written, whatever happens to the rest."""
    from pasam.inference.prompting import ReadImage

    failed: list[str] = []
    said = False
    wants_map = "uncertainty" in outputs.formats
    named = list(zip(paths, output_names(paths), names_in_set(paths), strict=True))
    with count_progress() as progress:
        if sys.stdout.isatty() and not progress.disable:  # above the bar, not into it
            console = progress.console
            outputs.say = functools.partial(
                console.print, markup=False, highlight=False, soft_wrap=True
            )
        shown = progress.add_task("images", total=len(named), note="")
        try:
            for number, (path, name, listed) in enumerate(named):

                def moved(fraction: float, done: int = number) -> None:
                    progress.update(shown, completed=done + fraction)

                try:
                    pixels = read(path, upright=prompting.upright)
                    image = ReadImage(path, pixels, predictor.embed(pixels))
                    masks = prompting.masks(
                        predictor, image, uncertainty=wants_map, on_progress=moved
                    )
                    if zoom:
                        _say_what_zoom_left(path, masks)
                    elif zoom is None and not said:
                        said = _say_that_it_zooms(masks)
                    outputs.add(path, name, pixels, masks, listed=listed)
                except (DataError, PromptError) as error:
                    text = str(error)
                    failed.append(text if str(path) in text else f"{path}: {text}")
                progress.update(shown, completed=number + 1)
        finally:
            outputs.finish(prompting.categories)
    if failed and len(named) == 1:
        raise DataError(failed[0])
    if failed:
        lines = "\n".join(f"  {line}" for line in failed)
        raise DataError(f"{len(failed)} of {len(named)} images could not be done:\n{lines}")
