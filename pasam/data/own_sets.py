"""Register a set of one's own: look at everything, say what is wrong, then write it at once.

A plan gives every image its split, by a hash, so that it keeps its side whatever else is added, and
every file its name. A registered set is a folder with `im`, `gt`, a table and a description.
"""

from __future__ import annotations

import csv
import difflib
import json
import re
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pasam.config.params_edit import edited, with_line_ends
from pasam.config.params_file import params_text, read_params
from pasam.config.schema import SUMMARY_ROWS
from pasam.data.archives import link_or_copy
from pasam.data.inspection import (
    CODED,
    FoundObject,
    Inspected,
    InspectionTask,
    inspect,
    remarks_on_split,
)
from pasam.data.manifest import SPLITS
from pasam.data.names.folder_images import JPEG_SUFFIXES
from pasam.data.pairing import (
    CSV_COLUMNS,
    CSV_NAME,
    GROUP_COLUMN,
    SET_FILE,
    Source,
    find_pairs,
    registered_sets,
)
from pasam.errors import DataError, ParamsError
from pasam.files import (
    discard_folder,
    draft_folder,
    read_json,
    sha256_of,
    write_bytes,
    write_text,
)
from pasam.masks.images import encode_bits, write_png
from pasam.masks.mask_files import MaskKind, Reading
from pasam.workers import parallel_map

FORMAT = 1
DRAWN = (CODED, str(MaskKind.INDEX))
"""Kinds of masks whose objects get a file each."""

_COLUMNS = (*CSV_COLUMNS, GROUP_COLUMN)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_SHOWN = 20
_LONGEST_STEM = 120  # bytes, which leave room for the object's label, a number and a suffix


@dataclass(frozen=True, kw_only=True, slots=True)
class Added:
    """What became of a set."""

    plan: Plan
    folder: Path
    state: str
    """new, replaced, unchanged (it was there, the same), or planned (nothing was written)."""
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How a set is registered."""

    val_fraction: float
    """Fraction of the images or groups that are held out, in [0, 1]."""
    reading: Reading
    """What the masks are taken for."""
    skip_bad: bool
    """Leave out what is bad, instead of refusing the set."""
    replace: bool
    """Put the new set in the place of one of this name."""
    link: bool
    """Second names instead of copies, where the disk can."""
    dry_run: bool
    """Say what would happen, and write nothing."""
    workers: int
    """Processes."""
    page: int | None = None
    bands: tuple[int, ...] | None = None
    """Page and bands of all images, from 1; what was chosen is written as PNG."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedMask:
    """One binary mask to be."""

    target: PurePosixPath
    """Place within the set's folder."""
    found: FoundObject


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedImage:
    """One image to be, with its masks."""

    target: PurePosixPath
    inspected: Inspected
    split: str
    masks: tuple[PlannedMask, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A whole set."""

    name: str
    source: str
    """folders, csv or coco."""
    val_fraction: float
    images: tuple[PlannedImage, ...]

    def rows(self) -> Iterator[tuple[str, str, str, str, str]]:
        """Give the rows of the set's table: split, dataset, image, mask, group."""
        for image in self.images:
            group = image.inspected.candidate.group or ""
            for mask in image.masks:
                yield image.split, self.name, str(image.target), str(mask.target), group

    def count(self, split: str) -> tuple[int, int]:
        """Count the images and the masks of a split."""
        of_split = [image for image in self.images if image.split == split]
        return len(of_split), sum(len(image.masks) for image in of_split)

    def kinds(self) -> dict[str, tuple[int, int]]:
        """Count, for every kind of mask, what it comes from and the objects in it."""
        origins: Counter[str] = Counter()
        objects: Counter[str] = Counter()
        for image in self.images:
            for kind, _ in {(mask.found.kind, mask.found.origin) for mask in image.masks}:
                origins[kind] += 1
            objects.update(mask.found.kind for mask in image.masks)
        return {kind: (origins[kind], objects[kind]) for kind in sorted(origins)}

    def description(self) -> dict[str, Any]:
        """Describe the set; equal for equal files and options, on any machine."""
        listed = [
            [
                image.split,
                str(image.target),
                image.inspected.sha256,
                image.inspected.candidate.group,
            ]
            + [[str(mask.target), mask.found.kind, mask.found.sha256] for mask in image.masks]
            for image in self.images
        ]
        return {
            "format": FORMAT,
            "name": self.name,
            "source": self.source,
            "val_share": self.val_fraction,  # as in sets that were registered before
            "train": dict(zip(("images", "masks"), self.count("train"), strict=True)),
            "val": dict(zip(("images", "masks"), self.count("val"), strict=True)),
            "mask_kinds": {kind: objects for kind, (_, objects) in self.kinds().items()},
            "sha256": sha256_of(json.dumps(listed)),
        }


def add(
    name: str, source: Source, own: Path, options: Options, *, taken: Iterable[str] = ()
) -> Added:
    """Register a set of images and masks in the folder of one's own data.

    Args:
        name: Name of the set.
        source: Its pairs.
        own: Folder that `data.own` names.
        options: How.
        taken: Names that are other sets'.

    Raises:
        DataError: The name is taken, a pair is bad, or the disk fails; nothing was written.
    """
    if not 0 <= options.val_fraction <= 1:
        raise DataError(f"--val-fraction is {options.val_fraction}, expected 0 to 1.")
    check_name(name, own, taken=taken)
    tasks = [
        InspectionTask(
            candidate=item, reading=options.reading, page=options.page, bands=options.bands
        )
        for item in source.candidates
    ]
    found = list(parallel_map(inspect, tasks, workers=options.workers, label="looking"))
    faults = [*source.faults, *(fault for item in found for fault in item.faults)]
    count = len(faults) + source.more_faults
    if faults and not options.skip_bad:
        raise DataError(
            f"'{name}' was not registered: {count} faults. Mend them, or leave these out "
            f"with --skip-bad.\n" + "\n".join(f"- {fault}" for fault in _first(faults, count))
        )
    valid = [item for item in found if item.sha256 and item.objects]
    if not valid:
        why = "".join(f"\n- {note}" for note in source.notes)
        raise DataError(f"No image with a mask is left for '{name}'. Nothing was written.{why}")
    plan = make_plan(name, source.kind, valid, val_fraction=options.val_fraction)
    notes = (
        *source.notes,
        *(f"left out: {fault}" for fault in _first(faults, count)),
        *_remarks(plan),
    )
    state = _state(plan, own, replace=options.replace)
    if state != "unchanged" and not options.dry_run:
        register(plan, own, link=options.link, workers=options.workers)
    elif options.dry_run:
        state = "planned"
    return Added(plan=plan, folder=own / name, state=state, notes=notes)


def _state(plan: Plan, own: Path, *, replace: bool) -> str:
    there = registered(own, plan.name)
    if there is None:
        return "new"
    if there == plan.description():
        return "unchanged"
    if not replace:
        raise DataError(
            f"'{plan.name}' is registered already, with other files or another split "
            f"({_size(there)}; now {_size(plan.description())}). Add --replace to put this one in "
            "its place, or choose another name."
        )
    return "replaced"


def _size(description: dict[str, object]) -> str:
    parts = []
    for split in ("train", "val"):
        counted = description.get(split)
        images = counted.get("images") if isinstance(counted, dict) else "?"
        parts.append(f"{images} {split}")
    return " and ".join(parts) + " images"


def _first(faults: list[str], count: int) -> list[str]:
    more = count - _SHOWN
    return [*faults[:_SHOWN], f"and {more} more"] if more > 0 else faults


def _remarks(plan: Plan) -> list[str]:
    """Say what is allowed and yet worth knowing."""
    remarks = []
    voids = sum(image.inspected.voids for image in plan.images)
    if voids:
        remarks.append(
            f"255 (65535 in 16 bits) stands for void in {voids} index masks, and is no object"
        )
    splits: dict[str, list[str]] = {}
    for image in plan.images:
        splits.setdefault(image.inspected.sha256, []).append(image.split)
    copies = sum(len(of_image) - 1 for of_image in splits.values())
    if copies:
        remarks.append(f"{copies} images are copies of others")
    torn = sum(len(set(of_image)) > 1 for of_image in splits.values())
    if torn:
        remarks.append(
            f"{torn} images are in train and in val, so the scores will flatter: put the copies "
            "into one group, or one split"
        )
    remarks += remarks_on_split((i.inspected.candidate, i.split) for i in plan.images)
    said = Counter(note for image in plan.images for note in image.inspected.notes)
    noted = [f"{note} ({n} images)" if n > 1 else note for note, n in said.items()]
    return remarks + _first(noted, len(noted))


def split_of(key: str, *, val_fraction: float) -> str:
    """Choose the split of all images that share a key, whatever other images there are.

    Args:
        key: What must not be torn apart: the group, or the sha256 of the image.
        val_fraction: Fraction of the keys that go to `val`, in [0, 1].

    Returns:
        `train` or `val`. Raising it never moves a key from `val` to `train`.
    """
    return "val" if _place(key) < val_fraction * 2**64 else "train"


def _place(key: str) -> int:
    return int(sha256_of(key)[:16], 16)  # 64 bits


def held_out(keys: Collection[str], *, val_fraction: float) -> frozenset[str]:
    """Choose what is only measured: what `split_of` says, and never less than the fraction.

    Of twenty images a hash alone holds one or none out in seven sets of a hundred. The next in
    the hash's order are taken then, and one key is left to learn from.

    Args:
        keys: What must not be torn apart, each once.
        val_fraction: Fraction of the keys that go to `val`, in [0, 1].

    Returns:
        The keys of `val`. Raising the fraction never takes one back, nor do other keys take back
        one that `split_of` gives to `val`.
    """
    order = sorted(keys, key=_place)
    count = sum(split_of(key, val_fraction=val_fraction) == "val" for key in order)
    if 0 < val_fraction < 1:
        count = min(max(count, round(val_fraction * len(order)), 1), len(order) - 1)
    return frozenset(order[: max(count, 0)])


def make_plan(
    name: str, source: str, inspected: Sequence[Inspected], *, val_fraction: float
) -> Plan:
    """Choose splits and names; both depend on nothing but the images and how they are called.

    Args:
        name: Name of the set.
        source: Kind of the source.
        inspected: Images that are valid, each with one object or more.
        val_fraction: Fraction of the images, or groups, that are held out; what the source decides
            itself stays as it is.

    Raises:
        DataError: It is one image, or group, and both splits are to have some.
    """
    images = []
    given = {_key(item): item.candidate.split for item in inspected if item.candidate.split}
    free = {_key(item) for item in inspected} - set(given)  # a group goes with those that have one
    measured = held_out(free, val_fraction=val_fraction)
    taken_images: set[str] = set()
    taken_masks: set[str] = set()
    for item in sorted(inspected, key=lambda item: (item.candidate.name, item.sha256)):
        stem = _free(_plain(item.candidate.name), taken_images)
        masks = tuple(
            PlannedMask(
                target=PurePosixPath("gt", _free(_mask_stem(stem, item, found), taken_masks) + end),
                found=found,
            )
            for found, end in ((found, _ending(found)) for found in item.objects)
        )
        images.append(
            PlannedImage(
                target=PurePosixPath("im", stem + _image_ending(item)),
                inspected=item,
                split=item.candidate.split
                or given.get(_key(item))
                or ("val" if _key(item) in measured else "train"),
                masks=masks,
            )
        )
    plan = Plan(name=name, source=source, val_fraction=val_fraction, images=tuple(images))
    _check_splits(plan)
    return plan


def _check_splits(plan: Plan) -> None:
    keys = {_key(image.inspected) for image in plan.images}
    is_given = any(image.inspected.candidate.split for image in plan.images)
    if not is_given and len(keys) == 1 and 0 < plan.val_fraction < 1:
        raise DataError(
            f"'{plan.name}' is one image or group, and --val-fraction {plan.val_fraction} wants "
            "some for training and some for measuring. 0 takes all for training, 1 for measuring."
        )


def _key(item: Inspected) -> str:
    """Give what must not be torn apart: the group, or the image itself."""
    return item.candidate.group or item.sha256


def _mask_stem(stem: str, item: Inspected, found: FoundObject) -> str:
    """Name a mask after its image, and what tells it from the image's other masks."""
    parts = [stem]
    if len(item.candidate.masks) > 1:
        own = found.origin.stem  # type: ignore[union-attr]  # there are files, so it is one
        short = item.candidate.image.stem
        parts.append(own.removeprefix(short).strip("_-. ") or own)
    if found.label:
        parts.append(found.label)
    return "_".join(parts).encode()[: 2 * _LONGEST_STEM - 10].decode(errors="ignore")


def _image_ending(item: Inspected) -> str:
    """Give the suffix of an image's copy; JPEG has many, of which tools know one."""
    suffix = ".png" if item.chosen else item.candidate.image.suffix.lower()
    return JPEG_SUFFIXES[0] if suffix in (".jfif", ".jpe") else suffix


def _ending(found: FoundObject) -> str:
    is_copied = found.is_plain and isinstance(found.origin, Path)
    return found.origin.suffix.lower() if is_copied else ".png"  # type: ignore[union-attr]


def _plain(name: str) -> str:
    """Make one part of a path, and not a hidden one, from a path."""
    plain = "-".join(part for part in name.split("/") if part.strip(".")).lstrip(".")
    return plain.encode()[:_LONGEST_STEM].decode(errors="ignore")


def _free(name: str, taken: set[str]) -> str:
    """Make a name that no file has yet, on file systems that ignore case too."""
    free, number = name, 2
    while free.casefold() in taken:
        free, number = f"{name}_{number}", number + 1
    taken.add(free.casefold())
    return free


def check_name(name: str, own: Path, *, taken: Iterable[str]) -> None:
    """Refuse a name that no set can have, before any image is read.

    Args:
        name: Name of the new set.
        own: Folder of one's own data; it need not exist.
        taken: Names of the public and the generated sets.

    Raises:
        DataError: It is no name, or another set's.
    """
    if not _NAME.fullmatch(name) or name.casefold() in (*SPLITS, *SUMMARY_ROWS):
        raise DataError(
            f"'{name}' cannot be a set's name: letters, digits, '_' and '-' only, and none of "
            f"{[*SPLITS, *SUMMARY_ROWS]}. Choose another."
        )
    clash = [other for other in taken if other.casefold() == name.casefold()]
    if clash:
        raise DataError(f"'{clash[0]}' is a set of the catalogue. Choose another name.")
    registered = [folder.name for folder in registered_sets(own)]
    folders = [path.name for path in own.iterdir()] if own.is_dir() else []
    clash = [other for other in folders if other.casefold() == name.casefold()]
    if clash and clash[0] not in registered:
        raise DataError(f"{own / clash[0]} is there, and no registered set. Choose another name.")
    if clash and clash[0] != name:
        raise DataError(f"'{clash[0]}' is registered already; '{name}' differs in case only.")
    loose = find_pairs(own)[0] if own.is_dir() and name not in registered else ()
    if any(pair.dataset == name for pair in loose):
        raise DataError(f"{own} has a data set '{name}' already. Choose another name.")


def registered(own: Path, name: str) -> dict[str, Any] | None:
    """Read the description of a registered set; none if there is no such set.

    Raises:
        DataError: It is damaged.
    """
    file = own / name / SET_FILE
    if not file.exists():
        return None
    advice = f"Restore it, or remove {file.parent}."
    content = read_json(file, advice=advice)
    if not isinstance(content, dict):
        raise DataError(f"{file} cannot be read: it describes no set. {advice}")
    return content


def register(plan: Plan, own: Path, *, link: bool, workers: int) -> Path:
    """Write a set's folder: `im`, `gt`, its table and its description; an older one is replaced.

    Args:
        plan: What to write.
        own: Folder of one's own data; made where it does not exist.
        link: Give the files a second name instead of copying them, where the disk can.
        workers: Processes.

    Returns:
        The folder of the set.

    Raises:
        DataError: The disk is full, or a file went away in the meantime.
    """
    target = own / plan.name
    with draft_folder(target, durable=True) as draft:
        try:
            for folder in ("im", "gt"):
                (draft / folder).mkdir()
            tasks = [(image, draft, link) for image in plan.images]
            for _ in parallel_map(_write, tasks, workers=workers, label="registering"):
                pass
            with (draft / CSV_NAME).open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(_COLUMNS)
                writer.writerows(plan.rows())
            text = json.dumps(plan.description(), indent=2, sort_keys=True)
            (draft / SET_FILE).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise DataError(f"{target} cannot be written ({error}). Nothing was changed.") from None
    return target


def _write(task: tuple[PlannedImage, Path, bool]) -> None:
    """Write one image and its masks into the draft."""
    image, draft, link = task
    bring = link_or_copy if link else shutil.copyfile
    if image.inspected.chosen:
        write_png(draft / image.target, image.inspected.chosen.load().pixels)
    else:
        bring(image.inspected.candidate.image.resolve(), draft / image.target)
    for mask in image.masks:
        if mask.found.is_plain and isinstance(mask.found.origin, Path):
            bring(mask.found.origin.resolve(), draft / mask.target)
        elif mask.found.kind in DRAWN:
            write_bytes(draft / mask.target, encode_bits(mask.found.draw()))
        else:  # it may have greys
            write_png(draft / mask.target, mask.found.draw())


def remove(name: str, own: Path, params_file: Path) -> tuple[Path, bool]:
    """Remove a set that `add` has registered, and its name among the benchmarks.

    Args:
        name: Name of the set.
        own: Folder of one's own data.
        params_file: The file that names the benchmarks.

    Returns:
        The folder that is gone, and whether the set was a benchmark.

    Raises:
        DataError: There is no such set, or its folder holds what `add` has not written.
        ParamsError: It is the only benchmark.
    """
    known = {folder.name: folder for folder in registered_sets(own)} if own.is_dir() else {}
    if name not in known:
        raise DataError(f"there is no registered set '{name}' in {own}. Known: {sorted(known)}.")
    folder = known[name]
    others = sorted({path.name for path in folder.iterdir()} - {"im", "gt", CSV_NAME, SET_FILE})
    if others:
        raise DataError(
            f"{folder} holds {others}, which `pasam data add` has not written. Move them elsewhere "
            "first; corrected masks that people have sent are deleted by `pasam data forget`."
        )
    listed = _benchmarks(params_file)
    if listed == [name]:
        raise ParamsError(
            f"{params_file}: {name} is the only set of evaluate.benchmarks, which must not be "
            "empty. Name another first."
        )
    try:
        discard_folder(folder)
    except OSError as error:
        raise DataError(f"{folder} cannot be removed ({error}).") from None
    finally:  # also where files of the folder stay, under another name
        if name in listed and not folder.exists():
            _with_benchmarks([other for other in listed if other != name], params_file)
    return folder, name in listed


def add_benchmark(name: str, params_file: Path) -> list[str]:
    """Add a set to the benchmarks.

    Args:
        name: A data set with a `val` split.
        params_file: The file to change.

    Returns:
        The lines that changed, as a diff shows them; none if it was there.

    Raises:
        ParamsError: The file has no list `evaluate.benchmarks`.
    """
    listed = _benchmarks(params_file)
    return [] if name in listed else _with_benchmarks([*listed, name], params_file)


def _benchmarks(params_file: Path) -> list[str]:
    section = read_params(params_file).get("evaluate") or {}
    listed = section.get("benchmarks") if isinstance(section, dict) else None
    if not isinstance(listed, list):
        raise ParamsError(f"{params_file}: evaluate.benchmarks is {listed!r}, expected a list.")
    return listed


def _with_benchmarks(names: list[str], params_file: Path) -> list[str]:
    old, content = params_text(params_file), read_params(params_file)
    content["evaluate"]["benchmarks"] = names
    new = edited(old, content)
    write_text(params_file, with_line_ends(new, params_file.read_bytes()))
    changes = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    return [line for line in changes if not line.startswith(("---", "+++", "@@"))]
