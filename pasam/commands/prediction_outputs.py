"""What `pasam predict` leaves behind for each picture, and what it says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pasam.errors import ParamsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pasam.inference.found_masks import FoundMask

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
        from pasam.inference.mask_files import CocoSet

        self.folder = folder
        self.formats = set(formats)
        self.model = model
        self.as_json = as_json
        self.coco = CocoSet()

    def add(
        self, picture: Path, name: str, image: NDArray[np.uint8], masks: Sequence[FoundMask]
    ) -> None:
        """Write what belongs to one picture.

        Args:
            picture: Its file.
            name: What the files about it are called.
            image: Its pixels, (H, W, 3).
            masks: What was found.
        """
        written = self._write(name, image, masks)
        self.coco.add(picture, (image.shape[0], image.shape[1]), masks)
        if self.as_json:
            for number, found in enumerate(masks):
                line = {"image": str(picture), "model": self.model, **found.record()}
                typer.echo(json.dumps({**line, "files": _of_mask(written, number)}))
            return
        shown = ", ".join(str(path) for paths in written.values() for path in paths[:1])
        more = sum(len(paths[1:]) for paths in written.values())
        best = f", score {masks[0].score:.2f}" if len(masks) == 1 else ""
        objects = "1 mask" if len(masks) == 1 else f"{len(masks)} masks"
        files = f" -> {shown}" + (f" and {more} more" if more else "") if shown else ""
        typer.echo(f"{picture}: {objects}{best}{files}")

    def finish(self, categories: Mapping[int, str]) -> None:
        """Write what belongs to all pictures together; categories are those of the masks."""
        if "coco" in self.formats:
            path = self.folder / COCO_NAME
            self.coco.write(path, categories)
            if not self.as_json:
                typer.echo(f"COCO set: {path}")

    def _write(
        self, name: str, image: NDArray[np.uint8], masks: Sequence[FoundMask]
    ) -> dict[str, list[Path]]:
        from pasam.data.images import write_png
        from pasam.inference.mask_files import write_masks, write_records, write_uncertainty
        from pasam.reporting.prediction_overlay import prediction_overlay

        written: dict[str, list[Path]] = {}
        if "png" in self.formats:
            written["png"] = write_masks(self.folder, name, masks)
        if "uncertainty" in self.formats:
            written["uncertainty"] = write_uncertainty(self.folder, name, masks)
        if "rle" in self.formats:
            written["rle"] = [write_records(self.folder, name, masks)]
        if "overlay" in self.formats:
            path = self.folder / f"{name}_overlay.png"
            write_png(path, prediction_overlay(image, [m.mask for m in masks], _asked(masks)))
            written["overlay"] = [path]
        return written


def _asked(masks: Sequence[FoundMask]) -> Any:
    from pasam.reporting.prediction_overlay import Asked

    prompts = [found.prompt for found in masks]
    return Asked(
        boxes=[prompt["box"] for prompt in prompts if "box" in prompt],
        points=[point for prompt in prompts for point in prompt.get("points", ())],
        labels=[label for prompt in prompts for label in prompt.get("labels", ())],
    )


def _of_mask(written: dict[str, list[Path]], number: int) -> dict[str, str]:
    """Pick the files of one mask: its own, or those that all masks of the picture share."""
    return {
        kind: str(paths[number] if number < len(paths) else paths[0])
        for kind, paths in written.items()
        if paths
    }
