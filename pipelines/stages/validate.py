"""DVC stage `validate`: judge the data before anything is trained on it."""

from pathlib import Path

from pasam.catalogue.catalogue_file import read_catalogue
from pasam.data.census import read_census
from pasam.data.manifest import file_sha256
from pasam.data.quarantine import read_quarantine
from pasam.errors import DataError
from pasam.validate_params import ValidateParams
from pasam.validation.accepted import read_accepted
from pasam.validation.conclusion import conclude, refusal
from pasam.validation.expectations import suite
from pasam.validation.findings import collect, write_findings
from pasam.validation.judge import judge
from pasam.validation.page import write_page
from pasam.validation.tables import make_tables
from pasam.validation.verdict import write_verdict
from pipelines.stage_runner import run


def validate(
    validate: ValidateParams, manifest: Path, census: Path, quarantine: Path, accepted: Path,
    verdict: Path, findings: Path, page: Path, docs: Path,
) -> None:  # fmt: skip
    """Write the verdict, the findings and the page; then refuse data that is not fit."""
    expected_images = {
        name: entry.images
        for name, entry in read_catalogue().entries.items()
        if entry.images is not None
    }
    found = read_census(census)
    tables = make_tables(
        found, read_quarantine(quarantine), read_accepted(accepted), expected_images, validate
    )
    outcomes = judge(suite(validate), tables.by_name, docs)
    concluded = conclude(found, outcomes, file_sha256(manifest))
    write_verdict(verdict, concluded)
    collected = collect(found, tables, outcomes)
    write_findings(findings, collected)
    write_page(page, concluded, collected, tables, outcomes)
    if not concluded.passed:
        raise DataError(refusal(found, outcomes, page.as_posix()))


if __name__ == "__main__":
    run(validate)
