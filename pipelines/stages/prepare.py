"""DVC stage `prepare`: draw the generated data, check one's own, and list all in one manifest."""

from pathlib import Path

from pasam.data.manifest import write_manifest
from pasam.data.prepare import prepare_manifest
from pasam.params import DataParams
from pipelines.stage_runner import run


def prepare(data: DataParams, images: Path, manifest: Path) -> None:
    """Write the generated images and the manifest of all images and masks."""
    images.mkdir(parents=True, exist_ok=True)
    write_manifest(prepare_manifest(data, images), manifest)


if __name__ == "__main__":
    run(prepare)
