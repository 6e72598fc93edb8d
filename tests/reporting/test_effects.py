"""Tests of sentences about several variants."""

from made_up_run import made_up_ablations

from pasam.reporting.variants import effects_sentence, numbers, of_group


def sentence(make_results, **gains):
    results = make_results(**made_up_ablations(**gains))
    return effects_sentence(
        of_group(results, "component"), results.ablation_differences,
        subject="pa_sam", level="95 %",
    )  # fmt: skip


def test_losses_gains_and_open_questions_are_told_apart(make_results):
    said = sentence(make_results, no_dense=-0.1, no_sparse=0.1)
    loss, rest = said.split(";", 1)
    assert "no dense compensation" in loss
    assert loss.endswith("loses")
    assert "no sparse optimisation" in rest.split(".")[0] + rest.split("gains")[0]
    assert "No difference from PA-SAM is shown for" in said
    assert "equal" not in said


def test_the_sentence_changes_with_the_numbers(make_results):
    assert sentence(make_results, no_dense=-0.1) != sentence(make_results, no_dense=-0.2)
    assert "loses" not in sentence(make_results)


def test_several_losses_take_the_plural(make_results):
    said = sentence(make_results, no_dense=-0.1, no_sparse=-0.1)
    assert " lose. " in said


def test_numbers_have_their_interval():
    assert numbers({"difference": 1.0, "low": 0.5, "high": 1.5}) == "(+1.0, +0.5 to +1.5)"
