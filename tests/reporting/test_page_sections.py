"""The sections of the page, and what a run is said to be made on."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from made_up_run import change_scores, made_up_ablations

from pasam.config.schema import BaseParams, DataParams, GeneratedParams
from pasam.evaluation.scores import ORDER
from pasam.reporting import page_sections, tables
from pasam.reporting.analyses import limits
from pasam.reporting.page_sections import SECTIONS
from pasam.reporting.results import describe_run
from pasam.reporting.svg import legend
from pasam.reporting.tables import ablation_grid, box_sentences, precision_grids


def section(key, results):
    row = next(row for row in SECTIONS if row.key == key)
    return row.section(results)


def test_it_says_how_far_the_subject_is_ahead(results):
    found = section("glance", results)
    assert "points of IoU and 20.0 points of boundary IoU above SAM" in found.lead
    tiles = [value for value, _ in found.blocks[0].tiles]
    assert tiles[1:] == ["+5.0", "+20.0", "100 %"]
    assert found.blocks[0].tiles[-1][1] == "of the masks are better than with SAM"
    assert "Measured on 24 masks of 4 benchmarks" in found.blocks[-1].words


def test_the_first_sentence_names_every_row_of_table_1_that_is_shown_losses_first(
    make_scores, make_results
):
    scores = make_scores(models=("sam", "hq_sam", "pa_sam"), n=20, seeds=(40, 41, 42, 43, 44))
    scores.loc[scores["model"] == "hq_sam", "iou"] = scores.loc[
        scores["model"] == "sam", "iou"
    ].to_numpy()  # equal in one mean, ahead in the other
    results = make_results(change_scores(scores, "pa_sam", -0.1))
    glance = section("glance", results)
    first, *rest = glance.lead.split(".  ")[0].split(" (95 % intervals")
    table = results.differences[results.differences["benchmark"] == "mean"]
    significant = table[table["p_holm"] < 0.05]
    assert len(significant) == 5
    for _, row in significant.iterrows():
        side = "below" if row["high"] < 0 else "above"
        [clause] = [
            clause
            for clause in re.findall(r"[^;(]+\([^)]+\)", first + ")")
            if clause.strip("; ").startswith(f"{LABELS[row['model']]} is ")
            and f" {side} {LABELS[row['against']]} (" in clause
        ]
        assert f"{abs(row['difference']):.1f} points of {WORDS[row['metric']]} " in clause
    sides = re.findall(r"IoU (below|above) ", first)
    assert sides == sorted(sides, reverse=True)  # losses first
    assert set(sides) == {"below", "above"}
    assert rest[0].endswith("No difference is shown in 1 of 6 comparisons.")
    [others] = [block for block in glance.blocks if block.kind == "table"]
    assert others.folded
    [row] = others.rows
    assert row[:2] == ("HQ-SAM minus SAM", "mIoU")
    assert float(row[others.head.index("p (Holm)")]) > 0.05


def test_a_tile_whose_interval_lacks_0_says_why_no_difference_is_shown(make_scores, make_results):
    results = make_results(make_scores(models=("sam", "hq_sam", "pa_sam"), seeds=(40, 41, 42)))
    table = results.differences
    named = {"benchmark": "mean", "metric": "mbiou", "model": "pa_sam"}
    mine = (table[list(named)] == named).all(axis=1)
    for against, low, verdict in (
        ("sam", -4.0, "no difference shown"), ("hq_sam", -4.0, "loss shown"),
    ):  # fmt: skip
        row = mine & (table["against"] == against)
        assert row.sum() == 1
        table.loc[row, ["difference", "low", "high", "verdict"]] = [-2.3, low, -0.6, verdict]
    tiles = [words for _, words in section("glance", results).blocks[0].tiles]
    assert set(tiles[1:3]) == {
        "points against HQ-SAM: loss shown (95 % interval −4.0 to −0.6)",
        "points against SAM: no difference shown among 6 comparisons (by itself, 95 % interval "
        "−4.0 to −0.6)",
    }
    table.loc[mine & (table["against"] == "sam"), "high"] = 0.4
    tiles = [words for _, words in section("glance", results).blocks[0].tiles]
    assert "points against SAM: no difference shown (95 % interval −4.0 to +0.4)" in tiles


LABELS = {"sam": "SAM", "hq_sam": "HQ-SAM", "pa_sam": "PA-SAM"}
WORDS = {"miou": "IoU", "mbiou": "boundary IoU"}


def test_one_seed_speaks_at_a_glance_of_these_weights(results, make_scores, make_results):
    assert "(95 % intervals of these weights, Holm" in section("glance", results).lead
    three = make_scores(seeds=(41, 42, 43))
    assert "weights" not in section("glance", make_results(three)).lead
    mixed = three[(three["model"] != "hq_sam") | (three["seed"] == 42)]
    mixed.loc[mixed["model"] == "sam", "seed"] = 0
    lead = section("glance", make_results(mixed.drop_duplicates(ORDER))).lead
    assert re.search(r"HQ-SAM is [^;]* above SAM \([^)]*; for these weights\)", lead)
    assert re.search(r"PA-SAM is [^;]* above SAM \([^)w]*\)", lead)


def test_a_run_in_which_nothing_is_shown_says_so(make_scores, make_results):
    scores = make_scores(models=("sam", "pa_sam"), seeds=(41, 42, 43))
    for name in ("iou", "boundary_iou"):
        same = scores.loc[scores["model"] == "sam", name].to_numpy()
        scores.loc[scores["model"] == "pa_sam", name] = same
    lead = section("glance", make_results(scores)).lead
    assert lead == "No difference is shown in 2 of 2 comparisons."


def test_a_model_that_is_held_against_the_subject_is_told_of(make_scores, make_results):
    models = ("sam", "pa_sam", "pa_sam_plus")
    found = section("glance", make_results(make_scores(models=models)))
    assert "points of IoU and 20.0 points of boundary IoU above SAM" in found.lead
    assert "points of IoU and 10.0 points of boundary IoU below PA-SAM" in found.lead
    assert len(found.blocks[0].tiles) == 3


def test_the_picture_is_the_image_in_the_middle(results):
    slider = section("glance", results).blocks[1]
    assert "in the middle of all 24 masks by gain" in slider.caption
    assert slider.before.name.startswith("SAM")


def test_a_run_of_one_model_has_nothing_to_compare(make_scores, make_results):
    found = section("glance", make_results(make_scores(models=("pa_sam",))))
    assert found.lead == "One model was scored: PA-SAM."
    assert [block.kind for block in found.blocks] == ["tiles", "text"]


def test_one_seed_is_owned_up_to(results, make_scores, make_results):
    assert "do not include seed variance" in section("glance", results).blocks[-1].words
    three = make_results(make_scores(seeds=(41, 42, 43)))
    assert "seed variance (3 seeds)" in section("glance", three).blocks[-1].words


DATA = DataParams(
    generated=GeneratedParams(train_images=2, benchmark_images=1, side=64, seed=9),
    catalogue=(),
    own="own",
    workers=1,
)
TINY = BaseParams(size="tiny", checkpoint="base", encoder_precision="32-true")
LARGE = BaseParams(size="vit_l", checkpoint="base", encoder_precision="32-true")
WARNING = "No number of this run is the paper's or comparable with it."


def manifest(train, val):
    """Two training images with three masks, and ten measured images."""
    rows = [
        {"split": "train", "dataset": train, "image": "a"},
        {"split": "train", "dataset": train, "image": "a"},
        {"split": "train", "dataset": train, "image": "b"},
        *({"split": "val", "dataset": val, "image": f"c{k}"} for k in range(10)),
    ]
    return pd.DataFrame(rows)


def test_it_counts_images_and_masks_and_names_base_and_seeds():
    words = describe_run(manifest("generated_train", "dis_like"), TINY, DATA, seeds=[42])
    assert words == (
        "Synthetic data: trained on 2 images (3 masks), measured on 10 images (10 masks). "
        "Base: tiny, a small SAM that has seen photographs. Seeds: training 42, generator 9. "
        + WARNING
    )


@pytest.mark.parametrize(
    ("train", "val", "kind"),
    [
        ("generated_train", "thin_like", "Synthetic data"),
        ("generated_train", "mine", "Synthetic and own data"),
        ("mine", "dis_like", "Synthetic and own data"),
        ("mine", "mine", "Own data"),
        ("DIS5K-TR", "COIFT", "Public (HQSeg-44K) data"),
        ("DIS5K-TR", "mine", "Public (HQSeg-44K) and own data"),
        ("coco_val2017", "coco_val2017", "Public data"),
        ("DIS5K-TR", "coco_val2017", "Public data"),
    ],
)
def test_it_says_whose_the_data_are(train, val, kind):
    assert describe_run(manifest(train, val), TINY, DATA, seeds=[1]).startswith(f"{kind}: ")


@pytest.mark.parametrize(
    ("dataset", "base", "warns"),
    [("dis_like", LARGE, True), ("mine", TINY, True), ("mine", LARGE, False)],
)
def test_it_warns_unless_data_and_base_are_real(dataset, base, warns):
    assert (WARNING in describe_run(manifest(dataset, dataset), base, DATA, seeds=[1])) == warns


def test_a_smoke_runs_setting_says_that_its_numbers_mean_nothing():
    few = manifest("generated_train", "dis_like")[:-1]
    said = describe_run(few, TINY, DATA, seeds=[1])
    assert said.startswith("A benchmark of 9 images shows that everything works; the numbers of ")
    assert "mean nothing" in said
    assert "mean nothing" not in describe_run(manifest("mine", "mine"), TINY, DATA, seeds=[1])
    larger = pd.concat([few, few[3:], manifest("mine", "mine")[3:]])
    said = describe_run(larger, TINY, DATA, seeds=[1])
    assert said.startswith("A benchmark of 9 images shows")  # of 18 masks, beside one of ten


def test_own_data_need_no_generator_and_an_official_base_has_its_name():
    words = describe_run(manifest("mine", "mine"), LARGE, DATA, seeds=[1])
    assert "generator" not in words
    assert "Base: SAM vit_l." in words


def test_all_seeds_are_named():
    words = describe_run(manifest("mine", "mine"), LARGE, DATA, seeds=[42, 43, 44])
    assert "Seeds: training 42, 43 and 44." in words


def test_a_small_base_synthetic_data_one_seed_and_few_images_are_limits(results):
    text = "; ".join(limits(results))
    for words in ("small one", "synthetic", "interpolation", "paper", "another seed", "6 images"):
        assert words in text


@pytest.mark.parametrize(("n", "told"), [(29, True), (30, False)])
def test_benchmarks_of_thirty_images_tell_something_each(n, told, make_scores, make_results):
    scores = make_scores(models=("sam", "pa_sam"), benchmarks=("a",), n=40)
    small = make_scores(models=("sam", "pa_sam"), benchmarks=("b",), n=n)
    text = "; ".join(limits(make_results(pd.concat([scores, small], ignore_index=True))))
    assert (f"much about single benchmarks of {n} images" in text) == told


def test_masks_of_one_image_are_no_images_of_a_benchmark(make_scores, make_results):
    results = make_results(make_scores(n=40))
    pairs = results.manifest.assign(image=results.manifest["image"].str[:-1])  # x/0 to x/9: "x/"
    text = "; ".join(limits(make_results(make_scores(n=40), manifest=pairs)))
    assert "much about single benchmarks of 4 images" in text


def test_photographs_among_the_benchmarks_are_counted_in_the_limit(results, make_results):
    rows = pd.DataFrame(
        [*(("val", "photos", image) for image in "aab"), ("train", "photos", "c")],
        columns=["split", "dataset", "image"],
    )
    few = make_results(manifest=pd.concat([results.manifest, rows]))
    assert "2 photographs of 'photos' tell little" in "; ".join(limits(few))
    own = rows.assign(dataset="cats")
    more = make_results(manifest=pd.concat([results.manifest, rows, own]))
    assert "on photographs where the data is synthetic" in "; ".join(limits(more))


def test_a_run_without_these_limits_still_claims_nothing_more(make_scores, make_results):
    scores = make_scores(benchmarks=("a", "b"), n=40, seeds=(1, 2, 3))
    results = make_results(scores, comparable=True)
    large = make_results(
        scores,
        comparable=True,
        base=results.params.base.replaced(size="vit_l"),
        manifest=results.manifest[results.manifest["split"] == "val"],
    )
    assert limits(large) == ["what happens on data unlike these benchmarks"]
    two = make_results(make_scores(benchmarks=("a", "b"), seeds=(1, 2)))
    assert "another seed" not in "; ".join(limits(two))


def test_the_facts_name_data_recipes_and_seeds(results):
    rows = dict(section("setting", results).blocks[0].rows)
    assert rows["Training set"] == "1 image, 2 masks"
    assert "1,234 trainable parameters" in rows["Trained: PA-SAM"]
    assert rows["Seeds of training"] == "42"


def kinds(found):
    return [block.kind for block in found.blocks]


def test_it_holds_table_charts_differences_and_notes(results):
    found = section("table-1", results)
    assert kinds(found)[:5] == ["table", "table", "charts", "forest", "table"]
    assert [panel.heading for panel in found.blocks[2].panels] == ["Boundary IoU", "IoU"]
    for panel in found.blocks[2].panels:
        for name in ("dis_like", "thin_like", "Mean of 4 synthetic"):
            assert f">{name}</text>" in panel.svg
        assert panel.svg.count('class="shade"') == 1
    first = found.blocks[3].rows[0]
    assert first.name == "PA-SAM minus SAM"
    assert first.verdict == "gain shown for these weights"


def test_published_numbers_have_a_table_of_their_own(make_results):
    published = pd.DataFrame(
        [["pa_sam", "dis_like", "DIS", 81.5, 73.9, 1.0]],
        columns=["model", "benchmark", "published_benchmark", "miou", "mbiou", "tolerance"],
    )
    found = section("table-1", make_results(published=published))
    captions = [block.caption for block in found.blocks if block.kind == "table"]
    assert any("not comparable" in caption for caption in captions)
    assert not any("published" in head for head in found.blocks[0].head)
    same = section("table-1", make_results(published=published, comparable=True))
    folded = [
        [block.folded for block in part.blocks if getattr(block, "head", ("",))[-1] == last]
        for part, last in ((found, "Ours mIoU / mBIoU"), (same, "Tolerance"))
    ]
    assert folded == [[True], [False]]


def test_what_is_seen_at_a_glance_is_open_and_one_benchmark_needs_no_shade(
    make_scores, make_results
):
    alone = make_results(make_scores(benchmarks=("dis_like",)))
    opened = {row.key: not row.section(alone).folded for row in SECTIONS[:4]}
    assert opened == {"glance": True, "setting": False, "table-1": True, "galleries": False}
    charts = section("table-1", alone).blocks[2]
    assert not any('class="shade"' in panel.svg for panel in charts.panels)


def test_one_model_has_no_differences(make_scores, make_results):
    found = section("table-1", make_results(make_scores(models=("pa_sam",))))
    assert "forest" not in kinds(found)


def test_the_legend_names_every_model_once():
    keys = legend(["sam", "pa_sam", "mine"])
    assert [key.name for key in keys] == ["SAM", "PA-SAM", "mine"]
    assert len({key.colour for key in keys}) == 3


def test_the_lead_of_the_galleries_names_the_models_of_a_card(results, make_scores, make_results):
    assert "truth, SAM, HQ-SAM, PA-SAM, uncertainty" in section("galleries", results).lead
    few = make_results(make_scores(models=("sam", "pa_sam")))
    assert "truth, SAM, PA-SAM, uncertainty" in section("galleries", few).lead


def test_there_are_three_galleries_and_an_empty_one_says_so(results):
    found = section("galleries", results)
    worst, improved, harmed = found.blocks
    assert (worst.name, len(worst.cards)) == ("Worst", 3)
    assert improved.caption == "3 masks where PA-SAM gains most over SAM."
    assert harmed.words == "Most harmed: there is no mask where PA-SAM loses most against SAM."


def test_harmed_images_are_shown_when_there_are_some(make_scores, make_results):
    scores = make_scores()
    scores.loc[scores["model"] == "pa_sam", "boundary_iou"] -= 0.25
    harmed = section("galleries", make_results(scores)).blocks[2]
    assert len(harmed.cards) == 3


def test_both_measures_are_drawn_told_and_given_in_numbers(results):
    charts, *sentences = section("fine-structure", results).blocks
    assert [panel.heading for panel in charts.panels] == [
        "By boundary complexity", "By thinness",
    ]  # fmt: skip
    assert len(sentences) == 2
    assert {row[0] for row in charts.numbers.rows} == {"complexity", "thinness"}
    assert charts.legend[0].name == "PA-SAM minus SAM"


def test_without_rows_it_names_the_command(results):
    block = section("robustness", results).blocks[0]
    assert (block.kind, block.command) == ("absent", "dvc repro robustness")


def test_curves_numbers_and_a_sentence_per_condition(make_scores, make_results):
    loose = make_scores(prompt="box_jitter_0.4")
    rows = pd.concat([make_scores(), make_scores(prompt="box_jitter_0.2"), loose])
    charts, sentence = section("robustness", make_results(conditions=rows)).blocks
    assert charts.panels[0].heading == "Jittered boxes"
    assert len(charts.numbers.rows) == 3 * 4
    assert sentence.words.startswith("Jittered boxes, at 0.4 (n = 24): PA-SAM is 20.0 points")
    worse = pd.concat([make_scores(), change_scores(loose, "pa_sam", -0.4)])
    other = section("robustness", make_results(conditions=worse)).blocks[1]
    assert "below SAM" in other.words


def test_the_worst_end_of_points_is_the_fewest(make_scores, make_results):
    rows = pd.concat([make_scores(), *(make_scores(prompt=f"points_{k}") for k in (1, 10))])
    sentence = section("robustness", make_results(conditions=rows)).blocks[1]
    assert "at 1 (n = 24):" in sentence.words


def test_sentences_of_all_conditions_are_one_family_of_comparisons(
    make_scores, make_results, monkeypatch
):
    seen = []

    def none_shown(rows, bootstrap):
        seen.append([row["difference"] for row in rows])
        return [{**row, "verdict": "no difference shown", "p_holm": 0.5} for row in rows]

    monkeypatch.setattr(page_sections, "held_together", none_shown)
    worse = change_scores(make_scores(corruption="blur_2"), "pa_sam", -0.4)
    rows = pd.concat([make_scores(), make_scores(prompt="points_3"), worse])
    blocks = section("robustness", make_results(conditions=rows)).blocks
    assert seen == [[pytest.approx(20), pytest.approx(-20)]]
    for block, start in zip(
        blocks[1:], ("Points in place of a box, at 3", "Blur, at 2"), strict=True
    ):
        assert block.words.startswith(f"{start} (n = 24): No difference")


@pytest.mark.long
def test_sentences_of_several_conditions_are_corrected_together(make_scores, make_results):
    """One of five conditions whose interval leaves zero by a little shows nothing."""
    scores = make_scores(n=40)
    noise = np.random.default_rng(1).normal(0, 0.1, 160)
    noise -= noise.mean() + 0.2
    tight = make_scores(n=40, prompt="box_jitter_0.4")
    just = change_scores(tight, "pa_sam", lambda rows: noise + 0.018)
    alone = section("robustness", make_results(conditions=pd.concat([scores, just]))).blocks[1]
    assert "above SAM" in alone.words
    others = [
        change_scores(make_scores(n=40, corruption=f"{kind}_1"), "pa_sam",
                      lambda rows: np.random.default_rng(2).permutation(noise))
        for kind in ("blur", "noise", "jpeg")
    ]  # fmt: skip
    results = make_results(conditions=pd.concat([scores, just, *others]))
    first = section("robustness", results).blocks[1].words
    assert first.startswith("Jittered boxes, at 0.4 (n = 160): No difference")
    assert "not after Holm's correction" in first


def precisions():
    rows = [
        {
            "model": model, "seed": 1, "benchmark": benchmark, "set": name, "overlap": overlap,
            "ap": ap, "ap50": ap, "ap75": ap, "ap_small": ap, "ap_medium": ap, "ap_large": ap,
            "images": 4, "objects": 9, "detections": 11,
            "objects_small": 3, "objects_medium": 3, "objects_large": 3,
        }
        for model, ap in (("sam", 0.4), ("pa_sam", 0.5))
        for overlap in ("mask", "boundary")
        for benchmark, name in (("coco_like", "coco_like"), ("wild", "ants"), ("wild", "mean"))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def instances(gain):
    rows = [
        {
            "model": model, "benchmark": "coco_like", "set": "coco_like", "image_id": image,
            "detection": image, "object_id": 1, "boundary_iou": 0.3 + add,
        }
        for model, add in (("sam", 0), ("pa_sam", gain))
        for image in range(8)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_without_results_both_sections_name_the_command(results):
    for key in ("table-2", "table-3"):
        assert section(key, results).blocks[0].command == "dvc repro instances"
    assert precision_grids(results) == {}


def test_each_kind_of_set_goes_to_its_table(make_results):
    results = make_results(precisions=precisions(), instances=instances(0.2))
    table, sentence = section("table-2", results).blocks
    assert "coco_like" in table.caption
    start = "On the same boxes of coco_like (n = 8 images): PA-SAM is 20.0 points"
    assert sentence.words.startswith(start)
    assert section("table-3", results).blocks[0].head[1] == "ants (n=9)"
    assert list(precision_grids(results)) == ["table2", "table3"]


def test_the_subject_is_held_against_the_base_and_the_rival_on_the_same_boxes(make_results):
    rows = instances(0.2)
    rival = rows[rows["model"] == "sam"].assign(model="hq_sam", boundary_iou=0.4)
    results = make_results(precisions=precisions(), instances=pd.concat([rows, rival]))
    first, second = box_sentences(results, "coco_like")
    assert "PA-SAM is 20.0 points of boundary IoU above SAM" in first
    assert "PA-SAM is 10.0 points of boundary IoU above HQ-SAM" in second


def test_the_sentence_follows_the_masks(make_results):
    worse = make_results(precisions=precisions(), instances=instances(-0.1))
    assert "below SAM" in box_sentences(worse, "coco_like")[0]


def test_without_variants_it_names_the_command(results):
    block = section("table-4", results).blocks[0]
    assert (block.kind, block.command) == ("absent", "pasam params use ablation && dvc repro")


def test_every_group_has_its_strips_then_comes_the_table(make_results):
    found = section("table-4", make_results(**made_up_ablations(no_dense=-0.1)))
    kinds = [block.kind for block in found.blocks]
    assert kinds == ["forest"] * 6 + ["table", "text"]
    first = found.blocks[0]
    assert first.heading == "Components"
    assert [row.verdict for row in first.rows].count("loss shown for these weights") == 1


@pytest.mark.long
def test_the_table_begins_with_the_model_itself_and_tells_cost_and_difference(make_results):
    grid = ablation_grid(make_results(**made_up_ablations(no_dense=-0.1)))
    assert grid.rows[0][0] == "PA-SAM"
    assert grid.rows[0][-1] == "1,234"
    rows = {row[0]: row for row in grid.rows}
    assert rows["no_dense"][4].startswith("-10")
    assert rows["no_dense"][-1] == "1,000"
    assert rows["nothing"][4:6] == ("+0.0 [+0.0, +0.0]", "no difference shown")
    assert "11 variants" in grid.notes[0]


def test_every_model_has_a_chart_and_every_term_an_entry_in_the_legend(results):
    charts = section("training", results).blocks[0]
    assert [panel.heading for panel in charts.panels] == ["HQ-SAM", "PA-SAM"]
    assert [key.name for key in charts.legend] == ["loss (total)", "loss_dice"]
    assert "loss_dice, 1: 1" in charts.panels[0].svg  # the first epoch is called 1


def test_seeds_and_commands_are_told(results):
    found = section("repeat", results)
    assert "Seeds: training 42" in found.lead
    assert any(line.startswith("dvc repro") for line in found.blocks[0].lines)
    assert any(line.startswith("dvc metrics diff") for line in found.blocks[0].lines)


def test_every_term_of_a_loss_has_a_colour_and_a_shape_that_no_other_has(make_results):
    terms = dict.fromkeys("edcba", 1.0)
    first, second = (
        pd.DataFrame([{"epoch": 0, "loss": 3.0, **some}]) for some in (terms, {"z": 2.0})
    )
    charts = section("training", make_results(histories={"hq_sam": first, "pa_sam": second}))
    keys = [(key.name, key.colour, key.shape) for key in charts.blocks[0].legend]
    assert keys == [
        ("loss (total)", "var(--ink)", "circle"),
        *((name, f"var(--other-{n})", "square") for n, name in enumerate("abcd")),
        ("e", "var(--other-0)", "diamond"), ("z", "var(--other-1)", "diamond"),
    ]  # fmt: skip


def test_comparisons_on_the_same_boxes_are_corrected_together(monkeypatch):
    ways = {
        "box_difference": lambda rows, benchmark, pair, bootstrap: {"against": pair[1], "n": 3},
        "held_together": lambda rows, bootstrap: [{**row, "of": len(rows)} for row in rows],
        "comparison_sentence": lambda row, *, level: f"{row['against']}, one of {row['of']}",
    }
    for name, way in ways.items():
        monkeypatch.setattr(tables, name, way)
    run = SimpleNamespace(
        instances="rows", reference="sam", subject="pa_sam", bootstrap=None, level="95 %"
    )
    start = "On the same boxes of coco_like (n = 3 images): "
    assert box_sentences(run, "coco_like") == [
        f"{start}sam, one of 2", f"{start}hq_sam, one of 2"
    ]  # fmt: skip
