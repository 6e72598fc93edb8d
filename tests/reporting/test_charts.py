"""Tests of the score chart and of the training curves."""

import json

import cv2
import numpy as np
import pytest

from pasam.errors import DataError
from pasam.reporting.figures import read_history, score_chart, training_chart
from pasam.reporting.style import MODELS, rgb
from pasam.reporting.summary import summarise


def pixels_of(path, colour):
    picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB).astype(int)
    return int((np.abs(picture - rgb(colour)).max(axis=2) <= 3).sum())


def history(path, epochs, **terms):
    rows = [{"epoch": e, "lr": 0.1, **{k: v / (e + 1) for k, v in terms.items()}} for e in epochs]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_every_model_shows_in_its_colour_and_the_bytes_repeat(scores, bootstrap, tmp_path):
    summary = summarise(scores, bootstrap)
    for name in ("a.png", "b.png"):
        score_chart(summary, tmp_path / name, title="Generated data", confidence=0.95)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert all(pixels_of(tmp_path / "a.png", MODELS[model]) > 100 for model in set(scores["model"]))


def test_a_single_unknown_model_on_one_benchmark_can_be_charted(make_scores, bootstrap, tmp_path):
    summary = summarise(make_scores(models=("mine",), benchmarks=("horses",)), bootstrap)
    score_chart(summary, tmp_path / "a.png", title="Own data", confidence=0.9)
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_a_history_is_read_in_the_order_of_its_epochs(tmp_path):
    frame = read_history(history(tmp_path / "h.jsonl", [1, 0, 2], loss=1.0))
    assert frame["epoch"].tolist() == [0, 1, 2]
    assert frame["loss"].tolist() == pytest.approx([1.0, 0.5, 1 / 3])


def test_training_curves_have_one_panel_per_model_and_repeat(tmp_path):
    one = read_history(history(tmp_path / "1.jsonl", range(3), loss=1.0, dice=0.4, mask=0.6))
    two = read_history(history(tmp_path / "2.jsonl", [0], loss=2.0, dice=0.0))
    training_chart({"hq_sam": one}, tmp_path / "a.png", title="Training")
    training_chart({"hq_sam": one, "pa_sam": two}, tmp_path / "b.png", title="Training")
    training_chart({"hq_sam": one, "pa_sam": two}, tmp_path / "c.png", title="Training")
    widths = [cv2.imread(str(tmp_path / name)).shape[1] for name in ("a.png", "b.png")]
    assert widths[1] > widths[0] + 300
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no epoch"),
        ('{"epoch": 0}\n{"epo', "line 2 is not JSON"),
        ('{"loss": 1}', "expected an object with 'epoch'"),
    ],
)
def test_a_damaged_history_is_refused(tmp_path, text, message):
    (tmp_path / "h.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_history(tmp_path / "h.jsonl")


def test_a_missing_history_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.jsonl does not exist"):
        read_history(tmp_path / "gone.jsonl")


def test_no_history_at_all_is_refused(tmp_path):
    with pytest.raises(DataError, match="at least one history"):
        training_chart({}, tmp_path / "a.png", title="Training")
