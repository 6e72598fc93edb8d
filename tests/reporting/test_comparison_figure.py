"""The comparison figure: its surface, its images, and what is drawn of them."""

from __future__ import annotations

from unittest.mock import MagicMock

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL.ImageColor import getrgb

from pasam.errors import DataError, ShapeError
from pasam.evaluation.predictions import Predicted
from pasam.reporting import figures, overlay
from pasam.reporting.figures import (
    choice_caption,
    choose_examples,
    compared_image,
    comparison_figure,
    legend_handles,
    style,
)
from pasam.reporting.overlay import (
    MASKS,
    DrawnPrompts,
    comparison,
    dimmed,
    paint,
    prediction_overlay,
)
from pasam.reporting.style import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE, UNCERTAINTY_MAP


def test_the_users_own_settings_are_ignored_inside_and_untouched_outside():
    with mpl.rc_context({"font.size": 33.0, "lines.linewidth": 9.0}):
        with style():
            assert mpl.rcParams["font.size"] == 9.0
            assert mpl.rcParams["lines.linewidth"] == mpl.rcParamsDefault["lines.linewidth"]
        assert mpl.rcParams["font.size"] == 33.0


def ranks(scores, choices):
    rows = scores[scores["model"] == "pa_sam"]
    place = rows.groupby("benchmark")["boundary_iou"].rank()
    by_image = dict(zip(rows["image_id"], place, strict=True))
    return [int(by_image[image_id]) for image_id in choices]


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
    assert [image.split("/")[0] for image in found] == [name for name in names for _ in range(2)]


def test_a_small_benchmark_gives_all_it_has_and_none_twice(make_scores):
    found = choose_examples(make_scores(n=2), model="pa_sam", per_benchmark=5)
    assert len(set(found)) == len(found) == 8


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
        return compared_image(
            "dis_like/3", scores, image=image, truth=truth, predicted=predicted, subject="pa_sam"
        )

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
    assert example.details.box.tolist() == [0, 0, 29, 19]


def test_the_map_and_the_points_are_those_of_the_subject(build):
    points = np.array([[4, 5]], np.float32)
    mapped = predicted(
        0.6, uncertainty=np.full((8, 8), 0.25, np.float16), positive=points, negative=points + 1
    )
    others = predicted(0.5, uncertainty=np.full((8, 8), 0.75, np.float16))
    example = build(sam=predicted(0.3), pa_sam_plus=others, pa_sam=mapped)
    assert np.unique(example.details.uncertainty) == [0.25]
    assert example.details.positive.tolist() == [[4, 5]]
    assert example.details.negative.tolist() == [[5, 6]]
    unsure = predicted(0.6, uncertainty=np.full((8, 8), 0.5, np.float16))
    without_points = build(sam=predicted(0.3), pa_sam=unsure).details
    assert np.unique(without_points.uncertainty) == [0.5]
    assert without_points.positive is None


def test_of_a_subject_without_them_an_example_has_neither_map_nor_points(build):
    others = predicted(0.5, uncertainty=np.full((8, 8), 0.75, np.float16))
    example = build(pa_sam_plus=others, pa_sam=predicted(0.3))
    assert (example.details.uncertainty, example.details.positive, example.details.negative) == (
        None,
        None,
        None,
    )


TEXT = {"title": "Generated data, tiny", "caption": "Chosen by rank."}


def size(path):
    return cv2.imread(str(path)).shape[:2]


def has_colour(path, colour, tolerance=3):
    picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB).astype(int)
    return bool((np.abs(picture - getrgb(colour)).max(axis=2) <= tolerance).any())


@pytest.mark.long
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


@pytest.mark.long
def test_the_mined_points_are_drawn(example, tmp_path):
    quiet = {"image": np.zeros((40, 60, 3), np.uint8), "predictions": {}, "box": None}
    with_points = example(**quiet)
    without = example(**quiet, negative=np.zeros((0, 2), np.float32))
    pixels = []
    for item in (with_points, without):
        comparison_figure([item], tmp_path / "p.png", **TEXT)
        picture = cv2.cvtColor(cv2.imread(str(tmp_path / "p.png")), cv2.COLOR_BGR2RGB).astype(int)
        pixels.append((np.abs(picture - getrgb(FALSE_POSITIVE)).max(axis=2) <= 3).sum())
    assert pixels[0] > pixels[1] + 30


def test_no_example_is_refused(tmp_path):
    with pytest.raises(DataError, match="at least one example"):
        comparison_figure([], tmp_path / "none.png", **TEXT)


def test_rows_with_different_models_are_refused(example, tmp_path):
    rows = [example(), example(models=("sam",), image_id="other")]
    with pytest.raises(DataError, match=r"'other' has predictions of \['sam'\]"):
        comparison_figure(rows, tmp_path / "odd.png", **TEXT)


@pytest.mark.parametrize(
    ("name", "truth", "predicted"),
    [
        ("true positive", True, True),
        ("false positive", False, True),
        ("false negative", True, False),
    ],
)
def test_the_legend_names_the_colours_that_masks_are_painted_in(name, truth, predicted):
    handles = {handle.get_label(): handle for handle in legend_handles()}
    named = [round(255 * channel) for channel in handles[name].get_facecolor()[:3]]
    black = np.zeros((1, 1, 3), np.uint8)
    painted = comparison(black, np.full((1, 1), truth), np.full((1, 1), predicted))[0, 0]
    assert painted.tolist() == [round(0.72 * channel) for channel in named]


def test_the_uncertainty_map_has_a_colour_scale(example, tmp_path):
    comparison_figure([example(uncertainty=None)], tmp_path / "a.png", **TEXT)
    assert UNCERTAINTY_MAP == "magma"
    assert has_colour(tmp_path / "a.png", "#B73779", tolerance=6)  # The middle of magma.


BLACK = np.zeros((2, 2, 3), np.uint8)
TRUTH = np.array([[True, True], [False, False]])
PREDICTED = np.array([[True, False], [True, False]])


def test_hits_misses_and_false_alarms_get_their_own_colours_and_the_rest_none():
    shown = comparison(BLACK, TRUTH, PREDICTED).astype(float)
    expected = [TRUE_POSITIVE, FALSE_NEGATIVE, FALSE_POSITIVE]
    for pixel, colour in zip(shown.reshape(-1, 3), expected, strict=False):
        assert pixel == pytest.approx(0.72 * np.array(getrgb(colour)), abs=0.51)
    assert shown[1, 1].tolist() == [0, 0, 0]


def test_painting_leaves_the_image_itself_and_other_pixels_alone():
    image = np.full((2, 2, 3), 200, np.uint8)
    shown = paint(image, TRUTH, "#000000")
    assert (image == 200).all()
    assert (shown[1] == 200).all()
    assert (shown[0] == 56).all()


def test_the_texture_shows_through_the_colour():
    image = np.stack([np.full((2, 3), 0), np.full((2, 3), 255)]).astype(np.uint8)
    shown = paint(image, np.ones((2, 2), np.bool_), TRUE_POSITIVE)
    assert (shown[1] > shown[0]).all()


def test_a_dimmed_image_is_grey_and_darker():
    image = np.random.default_rng(0).integers(50, 256, (5, 4, 3), np.uint8)
    shown = dimmed(image)
    assert shown.dtype == np.uint8
    assert (shown == shown[..., :1]).all()
    assert shown.mean() < image.mean()
    colours = dimmed((200 * np.eye(3)).astype(np.uint8)[None])
    assert colours[0, :, 0].tolist() == [33, 65, 13]  # 55 % of what the eye makes of each


def test_a_prediction_has_both_its_scores_below_and_the_box_its_place(example):
    image = example(box=np.array([10, 12, 39, 29], np.float32))
    left, right = Figure().subplots(1, 2)
    figures._draw_prediction(left, image, "sam")
    assert left.get_xlabel() == "IoU 70.0   BIoU 40.0"
    figures._draw_image(right, image)
    assert right.patches[0].get_bbox().bounds == (10, 12, 29, 17)
    below = Figure().subplots()
    figures._draw_points(below, image)
    negative, positive = below.collections
    assert negative.get_offsets().tolist() == [[50, 35]]
    assert positive.get_offsets().tolist() == [[12, 12], [14, 20]]
    for drawn, colour in ((negative, FALSE_POSITIVE), (positive, TRUE_POSITIVE)):
        named = (255 * drawn.get_facecolor()[0, :3]).round().tolist()
        assert named == list(getrgb(colour))


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(ShapeError, match=r"\(3, 3\) cannot be painted on an image \(2, 2, 3\)"):
        paint(BLACK, np.ones((3, 3), np.bool_), TRUE_POSITIVE)


NOTHING = DrawnPrompts(boxes=[], points=[], labels=[])


def grey(value: int = 100) -> np.ndarray:
    return np.full((60, 80, 3), value, np.uint8)


def block(y: slice, x: slice) -> np.ndarray:
    mask = np.zeros((60, 80), bool)
    mask[y, x] = True
    return mask


def test_a_mask_is_tinted_and_the_rest_is_darker():
    shown = prediction_overlay(grey(), [block(slice(10, 50), slice(10, 50))], NOTHING)
    assert shown[55, 70].tolist() == [75, 75, 75]
    expected = 100 + 0.45 * (np.array(getrgb(MASKS[0])) - 100.0)
    np.testing.assert_allclose(shown[30, 30], expected, atol=1)


def test_a_small_mask_in_a_large_one_is_seen_whichever_comes_first():
    large, small = block(slice(0, 60), slice(0, 80)), block(slice(20, 40), slice(20, 40))
    first, second = (np.array(getrgb(colour), np.float32) for colour in MASKS[:2])
    for masks, below, above in (([large, small], first, second), ([small, large], second, first)):
        shown = prediction_overlay(grey(), masks, NOTHING)
        under = 100 + 0.45 * (below - 100)
        np.testing.assert_allclose(shown[5, 70], under, atol=1)
        np.testing.assert_allclose(shown[30, 30], under + 0.45 * (above - under), atol=1)


def test_a_masks_outline_is_drawn_round_its_holes_too():
    ring = block(slice(5, 55), slice(10, 70)) & ~block(slice(20, 40), slice(30, 50))
    shown = prediction_overlay(grey(), [ring], NOTHING).astype(int)
    light = [int(128 + channel / 2) for channel in getrgb(MASKS[0])]
    for y, x in ((5, 40), (54, 40), (30, 10), (30, 69), (19, 40), (40, 40), (30, 29), (30, 50)):
        near = shown[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3)
        assert np.abs(near - light).sum(axis=1).min() < 60, (y, x)


@pytest.mark.parametrize(
    ("height", "width", "stroke"),
    [(60, 80, 1), (4, 740, 1), (4, 760, 2), (800, 4, 2), (4, 1240, 2), (1260, 4, 3)],
)
def test_lines_are_as_thick_as_the_longer_side_asks_for(height, width, stroke, monkeypatch):
    seen = []
    monkeypatch.setattr(overlay, "_draw_prompts", lambda *given: seen.append(given[2]))
    prediction_overlay(np.zeros((height, width, 3), np.uint8), [], NOTHING)
    assert seen == [stroke]


def test_no_mask_gives_the_darker_picture():
    assert (prediction_overlay(grey(), [], NOTHING) == 75).all()


def test_boxes_and_points_are_drawn_where_they_were_asked():
    asked = DrawnPrompts(boxes=[[10, 12, 70, 50]], points=[[40, 30], [20, 20]], labels=[1, 0])
    shown = prediction_overlay(grey(), [], asked)
    assert shown[12, 40].max() > 150
    assert shown[30, 40].tolist() == list(getrgb("#56B4E9"))
    assert shown[20, 20].tolist() == list(getrgb("#D55E00"))


def test_the_picture_itself_is_left_alone():
    image = grey()
    prediction_overlay(image, [block(slice(0, 9), slice(0, 9))], NOTHING)
    assert (image == 100).all()


def test_whatever_is_drawn_lies_in_pixels_of_the_image_from_its_upper_left_corner(example):
    shown = example(height=40, width=60)
    axes = MagicMock()
    figures._draw_uncertainty(axes, shown)
    figures._show(axes, shown.image, shown)
    figures._show(axes, np.zeros((4, 6, 3), np.uint8), shown)
    assert [call.kwargs["extent"] for call in axes.imshow.call_args_list] == [(0, 60, 40, 0)] * 3
    drawn = axes.imshow.call_args_list[0]
    assert np.array_equal(drawn.args[0], shown.details.uncertainty)
    assert (drawn.kwargs["vmin"], drawn.kwargs["vmax"]) == (0, 1), "all maps share a scale"
    figures._draw_image(axes, shown)
    (outline,) = axes.add_patch.call_args.args
    assert (outline.get_xy(), outline.get_width(), outline.get_height()) == ((10, 10), 19, 19)


def test_a_row_is_named_by_benchmark_and_image_as_far_as_there_is_room(
    example, tmp_path, monkeypatch
):
    named = []

    def savefig(self, place, **how):
        named.extend(axes.get_ylabel() for axes in self.axes if axes.get_ylabel())
        place.touch()

    monkeypatch.setattr(Figure, "savefig", savefig)
    rows = [example(image_id=f"folder/{letter * count}", benchmark="dis", models=("sam",))
            for letter, count in (("a", 22), ("b", 23))]  # fmt: skip
    comparison_figure(rows, tmp_path / "f.png", title="t", caption="c")
    assert named == [f"dis\n{'a' * 22}", f"dis\n{'b' * 21}…"]
