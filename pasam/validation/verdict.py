"""The verdict on the data: a small file that training depends on and refuses to start without."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from pasam.errors import DataError
from pasam.files import file_sha256, write_text


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What came of validating one manifest; a mere change of words changes nothing here."""

    passed: bool
    """Whether training may start."""
    errors: tuple[str, ...]
    """Expectations that failed and stop the run, by name."""
    warnings: tuple[str, ...]
    """Expectations that failed and are reported."""
    masks: int
    """Valid masks: rows of the manifest."""
    invalid: int
    """Items that were left out and that nobody has reviewed."""
    quarantined: int
    """Items that were left out because they are in quarantine."""
    manifest_sha256: str
    """Hash of the manifest that was judged."""


def write_verdict(path: Path, verdict: Verdict) -> None:
    """Write the verdict as JSON, whole or not at all."""
    write_text(path, json.dumps(asdict(verdict), indent=2) + "\n")


def read_verdict(path: Path) -> Verdict:
    """Read a verdict.

    Raises:
        DataError: The file is missing or is not a verdict.
    """
    try:
        return TypeAdapter(Verdict).validate_json(path.read_bytes())
    except FileNotFoundError:
        raise DataError(
            f"{path} does not exist: the data was not validated. Run `dvc repro validate`."
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a verdict ({error!r}). Run `dvc repro validate`.") from None


def require_passed(path: Path, manifest: Path) -> None:
    """Refuse to use a manifest whose data was found unfit, or was never looked at.

    Raises:
        DataError: The verdict at `path` or the manifest is missing, the verdict says no, or it is
            about another manifest.
    """
    verdict = read_verdict(path)
    if not verdict.passed:
        raise DataError(
            f"{path} says that the data is not fit: {', '.join(verdict.errors)} failed. Run `dvc "
            "repro validate` to see what to do."
        )
    if not manifest.is_file():
        raise DataError(f"{manifest} does not exist. Run `dvc repro prepare` to make it.")
    if verdict.manifest_sha256 != file_sha256(manifest):
        raise DataError(
            f"{path} is about another {manifest} than the present one. Run `dvc repro validate`."
        )
