"""Over 500 hostile and damaged inputs: each is used, or refused in one line, soon."""

from __future__ import annotations

import itertools
import resource
import time

import hostile_files
import numpy as np
import pytest
from fastapi.testclient import TestClient
from serving_world import Shelf, encoded_picture

from pasam.config.params_file import load_models, read_params
from pasam.data.coco import read_annotations
from pasam.errors import DataError, PasamError
from pasam.evaluation.predictions import Predicted, read_prediction, write_predictions
from pasam.masks.images import read_image
from pasam.models.adapter_weights import read_variant, recognise
from pasam.serving.service import Settings
from pasam.serving.web_app import create_app

LONGEST, MOST_MEMORY = 5.0, 500_000  # seconds; KB
EVERY = 8
"""Of so many inputs one is tried in the default tier; the slow tier tries all."""


OPEN: set[str] = set()
"""What still ends in a traceback; whoever mends one takes it out."""


def open_weights(path):
    recognise(path)
    if path.suffix == ".safetensors":
        read_variant(path)


def open_params(path):
    read_params(path)
    load_models(path)


DOORS = {
    "weights": (hostile_files.weights, open_weights),
    "yaml_files": (hostile_files.yaml_files, open_params),
    "coco_files": (hostile_files.coco_files, read_annotations),
    "images": (hostile_files.images, read_image),
}


pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, of damaged files


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def try_all(paths, opening):
    """Open files; what is wrong with how each was taken."""
    wrong, used = [], 0
    for path in paths:
        before, start = peak(), time.process_time()
        try:
            opening(path)
            used += 1
        except PasamError as error:
            if path.name not in str(error).partition("\n")[0]:  # faults may follow as a list
                wrong.append(f"{path.name}: {str(error)[:300]!r}")
        except Exception as error:  # noqa: BLE001  (that is what is looked for)
            wrong.append(f"{path.name}: {type(error).__name__}: {str(error)[:200]}")
        if time.process_time() - start > LONGEST or peak() - before > MOST_MEMORY:
            wrong.append(f"{path.name}: {time.process_time() - start} s, {peak() - before} KB")
    assert used < len(paths)
    return wrong


def assert_only_open(wrong, paths):
    expected = sorted(OPEN & {path.name for path in paths})
    assert sorted(each.partition(":")[0] for each in wrong) == expected, wrong


@pytest.mark.parametrize("kind", DOORS)
def test_a_sample_of_hostile_files_is_used_or_refused_in_one_line(kind, tmp_path):
    made, opening = DOORS[kind]
    paths = hostile_files.write_all(tmp_path, itertools.islice(made(), 0, None, EVERY))
    assert_only_open(try_all(paths, opening), paths)


@pytest.mark.slow
@pytest.mark.parametrize("kind", DOORS)
def test_all_hostile_files_are_used_or_refused_in_one_line(kind, tmp_path):
    made, opening = DOORS[kind]
    paths = hostile_files.write_all(tmp_path, made())
    assert_only_open(try_all(paths, opening), paths)


@pytest.mark.slow
def test_all_hostile_requests_are_answered_or_refused_in_one_line(tmp_path):
    app = create_app(Shelf(tmp_path, "sam").offered(), Settings())
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        sent = client.post("/embed", files={"image": encoded_picture()})
        embedding = sent.json()["embedding"]
        for name, content in hostile_files.requests():
            fields = {"prompts": content.decode("utf-8", "replace"), "embedding": embedding}
            answer = client.post("/predict", data=fields)
            assert answer.status_code == 200 or 400 <= answer.status_code < 500, (name, answer.text)
        for name, content in hostile_files.images():
            answer = client.post("/embed", files={"image": (name, content)})
            assert answer.status_code == 200 or 400 <= answer.status_code < 500, (name, answer.text)


def test_there_are_at_least_five_hundred_inputs():
    made = [name for making, _ in DOORS.values() for name, _ in making()]
    assert len(made) + len(list(hostile_files.requests())) >= 500


def test_damaged_predictions_are_refused_in_words(tmp_path):
    path = tmp_path / "p.npz"
    mask = np.eye(60, dtype=np.bool_)
    write_predictions(path, {"a": Predicted(mask, box=np.arange(4, dtype=np.float32))})
    good = path.read_bytes()
    cut = [good[:end] for end in range(0, len(good), 40)]
    paths = hostile_files.write_all(
        tmp_path,
        (
            (f"{number}.npz", content)
            for number, content in enumerate([*cut, *hostile_files.damaged(good, 200, 7)])
        ),
    )
    assert try_all(paths, lambda file: read_prediction(file, "a")) == []


@pytest.mark.parametrize(
    "arrays",
    [
        {"mask": np.zeros(3, np.uint8)},
        {"mask": np.zeros(3, np.uint8), "shape": np.array([10**9, 10**9])},
        {"mask": np.zeros(3, np.uint8), "shape": np.array([-1, -5])},
        {"mask": np.zeros(3, np.uint8), "shape": np.array(5)},
        {"mask": np.zeros(3), "shape": np.array([3, 8])},
        {"mask": np.array(["x"]), "shape": np.array(["x", "y"])},
    ],
)
def test_predictions_of_impossible_shapes_are_refused(arrays, tmp_path):
    path = tmp_path / "p.npz"
    np.savez(path, **{f"a:{name}": values for name, values in arrays.items()})
    with pytest.raises(DataError, match=r"p\.npz .*mask 'a'"):
        read_prediction(path, "a")
