"""DVC stage `prepare`: draw the generated data, check the rest, and list all in one manifest."""

import logging
from pathlib import Path

from pasam.config.schema import DataParams
from pasam.data.fetch import public_pairs
from pasam.data.manifest import manifest_frame, valid_rows, write_inventory, write_manifest
from pasam.data.preparation import take_inventory
from pasam.data.quarantine import read_quarantine
from pipelines.stage_runner import run


def prepare(
    data: DataParams, quarantine: Path, images: Path, catalogue: Path, lock: Path,
    manifest: Path, inventory: Path,
) -> None:  # fmt: skip
    """Write the synthetic images, the manifest of what is valid, and the inventory of all."""
    public, remarks = public_pairs(data.catalogue, catalogue, lock)
    for remark in remarks:
        logging.warning(remark)
    images.mkdir(parents=True, exist_ok=True)
    found = take_inventory(data, read_quarantine(quarantine), images, public)
    write_inventory(found, inventory)
    write_manifest(manifest_frame(valid_rows(found).to_dict("records")), manifest)


if __name__ == "__main__":
    run(prepare)
