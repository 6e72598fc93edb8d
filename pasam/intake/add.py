"""Register a set of one's own: look at everything, say what is wrong, then write it at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pasam.errors import DataError
from pasam.intake.inspection import Task, inspect
from pasam.intake.mask_kinds import Reading
from pasam.intake.plan import Plan, make_plan
from pasam.intake.registration import check_name, register, registered
from pasam.intake.sources import Source
from pasam.parallel import spread

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
    found = list(spread(inspect, tasks, workers=options.workers, label="looking"))
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
