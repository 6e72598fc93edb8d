"""What a report is made from: results, conditions, diagnostics and histories."""

import json

import numpy as np
import pandas as pd
import pytest
from made_up_run import change_scores, made_up_diagnostics

from pasam.errors import DataError
from pasam.reporting.results import curve, difference_at, families, read_history, rows_by_amount


def test_the_report_is_about_pa_sam_against_sam(results):
    assert (results.subject, results.reference) == ("pa_sam", "sam")
    assert results.shown == ["sam", "hq_sam", "pa_sam"]
    assert results.level == "95 %"
    assert results.seeds == [42]


def test_without_sam_it_is_held_against_another_model(make_scores, make_results):
    assert make_results(make_scores(models=("hq_sam", "pa_sam"))).reference == "hq_sam"
    assert make_results(make_scores(models=("pa_sam",))).reference == "pa_sam"


def test_an_image_is_read_with_what_every_model_makes_of_it(results):
    example = results.example("dis_like/2")
    assert list(example.predictions) == ["sam", "hq_sam", "pa_sam"]
    assert example.benchmark == "dis_like"
    rows = results.scores[results.scores["image_id"] == "dis_like/2"].set_index("model")
    for model, (iou, boundary_iou) in example.scores.items():
        assert (iou, boundary_iou) == (rows.at[model, "iou"], rows.at[model, "boundary_iou"])
    assert example.details.uncertainty is not None


def test_models_trained_with_the_same_prompts_are_compared_too(make_scores, make_results):
    plain = make_results(make_scores())
    variants = dict(plain.params.variants)
    assert variants["pa_sam"].prompts != variants["hq_sam"].prompts
    variants["hq_sam_alike"] = variants["hq_sam"].replaced(prompts=variants["pa_sam"].prompts)
    scores = make_scores(models=("sam", "hq_sam", "pa_sam", "hq_sam_alike"))
    found = make_results(scores, variants=variants).differences
    pairs = list(dict.fromkeys(zip(found["model"], found["against"], strict=True)))
    assert pairs[-1] == ("pa_sam", "hq_sam_alike")
    assert len(pairs) == len(set(pairs)) == 5
    mean = found[(found["benchmark"] == "mean")]
    assert len(mean) == 10  # Holm's correction runs over all of them


def test_an_image_with_several_seeds_shows_the_main_one(make_scores, make_results):
    scores = make_scores(seeds=(41, 42))
    scores.loc[scores["seed"] == 41, "iou"] = 0.0
    assert make_results(scores).example("dis_like/2").scores["sam"][0] > 0


def test_variants_are_held_against_the_subject_of_their_seed(make_scores, make_results):
    scores = change_scores(
        make_scores(seeds=(41, 42)), "pa_sam", by=lambda rows: 0.1 * (rows["seed"] == 41)
    )
    variant = make_scores(models=("pa_sam",)).assign(model="unchanged")
    table = make_results(scores, ablations=variant).ablation_differences
    assert set(table["difference"]) == {0.0}
    assert set(table["seeds"]) == {1}


def test_curves_are_empty_without_other_conditions(results):
    assert len(results.curves) == 0


def test_curves_hold_every_condition(make_scores, make_results):
    rows = pd.concat(
        [make_scores(), make_scores(prompt="points_1"), make_scores(corruption="blur_1")]
    )
    results = make_results(conditions=rows)
    assert list(dict.fromkeys(results.curves["family"])) == ["points", "blur"]


def test_widths_are_in_per_cent_of_the_diagonal(results):
    assert set(results.widths) == set(results.by_image.index)
    assert 5 < next(iter(results.widths.values())) < 30


@pytest.fixture
def conditions(make_scores):
    few = {"n": 2, "models": ("sam", "pa_sam")}
    return pd.concat(
        [
            make_scores(),
            make_scores(prompt="box_jitter_0.4", **few),
            make_scores(prompt="box_jitter_0.1", **few),
            make_scores(prompt="points_3", **few),
            make_scores(corruption="blur_2", **few),
        ]
    )


def test_curves_come_in_report_order(conditions):
    assert families(conditions) == ["box_jitter", "points", "blur"]


def test_a_curve_of_jitter_begins_with_the_tight_box_on_the_same_images_and_models(conditions):
    parts = rows_by_amount(conditions, "box_jitter")
    assert list(parts) == [0.0, 0.1, 0.4]
    assert len(parts[0.0]) == len(parts[0.1]) == 2 * 2 * 4
    assert list(rows_by_amount(conditions, "points")) == [3.0]


def test_a_curve_holds_the_mean_of_every_model_inside_its_interval(conditions, bootstrap):
    table = curve(conditions, "blur", "mbiou", bootstrap)
    assert table[["amount", "model"]].values.tolist() == [
        [0.0, "pa_sam"], [0.0, "sam"], [2.0, "pa_sam"], [2.0, "sam"],
    ]  # fmt: skip
    assert ((table["low"] <= table["mean"]) & (table["mean"] <= table["high"])).all()


def test_two_models_are_compared_at_one_place(conditions, make_results):
    row = difference_at(make_results(conditions=conditions), "points", 3.0, ("pa_sam", "sam"))
    assert row["difference"] == pytest.approx(20.0)
    assert row["n"] == 8


def test_without_diagnostics_there_is_nothing(results, make_results):
    assert not results.diagnosed("pa_sam", "dense_change")
    other = make_results(diagnostics=made_up_diagnostics())
    assert other.diagnosed("pa_sam", "dense_change")
    assert not other.diagnosed("hq_sam", "dense_change")


def test_a_column_of_nothing_is_nothing(make_results):
    empty = made_up_diagnostics().assign(dense_change=np.nan)
    assert not make_results(diagnostics=empty).diagnosed("pa_sam", "dense_change")


def test_means_leave_out_what_is_undefined(make_results):
    frame = made_up_diagnostics(uncertainty_auroc=0.8)
    frame.loc[frame["image_id"] == "dis_like/0", "uncertainty_auroc"] = np.nan
    found = make_results(diagnostics=frame).mean_inside("pa_sam", "uncertainty_auroc")
    assert found.mean == pytest.approx(0.8, abs=0.01)
    assert found.low < found.mean < found.high


def test_two_columns_are_compared_on_the_same_masks(make_results):
    results = make_results(diagnostics=made_up_diagnostics(coarse_iou=0.5, final_iou=0.6))
    found = results.difference_inside("pa_sam", "final_iou", "coarse_iou")
    assert found.mean == pytest.approx(0.1, abs=0.01)
    assert found.verdict == "gain shown"


def history(path, epochs, **terms):
    rows = [{"epoch": e, "lr": 0.1, **{k: v / (e + 1) for k, v in terms.items()}} for e in epochs]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_history_is_read_in_the_order_of_its_epochs(tmp_path):
    frame = read_history(history(tmp_path / "h.jsonl", [1, 0, 2], loss=1.0))
    assert frame["epoch"].tolist() == [0, 1, 2]
    assert frame["loss"].tolist() == pytest.approx([1.0, 0.5, 1 / 3])


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
