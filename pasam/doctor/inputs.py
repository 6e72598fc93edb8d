"""What a run reads: the base's weights, public sets, one's own, and data for every benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pasam.catalogue.catalogue_file import read_catalogue
from pasam.catalogue.entries import Archive, Entry
from pasam.catalogue.pictures import SPLIT_OF_ROLE, missing_sets
from pasam.data.folder import count_pairs, find_pairs
from pasam.doctor.check import Check, gigabytes
from pasam.errors import DataError
from pasam.params import BaseParams, DataParams, EvaluateParams

TRAINING_SET = "generated_train"


@dataclass(frozen=True, kw_only=True, slots=True)
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
    """See whether the base's weights are there and whole."""
    path = Path(base.checkpoint)
    entry, archive = _published(path.name)
    if path.is_file():
        size = path.stat().st_size
        if archive is None or archive.size in (None, size):
            return Check(name="base", state="ok", found=f"{base.size}: {path} ({gigabytes(size)})")
        return Check(
            name="base", state="missing",
            found=f"{path} has {size:,} bytes, expected {archive.size:,}",
            remedy=f"remove it, then pasam data fetch {entry.name if entry else ''}",
        )  # fmt: skip
    if entry is None or archive is None:
        return Check(
            name="base", state="missing", found=f"{path} (base.checkpoint) does not exist",
            remedy=f"git checkout {path}, or make pretrain" if base.size == "vit_tiny"
            else "correct base.checkpoint in params.yaml, or put the file there",
        )  # fmt: skip
    remedy = f"pasam data fetch {entry.name}"
    fetched = places.catalogue / entry.name / archive.name
    if path != fetched:
        remedy += f", and base.checkpoint: {fetched}"
    return Check(
        name="base", state="missing", found=f"{path} (base.checkpoint) does not exist",
        remedy=remedy, size=archive.expected_size, origin=archive.address or "",
    )  # fmt: skip


def check_data(data: DataParams, places: Places) -> Content:
    """See which of the named public sets are missing, and what one's own folder holds."""
    counts = _generated(data)
    checks: list[Check] = []
    download = 0
    entries = read_catalogue().select(data.catalogue)
    try:
        missing = missing_sets(entries, places.catalogue, places.lock)
    except DataError as error:
        missing = ()
        checks.append(Check(name="public sets", state="missing", found=str(error)))
    for entry in entries:
        split = SPLIT_OF_ROLE.get(entry.role, entry.role)
        counts[split, entry.name] = (entry.images or 0, entry.images or 0)
    if missing:
        found, download = _missing_archives(missing, data.catalogue, places)
        checks += found
    elif entries and not checks:
        checks.append(
            Check(name="public sets", state="ok", found=f"all {len(entries)} are fetched")
        )
    own, check = _own(Path(data.own))
    return Content(counts={**counts, **own}, checks=(*checks, check), download=download)


def check_purpose(evaluate: EvaluateParams, content: Content) -> list[Check]:
    """See whether there is something to learn from, and data for every benchmark."""
    checks = []
    images, masks = content.count("train")
    if not masks:
        checks.append(
            Check(name="training data", state="missing", found="there is none",
                  remedy="pasam data add, data.catalogue, or data.generated.train_images")
        )  # fmt: skip
    else:
        checks.append(
            Check(name="training data", state="ok",
                  found=f"{images:,} images, about {masks:,} masks")
        )  # fmt: skip
    known = {name for split, name in content.counts if split == "val"}
    strangers = [name for name in evaluate.benchmarks if name not in known]
    if strangers:
        checks.append(
            Check(name="benchmarks", state="missing",
                  found=f"no data for {', '.join(strangers)} (evaluate.benchmarks)",
                  remedy=f"name some of {sorted(known)}, or register the set: pasam data add")
        )  # fmt: skip
    else:
        checks.append(Check(name="benchmarks", state="ok", found=", ".join(evaluate.benchmarks)))
    unused = sorted(known - set(evaluate.benchmarks))
    if unused:
        checks.append(
            Check(name="benchmarks", state="note",
                  found=f"{', '.join(unused)} will not be measured",
                  remedy="add them to evaluate.benchmarks, if they should")
        )  # fmt: skip
    return checks


def _generated(data: DataParams) -> dict[tuple[str, str], tuple[int, int]]:
    generated = data.generated
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for entry in read_catalogue().of_role("generated"):
        is_training = entry.name == TRAINING_SET
        images = generated.train_images if is_training else generated.benchmark_images
        if images:
            split, masks = ("train", 2 * images) if is_training else ("val", images)
            counts[split, entry.name] = (images, masks)
    return counts


def _own(own: Path) -> tuple[dict[tuple[str, str], tuple[int, int]], Check]:
    """Count one's own pairs, without decoding any."""
    try:
        pairs, faults = find_pairs(own)
    except DataError as error:
        return {}, Check(name="own data", state="missing", found=str(error))
    counts = count_pairs(pairs)
    if faults:
        found = f"{len(faults)} faults in {own}; the first: {faults[0].message}"
        check = Check(name="own data", state="missing", found=found, remedy="pasam data check")
    elif counts:
        sets = ", ".join(f"{name} ({split}: {counts[split, name][0]})" for split, name in counts)
        check = Check(name="own data", state="ok", found=sets, remedy="")
    else:
        check = Check(name="own data", state="ok", found=f"none in {own}, and none is needed")
    return counts, check


def _missing_archives(
    missing: Sequence[Entry], names: Sequence[str], places: Places
) -> tuple[list[Check], int]:
    """Say for every archive that is to be brought what is in it, and where it comes from."""
    archives = {archive.name: archive for entry in missing for archive in entry.archives}
    command = f"pasam data fetch {' '.join(names)}"
    checks, download = [], 0
    for archive in archives.values():
        inside = ", ".join(entry.name for entry in missing if archive in entry.archives)
        there = (places.archives / archive.name).is_file()
        size = 0 if there else archive.expected_size
        download += size or 0
        where = f"is in {places.archives}, not extracted" if there else "is not here"
        checks.append(
            Check(
                name="public sets", state="missing", found=f"{archive.name} {where}: {inside}",
                remedy=command, size=size, origin="" if there else archive.address or "",
            )
        )  # fmt: skip
    return checks, download


def _published(name: str) -> tuple[Entry | None, Archive | None]:
    """Find the checkpoint of the catalogue that has a file's name."""
    for entry in read_catalogue().of_role("checkpoint"):
        for archive in entry.archives:
            if archive.name == name:
                return entry, archive
    return None, None
