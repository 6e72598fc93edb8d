"""Tests of the pictures from inside the adapter."""

import dataclasses

from pasam.reporting.pictures import (
    heat_view,
    prompt_changes,
    telling_image,
    token_maps,
    walk,
    window_round,
)


def test_one_pass_goes_from_the_prompt_to_the_mask(results):
    names = [view.name for view in walk(results).views]
    assert names[0] == "Prompt"
    assert names[1:4] == ["Guiding embedding", "Dense change", "Attention of the mask token"]
    assert names[-2] == "Mined points"
    assert names[-1].startswith("PA-SAM")


def test_the_tokens_masks_stand_side_by_side(results):
    names = [view.name for view in token_maps(results).views]
    assert names == ["Coarse", "Uncertainty", "Refined", "Final"]


def test_the_prompts_changes_are_mapped(results):
    assert [v.name for v in prompt_changes(results).views][1:] == [
        "Dense change", "Attention of the mask token",
    ]  # fmt: skip


def test_without_maps_there_is_no_picture(results, make_results):
    bare = make_results(
        read_predicted=lambda m, b, n: dataclasses.replace(results.read_predicted(m, b, n), maps={})
    )
    assert walk(bare) is prompt_changes(bare) is token_maps(bare) is None


def test_the_image_is_the_one_that_improved_most(make_scores, make_results):
    scores = make_scores()
    rows = (scores["model"] == "pa_sam") & (scores["image_id"] == "thin_like/4")
    scores.loc[rows, "boundary_iou"] += 0.2
    assert telling_image(make_results(scores)) == "thin_like/4"


def test_equal_maps_make_equal_pictures(results):
    example = results.example("dis_like/0")
    window = window_round(example)
    a, b = (heat_view(example, "attention", window, side=64) for _ in range(2))
    assert a == b
