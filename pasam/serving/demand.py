"""What a service is asked for, in numbers: how much, how sure it answers, and on what images.

No pixel is kept, and nothing of a client: counts, and now and then the measures of one answered
prompt that data sets have, too. `nightly` compares these with what was trained on.
"""

from __future__ import annotations

import json
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pasam.config.requirements import ValidateParams
    from pasam.serving.jobs import PromptJob

FOLDER = "asked"
"""Of the folder of corrections."""
EVERY = 30.0
"""Seconds between two prompts that are measured: 2,880 a day at most, 700 KB."""
KEPT_DAYS = 90
REPORTED_DAYS = 30
COMPARED = ("area", "resolution", "brightness")
FEWEST = 50
"""Measured prompts below which nothing is said of drift."""
_SET = ("train", "asked")

_LOG = logging.getLogger(__name__)


class DemandLog:
    """Counts answered prompts and corrections, and measures a prompt now and then.

    Several services may share the folder: a line is written at once.

    Args:
        folder: Folder of the corrections.
        every: Seconds between two prompts that are measured.
        clock: Seconds that only grow.
    """

    def __init__(
        self, folder: Path, *, every: float = EVERY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder, self.every, self._clock = folder / FOLDER, every, clock
        self._lock = threading.Lock()
        self._answered = 0
        self._due = clock()

    def answered(self, jobs: Sequence[PromptJob], answers: Sequence[Sequence[Any]]) -> None:
        """Count prompts that were answered; measure the first of them if it is time.

        Args:
            jobs: The prompts.
            answers: Records of the masks of each, as the service writes them.
        """
        with self._lock:
            self._answered += len(jobs)
            now = self._clock()
            if now < self._due:
                return
            self._due = now + self.every
        try:
            measured = _measured(jobs[0], answers[0][0])
        except Exception:  # noqa: BLE001  (whoever asked gets the mask all the same)
            _LOG.exception("a prompt could not be measured")
            measured = {}
        self._write(measured)

    def corrected(self) -> None:
        """Count a correction that somebody has sent."""
        self._write({"corrected": 1})

    def close(self) -> None:
        """Write down what is counted and not written yet."""
        if self._answered:
            self._write({})

    def _write(self, row: Mapping[str, Any]) -> None:
        """Add a line with what was counted since the last; a full disk is only told."""
        with self._lock:
            count, self._answered = self._answered, 0
        now = datetime.now(UTC)
        line = json.dumps({"time": now.isoformat(timespec="seconds"), "answered": count, **row})
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / f"{now.date()}.jsonl").open("ab+") as file:
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    line = line if file.read(1) == b"\n" else f"\n{line}"  # after one cut off
                file.write(f"{line}\n".encode())
            for path, day in _days(self.folder):
                if day < now.date() - timedelta(days=KEPT_DAYS):
                    path.unlink(missing_ok=True)
        except OSError as error:
            _LOG.warning("what was asked for is not counted: %s", error)


def _measured(job: PromptJob, record: Mapping[str, Any]) -> dict[str, Any]:
    """Measure a prompt's image and its mask as data sets are."""
    import cv2
    import numpy as np

    pixels = job.image.transform.height * job.image.transform.width
    image = np.ascontiguousarray(job.image.pixels.permute(1, 2, 0).cpu().numpy())
    return {
        "model": job.model.name,
        "uncertainty": round(1.0 - min(max(float(record["score"]), 0.0), 1.0), 4),
        "area": round(float(record["area"]) / pixels, 6),
        "resolution": round(math.sqrt(pixels), 6),
        "brightness": round(float(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).mean()), 2),
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """What was asked for in some days."""

    days: int
    answered: int
    """Prompts."""
    corrected: int
    """Corrections that people sent."""
    waiting: int
    """Of them, how many wait for review."""
    uncertainty: float | None
    """Mean of 1 - predicted IoU; None where nothing was measured."""
    measured: int
    drift: tuple[Mapping[str, Any], ...]
    """How far each quantity is from what was trained on, as `compare` has it."""

    @property
    def drifted(self) -> tuple[str, ...]:
        """Quantities that have left what was trained on."""
        return tuple(str(row["quantity"]) for row in self.drift if row["drifted"])

    @property
    def message(self) -> str:
        """Say it in two sentences."""
        share = f" ({self.corrected / self.answered:.1%})" if self.answered else ""
        said = (
            f"In {self.days} days {self.answered} prompts were answered and {self.corrected} "
            f"corrected{share}; {self.waiting} corrections wait for review."
        )
        if self.uncertainty is not None:
            said += f" Mean uncertainty {self.uncertainty:.3f} of {self.measured} measured."
        if self.drifted:
            said += f" What is asked for is not what was trained on: {', '.join(self.drifted)}."
        return said


def read_demand(
    folder: Path,
    inventory: Path | None,
    params: ValidateParams,
    *,
    days: int = REPORTED_DAYS,
    today: date | None = None,
) -> Demand | None:
    """Sum up what services that share a folder were asked for.

    Args:
        folder: Folder of the corrections.
        inventory: What the data is, with which it is compared, if it is there.
        params: When a distribution has drifted.
        days: How far back.
        today: The last of these days.

    Returns:
        The sums; None where no service writes there.
    """
    if not (folder / FOLDER).is_dir():
        return None
    from pasam.serving.feedback import FeedbackStore

    last = today or datetime.now(UTC).date()
    rows = list(_rows(folder / FOLDER, last - timedelta(days=days)))
    measured = [row for row in rows if "area" in row]
    unsure = [float(row["uncertainty"]) for row in measured]
    return Demand(
        days=days,
        answered=sum(int(row.get("answered", 0)) for row in rows),
        corrected=sum(int(row.get("corrected", 0)) for row in rows),
        waiting=len(FeedbackStore(folder).waiting()),
        uncertainty=sum(unsure) / len(unsure) if unsure else None,
        measured=len(measured),
        drift=_drift(measured, inventory, params),
    )


def _drift(
    measured: Sequence[Mapping[str, Any]], inventory: Path | None, params: ValidateParams
) -> tuple[Mapping[str, Any], ...]:
    """Compare with what was trained on, as versions of the data are compared."""
    if len(measured) < FEWEST or inventory is None:
        return ()
    import numpy as np

    from pasam.data.manifest import read_inventory, valid_rows
    from pasam.validation.drift import WHOLE, Sketch, compare, group_values
    from pasam.validation.duplicates import images_of

    valid = valid_rows(read_inventory(inventory))
    trained = dict(group_values(valid, images_of(valid))).get(("train", WHOLE))
    if trained is None:
        return ()
    values = {name: np.array([row[name] for row in measured], np.float64) for name in COMPARED}
    asked = Sketch(masks=len(measured), images=len(measured), values=values)
    found = compare(
        {_SET: asked}, {_SET: trained}, p=params.drift_p, effect=params.drift_effect,
        quantities=COMPARED,
    )  # fmt: skip
    rows = found.to_dict("records")
    return tuple({str(name): value for name, value in row.items()} for row in rows)


def _days(folder: Path) -> Iterator[tuple[Path, date]]:
    for path in sorted(folder.glob("*.jsonl")):
        try:
            yield path, date.fromisoformat(path.stem)
        except ValueError:
            continue


def _rows(folder: Path, since: date) -> Iterator[dict[str, Any]]:
    """Read lines; one that was cut off, as by a full disk, is left out."""
    for path, day in _days(folder):
        if day > since:
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    row = json.loads(line)
                except ValueError:
                    continue
                if isinstance(row, dict):
                    yield row
