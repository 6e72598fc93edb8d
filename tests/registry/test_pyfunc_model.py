"""The served model answers as the library does, and refuses in words."""

from __future__ import annotations

import base64
import json
import os
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from pasam.errors import DataError, RegistryError, TrackingError
from pasam.inference.image_prompt import image_prompt
from pasam.inference.mask_record import mlflow_answer
from pasam.masks.images import encode_png, read_image
from pasam.registry import runs
from pasam.registry.load import verify_versions
from pasam.registry.store import quiet_pyfunc
from pasam.registry.transitions import open_decisions
from pasam.registry.version_files import is_whole, predictor_of
from pasam.registry.versions import download, version_page

BOX = [5.0, 5.0, 50.0, 40.0]


@pytest.fixture
def served(champion_folder, promoted, monkeypatch):
    monkeypatch.setenv("PASAM_IMAGE_FOLDER", str(promoted.folder))
    with quiet_pyfunc() as pyfunc:
        return pyfunc.load_model(str(champion_folder))


@pytest.fixture
def image(promoted):
    manifest = pd.read_parquet(promoted.path("data/manifest.parquet"))
    return promoted.path(manifest.loc[manifest["split"] == "val", "image"].iloc[0])


def ask(served, row, **params):
    with quiet_pyfunc():
        return served.predict(pd.DataFrame([row]), params=params or None)["result"][0]


def test_bytes_and_path_give_the_librarys_own_prediction(served, champion_folder, image):
    model = predictor_of(champion_folder)
    request = (model.embed(read_image(image)), image_prompt(box=BOX))
    prompts = json.dumps({"box": BOX})
    content = base64.b64encode(image.read_bytes()).decode()
    for form in ("rle", "png"):
        for uncertainty in (False, True):
            found = model.predict_many([request], return_details=uncertainty)
            wanted = mlflow_answer(found, form=form, uncertainty=uncertainty)
            options = {"format": form, "uncertainty": uncertainty}
            assert ask(served, {"image": content, "prompts": prompts}, **options) == wanted
            assert ask(served, {"path": str(image), "prompts": prompts}, **options) == wanted


@pytest.mark.long
def test_mlflows_own_address_of_the_champion_gives_the_model_with_its_base(
    promoted, champion_folder, image, monkeypatch
):
    address = f"sqlite:///{promoted.folder}/mlruns/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with quiet_pyfunc() as pyfunc:
        served = pyfunc.load_model("models:/pasam@champion")
    row = {
        "image": base64.b64encode(image.read_bytes()).decode(),
        "prompts": '{"box": [5, 5, 50, 40]}',
    }
    model = predictor_of(champion_folder)
    found = model.predict_many([(model.embed(read_image(image)), image_prompt(box=BOX))])
    assert ask(served, row) == mlflow_answer(found, form="rle", uncertainty=False)
    assert verify_versions(promoted.folder) == {1: ""}  # nothing was written where it is stored


def test_a_path_is_off_unless_a_folder_is_named(champion_folder, image, monkeypatch):
    from mlflow.exceptions import MlflowException

    monkeypatch.delenv("PASAM_IMAGE_FOLDER", raising=False)
    with quiet_pyfunc() as pyfunc:
        closed = pyfunc.load_model(str(champion_folder))
    with pytest.raises(MlflowException, match="'path' is off on this server"):
        ask(closed, {"path": str(image), "prompts": json.dumps({"box": BOX})})


def test_many_prompts_of_one_image_are_answered_in_their_order(served, image):
    boxes = [BOX, [10.0, 12.0, 50.0, 55.0]]
    both = json.loads(ask(served, {"path": str(image), "prompts": json.dumps({"boxes": boxes})}))
    alone = [
        json.loads(ask(served, {"path": str(image), "prompts": json.dumps({"box": box})}))[0]
        for box in boxes
    ]
    assert both == alone


def test_a_bad_request_is_mlflows_error_of_a_bad_parameter(served, image):
    from mlflow.exceptions import MlflowException

    for row, words in (
        ({"image": "no", "prompts": "{}"}, "base64|cannot be decoded"),
        ({"prompts": '{"box": [1, 2, 3, 4]}'}, "either 'image'"),
        ({"path": str(image), "prompts": '{"box": [1, 2, 9999, 4]}'}, "outside the image"),
        ({"path": str(image), "prompts": "{}"}, "the prompt is empty"),
    ):
        with pytest.raises(MlflowException, match=words) as caught:
            ask(served, row)
        assert caught.value.get_http_status_code() == 400


@pytest.mark.parametrize("kind", ["outside", "link", "pipe", "device", "folder", "a\0b"])
def test_only_regular_files_below_the_folder_are_read_and_all_else_is_answered_alike(
    kind, tmp_path
):
    folder, outside = tmp_path / "images", tmp_path / "secret.png"
    folder.mkdir()
    outside.write_bytes(b"secret")
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to(outside)
    (folder / "device").symlink_to("/dev/zero")
    with quiet_pyfunc():
        from pasam.registry.pyfunc_model import read_below
    named = {"outside": "../secret.png", "folder": "."}.get(kind, kind)
    with pytest.raises(DataError, match=r"^'path' names no file that the server can read\.$"):
        read_below(folder, named)


@pytest.mark.parametrize("given", [{}, {"multimask": True}, {"uncertainty": True},
                                   {"format": "png"}])  # fmt: skip
def test_each_param_of_a_request_reaches_the_model_and_no_other(given, monkeypatch):
    with quiet_pyfunc():
        from pasam.registry import pyfunc_model

    seen = {}
    answer = lambda found, **how: seen.update(how, found=found) or "answer"  # noqa: E731
    monkeypatch.setattr(pyfunc_model, "mlflow_answer", answer)

    class Model:
        def embed(self, pixels):
            return pixels.shape

        def predict_many(self, requests, **how):
            seen.update(how, asked=[(image, prompt.box.tolist()) for image, prompt in requests])
            return "found"

    served = pyfunc_model.ServedModel()
    served.predictor, served.folder = Model(), None
    image = base64.b64encode(encode_png(np.zeros((20, 30, 3), np.uint8))).decode()
    prompts = json.dumps([{"box": [1, 2, 9, 9]}, {"box": [3, 4, 30.4, 12]}])
    rows = pd.DataFrame([{"image": image, "path": None, "prompts": prompts}] * 2)
    assert served.predict(None, rows, given or None)["result"].tolist() == ["answer"] * 2
    assert seen == {
        "multimask_output": given.get("multimask", False), "found": "found",
        "return_details": given.get("uncertainty", False), "form": given.get("format", "rle"),
        "uncertainty": given.get("uncertainty", False),
        "asked": [((20, 30, 3), [1, 2, 9, 9]), ((20, 30, 3), [3, 4, 30, 12])],
    }  # fmt: skip


def test_files_of_a_folder_alone_may_be_named_up_to_the_limit(tmp_path, monkeypatch):
    with quiet_pyfunc():
        from pasam.registry import pyfunc_model

    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a").write_bytes(b"1234")
    (tmp_path / "images2").write_bytes(b"1234")
    monkeypatch.setattr(pyfunc_model, "MOST_BYTES", 4)
    assert pyfunc_model.read_below(folder, "a") == b"1234"
    for path in ("../images2", "b", "", "."):
        with pytest.raises(DataError, match="names no file"):
            pyfunc_model.read_below(folder, path)
    monkeypatch.setattr(pyfunc_model, "MOST_BYTES", 3)
    with pytest.raises(DataError, match="names no file"):
        pyfunc_model.read_below(folder, "a")


@pytest.mark.parametrize(
    "error", [
        OSError(28, "No space left on device"), OSError("500 Server Error: x for url: y"),
        MlflowException("API request to z failed with too many 503 error responses"),
        OSError("403 Client Error: Forbidden for url: http://ada:secret@example.org/x"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_had_now_do_not_pass_for_gone(error, promoted, monkeypatch):
    def failing(**given):
        raise error

    decisions = open_decisions(promoted.folder)
    monkeypatch.setattr("mlflow.artifacts.download_artifacts", failing)
    with pytest.raises(TrackingError, match="cannot be brought from") as told:
        is_whole(decisions, decisions.version(1))
    assert "secret" not in str(told.value)


def test_no_password_of_mlflows_address_is_shown(tmp_path, monkeypatch):
    address = "https://ada:secret@example.org/"
    assert version_page(address, 3) == "https://example.org/#/models/pasam/versions/3"
    store = SimpleNamespace(tracking_uri=address, experiment_id="1")
    assert runs._Recorder(None, store).page("r").startswith("https://example.org/#/experiments/1/")

    def failing(**given):
        raise OSError(f"404 Client Error: NOT FOUND for url: {address}x")

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", failing)
    with pytest.raises(RegistryError, match="are gone from https://example.org/x") as told:
        download(SimpleNamespace(store=store), f"{address}x", tmp_path, what="version 1")
    assert "secret" not in str(told.value)
