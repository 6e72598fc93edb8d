"""DVC stage `validate`: judge the data before anything is trained on it."""

from pathlib import Path

from pasam.config.requirements import ValidateParams
from pasam.data.catalogue import read_catalogue
from pasam.data.manifest import read_inventory
from pasam.data.quarantine import read_quarantine
from pasam.errors import DataError
from pasam.files import file_md5, file_sha256, write_json
from pasam.validation.drift import read_accepted
from pasam.validation.expectations import judge, make_tables, suite
from pasam.validation.findings import collect, failure_message, summarize, write_page
from pasam.validation.verdict import write_verdict
from pipelines.stage_runner import run


def validate(
    validate: ValidateParams, manifest: Path, inventory: Path, quarantine: Path, accepted: Path,
    verdict: Path, findings: Path, page: Path, docs: Path,
) -> None:  # fmt: skip
    """Write the verdict, the findings and the page; then refuse data that is not fit."""
    expected_images = {
        name: entry.images
        for name, entry in read_catalogue().entries.items()
        if entry.images is not None
    }
    found = read_inventory(inventory)
    tables = make_tables(
        found, read_quarantine(quarantine), read_accepted(accepted), expected_images, validate
    )
    results = judge(suite(validate), tables.by_name, docs)
    summary = summarize(found, results, file_sha256(manifest))
    write_verdict(verdict, summary)
    collected = collect(found, tables, results)
    write_json(findings, collected, allow_nan=False)
    write_page(page, summary, collected, tables, results, manifest_md5=file_md5(manifest))
    if not summary.passed:
        raise DataError(failure_message(found, results, page.as_posix()))


if __name__ == "__main__":
    run(validate)
