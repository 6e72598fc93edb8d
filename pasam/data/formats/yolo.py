"""YOLO's segments: a line per object, its class and corners as fractions of the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pasam.data.coco import AnnotatedFile, DrawnAs
from pasam.data.names.folder_images import list_images, plain_form, sharing_folders
from pasam.errors import DataError
from pasam.files import Faults, read_text
from pasam.masks.run_lengths import Shares

_SHOWN = 60
_ADVICE = "Correct --annotations."
_OVERHANG = 0.1
"""Fraction of the image by which YOLO's corners may stick out; what does is cut off."""
_SAME_BOX = 0.004  # of the image; boxes are often rounded to pixels
_PLAIN_BOX = (4, 5)  # numbers: with a confidence, or an angle
_BESIDE = 0.02  # of the image, by which a keypoint may lie outside its box


def yolo_files(
    folder: Path, files: Sequence[Path], images: Path, left_out: list[str], faults: Faults
) -> Iterator[AnnotatedFile]:
    """Read the labels of images, a file each.

    Args:
        folder: Where they lie, `classes.txt` perhaps among them.
        files: The files.
        images: Folder of the images.
        left_out: Receives what each line holds that is no mask.
        faults: Receives what is wrong, each by its file and line.
    """
    named = folder / "classes.txt"
    names = read_text(named, advice=_ADVICE).splitlines() if named.is_file() else []
    there: dict[str, list[str]] = {}
    for path in list_images(images, deep=True):
        name = plain_form(path.relative_to(images).as_posix())
        there.setdefault(Path(name).stem, []).append(name)
    are_poses = _are_poses(files)
    for file in files:
        stem = plain_form(file.stem)
        same = sharing_folders(file.as_posix(), there.get(stem, []))
        if len(same) > 1:
            faults.add(f"{file} may be of any of {same}. Leave one in --images.")
            continue
        try:
            found, bad = _objects_of(file, names, left_out, are_poses)
        except DataError as error:
            faults.add(str(error))
            continue
        if bad and not found and not same:  # a list of images, or words about the export
            faults.add(f"{file}, line {bad[0]}. Correct it, or move the file elsewhere.")
            continue
        faults.extend(f"{file}, line {fault}. Correct it, or remove the line." for fault in bad)
        below = plain_form(file.relative_to(folder).with_suffix("").as_posix())
        yield AnnotatedFile(name=same[0] if same else below, size=None, objects=found)


def _are_poses(files: Sequence[Path]) -> bool:
    """Whether the lines of a set are boxes with keypoints, of which each line has as many.

    One line alone says little: of a polygon with corners at the edge, which are 0 or 1, it may look
    as if these said which points are seen. And in a set of poses a point may lie beside its box, or
    a line be filled up with zeros.
    """
    found = []
    for file in files:
        try:
            lines = read_text(file, advice=_ADVICE).splitlines()
        except DataError:
            continue  # which is told when its objects are read
        for _, *values in (line.split() for line in lines if line.strip()):
            if values and len(values) not in _PLAIN_BOX and all(map(_is_number, values)):
                found.append([float(value) for value in values])
    marked = sum(map(_has_marks, found))
    boxed = sum(_has_marks(numbers) and _is_round_its_points(numbers) for numbers in found)
    is_one_length = len({len(numbers) for numbers in found}) == 1
    return is_one_length and marked >= 0.9 * len(found) and boxed >= 0.5 * len(found)


def _has_marks(numbers: Sequence[float]) -> bool:
    """Whether points may follow a box of four numbers, each with a mark of whether it is seen."""
    points = numbers[4:]
    is_whole = len(points) >= 6 and not len(points) % 3
    return is_whole and {0.0, 1.0, 2.0}.issuperset(points[2::3])


def _is_round_its_points(numbers: Sequence[float]) -> bool:
    """Whether the first four numbers are a box, its middle and sides, round the points seen."""
    (x, y, wide, tall), points = numbers[:4], numbers[4:]
    sides = ((x - wide / 2, x + wide / 2), (y - tall / 2, y + tall / 2))
    return all(
        -_SAME_BOX <= low < high <= 1 + _SAME_BOX
        and all(
            low - _BESIDE <= one <= high + _BESIDE
            for one, is_seen in zip(points[axis::3], points[2::3], strict=True)
            if is_seen
        )
        for axis, (low, high) in enumerate(sides)
    )


def _objects_of(
    file: Path, names: Sequence[str], left_out: list[str], are_poses: bool
) -> tuple[tuple[DrawnAs, ...], list[str]]:
    """Read the objects of one image, and what is wrong, each by the number of its line."""
    objects, bad = [], []
    for number, line in enumerate(read_text(file, advice=_ADVICE).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            corners = _corners(line, are_poses)
        except DataError as error:
            bad.append(f"{number}: {error}")
            continue
        if isinstance(corners, str):
            left_out.append(corners)
            continue
        kind = line.split()[0].removesuffix(".0")
        objects.append(
            DrawnAs(
                label=str(number), drawing=Shares(polygons=[corners]),
                category=names[int(kind)] if kind.isdigit() and int(kind) < len(names) else kind,
                name=f"line {number} of {file.name}",
            )
        )  # fmt: skip
    return tuple(objects), bad


def _corners(line: str, is_pose: bool) -> list[float] | str:
    """Give a line's polygon x, y, x, y, ...; or what it holds instead, which is no mask."""
    kind, *values = line.split()
    if not values or not all(map(_is_number, values)):
        raise DataError(f"'{line[:_SHOWN]}' is not YOLO's, a class and numbers")
    if kind.startswith("-"):
        raise DataError(f"the class is {kind}, expected a number from 0")
    numbers = [float(value) for value in values]
    if len(numbers) in _PLAIN_BOX:
        return "boxes"
    if is_pose:
        return "keypoints"
    if len(numbers) % 2:
        raise DataError(
            f"it has {len(numbers)} numbers, expected x and y of each corner, and no confidence "
            "(save_conf) behind them"
        )
    far = next((one for one in numbers if not -_OVERHANG <= one <= 1 + _OVERHANG), None)
    if far is not None:  # also NaN
        raise DataError(
            f"it has the coordinate {far:g}, expected a fraction of the image from 0 to 1, not "
            "pixels"
        )
    return numbers[4:] if _begins_with_its_box(numbers) else numbers


def _begins_with_its_box(numbers: Sequence[float]) -> bool:
    """Whether the box of a polygon, its middle and sides, stands before its corners."""
    (x, y, wide, tall), corners = numbers[:4], numbers[4:]
    if len(corners) < 6:
        return False
    xs, ys = corners[::2], corners[1::2]
    box = (x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2)
    around = (min(xs), min(ys), max(xs), max(ys))
    return max(abs(one - other) for one, other in zip(box, around, strict=True)) < _SAME_BOX


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
