"""The parameters of the benchmarks beyond the four: instances from detectors, and robustness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pasam.param_checks import at_least, require


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratedInstancesParams:
    """How much is drawn of the generated sets with several objects per image."""

    coco_images: int
    """Images of the set in COCO's style; 0 leaves it out."""
    seginw_images: int
    """Images of each set in SegInW's style; 0 leaves them out."""

    def __post_init__(self) -> None:
        at_least(self, 0, "coco_images", "seginw_images")


@dataclass(frozen=True, kw_only=True, slots=True)
class CocoParams:
    """One set of images with COCO annotations, and a detector's boxes."""

    name: str
    """The benchmark's name in the results."""
    images: str
    """Folder of the images."""
    annotations: str
    """COCO annotations with segmentations."""
    detections: str
    """COCO result file: boxes, categories and scores."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeginwParams:
    """Many small sets in SegInW's layout, and a detector's boxes by phrase."""

    name: str
    """The benchmark's name in the results."""
    sets: tuple[str, ...]
    """Names of the sets; each counts alike in the mean."""
    folder: str
    """Holds `<set>/valid/` with the images and `_annotations_min1cat.coco.json`."""
    detections: str
    """Folder of `<set>.json`, one COCO result file each; `phrase` may stand for `category_id`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InstancesParams:
    """Instance segmentation from detectors' boxes."""

    generated: GeneratedInstancesParams
    coco: CocoParams
    seginw: SeginwParams
    resize: Literal["squash", "longest"]
    """Squash images to the input as the other benchmarks do, or keep their aspect as SAM does."""
    boxes_per_image: int
    """Boxes of highest score that are segmented in each image; COCO's metric looks at 100."""

    def __post_init__(self) -> None:
        at_least(self, 1, "boxes_per_image")


@dataclass(frozen=True, kw_only=True, slots=True)
class RobustnessParams:
    """How prompts and images are made worse, and on how many images that is measured."""

    images: int
    """Images of each benchmark, evenly chosen."""
    seed: int
    """Seed of the jitter, the points and the noise."""
    jitter: tuple[float, ...]
    """Noise scales of boxes, as shares of their size; 0 is the tight box of `evaluate`."""
    points: tuple[int, ...]
    """Numbers of foreground points."""
    blur: tuple[float, ...]
    """Deviations of the blur as shares of the image's shorter side, strength 1 first."""
    noise: tuple[float, ...]
    """Deviations of the noise in grey levels of 255, strength 1 first."""
    jpeg: tuple[int, ...]
    """JPEG qualities from 100 down to 1, strength 1 first."""

    def __post_init__(self) -> None:
        at_least(self, 1, "images")
        at_least(self, 0, "seed")
        for key, values in (("jitter", self.jitter), ("blur", self.blur), ("noise", self.noise)):
            require(all(v > 0 for v in values), key, list(values), "values above 0")
        require(all(k >= 1 for k in self.points), "points", list(self.points), "1 or more each")
        qualities = list(self.jpeg)
        require(all(1 <= q <= 100 for q in qualities), "jpeg", qualities, "qualities from 1 to 100")
