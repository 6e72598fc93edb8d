"""Tests of the comparison figure."""

import cv2
import numpy as np
import pytest

from pasam.errors import DataError
from pasam.reporting.figures import comparison_figure
from pasam.reporting.style import FALSE_POSITIVE, UNCERTAINTY_MAP, rgb

TEXT = {"title": "Generated data, vit_tiny", "caption": "Chosen by rank."}


def size(path):
    return cv2.imread(str(path)).shape[:2]


def has_colour(path, colour, tolerance=3):
    picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB).astype(int)
    return bool((np.abs(picture - rgb(colour)).max(axis=2) <= tolerance).any())


def test_a_row_makes_the_figure_higher_and_a_model_wider(example, tmp_path):
    comparison_figure([example()], tmp_path / "one.png", **TEXT)
    comparison_figure([example(), example(70, 40)], tmp_path / "two.png", **TEXT)
    comparison_figure([example(models=("sam", "hq_sam", "pa_sam"))], tmp_path / "w.png", **TEXT)
    one, two, wide = (size(tmp_path / name) for name in ("one.png", "two.png", "w.png"))
    assert two[0] > one[0] + 250
    assert two[1] == one[1]
    assert wide[1] > one[1] + 250


def test_the_same_examples_give_the_same_bytes_without_date_or_version(example, tmp_path):
    for name in ("a.png", "b.png"):
        comparison_figure([example()], tmp_path / "deep" / name, **TEXT)
    content = (tmp_path / "deep" / "a.png").read_bytes()
    assert content == (tmp_path / "deep" / "b.png").read_bytes()
    assert b"tEXt" not in content
    assert b"tIME" not in content


def test_missing_maps_and_points_leave_a_readable_figure(example, tmp_path):
    bare = example(uncertainty=None, positive=None, negative=None, box=None, scores={})
    comparison_figure([bare], tmp_path / "bare.png", **TEXT)
    comparison_figure([example()], tmp_path / "full.png", **TEXT)
    assert size(tmp_path / "bare.png") == size(tmp_path / "full.png")


def test_the_mined_points_are_drawn(example, tmp_path):
    quiet = {"image": np.zeros((40, 60, 3), np.uint8), "predictions": {}, "box": None}
    with_points = example(**quiet)
    without = example(**quiet, negative=np.zeros((0, 2), np.float32))
    pixels = []
    for item in (with_points, without):
        comparison_figure([item], tmp_path / "p.png", **TEXT)
        picture = cv2.cvtColor(cv2.imread(str(tmp_path / "p.png")), cv2.COLOR_BGR2RGB).astype(int)
        pixels.append((np.abs(picture - rgb(FALSE_POSITIVE)).max(axis=2) <= 3).sum())
    assert pixels[0] > pixels[1] + 30


def test_no_example_is_refused(tmp_path):
    with pytest.raises(DataError, match="at least one example"):
        comparison_figure([], tmp_path / "none.png", **TEXT)


def test_rows_with_different_models_are_refused(example, tmp_path):
    rows = [example(), example(models=("sam",), image_id="other")]
    with pytest.raises(DataError, match=r"'other' has predictions of \['sam'\]"):
        comparison_figure(rows, tmp_path / "odd.png", **TEXT)


def test_the_uncertainty_map_has_a_colour_scale(example, tmp_path):
    comparison_figure([example(uncertainty=None)], tmp_path / "a.png", **TEXT)
    assert UNCERTAINTY_MAP == "magma"
    assert has_colour(tmp_path / "a.png", "#B73779", tolerance=6)  # The middle of magma.
