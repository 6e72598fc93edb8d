"""Register a set of one's own: look at everything, say what is wrong, then write it at once."""

from __future__ import annotations

import csv
import difflib
import io
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pasam.config.params_file import read_params
from pasam.data.coco import decoded
from pasam.data.folder import CSV_NAME, SET_FILE, find_pairs, registered_sets
from pasam.data.inspection import Task, inspect
from pasam.data.manifest import SPLITS
from pasam.data.mask_kinds import Reading, object_mask, read_labels
from pasam.data.pairing import GROUP_COLUMN, EncodedMask, Source
from pasam.data.plan import Plan, PlannedImage, make_plan
from pasam.errors import DataError, ParamsError
from pasam.masks.images import write_png
from pasam.workers import parallel_map

# --- registration: Put a planned set into the folder of one's own data: all of it appears at
# once, or nothing.

COLUMNS = ("split", "dataset", "image", "mask", GROUP_COLUMN)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def check_name(name: str, own: Path, *, taken: Iterable[str]) -> None:
    """Refuse a name that no set can have, before any picture is read.

    Args:
        name: Name of the new set.
        own: Folder of one's own data; it need not exist.
        taken: Names of the public and the generated sets.

    Raises:
        DataError: It is no name, or another set's.
    """
    if not _NAME.fullmatch(name) or name in SPLITS:
        raise DataError(
            f"'{name}' cannot be a set's name: letters, digits, '_' and '-' only, and neither of "
            f"{list(SPLITS)}. Choose another."
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
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {**content}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"{file} cannot be read ({error}). Restore it, or remove {file.parent}."
        ) from None


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
    own.mkdir(parents=True, exist_ok=True)
    with _draft(target) as draft:
        try:
            for folder in ("im", "gt"):
                (draft / folder).mkdir()
            tasks = [(image, draft, link) for image in plan.images]
            for _ in parallel_map(_write, tasks, workers=workers, label="registering"):
                pass
            _write_table(plan, draft / CSV_NAME)
            text = json.dumps(plan.description(), indent=2, sort_keys=True)
            (draft / SET_FILE).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise DataError(f"{target} cannot be written ({error}). Nothing was changed.") from None
        _exchange(draft, target)
    return target


def _write(task: tuple[PlannedImage, Path, bool]) -> None:
    """Write one image and its masks into the draft."""
    image, draft, link = task
    _bring(image.inspected.candidate.image, draft / image.target, link)
    labels: dict[Path, Any] = {}
    for mask in image.masks:
        origin = mask.found.origin
        if isinstance(origin, EncodedMask):
            write_png(draft / mask.target, decoded(origin))
        elif mask.is_drawn:
            if origin not in labels:
                labels[origin] = read_labels(origin)
            write_png(draft / mask.target, object_mask(labels[origin], mask.found.label))
        else:
            _bring(origin, draft / mask.target, link)


def _bring(file: Path, place: Path, link: bool) -> None:
    if link:
        try:
            place.hardlink_to(file)
            return
        except OSError:
            pass  # another disk, or one without second names
    shutil.copyfile(file, place)


def _write_table(plan: Plan, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(plan.rows())


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """Give an empty hidden folder beside the target; what is left of it goes."""
    _recover(target)
    draft = target.with_name(f".{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _exchange(draft: Path, target: Path) -> None:
    """Put the draft in the target's place; the older one stays until the new one is there."""
    old = _old(target)
    os.sync()  # a power cut must not leave a description whose pictures are empty
    if target.exists():
        target.replace(old)
    draft.replace(target)
    shutil.rmtree(old, ignore_errors=True)


def _recover(target: Path) -> None:
    """Finish or undo an exchange that was killed half way."""
    old = _old(target)
    if old.exists() and not target.exists():
        old.replace(target)
    shutil.rmtree(old, ignore_errors=True)


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


# --- add: Register a set of one's own: look at everything, say what is wrong, then write it at
# once.

SHOWN_FAULTS = 20


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

    val_share: float
    """Share of the images or groups that are held out, in [0, 1]."""
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
    if not 0 <= options.val_share <= 1:
        raise DataError(f"--val-share is {options.val_share}, expected 0 to 1.")
    check_name(name, own, taken=taken)
    tasks = [Task(candidate=item, reading=options.reading) for item in source.candidates]
    found = list(parallel_map(inspect, tasks, workers=options.workers, label="looking"))
    faults = [*source.faults, *(fault for item in found for fault in item.faults)]
    if faults and not options.skip_bad:
        raise DataError(_fault_list(name, faults))
    fit = [item for item in found if item.sha256 and item.objects]
    if not fit:
        raise DataError(f"No image with a mask is left for '{name}'. Nothing was written.")
    plan = make_plan(name, source.kind, fit, val_share=options.val_share)
    notes = (*source.notes, *_skipped(faults), *_remarks(plan))
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


def _fault_list(name: str, faults: list[str]) -> str:
    shown = "\n".join(f"- {fault}" for fault in faults[:SHOWN_FAULTS])
    more = len(faults) - SHOWN_FAULTS
    tail = f"\n- and {more} more" if more > 0 else ""
    return (
        f"'{name}' was not registered: {len(faults)} faults. Mend them, or leave these out with "
        f"--skip-bad.\n{shown}{tail}"
    )


def _skipped(faults: list[str]) -> list[str]:
    shown = [f"left out: {fault}" for fault in faults[:SHOWN_FAULTS]]
    more = len(faults) - SHOWN_FAULTS
    return [*shown, f"left out: {more} more"] if more > 0 else shown


def _remarks(plan: Plan) -> list[str]:
    """Say what is allowed and yet worth knowing."""
    remarks = []
    voids = sum(image.inspected.voids for image in plan.images)
    if voids:
        remarks.append(f"255 stands for void in {voids} index masks, and belongs to no object")
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
    return remarks


# --- benchmark_list: Name a set under `evaluate.benchmarks` in a params file, leaving every
# other byte as it is.


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
    section = read_params(params_file).get("evaluate")
    listed = section.get("benchmarks") if isinstance(section, dict) else None
    if not isinstance(listed, list):
        raise ParamsError(f"{params_file}: evaluate.benchmarks is {listed!r}, expected a list.")
    if name in listed:
        return []
    old = params_file.read_text(encoding="utf-8")
    editor = _editor()
    content = editor.load(old)
    content["evaluate"]["benchmarks"].append(name)
    written = io.StringIO()
    editor.dump(content, written)
    new = written.getvalue()
    draft = params_file.with_name(f".{params_file.name}.{os.getpid()}")
    try:
        draft.write_text(new, encoding="utf-8")
        draft.replace(params_file)
    finally:
        draft.unlink(missing_ok=True)
    changes = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    return [line for line in changes if not line.startswith(("---", "+++", "@@"))]


def _editor() -> YAML:
    """Make a reader and writer that keeps comments, order and the style of lists."""
    editor = YAML()
    editor.width = 4096
    editor.preserve_quotes = True
    editor.representer.add_representer(type(None), _null)
    return editor


def _null(representer: Any, _: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")
