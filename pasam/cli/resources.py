"""What a run needs: weights, public sets, data for every benchmark, and detectors' boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pasam.errors import DataError

if TYPE_CHECKING:  # pydantic and what downloads take a quarter of a second, which --help need not
    from pasam.config.schema import (
        BaseParams,
        DataParams,
        EvaluateParams,
        InstancesParams,
    )
    from pasam.data.catalogue import Archive, CatalogueEntry
    from pasam.evaluation.instances import InstanceFiles

State = Literal["ok", "note", "missing"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """What was found, and what to do about it."""

    name: str
    state: State
    """`missing` keeps the run from working; a `note` is worth knowing."""
    found: str
    remedy: str = ""
    """A command, or what to change."""
    size: int | None = None
    """Bytes to bring, if something is to be brought and its size is known."""
    origin: str = ""
    """Address that it comes from."""


def passed(name: str, found: str) -> Check:
    """Make a check that nothing keeps from passing."""
    return Check(name=name, state="ok", found=found)


def noted(name: str, found: str, remedy: str = "") -> Check:
    """Make a check of what is worth knowing."""
    return Check(name=name, state="note", found=found, remedy=remedy)


def missing(
    name: str, found: str, remedy: str = "", *, size: int | None = None, origin: str = ""
) -> Check:
    """Make a check of what keeps the run from working."""
    return Check(name=name, state="missing", found=found, remedy=remedy, size=size, origin=origin)


def gigabytes(size: float) -> str:
    """Write a number of bytes for people."""
    return f"{size / 1e9:.1f} GB" if size >= 0.95e8 else f"{size / 1e6:.0f} MB"


@dataclass(frozen=True, slots=True)
class Places:
    """Where things lie; paths are the caller's."""

    catalogue: Path
    """Fetched sets."""
    archives: Path
    """Downloaded archives."""
    lock: Path
    """Recorded checksums."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What there is, or will be, to learn from and to measure."""

    counts: dict[tuple[str, str], tuple[int, int]]
    """Images and masks of each (split, data set)."""
    checks: tuple[Check, ...]
    download: int
    """Bytes to bring, as far as known."""

    def count(self, split: str) -> tuple[int, int]:
        """Sum up the images and the masks of a split."""
        of_split = [counted for (name, _), counted in self.counts.items() if name == split]
        return sum(images for images, _ in of_split), sum(masks for _, masks in of_split)


def check_base(base: BaseParams, places: Places) -> Check:
    """See whether the base's weights are there, and fit.

    A file that is to the byte what was published, or that is nobody's, is taken as it is. Any
    other of the published name may have been saved anew: it is opened.
    """
    path = Path(base.checkpoint)
    entry, archive = _published(path.name)
    if path.is_file():
        size = path.stat().st_size
        if archive is None or archive.size is None:
            return passed("base", f"{base.size}: {path} ({gigabytes(size)})")
        if size == archive.size and _is_of(path, archive):
            return passed("base", f"{base.size}: {path} ({gigabytes(size)}), as published")
        return _saved_anew(base, archive, again=entry.name if entry else "")
    found = f"{path} (base.checkpoint) does not exist"
    if entry is None or archive is None:
        ours = f"git checkout {path}, or make pretrain"
        other = "correct base.checkpoint in params.yaml, or put the file there"
        return missing("base", found, ours if base.size == "tiny" else other)
    remedy = f"pasam data fetch {entry.name}"
    fetched = places.catalogue / entry.name / archive.name
    if path != fetched:
        remedy += f", and base.checkpoint: {fetched}"
    return missing("base", found, remedy, size=archive.expected_size, origin=archive.address or "")


def _is_of(path: Path, archive: Archive) -> bool:
    """Whether a file's bytes are the archive's, as far as anybody says what those are."""
    from pasam.files import file_sha256

    return archive.sha256 is None or file_sha256(path).startswith(archive.sha256)


def _saved_anew(base: BaseParams, archive: Archive, *, again: str) -> Check:
    """Judge a file of a published name and other bytes by the names and shapes of its tensors."""
    from pasam.errors import CheckpointError
    from pasam.models.build import expect_base  # and torch

    path = Path(base.checkpoint)
    size, published = path.stat().st_size, archive.size or 0
    other = f"has {size:,} bytes, expected {published:,}"
    if size == published:
        other = f"has another sha256 than the published {str(archive.sha256)[:12]}..."
    try:
        expect_base(base.size, path)
    except CheckpointError as error:
        return missing(
            "base", f"{path} {other}: {error}", f"remove it, then pasam data fetch {again}"
        )
    found = f"{base.size}: {path} {other}; its tensors have the names and shapes of {base.size}"
    remedy = f"if it was not saved anew on purpose: remove it, then pasam data fetch {again}"
    return noted("base", found, remedy)


def check_data(data: DataParams, places: Places) -> Content:
    """See which of the named public sets are missing, and what one's own folder holds."""
    from pasam.data.catalogue import PACKAGE, PHOTOS, read_catalogue
    from pasam.data.fetch import SPLIT_OF_ROLE, missing_sets
    from pasam.data.package_photographs import package_photographs

    counts = _generated(data)
    checks: list[Check] = []
    download = 0
    chosen = read_catalogue().select(data.catalogue)
    entries = tuple(entry for entry in chosen if entry.role != PACKAGE)
    if len(entries) < len(chosen):
        photographs = package_photographs()
        masks = sum(len(each.objects) for each in photographs)
        counts["val", PHOTOS] = (len(photographs), masks)
    try:
        absent = missing_sets(entries, places.catalogue, places.lock)
    except DataError as error:
        absent = ()
        checks.append(missing("public sets", str(error)))
    for entry in entries:
        split = SPLIT_OF_ROLE.get(entry.role, entry.role)
        counts[split, entry.name] = (entry.images or 0, entry.images or 0)
    if absent:
        found, download = _missing_archives(absent, data.catalogue, places)
        checks += found
    elif entries and not checks:
        checks.append(passed("public sets", f"all {len(entries)} are fetched"))
    own, check = _own(Path(data.own))
    return Content(counts={**counts, **own}, checks=(*checks, check), download=download)


def check_purpose(evaluate: EvaluateParams, content: Content) -> list[Check]:
    """See whether there is something to learn from, and data for every benchmark."""
    images, masks = content.count("train")
    source = "pasam data add, data.catalogue, or data.generated.train_images"
    checks = [missing("training data", "there is none", source)]
    if masks:
        checks = [passed("training data", f"{images:,} images, about {masks:,} masks")]
    known = {name for split, name in content.counts if split == "val"}
    wanted = (*evaluate.benchmarks, *evaluate.development)
    strangers = [name for name in wanted if name not in known]
    if strangers:
        found = f"no data for {', '.join(strangers)} (evaluate.benchmarks)"
        remedy = f"name some of {sorted(known)}, or register the set: pasam data add"
        checks.append(missing("benchmarks", found, remedy))
    else:
        checks.append(passed("benchmarks", ", ".join(evaluate.benchmarks)))
    unused = ", ".join(sorted(known - set(wanted)))
    if unused:
        remedy = "add them to evaluate.benchmarks, if they should"
        checks.append(noted("benchmarks", f"{unused} will not be measured", remedy))
    return checks


DRAWN = Path("data/instances")
"""Where stage `prepare_instances` draws sets with a simulated detector."""
DRAWN_BOXES = 4.5
"""Boxes that the simulated detector finds in an image: 271 in the default run's 60."""
TYPICAL_COCO, TYPICAL_SET = 5000, 50
"""Images of val2017, and of a set of SegInW; nobody gives the latter, so it is assumed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Boxes:
    """How many boxes of detectors there are to segment, and in how many images."""

    images: int = 0
    boxes: int = 0

    def __add__(self, other: Boxes) -> Boxes:
        return Boxes(images=self.images + other.images, boxes=self.boxes + other.boxes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Detected:
    """What there is of the sets of section `instances`."""

    checks: tuple[Check, ...] = ()
    counted: Boxes = Boxes()
    """In the detectors' files."""
    drawn: Boxes = Boxes()
    """That the run will draw, by their typical number."""
    absent: Boxes = Boxes()
    """Of sets without detections, by their typical number: they are not measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _FoundSet:
    """One set, and how it stands."""

    files: InstanceFiles
    state: Literal["counted", "drawn", "absent", "missing"]
    boxes: Boxes
    lacking: tuple[str, ...] = ()
    """What is not there, or wrong."""
    remedy: str = ""


def check_instances(instances: InstancesParams, places: Places) -> Detected:
    """See which sets can be segmented from detectors' boxes, and count the boxes.

    A set without detections is not measured, which keeps nobody from anything. Where there are
    some, its images and annotations have to be there too.
    """
    from pasam.evaluation.instances import instance_files

    found = [_found_set(files, instances, places) for files in instance_files(instances)]
    ordered = sorted(found, key=_alike)
    checks = [_of_alike(list(some)) for _, some in groupby(ordered, key=_alike)]

    def of(state: str) -> Boxes:
        return sum((each.boxes for each in found if each.state == state), Boxes())

    return Detected(
        checks=tuple(checks), counted=of("counted"), drawn=of("drawn"), absent=of("absent")
    )


def _found_set(files: InstanceFiles, instances: InstancesParams, places: Places) -> _FoundSet:
    """Look at one set; nothing is asked of one that is drawn, or that nobody has detections for."""
    most, is_coco = instances.boxes_per_image, files.benchmark == instances.coco.name
    if files.detections.is_relative_to(DRAWN):
        drawn = instances.generated
        images = drawn.coco_images if is_coco else drawn.seginw_images
        return _FoundSet(files=files, state="drawn", boxes=_drawn_boxes(files, images, most))
    lacking = []
    if not (files.images.is_dir() and any(files.images.iterdir())):
        lacking.append(f"no images in {files.images}")
    if not files.annotations.is_file():
        lacking.append(f"no annotations at {files.annotations}")
    remedy = _fetching(files, places) if lacking else ""
    if not files.detections.exists():
        images = TYPICAL_COCO if is_coco else TYPICAL_SET
        typical = Boxes(images=images, boxes=images * most)
        return _FoundSet(files=files, state="absent", boxes=typical, remedy=remedy)
    try:
        boxes = _count_boxes(files.detections, most)
    except DataError as error:
        lacking.append(str(error))
        boxes = Boxes()
        remedy = remedy or "bring the detector's COCO result file again"
    state: Literal["missing", "counted"] = "missing" if lacking else "counted"
    return _FoundSet(
        files=files, state=state, boxes=boxes, lacking=tuple(lacking), remedy=remedy
    )  # fmt: skip


def _drawn_boxes(files: InstanceFiles, images: int, most: int) -> Boxes:
    """Count the boxes of a set that is drawn as it was before, or take their typical number."""
    if files.detections.exists():
        found = _count_boxes(files.detections, most)
        if found.images == images:
            return found
    return Boxes(images=images, boxes=round(images * DRAWN_BOXES))


def _count_boxes(detections: Path, most: int) -> Boxes:
    """Count a COCO result file's boxes, at most so many of each image.

    Raises:
        DataError: The file is no such list.
    """
    from pasam.files import read_json

    entries = read_json(detections, advice="Bring a COCO result file.")
    try:
        images = Counter(entry["image_id"] for entry in entries)
    except (TypeError, KeyError):
        raise DataError(f"{detections} is no list of detections; COCO result files are.") from None
    return Boxes(images=len(images), boxes=sum(min(count, most) for count in images.values()))


def _fetching(files: InstanceFiles, places: Places) -> str:
    """Say what brings the images and annotations of a set."""
    from pasam.data.catalogue import read_catalogue

    for name in read_catalogue().entries:
        if files.images.is_relative_to(places.catalogue / name):
            return f"pasam data fetch {name}"
    return "put them there, or correct section instances of params.yaml"


def _alike(found: _FoundSet) -> tuple[str, str, str]:
    return found.files.benchmark, found.state, found.remedy


def _of_alike(sets: Sequence[_FoundSet]) -> Check:
    """Say in one line what holds for several sets of a benchmark."""
    first, names = sets[0], ", ".join(each.files.name for each in sets)
    benchmark, remedy = first.files.benchmark, first.remedy
    who = benchmark if names == benchmark else f"{benchmark} ({names})"
    boxes = sum((each.boxes for each in sets), Boxes())
    counted = f"{boxes.boxes:,} boxes in {boxes.images:,} images"
    if first.state == "counted":
        return passed("instances", f"{who}: {counted}")
    if first.state == "drawn":
        drawn = f"drawn by the run, about {counted}" if boxes.images else "none are drawn"
        return passed("instances", f"{who}: {drawn}")
    if first.state == "missing":
        lacking = "; ".join(fault for each in sets for fault in each.lacking)
        return missing("instances", f"{who}: there are detections, but {lacking}", remedy)
    where = first.files.detections
    if len(sets) > 1:
        where = where.with_name("<set>.json")
    bring = f"bring a detector's COCO result file to {where}"
    found = f"{who}: not measured, without detections at {where}; the report goes on without"
    return noted("instances", found, f"{bring}, and {remedy}" if remedy else bring)


def _generated(data: DataParams) -> dict[tuple[str, str], tuple[int, int]]:
    from pasam.data.catalogue import TRAINING_SET, generated_images, read_catalogue

    generated = data.generated
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for entry in read_catalogue().of_role("generated"):
        is_training = entry.name == TRAINING_SET
        images = generated_images(generated, entry.name)
        if images:
            split, masks = ("train", 2 * images) if is_training else ("val", images)
            counts[split, entry.name] = (images, masks)
    return counts


def _own(own: Path) -> tuple[dict[tuple[str, str], tuple[int, int]], Check]:
    """Count one's own pairs, without decoding any."""
    from pasam.data.pairing import count_pairs, find_pairs  # with pandas

    try:
        pairs, faults = find_pairs(own)
    except DataError as error:
        return {}, missing("own data", str(error))
    counts = count_pairs(pairs)
    if faults:
        found = f"{len(faults)} faults in {own}; the first: {faults[0].message}"
        check = missing("own data", found, "pasam data check")
    elif counts:
        sets = ", ".join(f"{name} ({split}: {counts[split, name][0]})" for split, name in counts)
        check = passed("own data", sets)
    else:
        check = passed("own data", f"none in {own}, and none is needed")
    return counts, check


def _missing_archives(
    absent: Sequence[CatalogueEntry], names: Sequence[str], places: Places
) -> tuple[list[Check], int]:
    """Say for every archive that is to be brought what is in it, and where it comes from."""
    archives = {archive.name: archive for entry in absent for archive in entry.archives}
    command = f"pasam data fetch {' '.join(names)}"
    checks, download = [], 0
    for archive in archives.values():
        inside = ", ".join(entry.name for entry in absent if archive in entry.archives)
        there = (places.archives / archive.name).is_file()
        size = 0 if there else archive.expected_size
        download += size or 0
        where = f"is in {places.archives}, not extracted" if there else "is not here"
        found, origin = f"{archive.name} {where}: {inside}", "" if there else archive.address or ""
        checks.append(missing("public sets", found, command, size=size, origin=origin))
    return checks, download


def _published(name: str) -> tuple[CatalogueEntry | None, Archive | None]:
    """Find the checkpoint of the catalogue that has a file's name."""
    from pasam.data.catalogue import read_catalogue

    for entry in read_catalogue().of_role("checkpoint"):
        for archive in entry.archives:
            if archive.name == name:
                return entry, archive
    return None, None
