"""Which images a gallery shows: chosen by their scores alone, never by looks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pasam.reporting.blocks import Card
from pasam.reporting.names import label
from pasam.reporting.pictures import model_view, prompt_view, uncertainty_view, window_round
from pasam.reporting.results import Results
from pasam.reporting.score_matrix import score_matrix
from pasam.reporting.wording import signed

METRIC = "boundary_iou"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """An image of a gallery, with the scores that brought it there, as shares."""

    image_id: str
    score: float
    against: float

    @property
    def gain(self) -> float:
        """How much the subject is ahead on this image."""
        return self.score - self.against


def ranked(results: Results) -> list[Shown]:
    """List every image with the subject's and the reference's boundary IoU, by id."""
    model, against = (
        score_matrix(results.shown_scores, name, METRIC)
        for name in (results.subject, results.reference)
    )
    found = [
        Shown(image_id=image, score=float(a), against=float(b))
        for image, a, b in zip(model.images, model.per_image, against.per_image, strict=True)
    ]
    return sorted(found, key=lambda shown: shown.image_id)


def worst(images: list[Shown], count: int) -> list[Shown]:
    """Pick the images with the lowest scores."""
    return sorted(images, key=lambda shown: shown.score)[:count]


def most_improved(images: list[Shown], count: int) -> list[Shown]:
    """Pick the images with the largest gains; none that did not gain."""
    better = [shown for shown in images if shown.gain > 0]
    return sorted(better, key=lambda shown: -shown.gain)[:count]


def most_harmed(images: list[Shown], count: int) -> list[Shown]:
    """Pick the images with the largest losses; none that did not lose."""
    worse = [shown for shown in images if shown.gain < 0]
    return sorted(worse, key=lambda shown: shown.gain)[:count]


def median(images: list[Shown]) -> Shown:
    """Pick the image in the middle by gain, so that it stands for the rest."""
    gains = np.array([shown.gain for shown in images])
    return images[int(np.argsort(gains, kind="stable")[len(images) // 2])]


def card(results: Results, shown: Shown) -> Card:
    """Draw an image of a gallery: prompt and points, reference, subject, uncertainty."""
    example, side = results.example(shown.image_id), results.report.picture_side
    window = window_round(example)
    views = [
        prompt_view(example, window, side=side),
        model_view(example, results.reference, window, side=side),
        model_view(example, results.subject, window, side=side),
        uncertainty_view(example, window, side=side),
    ]
    note = (
        f"Boundary IoU {100 * shown.against:.1f} with {label(results.reference)}, "
        f"{100 * shown.score:.1f} with {label(results.subject)}: {signed(100 * shown.gain)} points"
    )
    return Card(title=shown.image_id, note=note, views=tuple(v for v in views if v is not None))
