"""The report's files: all there, the same bytes, charts' data, JSON and model cards."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from made_up_run import change_scores
from small_world import load_yaml
from variants import pa_sam

from pasam.reporting import publish as publish_module
from pasam.reporting.analyses import gains, measures
from pasam.reporting.blocks import escape_latex
from pasam.reporting.model_card import bare_head, described, model_card, what_learns
from pasam.reporting.page_images import ranked, worst
from pasam.reporting.publish import plot_frames, publish, records, report_json
from pasam.reporting.questions import answers
from pasam.reporting.tables import _rate

TABLES = ("cost", "differences", "recipes", "table1")
OTHER_FILES = (
    "differences.csv",
    "figure1.png",
    "index.html",
    "metrics.json",
    "scores.json",
    "model_cards/hq_sam.md",
    "model_cards/pa_sam.md",
    "plots/fineness.csv",
    "plots/scores.csv",
    "plots/training.csv",
    "report.json",
    "table1.csv",
    "table1.md",
)


def contents(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@pytest.fixture(scope="module")
def files(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    publish(results, folder)
    return contents(folder)


@pytest.mark.long
def test_the_report_has_all_its_files_and_no_draft(files):
    tables = [f"tables/{name}.{kind}" for name in TABLES for kind in ("csv", "md", "tex")]
    assert sorted(files) == sorted([*tables, *OTHER_FILES])


@pytest.mark.slow  # two reports
def test_the_same_results_give_the_same_bytes(files, tmp_path, make_results):
    publish(make_results(), tmp_path)
    assert contents(tmp_path) == files


def test_the_setting_stands_in_every_file_for_people(files):
    for name in ("index.html", "table1.md", "tables/table1.md", "model_cards/pa_sam.md"):
        assert b"A run that was never made." in files[name], name
    page = files["index.html"].decode()
    assert "PA-SAM against SAM and HQ-SAM" in page.partition("</head>")[0]


def test_it_stays_far_below_its_limit_of_15_megabytes(files):
    assert len(files["index.html"]) < 2_000_000


def test_every_chart_has_a_column_per_curve(results):
    frames = plot_frames(results)
    assert sorted(frames) == ["fineness", "scores", "training"]
    assert frames["training"].columns.tolist() == ["epoch", "hq_sam", "pa_sam"]
    assert frames["training"]["epoch"].tolist() == [1, 2]
    assert frames["fineness"].columns.tolist() == ["group", "complexity", "thinness"]
    assert frames["fineness"]["complexity"].mean() == pytest.approx(20.0, abs=1e-3)
    assert frames["scores"]["row"].iloc[-1] == "PA-SAM, mean"
    ends = [f"{metric}{end}" for metric in ("mbiou", "miou") for end in ("", "_low", "_high")]
    assert frames["scores"].columns.tolist() == ["row", "model", "benchmark", *ends]
    assert frames["fineness"]["group"].tolist() == [1, 2, 3, 4]


def test_curves_are_there_when_they_were_measured(make_scores, make_results):
    rows = pd.concat([make_scores(), make_scores(prompt="points_1")])
    frame = plot_frames(make_results(conditions=rows))["robustness_points"]
    assert frame.columns.tolist() == ["amount", "hq_sam", "oracle", "pa_sam", "sam"]
    assert frame["amount"].tolist() == [1.0]
    for model in ("pa_sam", "sam"):
        own = rows[(rows["prompt"] == "points_1") & (rows["model"] == model)]
        assert frame[model].tolist() == pytest.approx([100 * own["boundary_iou"].mean()], abs=1e-3)


def test_the_figure_shows_images_by_the_subjects_scores_in_its_file(
    make_scores, make_results, monkeypatch, tmp_path
):
    seen = {}
    results = make_results(make_scores(seeds=(41, 42)))
    count = results.params.report.figure_rows

    def chosen(scores, **how):
        seen.update(how, seeds=set(scores[scores["model"] == "pa_sam"]["seed"]))
        return ["dis_like/2"]

    monkeypatch.setattr(publish_module, "choose_examples", chosen)
    monkeypatch.setattr(
        publish_module, "comparison_figure", lambda *given, **how: seen.update(given=given, **how)
    )
    publish_module._write_figure(results, tmp_path / "f.png")
    assert (seen["model"], seen["per_benchmark"], seen["seeds"]) == ("pa_sam", count, {42})
    examples, path = seen["given"]
    assert ([one.image_id for one in examples], path) == (["dis_like/2"], tmp_path / "f.png")
    assert seen["caption"].startswith(f"{results.setting}\nImages are chosen by rank")


def test_models_that_trained_for_different_times_share_the_table(make_results):
    long = pd.DataFrame({"epoch": [0.0, 1.0, 2.0], "loss": [3.0, 2.0, 1.0]})
    histories = {"hq_sam": long, "pa_sam": long[:1]}
    frame = plot_frames(make_results(histories=histories))["training"]
    assert frame["hq_sam"].tolist() == [3.0, 2.0, 1.0]
    assert frame["pa_sam"].isna().tolist() == [False, True, True]


def test_it_holds_every_part_and_no_number_that_json_lacks(results):
    text = report_json(results, answers(results))
    content = json.loads(text)
    assert "NaN" not in text
    assert content["table1"][0]["model"] == "oracle"
    assert content["precisions"] is None
    assert content["seeds"] == [42]
    assert len(content["galleries"]["worst"]) == 3
    assert content["galleries"]["most_harmed"] == []
    assert all(question["answer"] for question in content["questions"])


@pytest.mark.slow  # as all files do, above
def test_the_same_results_give_the_same_text(results, make_results):
    assert report_json(results, ()) == report_json(make_results(), ())


def test_numbers_of_numpy_become_plain_and_what_is_missing_null():
    frame = pd.DataFrame({"a": [np.int64(1)], "b": [np.nan], "c": [None], "d": ["x"]})
    assert records(frame) == [{"a": 1, "b": None, "c": None, "d": "x"}]


HEADINGS = (
    "Model details", "Uses", "Bias, risks and limitations",
    "How to get started with the model", "Training details", "Evaluation",
    "Environmental impact", "Technical specifications", "Citation", "Model card contact",
)  # fmt: skip


@pytest.fixture(scope="module")
def card(results):
    return model_card(results, "pa_sam")


def test_the_headings_are_hugging_faces(card):
    assert tuple(re.findall(r"^## (.*)$", card, re.MULTILINE)) == HEADINGS


def test_the_front_matter_is_yaml_with_the_results(card):
    front = load_yaml(card.split("---")[1])
    assert front["pipeline_tag"] == "mask-generation"
    assert front["license"] == "apache-2.0"
    measured = front["model-index"][0]["results"]
    assert [row["dataset"]["name"] for row in measured][-1] == "mean"
    assert {m["type"] for m in measured[0]["metrics"]} == {"mean_iou", "boundary_iou"}


def test_numbers_limits_and_every_hyperparameter_are_in_it(card):
    assert "1,234" in card
    assert "cannot show" in card
    assert "since the base is the small one" in card
    assert "| learning_rate" in card
    assert "| gradient" in card
    assert "PA-SAM is 20.0 points of boundary IoU above SAM" in card


def test_a_card_gives_the_scores_of_the_file_and_beside_them_the_mean_of_all_seeds(
    make_scores, make_results
):
    scores = make_scores(seeds=(41, 42, 43))
    scores.loc[(scores["model"] == "pa_sam") & (scores["seed"] == 42), "boundary_iou"] += 0.09
    made = model_card(make_results(scores), "pa_sam")
    own = scores[scores["model"] == "pa_sam"]
    of_file, of_all = (100 * rows["boundary_iou"].mean() for rows in (own[own["seed"] == 42], own))
    assert of_file > of_all + 5
    front = load_yaml(made.split("---")[1])["model-index"][0]["results"][-1]
    assert front["metrics"][1]["value"] == pytest.approx(of_file, abs=0.01)
    assert "The scores of this file, which was trained with seed 42, one of 3 seeds" in made
    assert re.search(
        rf"Mean of 4 synthetic, of this file: mIoU [\d.]+ %, mBIoU {of_file:.1f} %", made
    )
    assert re.search(rf"Mean of 3 seeds: mIoU [\d.]+ %, mBIoU {of_all:.1f} %", made)


def test_other_numbers_make_another_card(card, make_scores, make_results):
    scores = make_scores()
    scores.loc[scores["model"] == "pa_sam", "boundary_iou"] -= 0.3
    other = model_card(make_results(scores), "pa_sam")
    assert "PA-SAM is 10.0 points of boundary IoU below SAM" in other
    assert other != card


@pytest.mark.long
def test_a_card_tells_the_scores_of_the_finest_and_of_the_smoothest_objects_apart(
    make_scores, make_results
):
    worse = change_scores(make_scores(), "pa_sam", lambda rows: -0.06 * rows["complexity"])
    made = model_card(make_results(worse), "pa_sam")
    fine, smooth = re.search(
        r"boundary IoU is ([\d.]+) % on the \d+ masks with the most intricate outlines, and "
        r"([\d.]+) % on the \d+ masks with the smoothest",
        made,
    ).groups()
    assert float(fine) < float(smooth) - 10


@pytest.mark.parametrize(
    ("change", "there", "not_there"),
    [
        ({}, ["adds hard points", "The adapter and SAM's mask head learn; the rest of SAM"], []),
        ({"mining_method": "none"}, ["refines the dense prompt"], ["hard points"]),
        ({"adapter_dense": False}, ["refines the sparse"], ["refines the dense"]),
        ({"iou_head": "trained"}, ["The adapter, SAM's mask head and SAM's IoU head learn"], []),
        ({"trains": "adapter"}, ["The adapter learns; SAM's weights stay unchanged"], []),
        (
            {"trains": "decoder", "iou_head": "trained"},
            ["The adapter and SAM's decoder learn; the rest of SAM stays"],
            ["IoU head"],
        ),
        (
            {"trains": "adapter", "iou_head": "trained"},
            ["The adapter and SAM's IoU head learn; the rest of SAM stays unchanged"],
            ["SAM's weights stay"],
        ),
    ],
)
def test_a_card_describes_the_parts_that_its_model_has(change, there, not_there, make_results):
    made = model_card(make_results(variants={"pa_sam": pa_sam(**change)}), "pa_sam")
    for words in there:
        assert words in made
    for words in not_there:
        assert words not in made.split("### Model sources")[0]


def test_the_bare_head_has_no_adapter_and_no_paper(make_results):
    bare = pa_sam(adapter_dense=False, adapter_sparse=False, adapter_tokens=False,
                  mining_method="none")  # fmt: skip
    made = model_card(make_results(variants={"pa_sam": bare}), "pa_sam")
    assert "and no adapter" in made
    assert "SAM's mask head learns; the rest of SAM stays" in made
    assert "2401.13051" not in made


def test_every_trained_model_has_a_card_of_its_own(results):
    hq = model_card(results, "hq_sam")
    assert "# Model card: HQ-SAM" in hq
    assert "2306.01567" in hq


def test_a_card_compares_its_own_model_alone_and_splits_its_own_gain(results):
    hq = model_card(results, "hq_sam")
    assert "HQ-SAM is 15.0 points of boundary IoU above SAM" in hq
    assert "PA-SAM is" not in hq
    table = gains(results, measures(results)[0], model="hq_sam").table
    for place, words in ((0, "the smoothest"), (-1, "the most intricate")):
        said = f"{table['score'].iloc[place]:.1f} % on the {table['n'].iloc[place]} masks with "
        assert f"{said}{words}" in hq
    assert f"{table['score'].iloc[0]:.1f}" != f"{table['score'].iloc[-1]:.1f}"


def test_json_has_the_level_and_as_many_images_a_gallery_as_the_params_say(results, make_results):
    report = results.params.report.replaced(confidence=0.8, gallery=2, n_resamples=50)
    content = json.loads(report_json(make_results(report=report), ()))
    assert content["confidence"] == 0.8
    counts = {name: len(ids) for name, ids in content["galleries"].items()}
    assert counts == {"worst": 2, "most_improved": 2, "most_harmed": 0}
    assert content["galleries"]["worst"] == list(worst(ranked(results), 2).index)


def test_card_and_page_say_which_weights_and_data_they_describe_and_how_git_finds_the_date(
    results, make_results, tmp_path, card, monkeypatch
):
    monkeypatch.setattr(publish_module, "_write_figure", lambda *_given: None)
    weights, data = "1" * 32, "2" * 32
    known = make_results(manifest_md5=data, weights_md5={"pa_sam": weights})
    made = model_card(known, "pa_sam")
    version = made.partition("### Version")[2].partition("\n## ")[0]
    assert f"md5 `{weights}`, seed 42" in version
    assert f"md5 `{data}`" in version
    assert f"`git log -S {weights} -- dvc.lock`" in version
    assert "Not known" in card.partition("### Version")[2]
    assert "Not known" in model_card(known, "hq_sam"), "its weights were not at hand"
    publish(known, tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert f"weights of PA-SAM, md5 {weights}" in page
    assert f"manifest of the data, md5 {data}" in page
    assert results.about == ""
    assert f"git log -S {weights} -- dvc.lock" in known.about
    assert f"git log -S {data} -- dvc.lock" in make_results(manifest_md5=data).about
    assert make_results(weights_md5={"pa_sam": weights}).about.startswith(
        f"Of the weights of PA-SAM, md5 {weights}. dvc.lock"
    )


@pytest.mark.parametrize(
    ("text", "set_as"),
    [
        ("<0.001", "$<$0.001"), (">99 %", r"$>$99 \%"), ("\N{MINUS SIGN}1", "$-$1"),
        ("2\N{MULTIPLICATION SIGN}3", r"2$\times$3"),
        ("a_b^c~", r"a\_b\textasciicircum{}c\textasciitilde{}"),
    ],
)  # fmt: skip
def test_signs_that_a_text_font_of_latex_lacks_are_set_as_mathematics(text, set_as):
    assert escape_latex(text) == set_as


@pytest.mark.parametrize(
    ("changes", "bare", "said"),
    [
        ({"trains": "adapter"}, False, "The adapter learns; SAM's weights stay"),
        ({"trains": "mask_head"}, False,
         "The adapter and SAM's mask head learn; the rest of SAM stays"),
        ({"trains": "decoder"}, False,
         "The adapter and SAM's decoder learn; the rest of SAM stays"),
        ({"trains": "adapter", "iou_head": "trained"}, False,
         "The adapter and SAM's IoU head learn; the rest of SAM stays"),
        ({"trains": "mask_head", "iou_head": "trained"}, False,
         "The adapter, SAM's mask head and SAM's IoU head learn; the rest of SAM stays"),
        ({"trains": "decoder", "iou_head": "trained"}, False,
         "The adapter and SAM's decoder learn; the rest of SAM stays"),
        ({"trains": "mask_head"}, True, "SAM's mask head learns; the rest of SAM stays"),
        ({"trains": "decoder"}, True, "SAM's decoder learns; the rest of SAM stays"),
    ],
)  # fmt: skip
def test_a_card_says_what_of_sam_has_learnt_and_what_stayed(changes, bare, said, results):
    variant = results.params.variants["pa_sam"].replaced(**{"iou_head": "frozen", **changes})
    if bare:
        none = variant.adapter.replaced(dense=False, sparse=False, tokens=False)
        variant = variant.replaced(adapter=none, mining=variant.mining.replaced(method="none"))
    assert what_learns(variant) == f"{said} unchanged, bit for bit."
    assert what_learns(variant.replaced(trains="everything")) == "All of SAM learns with it."
    assert what_learns(results.params.variants["hq_sam"]) == (
        "HQ-SAM's own parts learn; SAM's weights stay unchanged, bit for bit."
    )


@pytest.mark.parametrize(
    ("parts", "mining", "said"),
    [
        ((True, True, True), "gumbel", "refines the dense prompt by a guiding embedding of image "
         "and edges, refines the sparse prompt by attention, predicts a refined mask and an "
         "uncertainty map and adds hard points (sampled by the uncertainty"),
        ((False, True, False), "none", "refines the sparse prompt by attention."),
        ((True, False, True), "random", "image and edges, predicts a refined mask and an "
         "uncertainty map and adds hard points (at random, anywhere in the image)."),
        ((False, False, True), "top", "predicts a refined mask and an uncertainty map and adds "
         "hard points (the largest by the uncertainty"),
    ],
)  # fmt: skip
def test_a_card_describes_the_parts_that_a_model_has(parts, mining, said, results):
    variant = results.params.variants["pa_sam"]
    names = dict(zip(("dense", "sparse", "tokens"), parts, strict=True))
    variant = variant.replaced(
        adapter=variant.adapter.replaced(**names), mining=variant.mining.replaced(method=mining)
    )
    words = described(variant)
    assert words.startswith("SAM's decoder with a prompt adapter in its last block, which ")
    assert said in words
    assert words.count("refines") == parts[0] + parts[1]
    assert not bare_head(variant)
    band = results.params.variants["pa_sam"]
    band = band.replaced(mining=band.mining.replaced(cells="uncertain", method="top"))
    assert "uncertain band alone)" in described(band)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lr_step_size": 1}, "0.001, a tenth every epoch"),
        ({"lr_step_size": 7}, "0.001, a tenth every 7 epochs"),
        ({"lr_step_size": 1, "adapter_rate": 0.25}, "a tenth every epoch; adapter 0.00025"),
        ({"lr_step_size": 1, "adapter_rate": 4.0}, "a tenth every epoch; adapter 0.004"),
        ({"lr_step_size": 1, "interpolation": 0.75}, "epoch; 75 % of the way from SAM"),
        ({"lr_step_size": 2, "adapter_rate": 0.5, "interpolation": 0.5},
         "2 epochs; adapter 0.0005; 50 % of the way from SAM"),
    ],
)  # fmt: skip
def test_a_recipe_says_the_rate_of_the_adapter_and_how_much_is_kept(changes, said, results):
    usual = {"adapter_rate": 1.0, "interpolation": 1.0}
    variant = results.params.variants["pa_sam"]
    start = variant.adapter.replaced(start="sam")
    variant = variant.replaced(**{**usual, **changes}, adapter=start)
    assert _rate(variant, 0.001).endswith(said)
