"""The ten questions: each sentence follows the numbers."""

import re

import numpy as np
import pandas as pd
import pytest
from made_up_run import ABLATIONS, LEVELS, change_scores, made_up_ablations, made_up_diagnostics
from variants import pa_sam

from pasam.reporting import analyses, questions
from pasam.reporting.blocks import Text
from pasam.reporting.page_sections import Need
from pasam.reporting.questions import (
    QUESTIONS,
    QuestionRow,
    answers,
    best_sentence,
    frozen_sentence,
    mining_curves,
    refined_sentence,
)


def ask(number, results):
    return QUESTIONS[number - 1].answer(number, results)


def test_there_are_ten_in_their_order(results):
    found = answers(results)
    assert [answer.number for answer in found] == list(range(1, 11))
    assert all(answer.title.endswith("?") and answer.experiment for answer in found)


@pytest.mark.slow  # each follows its numbers in a test of its own
def test_no_sentence_is_a_constant(make_scores, make_results):
    import pandas as pd

    def run(shift):
        jitter = make_scores(prompt="box_jitter_0.4")
        scores = make_scores()
        rows = scores["model"] == "pa_sam"
        scores.loc[rows, "boundary_iou"] += shift * scores.loc[rows, "complexity"] / 10
        gains = dict.fromkeys(
            ("no_mining", "image_features", "adapter_only", "gradient_image"), shift
        )
        return make_results(
            scores,
            conditions=pd.concat([scores, jitter]),
            diagnostics=made_up_diagnostics(dense_change=0.3 + shift, point_spread=0.3 + shift,
                                            uncertainty_auroc=0.7 + shift),
            **made_up_ablations(mining_random=shift, **gains),
        )  # fmt: skip

    one, other = answers(run(0.0)), answers(run(0.1))
    same = [a.number for a, b in zip(one, other, strict=True) if a.sentence == b.sentence]
    assert same == []
    assert all(answer.answered for answer in other)


@pytest.mark.long
def test_every_answer_names_its_base_its_sets_and_the_lack_of_photographs(
    make_scores, make_results
):
    jitter = make_scores(prompt="box_jitter_0.4")
    inside = made_up_diagnostics()
    results = make_results(
        conditions=pd.concat([make_scores(), jitter]), diagnostics=inside, **made_up_ablations()
    )
    told = [answer.experiment for answer in answers(results)]
    assert all("Base: tiny. Measured on dis_like" in words for words in told)
    assert all(words.endswith("; no photographs among them.") for words in told)


def test_photographs_are_told_apart_where_they_were_looked_into(make_scores, make_results):
    names = ("dis_like", "photos")
    scores = make_scores(benchmarks=names)
    inside = made_up_diagnostics(models=("pa_sam",), benchmarks=names)
    of_photographs = inside["benchmark"] == "photos"
    inside.loc[of_photographs, ["uncertainty_auroc", "points_right"]] -= 0.4
    results = make_results(scores, diagnostics=inside)
    assert "photographs among" not in ask(4, results).experiment
    assert "Measured on dis_like and photos." in ask(4, results).experiment
    said = ask(4, results).sentence
    assert re.search(r"is (79|80)\.\d % ", said)
    assert re.search(r"On photos the area is (39|40)\.\d % ", said)
    said = ask(5, results).sentence
    assert re.search(r"On photos PA-SAM has (29|30)\.\d % .* of its points .* fewer than", said)
    assert "On photos" not in ask(4, make_results(diagnostics=made_up_diagnostics())).sentence
    inside.loc[of_photographs, "uncertainty_auroc"] = np.nan  # as where no mask is wrong anywhere
    assert "On photos" not in ask(4, make_results(scores, diagnostics=inside)).sentence


def question(met, partial=False):
    def build(results):
        yield "So."
        yield Text(words="x")
        yield "And so."

    need = Need(met=lambda results: met, absent="No maps.", command="dvc repro x")
    return QuestionRow(
        short="S", title="T?", experiment="E.", build=build, needs=need, partial=partial,
        on=lambda results: ["dis_like"],
    )  # fmt: skip


def test_a_question_without_its_experiment_says_so_and_how_to_make_it(results):
    answer = question(met=False).answer(3, results)
    assert answer.key == "question-3"
    assert not answer.answered
    assert [block.command for block in answer.blocks] == ["dvc repro x"]
    assert answer.sentence == "This run does not answer it."


def test_an_answer_keeps_its_question_and_joins_its_sentences(results):
    answer = question(met=True).answer(3, results)
    assert answer.answered
    assert (answer.title, answer.sentence) == ("T?", "So. And so.")
    assert answer.experiment.startswith("E. Base: tiny. Measured on dis_like; no photographs")
    assert [block.words for block in answer.blocks] == ["x"]


def test_a_part_of_an_answer_is_given_with_what_it_lacks(results):
    answer = question(met=False, partial=True).answer(3, results)
    assert not answer.answered
    assert answer.sentence == "So. And so."
    assert [block.kind for block in answer.blocks] == ["text", "absent"]


def test_without_variants_the_pass_is_shown_and_the_rest_admitted(results):
    found = ask(1, results)
    assert not found.answered
    assert [block.kind for block in found.blocks] == ["images", "absent"]


def test_the_sentence_says_what_each_part_brings(make_results, equal_variants):
    costly = ask(1, make_results(**made_up_ablations(no_mining=-0.1)))
    idle = ask(1, equal_variants)
    assert costly.answered
    assert (
        "\N{LEFT DOUBLE QUOTATION MARK}no hard points\N{RIGHT DOUBLE QUOTATION MARK}"
        in (costly.sentence.split("loses")[0])
    )
    assert "loses" not in idle.sentence
    assert [row.name for row in costly.blocks[1].rows][:2] == [
        "no adapter: the mask head alone", "no hard points",
    ]  # fmt: skip


def test_it_needs_the_rival(results):
    assert not ask(2, results).answered


@pytest.mark.long
def test_the_sentence_follows_the_rival(make_results):
    better, worse = (
        ask(2, make_results(**made_up_ablations(image_features=gain))).sentence
        for gain in (0.1, -0.1)
    )
    assert better.startswith("The adapter of image features is 10.2 points of boundary IoU above")
    assert worse.startswith("The adapter of image features is 9.8 points of boundary IoU below")
    assert "It trains 1,000 parameters, PA-SAM 1,234." in better


ROW = {
    "model": "x", "against": "pa_sam", "metric": "mbiou", "difference": -2.0, "low": -3.0,
    "high": -1.0, "better": 20.0, "worse": 70.0, "verdict": "loss shown", "seeds": 3,
}  # fmt: skip


def variant(name, change, of="pa_sam"):
    return analyses.Ablation(name=name, of=of, change=change)


def test_the_rival_is_told_by_its_difference_its_best_set_and_both_costs(make_results, monkeypatch):
    rival = variant("other", {}, of="image_adapter")
    costs = {"pa_sam": {"parameters": 1, "trainable": 1234},
             "other": {"parameters": 1, "trainable": 2000}}  # fmt: skip
    monkeypatch.setattr(
        analyses, "of_group", lambda results, *groups: [rival] if groups == ("image",) else []
    )
    monkeypatch.setattr(analyses, "gain_of", lambda results, name: {"other": ROW}[name])
    monkeypatch.setattr(analyses, "kept_sentence", lambda results, names: f"Kept by {names}.")
    monkeypatch.setattr(questions, "variant_plot", lambda *given: Text(words="plot"))
    told = list(questions.prompt_or_image(make_results(costs=costs)))
    assert told[0].startswith("The adapter of image features is 2.0 points of boundary IoU below")
    assert told[1] == "Kept by {'pa_sam': 'PA-SAM', 'other': 'the adapter of image features'}."
    assert told[2] == "It trains 2,000 parameters, PA-SAM 1,234."
    assert told[3] == Text(words="plot")


def test_what_is_trained_has_the_other_sets_before_the_one_that_sam_does_best(
    make_results, monkeypatch
):
    rows = [
        {**ROW, "model": model, "benchmark": benchmark, "difference": difference}
        for model, benchmark, difference in (
            ("pa_sam", "kitchen", -7.0), ("pa_sam", "mean", 5.0), ("part", "kitchen", -1.0)
        )
    ]  # fmt: skip
    monkeypatch.setattr(analyses, "best_benchmark", lambda results, model: "kitchen")
    monkeypatch.setattr(analyses, "change_over_reference", lambda *given: pd.DataFrame(rows))
    grid = questions._trained_grid(make_results(), {"pa_sam": "whole", "part": "a part"})
    assert grid.head[1:3] == ("All other benchmarks", "kitchen")
    assert [row[0] for row in grid.rows] == ["whole", "a part"]
    assert grid.rows[0][1].startswith("+5.0 [")
    assert grid.rows[0][2].startswith("-7.0 [")
    assert grid.rows[0][3] == "1,234"
    assert (grid.rows[1][1], grid.rows[1][3]) == ("-", "-")


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        ("gain shown", "bring it nearer"), ("loss shown", "take it farther away"),
        ("no difference shown", "are not shown to bring it nearer"),
    ],
)  # fmt: skip
def test_the_ceiling_is_told_with_what_finer_maps_alone_do(verdict, says, results, monkeypatch):
    both = variant("both", {"adapter": {"maps": "double"}, "trains": "adapter"})
    finer = variant("finer", {"adapter": {"maps": "double"}})
    monkeypatch.setattr(analyses, "scored_variants", lambda results: [both, finer])
    row = {**ROW, "verdict": verdict}
    monkeypatch.setattr(analyses, "gain_of", lambda results, name: {"finer": row}[name])
    said = questions.ceiling_sentence(results)
    assert "25.0 points above PA-SAM; maps at twice the grid " in said
    assert f"maps at twice the grid {says} (" in said


def test_it_needs_diagnostics(results):
    assert not ask(3, results).answered


def test_the_sentence_follows_the_sizes(make_results):
    dense = ask(3, make_results(diagnostics=made_up_diagnostics())).sentence
    sparse = ask(3, make_results(diagnostics=made_up_diagnostics(sparse_change=0.9))).sentence
    assert "dense change of 29.8 %" in dense
    assert "the dense one is relatively larger" in dense
    assert "the sparse one is relatively larger" in sparse
    equal = ask(3, make_results(diagnostics=made_up_diagnostics(sparse_change=0.3))).sentence
    assert "which of the two is relatively larger is not shown (difference " in equal
    large = made_up_diagnostics(dense_change=1.4, sparse_change=2.5)
    told = ask(3, make_results(diagnostics=large)).sentence
    assert re.search(r"a dense change of 1(39|40)\.\d % \(1\d\d\.\d to 1\d\d\.\d %\) of", told)
    assert re.search(r"a sparse change of 2(49|50)\.\d % \(2\d\d\.\d to 2\d\d\.\d %\) of", told)


def test_each_change_left_out_is_compared(make_results):
    changes = made_up_ablations(no_dense=-0.2)
    found = ask(3, make_results(diagnostics=made_up_diagnostics(), **changes))
    assert "no dense compensation" in found.sentence.split("loses")[0]
    assert found.blocks[-1].kind == "forest"
    shown = [row.name for row in found.blocks[-1].rows]
    assert shown == ["no dense compensation", "no sparse optimisation"]


def sentence(make_results, **means):
    return ask(4, make_results(diagnostics=made_up_diagnostics(**means))).sentence


def test_it_needs_diagnostics_of_tokens(results):
    assert not ask(4, results).answered


def test_it_says_whether_the_uncertainty_finds_errors(make_results):
    assert "finds errors: the area under the ROC curve is 80.1 %" in sentence(make_results)
    assert "It is not shown" in sentence(make_results, uncertainty_auroc=0.5)
    assert "points away from errors" in sentence(make_results, uncertainty_auroc=0.4)


def test_it_says_whether_the_final_mask_is_better_than_the_coarse_one(make_results):
    assert "improves the coarse one" in sentence(make_results)
    assert "worsens the coarse one" in sentence(make_results, final_iou=0.5)
    assert "shows no difference" in sentence(make_results, final_iou=0.6)


def test_the_maps_are_shown(make_results):
    found = ask(4, make_results(diagnostics=made_up_diagnostics()))
    assert [view.name for view in found.blocks[0].views][0] == "Coarse"


def test_without_variants_the_spread_alone_is_told(results, make_results):
    assert ask(5, results).sentence == "This run does not answer it."
    found = ask(5, make_results(diagnostics=made_up_diagnostics(point_spread=0.33)))
    assert "PA-SAM: 33.0 %" in found.sentence
    assert not found.answered


def test_ways_to_choose_are_compared_and_the_sentence_follows(make_results, equal_variants):
    changes = made_up_ablations(mining_random=-0.1)
    found = ask(5, make_results(diagnostics=made_up_diagnostics(), **changes))
    assert found.answered
    assert "random points" in found.sentence.split("loses")[0]
    assert "random points: 20." in found.sentence
    assert "hard points of each sign: 8" in found.sentence
    assert "loses" not in ask(5, equal_variants).sentence
    headings = [block.heading for block in found.blocks if block.kind == "forest"]
    assert headings == ["Ways to choose, against Gumbel top-k"]


def test_headings_and_rows_say_what_the_subject_itself_mines_and_trains(make_results):
    own = pa_sam(mining_method="top", trains="adapter")
    results = make_results(variants={"pa_sam": own}, **made_up_ablations())
    headings = [block.heading for block in ask(5, results).blocks if block.kind == "forest"]
    assert headings == ["Ways to choose, against top points without noise"]
    assert ask(6, results).blocks[0].rows[0][0] == "PA-SAM (adapter alone)"


@pytest.mark.parametrize(
    ("right", "words"), [(0.7, "more than"), (0.3, "fewer than"), (0.5, "not shown to differ from")]
)
def test_mined_points_are_held_against_points_at_random(make_results, right, words):
    diagnostics = made_up_diagnostics(points_right=right)
    said = ask(5, make_results(diagnostics=diagnostics)).sentence
    assert f"of them of the right sign, {words} the 50 % of random points" in said


def test_mined_points_are_told_apart_by_the_uncertain_band(make_results):
    said = ask(5, make_results(diagnostics=made_up_diagnostics(points_in_band=0.25))).sentence
    assert "25." in said.split(" of PA-SAM's points lie where the uncertainty")[0][-30:]
    assert "of these 60." in said
    assert "of the others 20." in said
    older = made_up_diagnostics().drop(columns="points_in_band")
    assert "lie where" not in ask(5, make_results(diagnostics=older)).sentence


def test_numbers_become_curves_through_pa_sams_own_choice(equal_variants):
    [charts] = mining_curves(equal_variants)
    assert [panel.heading for panel in charts.panels] == ["Number of points"]
    svg = charts.panels[0].svg
    assert ">4</text>" in svg
    assert ">8</text>" in svg


def test_it_needs_variants(results):
    assert not ask(6, results).answered


@pytest.mark.long
def test_the_sentence_follows_what_is_trained(make_results, equal_variants):
    worse = ask(6, make_results(**made_up_ablations(adapter_only=-0.1)))
    same = ask(6, equal_variants)
    assert "loses" in worse.sentence
    assert "loses" not in same.sentence
    assert "SAM does best by itself" in same.sentence
    rows = worse.blocks[0].rows
    assert rows[0][0] == "PA-SAM (adapter and mask head)"
    assert rows[1][0] == "adapter alone learns"
    assert rows[1][-1] == "1,000"


def test_frozen_weights_are_counted_by_their_digests(make_results):
    changes = made_up_ablations()
    changes["ablation_facts"]["nothing"] = {"frozen_before": "a", "frozen_after": "b"}
    assert frozen_sentence(make_results(**changes)).startswith("In 10 of 11 variants")
    unknown = {name: {"trainable": 1} for name in changes["ablation_facts"]}
    assert frozen_sentence(make_results(**{**changes, "ablation_facts": unknown})) == ""
    assert frozen_sentence(make_results()) == ""


def test_the_sentence_changes_with_the_gain_on_intricate_outlines(make_scores, make_results):
    scores = make_scores(n=12)
    rising = change_scores(scores, "pa_sam", lambda rows: 0.01 * rows["complexity"].to_numpy())
    falling = change_scores(scores, "pa_sam", lambda rows: -0.01 * rows["complexity"].to_numpy())
    flat, up, down = (ask(7, make_results(s)).sentence for s in (scores, rising, falling))
    assert "no difference between the two is shown" in flat
    assert "larger on the finer ones" in up
    assert "smaller on the finer ones" in down


def test_every_benchmark_is_shown_with_how_fine_it_is(make_scores, make_results):
    scores = make_scores()
    scores.loc[scores["image_id"] == "dis_like/5", "complexity"] = 600.0  # the median stays
    rows = ask(7, make_results(scores)).blocks[0].rows
    assert [row.name for row in rows] == ["dis_like", "coift_like", "hrsod_like", "thin_like"]
    assert rows[0].note.startswith("median complexity 4, width ")


def test_one_model_has_no_gain_to_show(make_scores, make_results):
    assert ask(7, make_results(make_scores(models=("pa_sam",)))).blocks == ()


def test_it_needs_looser_prompts_or_a_detector(results):
    found = ask(8, results)
    assert not found.answered
    assert found.blocks[0].command == "dvc repro robustness instances"


@pytest.mark.long
def test_the_sentence_follows_the_gain_on_loose_boxes(make_scores, make_results):
    loose = make_scores(prompt="box_jitter_0.4")
    sentences = []
    for by in (-0.3, -0.1, 0.1):
        rows = pd.concat([make_scores(), change_scores(loose, "pa_sam", by)])
        sentences.append(ask(8, make_results(conditions=rows)).sentence)
    gone, smaller, larger = sentences
    assert "from +20.0 points" in gone
    assert gone.startswith(
        "PA-SAM's gain over SAM shrinks (\N{MINUS SIGN}30.0 points, 95 % interval"
    )
    assert ", n = 24): from +20.0" in gone
    assert re.search(r"\+20\.0 points of boundary IoU \([^)]*; a gain is shown\) with tight", gone)
    assert re.search(r"to .10\.0 \([^)]*; a loss is shown\) with boxes jittered by 0.4", gone)
    assert re.search(r"to \+10\.0 \([^)]*; a gain is shown\) with boxes", smaller)
    assert "PA-SAM's gain over SAM grows (+10.0 points" in larger
    assert "No change of HQ-SAM's gain over SAM is shown (" in larger


def test_a_gain_whose_change_is_within_its_interval_neither_grows_nor_shrinks(
    make_scores, make_results
):
    loose = change_scores(
        make_scores(prompt="box_jitter_0.4"), "pa_sam",
        lambda rows: 0.01 + np.random.default_rng(0).normal(0, 0.1, len(rows)),
    )  # fmt: skip
    said = ask(8, make_results(conditions=pd.concat([make_scores(), loose]))).sentence
    start = said.split(" from ")[0]
    assert start.startswith("No change of PA-SAM's gain over SAM is shown (")
    assert "n = 24" in start


def test_a_model_has_no_gain_over_itself(make_scores, make_results):
    models = ("hq_sam", "pa_sam")
    rows = [make_scores(models=models, prompt=prompt) for prompt in ("box", "box_jitter_0.4")]
    said = ask(8, make_results(rows[0], conditions=pd.concat(rows))).sentence
    assert said.count("PA-SAM's gain over HQ-SAM") == said.count("'s gain over") == 1


def test_a_gain_that_was_never_shown_is_not_said_to_be_lost(make_scores, make_results):
    """Nothing on tight boxes and nothing on loose ones: neither "still" nor "no longer"."""
    noise = np.random.default_rng(3).normal(0, 0.1, 24)
    level = [
        change_scores(make_scores(prompt=prompt), "pa_sam", lambda rows: noise - noise.mean() - 0.2)
        for prompt in ("box", "box_jitter_0.4")
    ]
    said = ask(8, make_results(level[0], conditions=pd.concat(level))).sentence.split(". ")[0]
    assert said.count("no difference is shown") == 2
    assert "longer" not in said
    assert "still" not in said


def test_it_needs_variants_of_findings(results):
    assert not ask(9, results).answered


def test_it_counts_what_is_shown_and_says_what_follows(make_results):
    found = ask(9, make_results(**made_up_ablations(gradient_image=0.1, no_dense=-0.1)))
    assert found.sentence.startswith(
        f"Of {len(ABLATIONS)} variants, 1 are shown to be better than PA-SAM in boundary IoU, 1 "
        "worse, and for 9 no difference is shown (one seed each: it is said of these weights)."
    )
    assert (
        "What is worth adopting, if more seeds confirm it: edges of the image itself"
        in found.sentence
    )
    assert "What costs most: no dense compensation" in found.sentence
    assert "With fewer trainable parameters, and no difference shown:" in found.sentence
    assert found.blocks[0].folded


def test_the_three_largest_losses_are_named_and_what_is_cheaper_has_fewer_parameters(make_results):
    losses = {"no_dense": -0.4, "no_sparse": -0.3, "no_mining": -0.2, "gradient_image": -0.1}
    changes = made_up_ablations(**losses)
    changes["ablation_facts"]["nothing"]["trainable"] = 1234  # as many as PA-SAM
    del changes["ablation_facts"]["finer_maps"]["trainable"]
    said = ask(9, make_results(**changes)).sentence
    costs = said.split("What costs most: ")[1].split(". With fewer")[0]
    assert re.findall(r"no [a-z ]+?(?= \()|edges[a-z ]+", costs) == [
        "no dense compensation", "no sparse optimisation", "no hard points",
    ]  # fmt: skip
    cheaper = said.split("no difference shown: ")[1]
    assert "random points" in cheaper
    assert "nothing changed" not in cheaper
    assert "maps at twice the grid" not in cheaper, "what it trains is not known"


@pytest.mark.long
def test_other_numbers_give_another_sentence(make_results):
    sentences = {
        ask(9, make_results(**made_up_ablations(no_dense=by))).sentence for by in (0, -0.1, 0.1)
    }
    assert len(sentences) == 3


def test_without_variants_the_ceiling_alone_is_told(results, make_results):
    found = ask(10, results)
    assert not found.answered
    assert "25.0 points above PA-SAM; whether finer maps would bring it" in found.sentence
    assert found.blocks[-1].kind == "absent"
    scores = change_scores(results.scores, "oracle", -0.3)  # no bound: cell averages may be worse
    assert "5.0 points below PA-SAM;" in ask(10, make_results(scores)).sentence


@pytest.mark.long
@pytest.mark.parametrize(
    ("gain", "words"),
    [
        (0.1, "maps at twice the grid bring it nearer (+"),
        (0.0, "maps at twice the grid are not shown to bring it nearer ("),
        (-0.1, "maps at twice the grid take it farther away ("),
    ],
)
def test_whether_the_grid_limits_it_is_said_by_a_finer_grid_not_by_the_oracle(
    make_results, gain, words
):
    assert words in ask(10, make_results(**made_up_ablations(finer_maps=gain))).sentence


def test_the_best_combination_is_an_answer_without_variants_too(make_scores, make_results):
    found = ask(10, make_results(make_scores(models=(*LEVELS, "pa_sam_plus"))))
    assert found.answered
    assert found.blocks[-1].kind == "absent"


def test_choices_that_help_are_named(make_results):
    better = ask(10, make_results(**made_up_ablations(gradient_image=0.1)))
    assert better.answered
    assert "edges of the image itself" in better.sentence.split(" gains.")[0]


@pytest.mark.parametrize(
    ("refined", "words"),
    [(0.7, "is better than"), (0.5, "is worse than"), (0.6, "is not shown to differ")],
)
def test_the_refined_map_is_judged_against_the_coarse_one(refined, words, make_results):
    results = make_results(diagnostics=made_up_diagnostics(refined_iou=refined))
    assert words in refined_sentence(results)


def test_the_best_combination_is_praised_only_if_the_interval_says_so(make_scores, make_results):
    models = (*LEVELS, "pa_sam_plus")
    scores = make_scores(models=models)
    level = scores.loc[scores["model"] == "pa_sam", "boundary_iou"].to_numpy()
    scores.loc[scores["model"] == "pa_sam_plus", "boundary_iou"] = level + 0.05
    many = make_results(scores).params.report.replaced(n_resamples=2000)  # Holm runs over ten rows
    assert "PA-SAM+ is 5.0 points" in best_sentence(make_results(scores, report=many))
    scores.loc[scores["model"] == "pa_sam_plus", "boundary_iou"] = level
    assert best_sentence(make_results(scores)).startswith("No difference")
    assert best_sentence(make_results()) == ""
