"""Tests of the choice of images for the figure."""

import numpy as np
import pytest

from pasam.errors import DataError, ShapeError
from pasam.evaluation.protocol import Predicted
from pasam.reporting.figures import Choice, build_example, choice_caption, choose_examples


def ranks(scores, choices):
    rows = scores[scores["model"] == "pa_sam"]
    place = rows.groupby("benchmark")["boundary_iou"].rank()
    by_image = dict(zip(rows["image_id"], place, strict=True))
    return [int(by_image[choice.image_id]) for choice in choices]


@pytest.mark.parametrize(
    ("count", "places"), [(1, [6]), (2, [4, 8]), (3, [3, 6, 9]), (11, list(range(1, 12)))]
)
def test_images_stand_at_even_quantiles_of_the_models_boundary_iou(make_scores, count, places):
    scores = make_scores(benchmarks=("dis_like",), n=11)
    choices = choose_examples(scores, model="pa_sam", per_benchmark=count)
    assert ranks(scores, choices) == places


def test_every_benchmark_gets_its_images_in_report_order(scores):
    found = choose_examples(scores, model="pa_sam", per_benchmark=2)
    names = ["dis_like", "coift_like", "hrsod_like", "thin_like"]
    assert [choice.benchmark for choice in found] == [name for name in names for _ in range(2)]
    assert [choice.quantile for choice in found[:2]] == pytest.approx([1 / 3, 2 / 3])


def test_a_small_benchmark_gives_all_it_has_and_none_twice(make_scores):
    found = choose_examples(make_scores(n=2), model="pa_sam", per_benchmark=5)
    assert len({choice.image_id for choice in found}) == len(found) == 8


def test_equal_scores_are_broken_by_name_not_by_the_order_of_rows(scores):
    scores["boundary_iou"] = 0.5
    shuffled = scores.sample(frac=1, random_state=2)
    assert choose_examples(shuffled, model="sam", per_benchmark=2) == choose_examples(
        scores, model="sam", per_benchmark=2
    )


def test_an_unscored_model_is_named_beside_the_scored_ones(scores):
    with pytest.raises(DataError, match=r"'mine', but only \['hq_sam', 'oracle'"):
        choose_examples(scores, model="mine", per_benchmark=1)


def test_the_caption_tells_the_rule():
    text = choice_caption(model="pa_sam", per_benchmark=3)
    assert "25 %, 50 %, 75 % of PA-SAM's boundary IoU" in text


def test_a_prediction_at_another_size_than_its_image_is_refused(example):
    with pytest.raises(ShapeError, match=r"'dis_like/0001' is \(40, 60\).*'sam': \(4, 4\)"):
        example(predictions={"sam": np.zeros((4, 4), np.bool_)})


@pytest.fixture
def build(scores):
    image = np.zeros((20, 30, 3), np.uint8)
    truth = np.ones((20, 30), np.bool_)

    def make(**predicted):
        choice = Choice(benchmark="dis_like", image_id="dis_like/3", quantile=0.5)
        return build_example(choice, scores, image=image, truth=truth, predicted=predicted)

    return make


def predicted(share, **extras):
    mask = np.zeros((20, 30), np.bool_)
    mask[: round(20 * share)] = True
    return Predicted(mask=mask, box=np.array([0, 0, 29, 19], np.float32), **extras)


def test_an_example_has_the_masks_and_the_scores_of_its_image(build, scores):
    example = build(sam=predicted(0.3), pa_sam=predicted(0.6))
    rows = scores[scores["image_id"] == "dis_like/3"].set_index("model")
    assert list(example.predictions) == ["sam", "pa_sam"]
    assert example.predictions["pa_sam"].sum() == 12 * 30
    assert example.scores == {
        model: (rows.at[model, "iou"], rows.at[model, "boundary_iou"])
        for model in ("sam", "pa_sam")
    }
    assert example.box.tolist() == [0, 0, 29, 19]


def test_the_map_and_the_points_are_those_of_the_model_that_has_them(build):
    points = np.array([[4, 5]], np.float32)
    mapped = predicted(
        0.6, uncertainty=np.full((8, 8), 0.25, np.float16), positive=points, negative=points + 1
    )
    example = build(sam=predicted(0.3), pa_sam=mapped, hq_sam=predicted(0.5))
    assert example.uncertainty.dtype == np.float32
    assert np.unique(example.uncertainty) == [0.25]
    assert example.positive.tolist() == [[4, 5]]
    assert example.negative.tolist() == [[5, 6]]


def test_without_such_a_model_an_example_has_neither_map_nor_points(build):
    example = build(sam=predicted(0.3), hq_sam=predicted(0.5))
    assert (example.uncertainty, example.positive, example.negative) == (None, None, None)
