"""Corrections that people send: they wait for review, become an own set, and can be taken back."""

# Shapes: H, W of an image.

from __future__ import annotations

import base64
import csv
import json
import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from pasam.data.imports import SetPlaces, read_source
from pasam.data.own_sets import Added, Options, add, split_of
from pasam.errors import DataError
from pasam.files import draft_folder, file_sha256, put_in_place, write_json
from pasam.inference.mask_record import grey
from pasam.masks.images import encode_png, foreground, read_image
from pasam.masks.mask_files import Reading
from pasam.registry.verdict_page import CORRECTIONS, PROVENANCE

SET = CORRECTIONS
WAITING, ACCEPTED = "waiting", "accepted"
IMAGE, MASK, BEFORE, ABOUT = "image.png", "mask.png", "before.png", "about.json"
VAL_FRACTION = 0.2
_DIGITS = 12  # of an id, in hexadecimal


@dataclass(frozen=True, slots=True)
class Correction:
    """A mask that a person has corrected."""

    folder: Path
    about: Mapping[str, Any]
    """`who`, `why`, `when`, `prompt`, `model`, `image_sha256` and what else was recorded."""

    @property
    def identity(self) -> str:
        """Its id."""
        return self.folder.name


class FeedbackStore:
    """Corrections in a folder: `waiting` until a person accepts them, then `accepted`.

    Args:
        folder: Where they are; made when the first comes.
        most: Corrections that may wait.
        most_bytes: Bytes that all waiting ones may take.
    """

    def __init__(self, folder: Path, *, most: int = 500, most_bytes: int = 2_000_000_000) -> None:
        self.folder, self.most, self.most_bytes = folder, most, most_bytes

    def put(
        self,
        image: NDArray[np.uint8],
        mask: NDArray[np.bool_],
        *,
        before: NDArray[np.bool_] | None = None,
        about: Mapping[str, Any],
    ) -> str:
        """Keep a correction until it is reviewed.

        The image is written anew as PNG: what its file said of place, time and camera is not kept.

        Args:
            image: The image as it was shown, (H, W, 3).
            mask: The corrected mask, (H, W).
            before: The model's mask, (H, W), if it is known.
            about: Who, why, the prompt and the model.

        Returns:
            Its id.

        Raises:
            DataError: The mask is empty or of another size, or too much is waiting.
        """
        if mask.shape != image.shape[:2] or not mask.any():
            raise DataError(
                f"the mask is of {mask.shape} with {int(mask.sum())} pixels of the object, "
                f"expected {image.shape[:2]} as the image is, and an object."
            )
        with self._lock():
            sizes = [file.stat().st_size for file in (self.folder / WAITING).glob("*/*")]
            count = len(self.waiting())
            if count >= self.most or sum(sizes) >= self.most_bytes:
                raise DataError(
                    f"{count} corrections of {sum(sizes) // 1_000_000} MB wait for review already; "
                    "no more are taken. Review them with `pasam data review`."
                )
            identity = secrets.token_hex(_DIGITS // 2)
            with draft_folder(self.folder / WAITING / identity, durable=True) as draft:
                (draft / IMAGE).write_bytes(encode_png(image))
                (draft / MASK).write_bytes(encode_png(grey(mask)))
                if before is not None:
                    (draft / BEFORE).write_bytes(encode_png(grey(before)))
                known = {
                    "when": datetime.now(UTC).isoformat(timespec="seconds"),
                    "image_sha256": file_sha256(draft / IMAGE),
                }
                write_json(draft / ABOUT, dict(about) | known)
        return identity

    def waiting(self) -> list[Correction]:
        """List what waits for review, the oldest first."""
        return self._listed(WAITING)

    def accepted(self) -> list[Correction]:
        """List what was accepted, the oldest first."""
        return self._listed(ACCEPTED)

    def accept(self, ids: Sequence[str], *, reviewer: str) -> None:
        """Take corrections into the set, from the next `write_set` on.

        Raises:
            DataError: One does not wait.
        """
        with self._lock():
            for each in _chosen(self.waiting(), ids, "waits for review"):
                reviewed = {"reviewer": reviewer, "accepted": datetime.now(UTC).isoformat()}
                write_json(each.folder / ABOUT, dict(each.about) | reviewed)
                target = self.folder / ACCEPTED / each.identity
                target.parent.mkdir(parents=True, exist_ok=True)
                put_in_place(each.folder, target, durable=True)

    def forget(self, chosen: Callable[[Correction], bool]) -> list[str]:
        """Delete corrections, waiting and accepted, with their images; return their ids."""
        with self._lock():
            found = [each for each in (*self.waiting(), *self.accepted()) if chosen(each)]
            for each in found:
                shutil.rmtree(each.folder)
        return [each.identity for each in found]

    def write_set(self, own: Path) -> Added | None:
        """Make the set of all accepted corrections anew, with their provenance beside it.

        Images are split by their content: several corrections of one image share its split, and
        whoever corrects it later does not move it.

        Args:
            own: Folder of one's own data.

        Returns:
            What was registered; None where nothing is accepted (any more) and the set is gone.

        Raises:
            DataError: A file was damaged, or the disk fails.
        """
        taken, folder = self.accepted(), own / SET
        if not taken:
            shutil.rmtree(folder, ignore_errors=True)
            return None
        first: dict[str, Path] = {}
        with tempfile.TemporaryDirectory(dir=self.folder) as made:
            draft = Path(made)
            table = draft / "pairs.csv"
            with table.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(("image", "mask", "split"))
                for each in taken:
                    digest = str(each.about["image_sha256"])
                    image = draft / f"{digest[:_DIGITS]}.png"
                    if digest not in first:
                        first[digest] = shutil.copyfile(each.folder / IMAGE, image)
                    mask = shutil.copyfile(each.folder / MASK, draft / f"{each.identity}_mask.png")
                    split = split_of(digest, val_fraction=VAL_FRACTION)
                    writer.writerow((image.name, mask.name, split))
            source = read_source(SetPlaces(table=table))
            options = Options(
                val_fraction=VAL_FRACTION, reading=Reading.BINARY, skip_bad=False, replace=True,
                link=False, dry_run=False, workers=1,
            )  # fmt: skip
            added = add(SET, source, own, options)
        write_json(folder / PROVENANCE, _origins(taken, added, folder))
        return added

    def _listed(self, state: str) -> list[Correction]:
        found = []
        for about in (self.folder / state).glob(f"*/{ABOUT}"):
            try:
                content = json.loads(about.read_text(encoding="utf-8"))
            except ValueError as error:
                raise DataError(f"{about} cannot be read ({error}). Remove its folder.") from None
            found.append(Correction(about.parent, content))
        return sorted(found, key=lambda each: (str(each.about.get("when")), each.identity))

    def _lock(self) -> FileLock:
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / ".lock")


def _origins(taken: Sequence[Correction], added: Added, folder: Path) -> dict[str, Any]:
    """Say where everything of the set comes from, and keep the masks that were corrected."""
    masks = {
        Path(str(mask.found.origin)).name.removesuffix("_mask.png"): str(mask.target)
        for image in added.plan.images
        for mask in image.masks
    }
    origins = {}
    for each in taken:
        image = f"im/{str(each.about['image_sha256'])[:_DIGITS]}.png"
        origins[each.identity] = dict(each.about) | {"image": image, "mask": masks[each.identity]}
        if (each.folder / BEFORE).is_file():
            kept = folder / "before" / f"{each.identity}.png"
            kept.parent.mkdir(exist_ok=True)
            shutil.copyfile(each.folder / BEFORE, kept)
            origins[each.identity]["before"] = f"before/{kept.name}"
    return origins


def review_page(corrections: Sequence[Correction]) -> str:
    """Write a page that shows corrections before and after, as HTML in one file."""
    rows = "".join(map(_figure, corrections)) or "<p>Nothing waits for review.</p>"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Corrections</title>'
        '<meta name="viewport" content="width=device-width">'
        "<style>body{font:1rem/1.5 system-ui;margin:2rem auto;max-width:70rem;padding:0 1rem}"
        "figure{margin:0 0 2rem;display:flex;flex-wrap:wrap;gap:1rem}figure img{max-width:100%;"
        "width:22rem}figcaption{flex:1 1 100%}</style>"
        f"<main><h1>{len(corrections)} corrections: before and after</h1>{rows}</main></html>\n"
    )


def _figure(each: Correction) -> str:
    image = read_image(each.folder / IMAGE)
    shown = []
    for name, title in ((BEFORE, "before: the model's mask"), (MASK, "after: the person's mask")):
        if (each.folder / name).is_file():
            tinted = image.copy()
            inside = foreground(read_image(each.folder / name)[..., 0])
            tinted[inside] = tinted[inside] // 2 + np.array([0, 60, 127], np.uint8)
            data = base64.b64encode(encode_png(tinted)).decode()
            shown.append(f'<img src="data:image/png;base64,{data}" alt="{title}">')
    about = each.about
    words = f"{each.identity}: {about.get('who')}, {about.get('when')}: {about.get('why')}"
    return f"<figure><figcaption>{escape(words)}</figcaption>{''.join(shown)}</figure>"


def _chosen(there: Sequence[Correction], ids: Sequence[str], what: str) -> list[Correction]:
    known = {each.identity: each for each in there}
    missing = [identity for identity in ids if identity not in known]
    if missing:
        raise DataError(
            f"no correction {missing[0]!r:.40} {what}. There are: {', '.join(known) or 'none'}."
        )
    return [known[identity] for identity in dict.fromkeys(ids)]
