"""A running service follows the champion of a real registry."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from serving_world import BOX, encoded_picture, form

from pasam.cli.serve import offered_models
from pasam.registry.versions import CHAMPION, NAME, open_registry
from pasam.serving.app import create_app
from pasam.serving.service import Settings


@pytest.fixture
def registry(promoted):
    """A registry with a second version beside the champion, left as it was found."""
    found = open_registry(promoted.folder)
    first = found.client.get_model_version(NAME, "1")
    made = found.client.create_model_version(NAME, first.source, run_id=first.run_id)
    yield found
    found.point(CHAMPION, 1)
    found.client.delete_model_version(NAME, made.version)


def test_a_moved_alias_answers_without_a_restart_and_fails_nobody(registry, tmp_path):
    offered = offered_models(
        [CHAMPION], "cpu", None, Path("data/adapters"), Path("params.yaml"), tmp_path
    )
    app = create_app(offered, Settings(look_every=0.05))
    with TestClient(app, base_url="http://localhost") as client:
        name = client.post("/embed", files={"image": encoded_picture()}).json()["embedding"]

        def kind():
            answer = client.post("/predict", data=form({"box": BOX}, embedding=name))
            assert answer.status_code == 200
            return answer.json()["model"]["kind"]

        assert kind().endswith("(version 1)")
        for number in (2, 1):  # promoted, and rolled back
            registry.point(CHAMPION, number)
            deadline = time.monotonic() + 30
            while not (said := kind()).endswith(f"(version {number})"):
                assert time.monotonic() < deadline, said
