"""What a run needs: memory, disk, weights, public sets, and data for every benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pasam.errors import DataError

if TYPE_CHECKING:  # pydantic and what downloads take a quarter of a second, which --help need not
    from pasam.config.schema import (
        BaseParams,
        DataParams,
        EmbedParams,
        EvaluateParams,
        GeneratedParams,
        TrainParams,
    )
    from pasam.data.catalogue import Archive, CatalogueEntry

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


# Shapes: S pixels a side of the encoder's input, g grid cells a side, C channels of an embedding,
# E channels of the early features.


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseShape:
    """What memory and disk depend on, of a SAM."""

    side: int
    """S."""
    grid: int
    """g."""
    dim: int
    """C."""
    early_dim: int
    """E."""
    width: int
    """Channels of the blocks of a ViT of segment-anything; 0 if the encoder is another."""
    parameters: int


_OFFICIAL = {"side": 1024, "grid": 64, "dim": 256}
SHAPES = {
    "tiny": BaseShape(side=256, grid=32, dim=128, early_dim=40, width=0, parameters=4_645_184),
    "vit_t": BaseShape(**_OFFICIAL, early_dim=160, width=0, parameters=10_130_092),
    "vit_b": BaseShape(**_OFFICIAL, early_dim=768, width=768, parameters=93_735_472),
    "vit_l": BaseShape(**_OFFICIAL, early_dim=1024, width=1024, parameters=312_342_832),
    "vit_h": BaseShape(**_OFFICIAL, early_dim=1280, width=1280, parameters=641_090_608),
}

GPU_ENCODER_NUMBERS = 23
"""Numbers per grid cell and channel that a global block of SAM's encoder holds for one image, with
its positions folded into longer queries and keys. One block took 285 (vit_b) and 388 MB (vit_l) so,
measured on a CPU; no GPU was asked."""
CPU_ENCODER_NUMBERS = 15.5
"""The same with one head's positions at a time: 199 (vit_b) and 244 MB (vit_l)."""

DECODER_BYTES = 105_000
"""Bytes per grid cell and mask that a training step of the decoder keeps: 208 MB for HQ-SAM and
186 MB for PA-SAM at 64 x 64 cells; twice that, for the gradients on their way."""

CONTEXT = 1_000_000_000
"""Bytes that CUDA and its libraries take."""

_PNG_BYTES = 2.1  # per pixel of a generated image, its masks included


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Memory of one process, by what takes it."""

    weights: int
    encoder: int
    decoder: int
    context: int = CONTEXT
    files: int = 0
    """Embeddings, mapped from their files: they count in a process's peak, and leave the memory
    when something else needs it."""

    @property
    def needed(self) -> int:
        """What has to be there."""
        return self.weights + self.encoder + self.decoder + self.context

    @property
    def total(self) -> int:
        """What the process shows at its peak, where there is room for it."""
        return self.needed + self.files


def training_memory(size: str, train: TrainParams, embed: EmbedParams) -> Memory:
    """Estimate the GPU memory of a training process.

    Args:
        size: A SAM of `SHAPES`.
        train: Its `batch_size` is what counts, and half the bytes if the precision is mixed.
        embed: With packed views the encoder does not run.

    Returns:
        The parts. Encoder: what one global block holds of the batch; it keeps no gradients.
        Decoder: what one step keeps for its gradients.
    """
    shape = SHAPES[size]
    width = 4 if train.precision == "32-true" else 2
    block = GPU_ENCODER_NUMBERS * shape.width * shape.grid**2 * width
    return Memory(
        weights=shape.parameters * 4,
        encoder=train.batch_size * block if embed.views == 0 else 0,
        decoder=train.batch_size * DECODER_BYTES * shape.grid**2,
    )


CPU_PROCESS = 490_000_000
"""Bytes of a stage's process on the CPU before its first batch: Python, torch and the tables."""
CPU_STEP_BYTES = 350
"""Bytes per grid cell, embedding channel and mask of a training step: the largest of HQ-SAM's and
PA-SAM's on `tiny`."""
CPU_VIEW_BYTES = 374
"""Bytes per input pixel and image that `tiny`'s encoder takes where no gradient is kept."""
CPU_MASK_BYTES = 107
"""Bytes per grid cell, embedding channel and mask that is measured."""


def cpu_memories(
    size: str, train: TrainParams, embed: EmbedParams, evaluate: EvaluateParams, content: Content
) -> dict[str, Memory]:
    """Estimate the peak memory on the CPU of the stages that take most, by what they do.

    The constants were fitted to the peaks that tests/cli/test_doctor.py lists.

    Args:
        size: A SAM of `SHAPES`.
        train: Its `batch_size` is what counts, as that of the others.
        embed: With packed views the encoder does not run in training.
        evaluate: How many masks are predicted at a time, and of which benchmarks.
        content: How much there is to embed.
    """
    shape = SHAPES[size]
    cells = shape.dim * shape.grid**2
    block = round(CPU_ENCODER_NUMBERS * shape.width * shape.grid**2 * 4)
    view = block or CPU_VIEW_BYTES * shape.side**2
    counts = [content.counts.get(("val", name), (0, 0)) for name in evaluate.benchmarks]
    stores = [
        store_bytes(size, images=images, masks=masks, views=views)
        for (images, masks), views in (
            (content.count("train"), embed.views),
            (content.count("val"), 1),
            ((sum(c[0] for c in counts), sum(c[1] for c in counts)), 1),
        )
    ]
    whole = {"weights": shape.parameters * 4, "context": CPU_PROCESS}
    return {
        "training": Memory(
            **whole,
            encoder=train.batch_size * view if embed.views == 0 else 0,
            decoder=train.batch_size * CPU_STEP_BYTES * cells,
            files=stores[0],
        ),
        "embedding": Memory(
            **whole, encoder=embed.batch_size * view, decoder=0, files=max(stores[:2])
        ),
        "evaluation": Memory(
            **whole,
            encoder=0,
            decoder=evaluate.batch_size * CPU_MASK_BYTES * cells,
            files=stores[2],
        ),
    }


def fitting_batch(size: str, train: TrainParams, embed: EmbedParams, memory: int) -> int:
    """Find the largest batch that fits into so many bytes; 0 if not even one mask does."""
    whole = training_memory(size, train, embed)
    fixed = whole.weights + whole.context
    each = (whole.encoder + whole.decoder) / train.batch_size
    return max(0, int((memory - fixed) // each))


def store_bytes(size: str, *, images: int, masks: int, views: int) -> int:
    """Estimate the packed embeddings of a split.

    Args:
        size: A SAM of `SHAPES`.
        images: Images of the split.
        masks: Their masks.
        views: Views of every image.

    Returns:
        Bytes: embedding and early features in half precision, the view's pixels, and a label per
        mask.
    """
    shape = SHAPES[size]
    view = 2 * (shape.dim + shape.early_dim) * shape.grid**2 + 3 * shape.side**2
    return views * (images * view + masks * shape.side**2)


def generated_bytes(generated: GeneratedParams) -> int:
    """Estimate the synthetic images on disk, however many and however large they are."""
    from pasam.data.catalogue import GENERATED, generated_images

    images = sum(generated_images(generated, name) for name in GENERATED)
    return round(images * generated.side**2 * _PNG_BYTES)


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
    """See whether the base's weights are there and whole."""
    path = Path(base.checkpoint)
    entry, archive = _published(path.name)
    if path.is_file():
        size = path.stat().st_size
        if archive is None or archive.size in (None, size):
            return passed("base", f"{base.size}: {path} ({gigabytes(size)})")
        found = f"{path} has {size:,} bytes, expected {archive.size:,}"
        again = entry.name if entry else ""
        return missing("base", found, f"remove it, then pasam data fetch {again}")
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
