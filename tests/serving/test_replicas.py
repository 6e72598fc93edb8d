"""Several services side by side, a start while MLflow is away, and a stop whatever hangs."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from serving_world import BOX, encoded_picture, form

from pasam.cli.serve import offered_models
from pasam.config.params_file import DEFAULT_PATH
from pasam.errors import TrackingError
from pasam.inference.model_files import find_model
from pasam.registry.version_files import ADAPTER, BASE, METADATA, describe_files
from pasam.serving.app import create_app
from pasam.serving.last_good import LastGood, folder_of
from pasam.serving.service import RegisteredVersions, Settings


def test_a_client_that_holds_its_image_is_answered_by_either_replica(shelf):
    apps = [create_app(shelf.offered(), Settings()) for _ in range(2)]
    with (
        TestClient(apps[0], base_url="http://localhost") as one,
        TestClient(apps[1], base_url="http://localhost") as other,
    ):
        name = one.post("/embed", files={"image": encoded_picture()}).json()["embedding"]
        asked = form({"box": BOX}, embedding=name)
        assert other.post("/predict", data=asked).status_code == 404
        masks = []
        for replica in (one, other, one, other):
            sent = replica.post("/predict", data=asked, files={"image": encoded_picture()})
            assert sent.status_code == 200
            masks.append(sent.json()["masks"])
        assert masks == masks[:1] * 4
        assert one.get("/metrics").text.count("pasam_embeddings 1.0") == 1  # its own was used


def version(folder: Path, model: str) -> Path:
    """The files of a version, as the registry stores them."""
    files = find_model(model)  # the packaged one: there is no project
    folder.mkdir()
    shutil.copyfile(files.base, folder / BASE)
    shutil.copyfile(files.weights, folder / ADAPTER)
    about = {"model": model, "size": files.size, "variant": files.variant.model_dump(mode="json")}
    (folder / METADATA).write_text(json.dumps(about))
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An account's folder of its own, and a project in which nothing is trained."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    return tmp_path


def offered(home):
    return offered_models(None, "cpu", None, home / "none", DEFAULT_PATH, home / "versions")


def test_a_service_starts_from_its_last_good_version_while_mlflow_is_away(home, monkeypatch):
    files = describe_files(version(home / "v1", "pa_sam"))
    away = TrackingError("MLflow does not answer.")

    def find(self, name):
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0] if name == "champion" else None

    answers = [away]
    monkeypatch.setattr(RegisteredVersions, "__call__", find)
    with pytest.raises(TrackingError):
        offered(home)  # nothing was kept yet
    answers[0] = files
    version_then = offered(home).get("champion").version
    shutil.rmtree(home / "v1")
    answers[0] = away
    pool = offered(home)
    assert pool.get("champion").version == version_then
    with pytest.raises(TrackingError):  # it goes on asking, and says so
        pool.refresh()
    assert pool.get("champion").version == version_then


def test_a_champion_that_is_broken_at_the_start_leaves_the_last_good_one(home, monkeypatch):
    files = describe_files(version(home / "v1", "pa_sam"))
    monkeypatch.setattr(
        RegisteredVersions, "__call__", lambda self, name: files if name == "champion" else None
    )
    version_then = offered(home).get("champion").version
    files = describe_files(version(home / "v2", "hq_sam"))
    (home / "v2" / ADAPTER).write_bytes(b"broken")
    assert offered(home).get("champion").version == version_then


def test_kept_files_that_were_changed_are_not_used_and_old_ones_go(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = LastGood(tmp_path / "kept")
    assert kept.get("champion") is None
    first = describe_files(version(tmp_path / "v1", "pa_sam"))
    kept.keep("champion", first)
    second = describe_files(version(tmp_path / "v2", "hq_sam"))
    kept.keep("champion", second)
    kept.keep("champion", second)
    (folder,) = [path for path in (tmp_path / "kept").iterdir() if path.is_dir()]
    assert kept.get("champion").name == "hq_sam"
    shutil.copyfile(first.weights, tmp_path / "other")
    (tmp_path / "other").replace(folder / ADAPTER)
    assert kept.get("champion") is None
    (tmp_path / "kept" / "last.json").write_text("{")
    assert kept.get("champion") is None


def test_projects_and_registries_keep_apart(tmp_path, monkeypatch):
    here = folder_of(tmp_path / "a")
    assert here != folder_of(tmp_path / "b")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    assert here != folder_of(tmp_path / "a")


HUNG = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from serving_world import Shelf
from pasam.serving.app import address_of, create_app, listen, run_server
from pasam.serving.service import Settings
app = create_app(Shelf(Path({folder!r}), "sam").offered(), Settings())
app.state.service.encoder._work = lambda jobs: time.sleep(600)
app.state.service.models.refresh = lambda: time.sleep(600)
with listen("127.0.0.1", 0) as taken:
    run_server(app, taken, log_level="warning",
               when_ready=lambda: print(address_of(taken), flush=True))
"""


@pytest.mark.slow
def test_it_stops_within_25_seconds_although_a_job_and_a_look_hang(tmp_path, root):
    code = HUNG.format(tests=str(root / "tests"), folder=str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as served:
        address = served.stdout.readline().strip()
        asked = threading.Thread(target=_embed, args=(address,))
        asked.start()
        time.sleep(6)  # it looks for new versions every five seconds
        start = time.monotonic()
        served.send_signal(signal.SIGTERM)
        served.wait(40)
        assert time.monotonic() - start < 25
        asked.join()


def _embed(address):
    with contextlib.suppress(httpx.HTTPError):  # it was stopped
        httpx.post(f"{address}embed", files={"image": encoded_picture()}, timeout=60)
