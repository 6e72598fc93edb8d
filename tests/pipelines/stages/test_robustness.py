"""The stage `robustness`: curves of all models, in the columns of all scores."""

from pasam.evaluation.scores import clean_box_rows, read_scores

SCORES = "data/scores/robustness.parquet"


def test_a_second_run_gives_the_same_bytes(world, own_world):
    own_world.run("robustness")
    assert own_world.contents("robustness") == world.contents("robustness")


def test_every_benchmark_and_model_meets_every_condition(world):
    rows = read_scores(world.path(SCORES))
    conditions = set(zip(rows["prompt"], rows["corruption"], strict=True))
    assert conditions == {
        ("box_jitter_0.2", "none"), ("box_jitter_0.4", "none"), ("points_1", "none"),
        ("points_5", "none"), ("box", "blur_1"), ("box", "noise_1"), ("box", "jpeg_1"),
    }  # fmt: skip
    assert set(rows["benchmark"]) == {"dis_like", "thin_like"}
    assert set(zip(rows["model"], rows["seed"], strict=True)) == {
        ("sam", 0), ("hq_sam", 42), ("pa_sam", 42),
    }  # fmt: skip
    assert len(rows) == len(conditions) * 2 * 3  # one image of each benchmark


def test_clean_boxes_are_the_evaluations_so_that_both_can_be_read_at_once(world):
    rows = read_scores(world.path(SCORES))
    assert len(clean_box_rows(rows)) == 0
    both = read_scores(world.path(SCORES), world.path("data/scores/pa_sam-dis_like.parquet"))
    assert len(both) > len(rows)
