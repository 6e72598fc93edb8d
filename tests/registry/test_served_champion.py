"""The champion, served by MLflow's own command, answers a client as the library does."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from serving_world import BOX as PROMPT_BOX
from serving_world import encoded_picture, form
from skimage import data

from pasam.cli.serve import offered_models
from pasam.config.params_file import load_variant
from pasam.masks.run_lengths import decode
from pasam.models.adapter_weights import write_adapter
from pasam.models.build import build_trainable, load_base
from pasam.models.checkpoint import file_digest
from pasam.registry.decision_log import CHAMPION
from pasam.registry.promotion import promote
from pasam.registry.snapshot import take_snapshot
from pasam.registry.transitions import Draft, open_decisions
from pasam.registry.version_files import find_candidate, predictor_of, register
from pasam.registry.versions import NAME, fetch
from pasam.serving.service import Settings
from pasam.serving.web_app import create_app

BOX = [90.0, 20.0, 300.0, 400.0]


@pytest.fixture
def champion(tracked, root, tmp_path, monkeypatch):
    """A registry whose champion is an untrained adapter on the repository's own base."""
    monkeypatch.undo()
    monkeypatch.chdir(tracked.folder)
    base = root / "pasam" / "packaged" / "tiny.safetensors"
    variant = load_variant("pa_sam", root / "params" / "default.yaml")
    torch.manual_seed(0)
    segmenter = build_trainable(load_base("tiny", base), variant)
    adapter = tmp_path / "adapter.safetensors"
    write_adapter(adapter, segmenter.decoder, variant=variant, base=file_digest(base))
    small = find_candidate(take_snapshot(tracked.folder), "pa_sam")
    real = dataclasses.replace(
        small, adapter=adapter, base=base, variant=variant.model_dump(),
        key=f"{file_digest(adapter)}-{file_digest(base)}",
    )  # fmt: skip
    decisions = open_decisions(tracked.folder)
    run = decisions.registry.client.create_run(decisions.registry.store.experiment_id)
    number = register(decisions, real, run_id=run.info.run_id).number
    entry = decisions.entry("promote", number, after=number)
    decisions.decide(lambda standing: Draft(entries=(entry,)))
    return decisions.registry


@pytest.fixture
def address(champion):
    """Where the champion is served; the server ends with the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/pasam@champion",
        "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    environment = {**os.environ, "MLFLOW_TRACKING_URI": champion.store.tracking_uri}
    environment["PATH"] = f"{os.path.dirname(sys.executable)}:{environment['PATH']}"  # noqa: PTH120
    server = subprocess.Popen(
        command, env=environment, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{url}/ping").close()
                break
            assert server.poll() is None, "the server ended"
            time.sleep(0.5)
        yield f"{url}/invocations"
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)


def post(url, body):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


@pytest.mark.slow
def test_a_client_gets_the_librarys_own_mask_and_bad_requests_a_sentence(
    address, champion, tmp_path
):
    photograph = np.ascontiguousarray(data.astronaut())
    buffer = io.BytesIO()
    Image.fromarray(photograph).save(buffer, format="PNG")
    image = base64.b64encode(buffer.getvalue()).decode()
    row = {"image": image, "prompts": json.dumps({"box": BOX})}

    status, words = post(address, {"dataframe_records": [row]})
    assert status == 200
    found = json.loads(words["predictions"][0]["result"])[0]
    model = predictor_of(fetch(champion, champion.version("champion"), tmp_path / "model"))
    model.set_image(photograph)
    masks, scores, _ = model.predict(box=BOX, multimask_output=False)
    assert (decode(found["masks"][0]) == masks[0]).all()
    assert found["scores"] == pytest.approx(scores.tolist(), abs=1e-6)

    bad = [
        b"{{{", b"", [1, 2], {"foo": 1}, {"dataframe_records": 5}, {"dataframe_records": []},
        {"dataframe_records": [{"image": image}]},
        {"dataframe_records": [{**row, "prompts": "{}"}]},
        {"dataframe_records": [{**row, "prompts": '{"box": [0, 0, 9999, 5]}'}]},
        {"dataframe_records": [{**row, "image": image[:2000]}]},
        {"dataframe_records": [{**row, "image": None, "path": "/nowhere.png"}]},
        {"dataframe_records": [row], "params": {"format": "gif"}},
    ]  # fmt: skip
    for body in bad:
        status, words = post(address, body)
        assert 400 <= status < 500, body
        assert words["message"]
        assert "Traceback" not in json.dumps(words)
    assert post(address, {"dataframe_records": [row]})[0] == 200


@pytest.fixture
def decisions(project):
    """A registry with a second version beside the champion."""
    promote(project.folder)
    found = open_decisions(project.folder)
    first, shown = found.version(1).registered, found.registry.client.get_model_version(NAME, "1")
    made = found.registry.client.create_model_version(
        NAME, shown.source, run_id=shown.run_id, model_id=shown.model_id
    )
    details = {**first.details, "key": "other bytes"}
    entry = found.entry("register", int(made.version), files=first.files, details=details)
    found.decide(lambda standing: Draft(entries=(entry,)))
    return found


@pytest.mark.slow  # in the service: serving/test_web_app
def test_another_champion_answers_without_a_restart_and_fails_nobody(decisions, tmp_path):
    offered = offered_models(
        [CHAMPION], "cpu", None, Path("data/adapters"), Path("params.yaml"), tmp_path
    )
    app = create_app(offered, Settings(look_every=0.05))
    with TestClient(app, base_url="http://localhost") as client:
        name = client.post("/embed", files={"image": encoded_picture()}).json()["embedding"]

        def kind():
            answer = client.post("/predict", data=form({"box": PROMPT_BOX}, embedding=name))
            assert answer.status_code == 200
            return answer.json()["model"]["kind"]

        assert kind().endswith("(version 1)")
        for number in (2, 1):
            entry = decisions.entry("promote", number, after=number)
            decisions.decide(lambda standing, entry=entry: Draft(entries=(entry,)))
            deadline = time.monotonic() + 30
            while not (said := kind()).endswith(f"(version {number})"):
                assert time.monotonic() < deadline, said
