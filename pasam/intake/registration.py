"""Put a planned set into the folder of one's own data: all of it appears at once, or nothing."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pasam.data.folder import CSV_NAME, SET_FILE, find_pairs, registered_sets
from pasam.data.images import write_png
from pasam.data.manifest import SPLITS
from pasam.errors import DataError
from pasam.intake.coco import decoded
from pasam.intake.mask_kinds import object_mask, read_labels
from pasam.intake.plan import Plan, PlannedImage
from pasam.intake.sources import GROUP_COLUMN, EncodedMask
from pasam.parallel import spread

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
            for _ in spread(_write, tasks, workers=workers, label="registering"):
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
