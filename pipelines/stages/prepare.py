"""DVC stage `prepare`: draw the generated data, check the rest, and list all in one manifest."""

import logging
from pathlib import Path

from pasam.config.sections import DataParams
from pasam.data.fetch import public_pairs
from pasam.data.manifest import fit_rows, manifest_frame, write_census, write_manifest
from pasam.data.preparation import take_census
from pasam.data.quarantine import read_quarantine
from pipelines.stage_runner import run


def prepare(
    data: DataParams, quarantine: Path, images: Path, catalogue: Path, lock: Path,
    manifest: Path, census: Path,
) -> None:  # fmt: skip
    """Write the generated images, the manifest of what is fit, and the census of all there is."""
    public, remarks = public_pairs(data.catalogue, catalogue, lock)
    for remark in remarks:
        logging.warning(remark)
    images.mkdir(parents=True, exist_ok=True)
    found = take_census(data, read_quarantine(quarantine), images, public)
    write_census(found, census)
    write_manifest(manifest_frame(fit_rows(found).to_dict("records")), manifest)


if __name__ == "__main__":
    run(prepare)
