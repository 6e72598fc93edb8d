"""DVC stage `prepare`: draw the generated data, check the rest, and list all in one manifest."""

import logging
from pathlib import Path

from pasam.data.manifest import write_manifest
from pasam.data.prepare import prepare_manifest
from pasam.intake.public_pairs import public_pairs
from pasam.params import DataParams
from pipelines.stage_runner import run


def prepare(data: DataParams, images: Path, catalogue: Path, lock: Path, manifest: Path) -> None:
    """Write the generated images and the manifest of all images and masks."""
    public, remarks = public_pairs(data.catalogue, catalogue, lock)
    for remark in remarks:
        logging.warning(remark)
    images.mkdir(parents=True, exist_ok=True)
    write_manifest(prepare_manifest(data, images, public), manifest)


if __name__ == "__main__":
    run(prepare)
