"""Corrections over HTTP: off unless asked for, checked, and kept without an image's metadata."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from fastapi.testclient import TestClient
from inference_models import picture
from PIL import Image
from serving_world import encoded_picture

from pasam.masks.run_lengths import encode
from pasam.serving.app import create_app
from pasam.serving.feedback import FeedbackStore
from pasam.serving.service import Settings


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "feedback"


@pytest.fixture
def taking(shelf, folder):
    app = create_app(shelf.offered(), Settings(feedback=folder))
    with TestClient(app, base_url="http://localhost") as made:
        yield made


def code(height=60, width=90):
    mask = np.zeros((height, width), np.uint8)
    mask[10:40, 20:70] = 1
    return json.dumps(encode(mask))


def test_a_service_takes_corrections_only_where_it_was_started_so(client):
    sent = {"mask": code(), "who": "ada"}
    answer = client.post("/feedback", data=sent, files={"image": encoded_picture()})
    assert answer.status_code == 404
    assert "--feedback" in answer.json()["error"]
    assert client.get("/models").json()["feedback"] is False


def test_a_correction_waits_with_who_why_prompt_and_model(taking, folder):
    exif = Image.Exif()
    exif[0x010F] = "a camera's maker"
    file = io.BytesIO()
    Image.fromarray(picture(60, 90)).save(file, "PNG", exif=exif)
    sent = {
        "mask": code(), "before": code(), "who": "ada", "why": "a hair", "model": "pa_sam",
        "prompts": '[{"box": [1, 2, 30, 40]}]',
    }  # fmt: skip
    answer = taking.post("/feedback", data=sent, files={"image": file.getvalue()})
    assert answer.status_code == 200
    (waits,) = FeedbackStore(folder).waiting()
    assert waits.identity == answer.json()["id"]
    assert waits.about["who"] == "ada"
    assert waits.about["model"] == "pa_sam"
    assert waits.about["prompt"] == [{"box": [1.0, 2.0, 30.0, 40.0]}]
    assert b"maker" not in (waits.folder / "image.png").read_bytes()
    assert (np.asarray(Image.open(waits.folder / "image.png")) == picture(60, 90)).all()
    assert taking.get("/models").json()["feedback"] is True


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"mask": code(90, 60)}, 422),
        ({"mask": json.dumps(encode(np.zeros((60, 90), np.uint8)))}, 422),
        ({"mask": "{}"}, 422),
        ({"who": ""}, 422),
        ({"who": "x" * 81}, 422),
        ({"whom": "x"}, 422),
        ({"image": b"no image"}, 415),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_kept(taking, folder, change, status):
    image = change.pop("image", encoded_picture())
    sent = {"mask": code(), "who": "ada"} | change
    answer = taking.post("/feedback", data=sent, files={"image": image})
    assert answer.status_code == status
    assert answer.json()["error"]
    assert FeedbackStore(folder).waiting() == []
